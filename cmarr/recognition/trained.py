"""Trained models, in a folder that `cmarr export` wrote or in the files of a study, and their description."""

import atexit
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from cmarr import objects
from cmarr.budgets import PATH_MAX, expanded, real, shown
from cmarr.declaration import Names, Section
from cmarr.encoders.registry import encoder_class, place_keys
from cmarr.errors import STAND_FOR, NotComputed, NotWhole, UserError, did_you_mean, many
from cmarr.features.shards import read_metadata, shards
from cmarr.files import file_digest
from cmarr.methods.described import EXPORTED, read_description
from cmarr.modalities import NAMES
from cmarr.places import Places
from cmarr.plugins import ENCODERS, METHODS, VARIABLE, Kind, file_of, names, own_names
from cmarr.seals import LIST, read_json, read_list, read_listed_json
from cmarr.validation import validate

FORMAT = 1
"""Of the exported folder; a reader refuses another one."""

LARGEST = 2**24
"""Bytes of a description; a real one has some thousand."""

MOST_FILES, MOST_BYTES = 1000, 2**34
"""What is fetched of a model on object storage: an ensemble of 25 large networks has 26 files and half of that."""

TOKENIZER = "tokenizer.json"
"""File of an exported folder that cuts text into the pieces which a fine-tuned network reads."""

DIGEST = re.compile("[0-9a-f]{64}")
"""What stands for the tokenizer in an exported description: the SHA-256 of the file `TOKENIZER` beside it."""

DESCRIPTION = "model.json"
"""File of an exported folder that says what it holds."""

CARD = "README.md"
"""File of an exported folder for people."""

PART = re.compile(
    "|".join([*map(re.escape, (DESCRIPTION, TOKENIZER, CARD, LIST)), r"fold\d+-seed\d+\.safetensors"])
)
"""Names of the files of an exported folder."""


class EncoderAbout(Section):
    """How the features of one modality were made.

    `name` and `settings` are those of params.yaml, `name` None where the corpus brought its features;
    `provenance` is what the encoder said of itself: revision, libraries, parameters.
    """

    name: str | None
    settings: dict[str, Any]
    provenance: dict[str, str]


class Member(Section):
    """One trained model: its file, the fold and seed it was trained with, the epoch that was kept.

    `score` is the validation score that chose the epoch: mean UAR, or minus the mean MAE.
    """

    file: Annotated[str, Field(pattern=r"^fold\d+-seed\d+\.safetensors$")]
    fold: int
    seed: int
    epoch: int
    score: float


class Plugin(Section):
    """A method or an encoder that is not the product's own: its name, and that of the file it stood in."""

    kind: Literal["method", "encoder"]
    name: str
    file: str


class About(Section):
    """A method's trained models, one or an ensemble, with everything that a prediction depends on.

    `card` is Markdown in place of what the model card says of training and test scores: of a model whose maker has
    told that at greater length. `licence` is what binds whoever uses it, as hubs name it.
    """

    format: Literal[1]
    product: str
    dataset: str
    method: str
    classes: Names
    models: Annotated[tuple[Member, ...], Field(min_length=1)]
    encoders: dict[Literal["speech", "video", "text"], EncoderAbout]
    settings: dict[str, Any]
    train: dict[str, Any]
    metrics: dict[str, Any]
    plugins: tuple[Plugin, ...] = ()
    card: str = ""
    licence: Annotated[str, Field(pattern=r"^[\w.-]*$")] = ""

    @property
    def title(self) -> str:
        """Which model it is: one that has a card of its own has a name, too; others are a method and a corpus."""
        return self.dataset if self.card else f"{self.method} trained on {self.dataset}"

    @property
    def terms(self) -> str:
        """The licence and what it forbids; '' where nobody has named one."""
        named = self.licence if self.licence != "other" else ""
        return f"{named}, not for commercial use" if "-nc-" in named else named

    def as_dict(self, *without: str) -> dict[str, Any]:
        """Plain values, as a description holds them."""
        empty = [name for name in ("plugins", "card", "licence") if not getattr(self, name)]
        return self.model_dump(mode="json", exclude={*without, *empty})


def check_about(values: Any, source: str) -> About:
    """Validate a description and the encoders' settings in it. Raises UserError, naming `source` and the key."""
    if not isinstance(values, dict) or "format" not in values:
        raise UserError(f"{source}: is not the description of a model; export it again with `cmarr export`")
    if values["format"] != FORMAT:
        raise UserError(
            f"{source}: has the format {values['format']!r}, this version of cmarr reads {FORMAT}; "
            "use the version that wrote it, or export the model again"
        )
    about = validate(About, values, source)
    _refuse_absent_plugins(about, source)
    for modality, encoder in about.encoders.items():
        if encoder.name is None:
            continue
        declared = encoder_class(encoder.name).Settings
        place = f"{source}: encoders.{modality}.settings"
        for name, value in encoder.settings.items():
            if isinstance(value, str) and len(value) >= PATH_MAX:
                raise UserError(f"{place}.{name}: {shown(value)!r} is too long; export the model again")
        validate(declared, encoder.settings, place)
        if (tokenizer := encoder.settings.get("tokenizer")) and not DIGEST.fullmatch(tokenizer):
            raise UserError(
                f"{source}: encoders.{modality}.settings.tokenizer: must be a SHA-256, not {tokenizer!r}"
            )
    return about


