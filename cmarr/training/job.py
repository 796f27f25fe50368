"""One unit of training: a method, a fold, a seed."""

import resource
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

import cmarr
from cmarr import objects
from cmarr.data.batch import Batch
from cmarr.data.labelled import labelled
from cmarr.data.load import by_id, hear, load_store, without_modalities
from cmarr.data.normalise import Normaliser
from cmarr.data.scarcity import scarce
from cmarr.data.store import Store
from cmarr.encoders.trainable import Trainable, from_checkpoint, learning
from cmarr.errors import NotWhole, UserError
from cmarr.features.shards import load_features
from cmarr.folds.files import Fold, read_folds
from cmarr.folds.hygiene import require_balanced_speakers
from cmarr.folds.privileges import PER_CONDITION, TEST_EPOCH, WORD, chosen_on_test, require_untested, told
from cmarr.methods.finetuned import with_encoders
from cmarr.methods.inference import split_logits
from cmarr.methods.model import Model, load_trained, save_model, training_prior, with_privileges
from cmarr.methods.per_condition import PerCondition
from cmarr.methods.protocol import Calibrated, ClosedForm, Concluded, Grounded, Started
from cmarr.methods.registry import build_method, method_class
from cmarr.modalities import CONDITIONS
from cmarr.seals import read_json, whole, write_json
from cmarr.task import Task
from cmarr.training.inner_folds import inner_folds, inner_phase, over_inner_folds
from cmarr.training.loop import diagnostics, fit
from cmarr.training.progress import Checkpoint, Clock, Kept, Progress
from cmarr.training.selection import met_conditions, selection_score, validation_scores
from cmarr.training.settings import DATA_KEYS
from cmarr.validation import validate

_AGAIN = "train again"


@dataclass(frozen=True)
class TrainingJob:
    """All that a training needs, as plain values, so that it can run in any process.

    `train` holds the keywords of the section `train` of params.yaml, `settings` those of the method.
    With `first_stage` it is not the method that is trained, but the model that it starts from; a method
    that does start from one finds it in the folder `starts_from`, under the same fold and seed.
    `finetune` is empty, or has under `encoders` a modality's pretrained encoder and its settings, which is trained
    with the method, beside the keywords of `encoders.trainable.learning`; the stores hold that encoder's input.
    `unpacked` is None, or a folder for features that memory does not hold: trainings on the same features share it.
    `normalise` is 'corpus' or, what sees unlabelled utterances of test speakers, 'speaker'. `privileges`: see
    `cmarr.folds.privileges`; none, but for a row that measures what they are worth.
    The results go to `folder`: `fold{f}-seed{s}.safetensors` and a `.json` of curves and costs beside it,
    which is written last: where it exists the job is done.
    """

    method: str
    fold: int
    seed: int
    settings: Mapping[str, Any]
    train: Mapping[str, Any]
    task: Task
    device: str
    manifest: Path
    features: Path
    folds: Path
    folder: Path
    first_stage: bool = False
    starts_from: Path | None = None
    finetune: Mapping[str, Any] = field(default_factory=dict)
    unpacked: Path | None = None
    normalise: str = "corpus"
    privileges: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """File name, without its ending, of this job's results."""
        return f"fold{self.fold}-seed{self.seed}"


