"""What may stand in params.yaml, with types and ranges. The manual of each key is params.yaml itself."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from cmarr.corpora.labels import Unlabelled
from cmarr.declaration import (
    MACHINE,
    AtLeastTwo,
    AutoCount,
    AutoPositive,
    Count,
    CountOrZero,
    Flag,
    Names,
    NotNegative,
    Number,
    Positive,
    PositiveShare,
    Probability,
    Section,
    Seed,
    Share,
    distinct,
)
from cmarr.folds.privileges import Privilege
from cmarr.masks.protocols import DICMOR
from cmarr.plugins import METHODS, names
from cmarr.training.settings import Train


def _printable(name: str) -> str:
    if not name.strip() or name != name.strip() or not name.isprintable():
        raise ValueError(
            f"{name!r} must be a name of one line, without blanks around it, that can be printed"
        )
    return name


def _class_name(name: str) -> str:
    if "," in name:  # classes stand in lists, in tables and in `-S 'classes=[...]'`
        raise ValueError(f"{name!r} holds a comma; lists of classes could not be read")
    return _printable(name)


Classes = Annotated[tuple[Annotated[str, AfterValidator(_class_name)], ...], AfterValidator(distinct)]


class Encoders(Section):
    """Which encoder reads each modality; beside it stands, of every encoder, the section that it declares."""

    speech: str
    video: str
    text: str


class Finetune(Section):
    """Pretrained encoders that are trained with the methods."""

    encoders: Any
    lr: Positive
    freeze_front_end: Flag
    checkpointing: Flag


class Extraction(Section):
    """How raw media become shards."""

    shard_size: Count
    max_rejected: Share
    time_limit: Positive


def _whole_above_one(value: float) -> float:
    if value > 1 and value != int(value):
        raise ValueError("above 1 must be a whole number")
    return value


def _reachable(address: str) -> str:
    host, _, port = address.rpartition(":")
    if address not in ("auto", "local") and not (host and "/" not in host and port.isdigit()):
        raise ValueError(f"must be auto, local, or host:port of the cluster's head, not {address!r}")
    return address


class Ray(Section):
    """The cluster on which units of work run, and what each claims of it."""

    address: Annotated[str, AfterValidator(_reachable), MACHINE]
    cpus: AutoPositive
    gpus: Annotated[Literal["auto"] | Annotated[NotNegative, AfterValidator(_whole_above_one)], MACHINE]
    retries: CountOrZero


class Tune(Section):
    """A small search, the same for every method."""

    trials: Count
    beside: AtLeastTwo
    factor: tuple[Positive, Positive]
    dropout: tuple[Probability, Probability]


def _rising(values: tuple[float, ...]) -> tuple[float, ...]:
    if list(values) != sorted(values):
        raise ValueError("levels must rise")
    return values


Levels = Annotated[tuple[Share, ...], Field(min_length=1), AfterValidator(distinct), AfterValidator(_rising)]


class CellProtocol(Section):
    """Levels at which modalities of utterances are hidden."""

    levels: Levels


class Rate(CellProtocol):
    """Cells hidden at random."""

    draw: Literal["cells", "batch"]
    batch: Count

    @model_validator(mode="after")
    def _tabulated(self) -> "Rate":
        if self.draw == "batch" and (unknown := [level for level in self.levels if level not in DICMOR]):
            known = ", ".join(map(str, DICMOR))
            raise ValueError(f"draw: batch knows the levels {known}, not {unknown[0]}")
        return self


class Frames(Section):
    """Levels at which frames and tokens are dropped."""

    levels: Annotated[
        tuple[Probability, ...], Field(min_length=1), AfterValidator(distinct), AfterValidator(_rising)
    ]


class Bursts(Frames):
    """The same in runs."""

    length: PositiveShare


class Shares(Section):
    """Shares of the words that are hit by an error, or of the frame that is covered."""

    levels: Levels


class Noise(Section):
    """Signal-to-noise ratios, dB, and what the noise is."""

    levels: Annotated[tuple[Number, ...], Field(min_length=1), AfterValidator(distinct)]
    sound: Literal["white", "babble"]


class Degrees(Section):
    """Stops by which video is darkened, or the width of its blur."""

    levels: Annotated[
        tuple[NotNegative, ...], Field(min_length=1), AfterValidator(distinct), AfterValidator(_rising)
    ]


class Protocols(Section):
    """One section a protocol that has levels, and the seed of all draws."""

    seed: Seed
    rate: Rate
    unbalanced: CellProtocol
    by_speaker: CellProtocol
    by_class: CellProtocol
    frames: Frames
    bursts: Bursts
    noise: Noise
    word_errors: Shares
    dark: Degrees
    blur: Degrees
    occlusion: Shares


class Dataset(Section):
    """Everything that depends on the corpus."""

    kind: str
    root: str
    preset: str
    task: Literal["classification", "regression"]
    classes: Classes
    merge: dict[str, str]
    features: Literal["encoders", "corpus"]
    folds: Literal["session", "speaker", "mmin", "official"]
    n_folds: Count
    options: dict[str, Any]
    unlabelled: Unlabelled = "leave_out"

    @model_validator(mode="after")
    def _task_and_classes(self) -> "Dataset":
        if self.task == "regression" and self.classes:
            raise ValueError("task is regression, which has no classes; write classes: []")
        if self.task == "classification" and len(self.classes) < 2:
            raise ValueError("task is classification, which needs at least two classes")
        return self


FULL = "full"
"""The whole method, among its ablations."""
TRIALS = "tune.trials"
"""The key that an ablation sets which is no part left out, but the method after a search."""


class Ablation(Section):
    """A method with some settings changed: a row of Table 3; with `privileges` what these are worth."""

    label: Annotated[str, AfterValidator(_printable)]
    method: str = "cmarr"
    against: str = ""
    set: dict[str, Any]
    privileges: tuple[Privilege, ...] = ()

    @property
    def full(self) -> str:
        """The method it is compared with."""
        return self.against or self.method


Grid = Annotated[tuple[NotNegative, ...], AfterValidator(distinct)]


class Sensitivity(Section):
    """The grids of Figure 4."""

    alpha: Grid
    beta: Grid
    lambda_: Grid = Field(alias="lambda")


class Settings(Section):
    """The whole of params.yaml after the preset: no value is left open but run-time ones.

    `cmarr.settings.declared` adds what methods and encoders declare: their sections, and the weights of an objective.
    """

    dataset: str
    cross: Names
    preset: Annotated[str, MACHINE]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(distinct)]
    device: Annotated[str, MACHINE]
    plugins: Names = ()
    workers: AutoCount
    memory: AutoPositive
    register_model: Flag
    executor: Literal["local", "ray"]
    ray: Ray
    methods: Annotated[Names, Field(min_length=1)]
    protocols: Annotated[Names, Field(min_length=1)]
    protocol: Protocols
    encoders: Any
    finetune: Finetune
    extraction: Extraction
    normalise: Literal["corpus", "speaker"] = "corpus"
    train: Train
    tune: Tune
    method: Any
    ablate: Names
    ablations: dict[str, Ablation]
    recovery: Names
    clusters: Names
    sensitivity: Sensitivity
    datasets: dict[str, Dataset]

    @model_validator(mode="after")
    def _searched(self) -> "Settings":
        """Every method as it is after the search is an ablation that may be asked for; so is it as published, where its
        authors took privileges, and with each of several by itself."""
        from cmarr.methods.registry import (
            method_class,
        )  # which imports torch, and a report knows this file, too

        for name in self.methods:
            own = Ablation(label=f"{name}, tuned", method=name, set={TRIALS: self.tune.beside})
            self.ablations.setdefault(f"{name}_tuned", own)
            taken = getattr(method_class(name), "privileges", ()) if name in names(METHODS) else ()
            rows = {"as_published": taken} | ({one: (one,) for one in taken} if len(taken) > 1 else {})
            for row, privileges in rows.items() if taken else ():
                own = Ablation(
                    label=f"{name}, {row.replace('_', ' ')}", method=name, set={}, privileges=privileges
                )
                self.ablations.setdefault(f"{name}_{row}", own)
        return self