def _parts(about: About) -> Iterator[tuple[Kind, str]]:
    """What the product must know for a model to work: its method, its encoders."""
    yield METHODS, about.method
    for encoder in about.encoders.values():
        if encoder.name is not None:
            yield ENCODERS, encoder.name


def _refuse_absent_plugins(about: About, source: str) -> None:
    """No file that a description names is looked for: whose code runs is up to the user alone."""
    files = {f"{plugin.kind} {plugin.name}": plugin.file for plugin in about.plugins}
    for kind, name in _parts(about):
        if name in names(kind):
            continue
        file = files.get(f"{kind.what} {name}")
        what = f"is a plugin ({file})" if file else "is none of the product's own"
        raise UserError(
            f"{source}: the {kind.what} {name!r} {what} and not known here; name its file in `plugins` of params.yaml "
            f"or in the environment variable {VARIABLE}, or install its package"
        )


def _with_plugins(about: About) -> About:
    used = tuple(
        Plugin(kind=kind.what, name=name, file=file_of(kind, name).name)  # type: ignore[arg-type]
        for kind, name in dict.fromkeys(_parts(about))
        if name not in own_names(kind)
    )
    return about.model_copy(update={"plugins": used}) if used else about


def read_about(path: str | Path) -> About:
    """Read a description. Raises UserError for a file that is absent, damaged or of another kind."""
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path}: has {path.stat().st_size} bytes and is not the description of a model")
        values = read_listed_json(path, EXPORTED)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0] if isinstance(error, ValueError) else "nested too deeply"
        raise UserError(f"{path}: is not JSON ({reason}); export the model again") from None
    return check_about(values, str(path))


@dataclass(frozen=True)
class Trained:
    """What is known of some trained models, and where the weights of each lie, in the same order."""

    about: About
    weights: tuple[Path, ...]


def exported(folder: str | Path) -> Trained:
    """The models of a folder that `cmarr export` wrote, or of an MLflow model that holds one.

    Nothing else of an MLflow model is read, and none of its code run. One on object storage is fetched into a temporary
    folder, which goes when this process ends. Raises UserError where it is neither.
    """
    remote = objects.is_remote(folder)
    folder = Path(folder) if remote else expanded(folder)
    try:
        inside = folder / "artifacts" / "model"  # where `cmarr.serving.register` puts it
        if not objects.is_file(folder / DESCRIPTION) and objects.is_file(inside / DESCRIPTION):
            folder = inside
        elif not objects.is_file(folder / DESCRIPTION):
            what = "holds no " + DESCRIPTION if remote or folder.is_dir() else "is not a folder"
            raise UserError(f"{folder} {what}; make one from a finished study with `cmarr export`")
        folder = _fetched(folder) if remote else folder
    except OSError as error:
        raise UserError(f"{error.filename or folder} cannot be read ({error.strerror}); try again") from None
    about = read_about(folder / DESCRIPTION)
    return Trained(about, tuple(folder / member.file for member in about.models))


def _fetched(folder: Path) -> Path:
    """A copy of a model on object storage, compared with its list; errors name the object. Raises OSError."""
    names = {name: size for name, size in objects.sizes(folder).items() if PART.fullmatch(name)}
    copy = Path(tempfile.mkdtemp(prefix="cmarr-"))
    atexit.register(_remove, copy, os.getpid())
    STAND_FOR[str(copy)] = str(folder)
    _require_room(folder, names, shutil.disk_usage(copy).free)
    for name in names:
        objects.fetch(folder / name, copy / name)
    known = read_list(copy / LIST) if LIST in names else {}
    for name in sorted({*known, *names} - {LIST}):
        if name not in names:
            raise NotComputed(f"{folder / name}: does not exist; {EXPORTED}")
        if known.get(name) != file_digest(copy / name):
            raise NotWhole(folder / name, f"{folder / name} is damaged, or not in its {LIST}; {EXPORTED}")
    return copy


def _require_room(folder: Path, names: Mapping[str, int], free: int) -> None:
    """Raise UserError for a model on object storage, its files and their bytes, that is not to be fetched."""
    total = sum(names.values())
    if len(names) > MOST_FILES or total > MOST_BYTES or total > free:
        beyond = (
            f"{free / 1e9:.3g} GB are free here" if total > free else f"at most {MOST_BYTES / 1e9:.3g} GB"
        )
        raise UserError(
            f"{folder} holds {many(len(names), 'file')} of a model with {total / 1e9:.3g} GB, where {beyond} in "
            f"{MOST_FILES} files are fetched; copy it here, and name that folder"
        )


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:  # and not a child of it
        shutil.rmtree(folder, ignore_errors=True)