def run_job(job: TrainingJob, tick: Callable[[], None]) -> dict[str, Any]:
    """Train, save the model, and return its curves and costs; a job already done is only read back.

    Raises:
        UserError: training diverged; names method, fold and seed.
    """
    result = job.folder / f"{job.name}.json"
    if whole(result) and whole(job.folder / f"{job.name}.safetensors"):
        return read_json(result, _AGAIN)
    clock = Clock()
    try:
        again = job.train["refit"] or job.train["selection_folds"] > 1 or _learns_from_both(job)
        if job.privileges:
            start, outcome = _as_published(job, tick, again)
        else:
            start, outcome = _refitted(job, tick) if again else _selected(job, tick)
    except NotWhole:  # has nothing to do with the method
        raise
    except UserError as error:
        raise UserError(f"method {job.method}, fold {job.fold}, seed {job.seed}: {error}") from None
    outcome |= {
        "method": job.method,
        "fold": job.fold,
        "seed": job.seed,
        "parameters": _size(start.method),
        "device": job.device,
        "seconds": outcome.get("seconds") or clock.seconds,
        "core_seconds": outcome.get("core_seconds") or clock.core_seconds,
        "peak_memory_bytes": _peak_memory(job.device),
    }
    description = {
        "method": job.method,
        "first_stage": job.first_stage,
        "settings": dict(job.settings),
        "train": dict(_alike(job, outcome).train),
        "classes": list(job.task.classes),
        "dims": start.dims,
        "fold": job.fold,
        "split": _written(job).split,
        "seed": job.seed,
        "epoch": outcome["best_epoch"],
        "score": outcome["best_score"],
        "version": cmarr.__version__,
        **({"encoders": start.encoders} if start.encoders else {}),
        **({"terms": start.terms} if start.terms else {}),
        **({"normalise": job.normalise} if job.normalise != "corpus" else {}),
        **({"privileges": list(job.privileges)} if job.privileges else {}),
    }
    model = Model(start.method, start.normaliser, start.prior, job.task, description)
    save_model(job.folder / f"{job.name}.safetensors", model)
    write_json(result, outcome)
    inner = (inner_phase(number) for number in range(2, job.train["selection_folds"] + 1))
    for phase in ("", "refit", *inner, *CONDITIONS):
        _checkpoint(job, phase).clear()
    objects.remove(_chosen(job))
    return read_json(result, _AGAIN)  # as a stage finds it that goes on after a kill: names in the same order


@dataclass(frozen=True)
class _Start:
    """What a training starts from, and leaves trained."""

    method: nn.Module
    normaliser: Normaliser
    prior: Tensor
    dims: Mapping[str, int]
    encoders: Mapping[str, Any]
    terms: Mapping[str, int]


def _selected(
    job: TrainingJob, tick: Callable[[], None], fold: Fold | None = None, phase: str = ""
) -> tuple[_Start, dict[str, Any]]:
    """Train on the training split of the job's fold, or of another, keep what is best on validation data."""
    train, validation = _stores(job, "train", "validation", fold=fold)
    start = _start(job, train)
    held = job.unpacked is None
    train, validation = train.to(job.device, values=held), validation.to(job.device, values=held)
    told = int(labelled(train.labels).sum())
    counts = {"train_utterances": len(train), "validation_utterances": len(validation)}
    counts |= {"labelled_utterances": told} if told < len(train) else {}
    if isinstance(start.method, ClosedForm):
        return start, counts | _fit_closed_form(job, start, train, validation)
    progress = _fit(job, start, train, validation, tick, _checkpoint(job, phase))
    concluded = _conclude(job, start, train, validation)
    return start, counts | concluded | {
        "best_epoch": progress.best_epoch,
        "best_score": concluded.get("best_score", progress.best_score),
        "epochs": progress.epoch,
        "curves": progress.curves,
        "seconds": progress.seconds,
        "core_seconds": progress.core_seconds,
        "kept": progress.kept,
        **({"precision": progress.precision} if progress.precision else {}),
    }


def _alike(job: TrainingJob, outcome: Mapping[str, Any]) -> TrainingJob:
    """The job with the precision that one of its trainings has measured, where its settings say `auto`."""
    measured = {"precision": outcome["precision"]} if "precision" in outcome else {}
    return replace(job, train={**job.train, **measured})


