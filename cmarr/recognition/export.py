"""One folder that holds a trained model whole: weights, description, model card."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cmarr import objects
from cmarr.budgets import expanded, real
from cmarr.encoders.registry import encoder_class
from cmarr.errors import UserError, many
from cmarr.files import atomic, is_left_over, write_json, write_text
from cmarr.methods.described import require_model
from cmarr.modalities import CONDITIONS
from cmarr.recognition.encoding import encoders_for
from cmarr.recognition.trained import CARD, DESCRIPTION, PART, TOKENIZER, About, Trained
from cmarr.report.numbers import RAW
from cmarr.seals import LIST, write_list

UNFINISHED = ".unfinished-export"
"""File of a folder that an export has begun to fill, or to replace: as long as it is there the next one may go on."""

_BEGUN = "`cmarr export` was writing this folder; run it again.\n"


def export(trained: Trained, folder: str | Path, *, force: bool = False, head: str = "") -> Path:
    """Write the models into a folder, which `Recognizer.load` reads without DVC, MLflow or the corpus.

    It may be one on object storage. An export that was killed is begun again by the next. `head` stands before the
    card.

    Raises UserError for a folder that holds something, unless it is an earlier export and `force` is set; one that
    holds the models themselves is never replaced; and for models that are damaged.
    """
    folder = Path(folder) if objects.is_remote(folder) else expanded(folder)
    try:
        if not objects.is_remote(folder):
            return _write(trained, folder, force, head)
        with tempfile.TemporaryDirectory(prefix="cmarr-") as scratch:
            return _put(_write(trained, Path(scratch), force, head), folder, force)
    except OSError as error:
        raise UserError(
            f"{error.filename or folder} cannot be written ({error.strerror}); name another folder"
        ) from None


def _write(trained: Trained, folder: Path, force: bool, head: str) -> Path:
    for weights in trained.weights:
        require_model(weights)
    _make_room(trained, folder, force)
    for member, weights in zip(trained.about.models, trained.weights, strict=True):
        with atomic(folder / member.file) as temporary:
            shutil.copyfile(weights, temporary)
    about = _with_inputs(trained.about, trained.weights[0].parent, folder)
    write_text(folder / CARD, head + model_card(about))
    write_json(folder / DESCRIPTION, about.as_dict())
    tokenizer = [folder / TOKENIZER] if (folder / TOKENIZER).is_file() else []
    members = [folder / member.file for member in about.models]
    write_list(folder / LIST, [*members, *tokenizer, folder / CARD, folder / DESCRIPTION])
    (folder / UNFINISHED).unlink()
    return folder


def _put(made: Path, folder: Path, force: bool) -> Path:
    """Put an export into a folder of object storage, its description last. Raises UserError as `_make_room`."""
    there = objects.below(folder)
    if there and UNFINISHED not in there:
        _require_replaceable(folder, DESCRIPTION in there, force)
    write_text(folder / UNFINISHED, _BEGUN)
    files = objects.below(made)
    for name in (DESCRIPTION, *(there.keys() - files.keys())):  # of an earlier export
        if PART.fullmatch(name):
            objects.remove(folder / name)
    for name in sorted(files, key=lambda name: name == DESCRIPTION):
        objects.put(files[name], folder / name)
    objects.remove(folder / UNFINISHED)
    return folder


def _require_replaceable(folder: Path, model: bool, force: bool) -> None:
    if not model:
        raise UserError(f"{folder} holds other things; name an empty folder, or a new one")
    if not force:
        raise UserError(
            f"{folder} holds a model already; name another folder, or replace it with --force (force=True)"
        )


def _make_room(trained: Trained, folder: Path, force: bool) -> None:
    """Leave the folder with nothing of an earlier export, and marked as unfinished. Raises UserError."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder")
    unfinished = (folder / UNFINISHED).exists()
    if folder.is_dir() and not unfinished and not all(map(is_left_over, folder.iterdir())):
        _require_replaceable(folder, (folder / DESCRIPTION).is_file(), force)
        if any(real(folder) in (real(weights.parent), real(weights).parent) for weights in trained.weights):
            raise UserError(
                f"{folder} holds the model that is to be exported, and replacing it would lose the weights; "
                "name another folder"
            )
    if not unfinished:
        write_text(folder / UNFINISHED, _BEGUN)
    # First, so that a killed export leaves no description of weights that are gone.
    others = (folder / name for name in (LIST, DESCRIPTION, TOKENIZER))
    for old in (*others, *folder.glob("fold*-seed*.safetensors")):
        old.unlink(missing_ok=True)


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
        elif encoder.name and hasattr(encoder_class(encoder.name), "exported") and not given.get("least"):
            (built,) = encoders_for({modality: encoder})[0].values()
            given |= built.exported(folder / TOKENIZER)  # type: ignore[attr-defined]
        encoders[modality] = encoder.model_copy(update={"settings": given})
    return about.model_copy(update={"encoders": encoders})