def of_study(
    dataset: str,
    method: str | None = None,
    *,
    root: str | Path = ".",
    fold: int | None = None,
    seed: int | None = None,
    ensemble: bool = False,
) -> Trained:
    """The models of a finished study: `root` is the project's folder, that of params.yaml.

    method:     a method or ablation; None: any method of the study, whichever has the best model
    fold, seed: narrow the choice; of what is left the one with the best validation score is taken.
                No test score is looked at.
    ensemble:   take all that is left; their probabilities will be averaged

    Raises UserError for a study, method, fold or seed that is not there.
    """
    root = expanded(root)
    places = Places(dataset, root)
    data = places.data
    if not re.fullmatch(r"[\w-]+", dataset) or not os.path.isdir(data / "settings"):  # noqa: PTH112 - of a long name, too
        others = [path.parent.name for path in (root / "data").glob("*/settings")]
        raise NotComputed(
            f"{data}: there is no study of {dataset!r}{did_you_mean(dataset, others)}; run it first"
        )
    if method is None:
        method = _best_method(places, fold, seed)
    found = {p.name for p in (data / "models").glob("*") if p.is_dir()}
    if method not in found:
        raise NotComputed(
            f"{data / 'models'}: {method!r} has no trained models there; there are {', '.join(sorted(found)) or 'none'}"
            f"{did_you_mean(str(method), found)}"
        )
    files = _models(places.models(method))
    chosen = _chosen(places.models(method), files, fold, seed, ensemble)
    first, scores = files[chosen[0]], places.metrics / f"{method}.json"
    about = {
        "format": FORMAT,
        "product": first["version"],
        "dataset": dataset,
        "method": first["method"],
        "classes": first["classes"],
        "models": [
            {"file": path.name, **{key: files[path][key] for key in ("fold", "seed", "epoch", "score")}}
            for path in chosen
        ],
        "encoders": _encoders(places, first["dims"]),
        "settings": first["settings"],
        "train": _settings(places, f"train/{method}")["train"],
        "metrics": read_listed_json(scores, "evaluate the method again") if scores.is_file() else {},
    }
    return Trained(_with_plugins(check_about(about, str(data))), tuple(chosen))


def widths(trained: Trained) -> dict[str, int]:
    """Letter -> width of what the models read of that modality. Raises UserError for weights that are damaged."""
    return dict(read_description(trained.weights[0])["dims"])


def _best_method(places: Places, fold: int | None, seed: int | None) -> str:
    """Whose best model has the best validation score of all methods of the study; of equals the first."""
    methods = [str(name) for name in _settings(places, "report")["methods"]]
    scores = {}
    for name in methods:
        files = _models(places.models(name))
        if files:
            best, *_ = _chosen(places.models(name), files, fold, seed, ensemble=False)
            scores[name] = files[best]["score"]
    return max(scores, key=lambda name: scores[name]) if scores else methods[0]


def _models(folder: Path) -> dict[Path, dict[str, Any]]:
    """The trained models of a method, and what they say of themselves."""
    return {path: read_description(path) for path in sorted(folder.glob("*.safetensors"))}


def _chosen(
    folder: Path, files: Mapping[Path, Mapping[str, Any]], fold: int | None, seed: int | None, ensemble: bool
) -> list[Path]:
    left = [
        path
        for path, description in files.items()
        if fold in (None, description["fold"]) and seed in (None, description["seed"])
    ]
    if not left:
        there = ", ".join(path.stem for path in files) or "nothing"
        raise UserError(f"{folder}: no model of fold {fold}, seed {seed}; there is {there}")
    if ensemble:
        return left
    return [max(left, key=lambda path: files[path]["score"])]  # ties to the first


def _encoders(places: Places, dims: Mapping[str, int]) -> dict[str, Any]:
    found = {}
    for letter, name in NAMES.items():
        if letter not in dims:
            continue
        settings = _settings(places, f"extract/{name}")
        made = shards(places.features / name)
        if not made:
            raise NotComputed(f"{places.features / name}: the features are not there; extract them first")
        own = dict(settings.get("settings", {}))
        for key in place_keys(settings["encoder"]) if own else ():
            if own.get(key) and (place := places.root / expanded(own[key])).exists():
                own[key] = str(real(place))
        drop = ("dtype", "inputs", "rejected")
        provenance = {k: v for k, v in read_metadata(made[0]).items() if k not in drop}
        found[name] = {"name": settings.get("encoder"), "settings": own, "provenance": provenance}
    return found


def _settings(places: Places, name: str) -> dict[str, Any]:
    path = places.settings_file(name)
    if not path.is_file():
        raise NotComputed(f"{path} does not exist; run the study, with {name} among what params.yaml runs")
    return read_json(path, "resolve the settings again")