def _as_published(job: TrainingJob, tick: Callable[[], None], again: bool) -> tuple[_Start, dict[str, Any]]:
    """Train with the job's privileges; what of it is for a person to read is marked."""
    if again or hasattr(method_class(job.method, first_stage=job.first_stage), "fit"):
        raise UserError(
            f"{told(job.privileges)} is measured of one training by gradient descent: set train.refit to false and "
            "train.selection_folds to 1, or leave that row out"
        )
    start, outcome = (
        _of_all_conditions(job, tick) if PER_CONDITION in job.privileges else _selected(job, tick)
    )
    curves = [{f"{WORD} {name}": value for name, value in curve.items()} for curve in outcome["curves"]]
    return start, outcome | {"curves": curves, "privileges": list(job.privileges)}


def _of_all_conditions(job: TrainingJob, tick: Callable[[], None]) -> tuple[_Start, dict[str, Any]]:
    """A training for each condition, on its masks and chosen under it alone."""
    known = set(load_features(job.features, job.unpacked))
    starts, outcomes = {}, {}
    for condition in (c for c in CONDITIONS if set(c) <= known):
        own = replace(job, train={**job.train, "mask_conditions": [condition], "selection": condition})
        starts[condition], outcomes[condition] = _selected(own, tick, phase=condition)
        job = _alike(job, outcomes[condition])
    start = next(iter(starts.values()))
    methods = {condition: one.method for condition, one in starts.items()}
    return replace(start, method=PerCondition(methods)), _over_conditions(outcomes)


