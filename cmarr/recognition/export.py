"""One folder that holds a trained model whole: weights, description, model card."""

import shutil
from pathlib import Path

from cmarr.encoders.protocol import Encoder
from cmarr.errors import UserError
from cmarr.files import atomic, file_digest, write_json, write_text
from cmarr.recognition.about import TOKENIZER, About
from cmarr.recognition.card import model_card
from cmarr.recognition.encoding import encoders_for
from cmarr.recognition.trained import DESCRIPTION, Trained

CARD = "README.md"


def export(trained: Trained, folder: str | Path, *, force: bool = False) -> Path:
    """Write the models into a folder, which `Recognizer.load` reads without DVC, MLflow or the corpus.

    Raises UserError for a folder that holds something, unless it is an earlier export and `force` is set; one that
    holds the models themselves is never replaced.
    """
    folder = Path(folder).expanduser()
    try:
        return _write(trained, folder, force)
    except OSError as error:
        raise UserError(
            f"{error.filename or folder} cannot be written ({error.strerror}); name another folder"
        ) from None


def _write(trained: Trained, folder: Path, force: bool) -> Path:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / DESCRIPTION).is_file():
            raise UserError(f"{folder} holds other things; name an empty folder, or a new one")
        if not force:
            raise UserError(
                f"{folder} holds a model already; name another folder, or replace it with --force"
            )
        if any(
            folder.resolve() in (weights.parent.resolve(), weights.resolve().parent)
            for weights in trained.weights
        ):
            raise UserError(
                f"{folder} holds the model that is to be exported, and replacing it would lose the weights; "
                "name another folder"
            )
        # First, so that a killed export leaves no description of weights that are gone.
        (folder / DESCRIPTION).unlink()
        for old in (*folder.glob("fold*-seed*.safetensors"), folder / TOKENIZER):
            old.unlink(missing_ok=True)
    for member, weights in zip(trained.about.models, trained.weights, strict=True):
        with atomic(folder / member.file) as temporary:
            shutil.copyfile(weights, temporary)
    about = _with_inputs(trained.about, trained.weights[0].parent, folder)
    write_text(folder / CARD, model_card(about))
    write_json(folder / DESCRIPTION, about.model_dump(mode="json"))
    return folder


def _with_inputs(about: About, source: Path, folder: Path) -> About:
    """The description, of a fine-tuned network with what its input takes; the tokenizer is put into the folder.

    The weights of such a network lie in the model, and nothing of it need be fetched where the model is used.
    """
    encoders = dict(about.encoders)
    for modality, encoder in about.encoders.items():
        given = dict(encoder.settings)
        if given.get("tokenizer"):  # exported before
            with atomic(folder / TOKENIZER) as temporary:
                shutil.copyfile(source / TOKENIZER, temporary)
        elif encoder.name == "word_pieces":
            pieces = encoders_for({modality: encoder})[0]["t"]
            pieces.save_tokenizer(folder / TOKENIZER)  # type: ignore[attr-defined]
            given |= _known(pieces) | {"tokenizer": file_digest(folder / TOKENIZER)}
        elif encoder.name == "waveforms" and not given.get("least"):
            waveforms = encoders_for({modality: encoder})[0]["s"]
            given |= _known(waveforms) | {"least": waveforms.least}  # type: ignore[attr-defined]
        encoders[modality] = encoder.model_copy(update={"settings": given})
    return about.model_copy(update={"encoders": encoders})


def _known(encoder: Encoder) -> dict[str, str]:
    """Without the place where the network lay."""
    told = encoder.describe()
    return {"model": told["model"], "revision": told["revision"]}
