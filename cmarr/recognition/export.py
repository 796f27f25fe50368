"""One folder that holds a trained model whole: weights, description, model card."""

import shutil
from pathlib import Path

from cmarr.errors import UserError
from cmarr.files import atomic, write_json, write_text
from cmarr.recognition.card import model_card
from cmarr.recognition.trained import DESCRIPTION, Trained

CARD = "README.md"


def export(trained: Trained, folder: str | Path, *, force: bool = False) -> Path:
    """Write the models into a folder, which `Recognizer.load` reads without DVC, MLflow or the corpus.

    Raises UserError for a folder that holds something, unless it is an earlier export and `force` is set.
    """
    folder = Path(folder).expanduser()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / DESCRIPTION).is_file():
            raise UserError(f"{folder} holds other things; name an empty folder, or a new one")
        if not force:
            raise UserError(
                f"{folder} holds a model already; name another folder, or replace it with --force"
            )
        # First, so that a killed export leaves no description of weights that are gone.
        (folder / DESCRIPTION).unlink()
        for old in folder.glob("fold*-seed*.safetensors"):
            old.unlink()
    for member, weights in zip(trained.about.models, trained.weights, strict=True):
        with atomic(folder / member.file) as temporary:
            shutil.copyfile(weights, temporary)
    write_text(folder / CARD, model_card(trained.about))
    write_json(folder / DESCRIPTION, trained.about.model_dump(mode="json"))
    return folder