def model_card(about: About) -> str:
    """Markdown; test scores are the whole method's, over all folds and seeds, as the study's report has them."""
    return "\n\n".join(_parts(about)) + "\n"


USED = """```python
from cmarr import Recognizer

recognizer = Recognizer.load("this folder")
print(recognizer.predict("clip.mp4", text="what is said in it"))
```"""


def _parts(about: About) -> Iterator[str]:
    """The card's headings, paragraphs, tables and lists."""
    yield f"# {about.title}"
    told = f"the classes {', '.join(about.classes)}" if about.classes else "a sentiment score"
    yield f"Trained with cmarr {about.product} to answer with {told}, from whichever of these a clip has:"
    rows = ["| modality | encoder | revision | settings |", "|---|---|---|---|"]
    for modality, encoder in about.encoders.items():
        made = encoder.provenance
        which = " ".join(x for x in (encoder.name or "features of the corpus", made.get("model")) if x)
        rows.append(f"| {modality} | {which} | {made.get('revision', '-')} | {made.get('parameters', '-')} |")
    yield "\n".join(rows)
    yield USED
    if about.card:
        yield "\n".join(about.card.strip().splitlines())
    else:
        yield from _training(about)
    yield "## Before you use it"
    warnings = [
        "It has learnt how the speakers of this corpus express what the corpus' annotators call these classes. On "
        "other people, languages, rooms and cameras it does worse than the table says, by how much nobody knows."
    ]
    if not about.card:
        warnings.append(
            "A probability is not the share of such clips in which it is right: nothing here was calibrated."
        )
    warnings += [
        "It judges expression, not feeling. It must not decide about people: the European Union's AI Act, for one, "
        "forbids emotion recognition at work and in schools.",
        "The corpus' licence binds the model, too; see where the corpus comes from.",
    ]
    if about.plugins:
        files = ", ".join(f"{plugin.file} ({plugin.kind} {plugin.name})" for plugin in about.plugins)
        warnings.append(
            f"It needs code that is not part of cmarr: {files}. Without it the model is not loaded."
        )
    yield "\n".join(f"- {warning}" for warning in [*warnings, "The exact settings stand in model.json."])


def _training(about: About) -> Iterator[str]:
    """Which of a study's trainings these are, and what the study has measured."""
    yield "## Which training this is"
    yield (
        "The probabilities of all these models are averaged:"
        if len(about.models) > 1
        else "Of the folds and seeds of the study the one with the best validation score, unless one was asked for:"
    )
    rows = [f"| {m.file} | {m.fold} | {m.seed} | {m.epoch} | {m.score:.4f} |" for m in about.models]
    head = ["| file | fold | seed | epoch | validation score |", "|---|--:|--:|--:|--:|"]
    yield "\n".join([*head, *rows])
    score = "the mean UAR" if about.classes else "minus the mean MAE"
    yield f"The validation score is {score} over the conditions that choose the epoch."
    yield "## Test scores of the method"
    names = [name for name in about.metrics if name != "meta"]
    if not names:
        yield "The study's scores were not at hand when this was written."
        return
    meta = about.metrics["meta"]
    yield (
        "By the modalities that were available (s speech, v video, t text; avg6 is the mean of the incomplete six), "
        f"over {many(meta['folds'], 'fold')} and {many(meta['seeds'], 'seed')}; 95 % intervals in brackets."
    )
    rows = [f"| available | {' | '.join(names)} |", f"|---|{'--:|' * len(names)}"]
    for row in (*CONDITIONS, "avg6", "avg7"):
        cells = (_cell(about.metrics[name].get(row, {}), name) for name in names)
        rows.append(f"| {row} | {' | '.join(cells)} |")
    yield "\n".join(rows)


def _cell(cell: Mapping[str, Any], name: str) -> str:
    numbers = [cell.get(key) for key in ("mean", "lo", "hi")]
    factor, digits = (1, 3) if name in RAW else (100, 1)
    told = [f"{number * factor:.{digits}f}" for number in numbers if number is not None]
    if numbers[0] is None:
        return "-"
    return told[0] if len(told) < 3 else f"{told[0]} [{told[1]}, {told[2]}]"
