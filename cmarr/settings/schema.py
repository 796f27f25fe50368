"""What may stand in params.yaml, with types and ranges. The manual of each key is params.yaml itself."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

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
from cmarr.masks.protocols import DICMOR

Conditions = Annotated[tuple[Literal["t", "s", "v", "vt", "sv", "st", "svt"], ...], Field(min_length=1)]


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


class Train(Section):
    """The training loop every gradient-trained method shares."""

    lr: Positive
    batch_size: AtLeastTwo
    epochs: Count
    patience: CountOrZero
    betas: tuple[Probability, Probability]
    weight_decay: NotNegative
    schedule: Literal["constant", "linear", "plateau"]
    decay: Share
    plateau: CountOrZero
    clip: NotNegative
    clip_by: Literal["whole", "part", "value"]
    selection: Literal["mean7", "avg6", "complete"]
    masks: Literal["sample", "batch"]
    mask_conditions: Literal["seven", "six", "cmad"] | Conditions
    refit: Flag
    precision: Literal["fp32", "bf16"]
    compile: Flag
    threads: Count


def _heads_fit(section: Any) -> Any:
    if section.heads % 2 or section.d % section.heads:
        raise ValueError(f"heads must be even and divide d = {section.d}, not be {section.heads}")
    return section


class CMARR(Section):
    """Sizes and switches of CM-ARR."""

    train: dict[str, Any]
    d: Count
    length: Count
    flow_steps: Count
    coupling_hidden: Literal["d"] | Count
    mixing: Literal["lu", "permutation"]
    blocks: Count
    heads: Count
    dropout: Probability
    contrast: Literal["distribution", "point"]
    sigma: Literal["deviation", "variance"]
    similarity_scale: Literal["learned", "fixed"]
    tau: Annotated[float, Field(ge=0.01, strict=True)]
    directions: Literal["sum", "mean"]
    entropy_weight: NotNegative
    entropy_floor: Number
    flow_input: Literal["mu", "features"]
    resample_first: Flag
    normalise: Flag
    recovery: Literal["flow", "mean", "zeros"]
    averaging: Literal["equal", "precision"]
    reconstruction: Literal["mean_squared", "frobenius_sum"]
    nll_weight: NotNegative
    zero_start: Flag
    temperature: Positive
    same_utterance: Flag
    fusion: Literal["three_blocks", "two_blocks", "pooled"]
    query: Literal["text", "recovered"]
    staged: Flag
    gradient_shares: Flag
    mcbcl_combination: NotNegative
    mcbcl_category: NotNegative
    mcbcl_temperature: Positive
    sugr: Literal["none", "variance", "entropy"]
    sugr_direction: Literal["down", "up"]
    sugr_warm_up: CountOrZero

    heads_fit = model_validator(mode="after")(_heads_fit)


class Masked(Section):
    """Sizes of the fusion network trained with masks."""

    train: dict[str, Any]
    d: Count
    length: Count
    heads: Count
    dropout: Probability

    heads_fit = model_validator(mode="after")(_heads_fit)


class Linear(Section):
    """Logistic (ridge) regression on pooled features."""

    C: Positive


class GBDT(Section):
    """Gradient boosting on pooled features."""

    rounds: Count
    learning_rate: Positive
    leaves: AtLeastTwo
    smallest_leaf: Count
    copies: Count
    feature_share: PositiveShare
    bins: Annotated[int, Field(ge=2, le=255, strict=True)]


class CRA(Section):
    """Sizes and weights of the cascaded residual autoencoder."""

    train: dict[str, Any]
    d: Count
    dropout: Probability
    reconstruction_weight: NotNegative


class CompleteModel(Section):
    """The model, trained on complete data, that a method starts from."""

    train: dict[str, Any]
    dropout: Probability


class SharedModel(CompleteModel):
    """The model that IF-MMIN starts from."""

    discrepancy_weight: NotNegative


class ContrastedModel(CompleteModel):
    """The model that CIF-MMIN starts from."""

    contrast_weight: NotNegative


class Imagining(Section):
    """What MMIN and the methods that grew out of it have in common."""

    train: dict[str, Any]
    d: AtLeastTwo
    dropout: Probability
    text_dropout: Probability
    blocks: Count
    imagination_weight: NotNegative


class MMIN(Imagining):
    """Sizes and weights of MMIN."""

    first_stage: CompleteModel
    cls_weight: NotNegative
    cycle_weight: NotNegative
    shared_cascade: Flag


class IFMMIN(Imagining):
    """Sizes and weights of IF-MMIN."""

    first_stage: SharedModel
    invariance_weight: NotNegative


class CIFMMIN(Imagining):
    """Sizes and weights of CIF-MMIN."""

    first_stage: ContrastedModel
    invariance_weight: NotNegative


class DiCMoR(Section):
    """Sizes and weights of DiCMoR+."""

    first_stage: CompleteModel
    train: dict[str, Any]
    d: Count
    length: Count
    flow_steps: Count
    mixing: Literal["lu", "permutation"]
    blocks: Count
    depth: Count
    heads: Count
    dropout: Probability
    likelihood_weight: NotNegative
    recovery_weight: NotNegative

    heads_fit = model_validator(mode="after")(_heads_fit)


class MCUR(Section):
    """Sizes, switches and weights of MCUR."""

    first_stage: CompleteModel
    train: dict[str, Any]
    d: Count
    latents: Count
    resampler_layers: Count
    depth: Count
    heads: Count
    dropout: Probability
    missing: Literal["zeros", "learned"]
    teacher: Literal["pretrained", "self", "average", "none"]
    start: Literal["fresh", "teacher"]
    decay: Probability
    views: Annotated[int, Field(ge=1, le=2, strict=True)]
    feature: Literal["mse", "cosine"]
    feature_weight: NotNegative
    similarity_weight: NotNegative
    logit_weight: NotNegative
    logit_temperature: Positive
    mcbcl_combination: NotNegative
    mcbcl_category: NotNegative
    mcbcl_temperature: Positive
    mcbcl_projection: CountOrZero
    mcbcl_same_utterance: Flag
    score_classes: Literal["sign", "rounded"]
    sugr: Literal["variance", "entropy", "gap", "none"]
    sugr_direction: Literal["down", "up"]
    sugr_terms: Literal["all", "recognition"]
    warm_up: CountOrZero

    heads_fit = model_validator(mode="after")(_heads_fit)

    @model_validator(mode="after")
    def _gap_needs_a_teacher(self) -> "MCUR":
        if self.sugr == "gap" and self.teacher == "none":
            raise ValueError("sugr: gap is the gap between student and teacher, and teacher is none")
        return self


UNDECLARED: dict[str, type[Section]] = {
    "cmarr": CMARR,
    "masked": Masked,
    "linear": Linear,
    "gbdt": GBDT,
    "cra": CRA,
    "mmin": MMIN,
    "if_mmin": IFMMIN,
    "cif_mmin": CIFMMIN,
    "dicmor": DiCMoR,
    "mcur": MCUR,
}
"""Methods that do not declare their settings themselves yet."""


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

    @model_validator(mode="after")
    def _task_and_classes(self) -> "Dataset":
        if self.task == "regression" and self.classes:
            raise ValueError("task is regression, which has no classes; write classes: []")
        if self.task == "classification" and len(self.classes) < 2:
            raise ValueError("task is classification, which needs at least two classes")
        return self


class Ablation(Section):
    """A method with some settings changed: a row of Table 3."""

    label: Annotated[str, AfterValidator(_printable)]
    method: str = "cmarr"
    against: str = ""
    set: dict[str, Any]

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
    """The whole of params.yaml after the preset: no value is left open but run-time ones."""

    dataset: str
    cross: Names
    preset: Annotated[str, MACHINE]
    alpha: NotNegative
    beta: NotNegative
    lambda_: NotNegative = Field(alias="lambda")
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
    train: Train
    tune: Tune
    method: Any
    ablate: Names
    ablations: dict[str, Ablation]
    recovery: Names
    clusters: Names
    sensitivity: Sensitivity
    datasets: dict[str, Dataset]