def _over_conditions(outcomes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the trainings of all conditions came to, as one: epochs and times added up, the mean of their scores."""
    several = list(outcomes.values())
    curves: list[dict[str, float]] = [{} for _ in range(max(one["epochs"] for one in several))]
    for condition, one in outcomes.items():
        for curve, own in zip(curves, one["curves"], strict=False):
            curve |= {f"{condition}/{name}": value for name, value in own.items()}
    return dict(several[0]) | {
        "best_epoch": max(one["best_epoch"] for one in several),
        "best_score": sum(one["best_score"] for one in several) / len(several),
        **{key: sum(one[key] for one in several) for key in ("epochs", "seconds", "core_seconds")},
        "curves": curves,
        "conditions": {
            condition: {key: one[key] for key in ("best_epoch", "best_score", "epochs")}
            for condition, one in outcomes.items()
        },
    }


def _on_inner_folds(job: TrainingJob, tick: Callable[[], None]) -> dict[str, Any]:
    """What `_selected` comes to; with `selection_folds`, its epochs and scores over all inner folds.

    The first inner fold is the job's own, whose curves and calibration stay.
    """
    count = job.train["selection_folds"]
    if count > 1 and job.train["labels"] < 1:
        raise UserError(
            "train.selection_folds chooses by the labels that train.labels takes away; set one to 1"
        )
    outcome = _selected(job, tick)[1]
    if count < 2 or "kept" not in outcome:  # what is fitted in one step has no epoch to choose
        return outcome
    folds = inner_folds(_written(job), by_id(job.manifest), count)
    alike = _alike(job, outcome)
    others = [_selected(alike, tick, fold, inner_phase(i))[1] for i, fold in enumerate(folds, 2)]
    every = [outcome, *others]
    return outcome | {
        "kept": over_inner_folds([one["kept"] for one in every]),
        "best_score": sum(one["best_score"] for one in every) / len(every),
        "inner": [{key: one[key] for key in ("best_epoch", "best_score", "epochs")} for one in every],
        **{key: sum(one[key] for one in every) for key in ("seconds", "core_seconds")},
    }


def _refitted(job: TrainingJob, tick: Callable[[], None]) -> tuple[_Start, dict[str, Any]]:
    """Choose the epochs as `_on_inner_folds` does, and train anew, for as many, on training and validation data.

    Scores and curves are those of the choice; what was chosen lies in a file until the whole job is done.
    """
    if not whole(_chosen(job)):
        write_json(_chosen(job), _on_inner_folds(job, tick))
    outcome = read_json(_chosen(job), _AGAIN)
    job = _alike(job, outcome)
    (both,) = _stores(job, "both")
    start = _start(job, both)
    both = both.to(job.device, values=job.unpacked is None)
    outcome["refit_utterances"] = len(both)
    if isinstance(start.method, ClosedForm):
        _fit_closed_form(job, start, both, None)
        if isinstance(start.method, Calibrated) and "calibration" in outcome:
            start.method.calibrated(outcome["calibration"])
        return start, outcome
    progress = _fit(job, start, both, None, tick, _checkpoint(job, "refit"), again=outcome.pop("kept"))
    if _conclude(job, start, both, None):
        cast(Calibrated, start.method).calibrated(outcome["calibration"])
    for curve, own in zip(outcome["curves"], progress.curves, strict=False):
        curve |= {f"refit/{name}": value for name, value in own.items()}
    return start, outcome | {
        "refit_epochs": progress.epoch,
        "seconds": outcome["seconds"] + progress.seconds,
        "core_seconds": outcome["core_seconds"] + progress.core_seconds,
    }


def _start(job: TrainingJob, train: Store) -> _Start:
    """The method as the seed draws it, on what it starts from, and the normalisation of its features."""
    encoders, descriptions = _encoders(job, train)
    dims = train.widths | {m: encoder.width for m, encoder in encoders.items()}
    torch.manual_seed(job.seed)
    method = build_method(job.method, dims, job.task, job.settings, first_stage=job.first_stage)
    if encoders:
        method = with_encoders(method, encoders, job.finetune["lr"])
    with_privileges(method, job.privileges).to(job.device)
    if job.starts_from:
        privileged = bool(job.privileges)
        first = load_trained(job.starts_from, _written(job), job.seed, job.device, privileged=privileged)
        cast(Started, method).start_from(first.method)
    terms = {m: train.dims[m] for m in train.directions}
    frozen = {m: dim for m, dim in dims.items() if m not in encoders}
    normaliser = Normaliser(frozen, terms, by_speaker=job.normalise == "speaker")
    normaliser.fit(train.frames(), train.heard, train.speakers)
    prior = training_prior(train.labels, job.task)
    return _Start(method, normaliser.to(job.device), prior, dims, descriptions, terms)


def _fit(
    job: TrainingJob,
    start: _Start,
    train: Store,
    validation: Store | None,
    tick: Callable[[], None],
    checkpoint: Checkpoint,
    again: Sequence[Kept] = (),
) -> Progress:
    if isinstance(start.method, Grounded):
        start.method.ground(_whole(start, train))
    return fit(
        start.method,
        start.normaliser,
        train,
        validation,
        task=job.task,
        seed=job.seed,
        checkpoint=checkpoint,
        on_epoch=lambda epoch: tick(),
        again=again,
        **job.train,
    )


def _conclude(job: TrainingJob, start: _Start, train: Store, validation: Store | None) -> dict[str, Any]:
    """Fit what stands beside a trained network, and let it choose; what it chose, and the score of the whole.

    Then it is fitted again on training and validation data, as closed forms are, and keeps what it chose.
    """
    if not isinstance(start.method, Concluded):
        return {}
    start.method.eval()
    start.method.conclude(_whole(start, train))
    if validation is None:
        return {"calibration": None}
    method = cast(Calibrated, start.method)
    found = method.calibrate(_whole(start, validation))
    score = selection_score(_scores(job, start, validation), job.train["selection"], job.task)
    (both,) = _stores(job, "both")  # what is fitted in one step needs nobody to stop it
    start.method.conclude(_whole(start, both.to(job.device, values=job.unpacked is None)))
    method.calibrated(found)
    return {"calibration": found, "best_score": score}


def _scores(job: TrainingJob, start: _Start, validation: Store) -> dict[str, float]:
    conditions = met_conditions(validation.available)
    return validation_scores(
        split_logits(start.method, start.normaliser, validation, conditions), validation, job.task
    )


def _whole(start: _Start, store: Store) -> Batch:
    batch: Batch = start.normaliser(store.batch(torch.arange(len(store))))
    return batch


def _fit_closed_form(
    job: TrainingJob, start: _Start, train: Store, validation: Store | None
) -> dict[str, Any]:
    cast(ClosedForm, start.method).fit(_whole(start, train), torch.Generator().manual_seed(job.seed))
    if validation is None:
        return {}
    found: dict[str, Any] = {}
    if isinstance(start.method, Calibrated) and not _learns_from_both(job):
        found["calibration"] = start.method.calibrate(_whole(start, validation))
    scores = _scores(job, start, validation)
    curve = {f"validation/{name}": value for name, value in scores.items()}
    curve["validation/selection"] = selection_score(scores, job.train["selection"], job.task)
    curve |= diagnostics(start.method, start.normaliser, validation)
    chosen = {"best_epoch": 1, "best_score": curve["validation/selection"], "epochs": 1}
    return found | chosen | {"curves": [curve]}


def _learns_from_both(job: TrainingJob) -> bool:
    """Whether this is a closed form that wants no validation group, but speakers of its own choice left out."""
    declared = method_class(job.method, first_stage=job.first_stage).Settings
    own = validate(declared, job.settings, f"method.{job.method}")
    return getattr(own, "learn_from", "training") == "both"


def _fold(job: TrainingJob) -> Fold:
    fold = _written(job)
    return chosen_on_test(fold, job.privileges) if TEST_EPOCH in job.privileges else fold


def _written(job: TrainingJob) -> Fold:
    return next(f for f in read_folds(job.folds) if f.number == job.fold)


def _stores(job: TrainingJob, *parts: str, fold: Fold | None = None) -> list[Store]:
    """The utterances of 'train', 'validation', or of 'both', but those without any modality; of the job's fold, or of
    another."""
    fold, written = fold or _fold(job), _written(job)
    utterances, features = by_id(job.manifest), load_features(job.features, job.unpacked)
    ids = {"train": fold.train, "validation": fold.validation, "both": [*fold.train, *fold.validation]}
    empty = set(without_modalities(ids["both"], features))
    require_balanced_speakers(job.normalise, utterances.values())
    heard = hear(utterances, features)
    rows = {"train": len(set(fold.train) - empty), "validation": 0}
    stores = []
    for part in parts:
        require_untested(written, ids[part], job.privileges if part == "validation" else ())
        loaded = load_store([i for i in ids[part] if i not in empty], utterances, features, job.task, heard)
        own = {key: job.train[key] for key in DATA_KEYS}
        stores.append(scarce(loaded, rows.get(part, rows["train"]), job.fold, job.task, **own))
    return stores


def _encoders(job: TrainingJob, train: Store) -> tuple[dict[str, Trainable], dict[str, Any]]:
    """The pretrained encoders that are trained with the method, by modality, and what a saved model says of them."""
    encoders, descriptions = {}, {}
    for modality, wanted in job.finetune.get("encoders", {}).items():
        if modality in train.dims:
            encoder, descriptions[modality] = from_checkpoint(wanted["encoder"], wanted["settings"])
            encoders[modality] = learning(encoder, **job.finetune["learning"])
    return encoders, descriptions


def _chosen(job: TrainingJob) -> Path:
    return job.folder / f"{job.name}.chosen.json"


def _checkpoint(job: TrainingJob, phase: str = "") -> Checkpoint:
    return Checkpoint(job.folder / f"{job.name}{phase and '.'}{phase}.state")


def _size(method: nn.Module) -> int:
    """Trained numbers: parameters with a gradient, or what a closed form has fitted into buffers."""
    if isinstance(method, ClosedForm):
        return sum(t.numel() for t in method.buffers())
    return sum(t.numel() for t in method.parameters() if t.requires_grad)


def _peak_memory(device: str) -> int:
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
