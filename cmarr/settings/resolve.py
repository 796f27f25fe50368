"""One small settings file a stage, a method and a modality: a change re-runs exactly what it concerns."""

from typing import Any

from cmarr.damage.kinds import KINDS
from cmarr.encoders.registry import encoder_class
from cmarr.errors import UserError, require_known
from cmarr.folds.privileges import BATCH_MASKS, TEST_EPOCH, told
from cmarr.masks.protocols import CHOICES, DAMAGE, FIXED, UNSEEN
from cmarr.methods.registry import method_class
from cmarr.modalities import NAMES
from cmarr.plugins import METHODS, READERS, file_of, names
from cmarr.settings.crossing import crossed
from cmarr.settings.declared import objective, own_settings, selectable
from cmarr.settings.schema import Ablation, Dataset, Settings
from cmarr.settings.tune import trials
from cmarr.settings.variants import check_variants, varied
from cmarr.training.settings import DATA_KEYS, Train
from cmarr.validation import validate

TAKEN = ("report", "transfer", "params", "sensitivity")
"""Names of settings and of files among a dataset's metrics that no method or ablation may have."""


def resolve(settings: Settings) -> dict[str, dict[str, Any]]:
    """Name -> plain JSON-able settings for each stage of the pipeline.

    `corpus`, `prepare`, `speech`, `video`, `text`, `split`, `masks`, `transfer`, `report`; the first five
    again for each corpus under `cross`, as `cross/<corpus>/...`; `damage/<kind>` for every kind; two entries a method
    (itself, and `pretrain/<method>`, what it starts from) and one an ablation that is asked for. `run` holds what
    changes how fast things go but never what comes out, `track` what is told to MLflow; no stage depends on either.

    Raises:
        UserError: a method's own `train` section or an ablation holds an unknown key or a wrong type, or a switch
            would do nothing beside the others.
    """
    dataset = settings.datasets[settings.dataset]
    task = {"classes": list(dataset.classes), "task": dataset.task, "cluster": _cluster(dataset)}
    for name in settings.methods:
        file_of(METHODS, name)  # there is one
    _check_finetune(settings)
    refuse_idle_switches(settings)
    files: dict[str, dict[str, Any]] = {
        **_from_raw(settings),
        "split": {"folds": dataset.folds, "n_folds": dataset.n_folds, "classes": list(dataset.classes)}
        | _normalise(settings),
        "masks": _masks(settings, dataset.classes),
        "run": _run(settings),
        "track": {"register_model": settings.register_model},
    }
    for kind, of in KINDS.items():
        files[f"damage/{kind}"] = _damage(settings, kind, files[NAMES[of.modality]])
    others = crossed(settings)
    for name, other in others.items():
        files |= {f"cross/{name}/{stage}": own for stage, own in _from_raw(other).items()}
    for name in settings.methods:
        if name in files or name in TAKEN:
            raise UserError(
                f"methods: {name!r} is the name of a stage or a file, too; give the plugin another name"
            )
        files[name] = _method(settings, name, task)
        files[f"pretrain/{name}"] = _first_stage(settings, name, task)
    files["transfer"] = {
        "methods": {name: files[name]["starts_from"] for name in settings.methods},
        "clusters": {name: _cluster(settings.datasets[name]) for name in (settings.dataset, *others)},
        "seeds": list(settings.seeds),
        "device": settings.device,
        "classes": list(dataset.classes),
    }
    check_variants(settings, {*files, *names(METHODS), *TAKEN})
    files |= _variants(settings, task)
    return files | {"report": _report(settings, files) | task}


def _run(settings: Settings) -> dict[str, Any]:
    """What changes how fast things go but never what comes out."""
    return {
        "workers": settings.workers,
        "device": settings.device,
        "memory": settings.memory,
        "executor": settings.executor,
        "ray": settings.ray.model_dump(),
        "plugins": list(settings.plugins),
    }


def _variants(settings: Settings, task: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Two entries an ablation that is asked for; those that are not are resolved too, lest one be wrong."""
    files = {}
    for name, ablation in settings.ablations.items():
        changed = varied(settings, name)
        variant = _method(changed, ablation.method, task)
        if name in settings.ablate:
            files[name] = _privileged(variant, ablation) | {"starts_from": variant["starts_from"] and name}
            files[f"pretrain/{name}"] = _privileged(_first_stage(changed, ablation.method, task), ablation)
    return files


def _privileged(own: dict[str, Any], ablation: Ablation) -> dict[str, Any]:
    """What is trained, with the privileges of its row; as it is of any other.

    A model that a method starts from has complete data, and is trained once. Raises UserError where several settings
    are tried: the search would look at the test utterances.
    """
    taken = [p for p in ablation.privileges if p == TEST_EPOCH or not own.get("first_stage", False)]
    if not taken or "train" not in own:
        return own
    if len(own["trials"]) > 1:
        raise UserError(
            f"ablate: {ablation.label!r} has privileges and is not searched for; set tune.trials to 1"
        )
    masks = {"masks": "batch"} if BATCH_MASKS in taken else {}
    return own | {"privileges": taken, "train": own["train"] | masks}


def _report(settings: Settings, files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What a report is about, and what it prints of `files`, the other settings."""
    trained = [*settings.methods, *settings.ablate]
    return {
        "dataset": settings.dataset,
        "root": settings.datasets[settings.dataset].root,
        "preset": settings.preset,
        "methods": list(settings.methods),
        "declared": _declared(settings),
        "cross": list(settings.cross),
        "ablations": [
            {"name": name, **own.model_dump(exclude={"privileges"}), "against": own.full}
            | ({"privileges": list(own.privileges)} if own.privileges else {})
            for name, own in ((name, settings.ablations[name]) for name in settings.ablate)
        ],
        "recovery": _looked_at(settings, "recovery", "truths"),
        "clusters": _looked_at(settings, "clusters", "fused"),
        "sensitivity": {k: list(v) for k, v in settings.sensitivity.model_dump(by_alias=True).items()},
        "seeds": list(settings.seeds),
        "selection": settings.train.selection,
        "selection_folds": settings.train.selection_folds,
        "refit": settings.train.refit,
        **_normalise(settings),
        "features": {m: _features(settings, m) for m in NAMES.values()},
        # What the report prints: with it here, a change of any of them makes the report anew, and no other change does.
        "made_by": {name: files[name] for name in ("prepare", *NAMES.values(), "split", *trained)}
        | {
            f"{name}, its first stage": files[f"pretrain/{name}"]
            for name in settings.methods
            if files[f"pretrain/{name}"]["first_stage"]
        },
    }


def refuse_idle_switches(settings: Settings) -> None:
    """Raise UserError, a line for each switch of a trained method that would do nothing beside its others.

    Lest a run be taken for what it is not. An ablation may well leave a switch without a task.
    """
    lines = []
    for name in settings.methods:
        own = own_settings(settings, name)
        lines += [
            f"method.{name}.{idle.key}: {getattr(own, idle.key)} would do nothing, because {idle.why}; set it to "
            f"{idle.instead}"
            for idle in (own.idle() if hasattr(own, "idle") else ())
        ]
    if lines:
        raise UserError("\n".join(lines))


def _from_raw(settings: Settings) -> dict[str, dict[str, Any]]:
    """What reads a corpus and extracts its features: `corpus`, `prepare`, and one entry a modality."""
    dataset = settings.datasets[settings.dataset]
    file_of(READERS, dataset.kind, f"datasets.{settings.dataset}.kind")  # there is one
    corpus = {
        "dataset": settings.dataset,
        "kind": dataset.kind,
        "root": dataset.root,
        "options": dataset.options,
        "classes": list(dataset.classes),
    }
    return {
        "corpus": corpus,
        "prepare": corpus
        | {"merge": dataset.merge, "features": dataset.features, "unlabelled": dataset.unlabelled},
        **{modality: _extraction(settings, modality) for modality in NAMES.values()},
    }


def _cluster(dataset: Dataset) -> str:
    """What is drawn anew for an interval: in an official split speakers may recur, so the recordings are."""
    return "dialogue" if dataset.folds == "official" else "speaker"


def _extraction(settings: Settings, modality: str) -> dict[str, Any]:
    dataset = settings.datasets[settings.dataset]
    extraction = settings.extraction.model_dump()
    if dataset.features == "corpus":
        own = {key: getattr(dataset, key) for key in ("kind", "root", "options")}
        return {"source": "corpus", **own, **extraction}
    encoder = getattr(settings.encoders, modality)
    known = selectable(modality)
    told = f"encoders.{modality}: {encoder!r} does not encode {modality}; there are {', '.join(known)}"
    require_known(encoder, known, told)
    section = getattr(settings.encoders, encoder).model_dump()
    if encoder in settings.finetune.encoders:
        encoder, section = (
            encoder_class(encoder).trainable_input,
            {key: section[key] for key in ("model", "revision")},
        )
    return {"source": "encoder", "encoder": encoder, "settings": section} | extraction


def _masks(settings: Settings, classes: tuple[str, ...]) -> dict[str, Any]:
    """The protocols that are asked for, each with its section: those of others would re-run it for nothing."""
    chosen = CHOICES if settings.protocols == ("all",) else settings.protocols
    for name in chosen:
        there = f"there are {', '.join(CHOICES)}, or all by itself"
        require_known(name, CHOICES, f"protocols: {name!r} is not a protocol; {there}")
    if FIXED not in chosen:
        raise UserError(f"protocols: {FIXED} is what every table is made of; add it to the list")
    sections = settings.protocol.model_dump()
    return {
        "protocols": {name: sections[name] for name in chosen if name in sections and name not in DAMAGE},
        "seed": sections["seed"],
        "unseen": UNSEEN in chosen,
        "classes": list(classes),
    }


def _features(settings: Settings, modality: str) -> str:
    """What a report calls the features of a modality."""
    if settings.datasets[settings.dataset].features == "corpus":
        return "corpus"
    encoder = getattr(settings.encoders, modality)
    return f"{encoder} (fine-tuned)" if encoder in settings.finetune.encoders else encoder


def _damage(settings: Settings, kind: str, extraction: dict[str, Any]) -> dict[str, Any]:
    """One kind of damage, with what its extraction depends on; no level where it is not asked for."""
    asked, ready = kind in settings.protocols, settings.datasets[settings.dataset].features == "corpus"
    if asked and ready:
        raise UserError(
            f"protocols: {kind} damages recordings before their features are extracted, but "
            f"{settings.dataset} comes as features; leave it out, or take a dataset of recordings"
        )
    if ready or not (asked or settings.protocols == ("all",)):
        return {"levels": []}
    section = getattr(settings.protocol, kind).model_dump()
    levels = KINDS[kind].ordered(section.pop("levels"))
    return {"levels": levels, "seed": settings.protocol.seed, "extraction": extraction, **section}


def _method(settings: Settings, name: str, task: dict[str, Any]) -> dict[str, Any]:
    overrides = getattr(getattr(settings.method, name), "train", {})
    train = validate(Train, settings.train.model_dump() | overrides, f"method.{name}.train").model_dump()
    own = own_settings(settings, name)
    values = own.resolved() if hasattr(own, "resolved") else own.model_dump()
    return {
        "method": name,
        "settings": values,
        "train": train,
        "trials": trials(settings.tune, values, train, getattr(method_class(name), "tuned", None)),
        "starts_from": name if _starts(settings, name) else None,
        **_shared(settings, task),
    }


def _starts(settings: Settings, name: str) -> bool:
    """Whether a method starts from a trained model, set as it is."""
    made = method_class(name)
    if getattr(made, "first_stage", None) is None:
        return False
    return bool(made.starts(own_settings(settings, name))) if hasattr(made, "starts") else True


def _first_stage(settings: Settings, name: str, task: dict[str, Any]) -> dict[str, Any]:
    """The model that a method starts from: its sizes are the method's, the rest is its own."""
    if not _starts(settings, name):
        return {"method": name, "first_stage": False}
    own = getattr(settings.method, name).model_dump()
    first = own["first_stage"]
    overrides = first.pop("train")
    taken = getattr(method_class(name), "first_stage_takes", ())
    key = f"method.{name}.first_stage.train"
    same = {k: v for k, v in own["train"].items() if k in DATA_KEYS}
    train = validate(Train, settings.train.model_dump() | overrides | same, key).model_dump()
    return {
        "method": name,
        "first_stage": True,
        "settings": first | {size: own[size] for size in taken},
        "train": train,
        "trials": [{}],
        "starts_from": None,
        **_shared(settings, task),
    }


def _shared(settings: Settings, task: dict[str, Any]) -> dict[str, Any]:
    """What is the same for all that is trained."""
    own = {"seeds": list(settings.seeds), "device": settings.device}
    return own | _finetune(settings) | _normalise(settings) | task


def _finetune(settings: Settings) -> dict[str, Any]:
    """The encoders that are trained with a method, and how; nothing where all are frozen."""
    finetune = settings.finetune
    encoders = {
        letter: {"encoder": name, "settings": getattr(settings.encoders, name).model_dump()}
        for letter, modality in NAMES.items()
        if (name := getattr(settings.encoders, modality)) in finetune.encoders
    }
    if not encoders:
        return {}
    learning = {key: getattr(finetune, key) for key in ("freeze_front_end", "checkpointing")}
    return {"finetune": {"encoders": encoders, "lr": finetune.lr, "learning": learning}}


def _normalise(settings: Settings) -> dict[str, Any]:
    """How features are standardised; nothing where it is the usual way, by the corpus."""
    return {} if settings.normalise == "corpus" else {"normalise": settings.normalise}


def _check_finetune(settings: Settings) -> None:
    """Refuse to fine-tune what is not there. Raises UserError."""
    wanted = settings.finetune.encoders
    if wanted and settings.normalise == "speaker":
        raise UserError(
            f"normalise: speaker standardises features, but {' and '.join(wanted)} are trained on recordings and "
            "texts; set finetune.encoders to [], or normalise to corpus"
        )
    if wanted and settings.datasets[settings.dataset].features == "corpus":
        raise UserError(
            f"finetune.encoders: {settings.dataset} brings its features along instead of recordings and texts, so "
            f"{' and '.join(wanted)} have nothing to read; take another preset, paper-frozen for the same numbers, or "
            "set finetune.encoders to []"
        )
    for name in wanted:
        modality = NAMES[encoder_class(name).modality]
        used = getattr(settings.encoders, modality)
        if name != used:
            raise UserError(
                f"finetune.encoders: {name} cannot be fine-tuned, because encoders.{modality} is {used}; set that "
                f"to {name}, or take {name} out of finetune.encoders"
            )


def _declared(settings: Settings) -> dict[str, dict[str, Any]]:
    """What a report has to know of the methods, by their classes: it imports none of them."""
    varied = [settings.ablations[name].method for name in settings.ablate]
    found = {}
    for name in dict.fromkeys((*settings.methods, *varied)):
        made = method_class(name)
        found[name] = {
            "plain": getattr(made, "plain", False),
            "deterministic": getattr(made, "deterministic", False) and not settings.finetune.encoders,
            "parts": getattr(made, "parts", {}),
            "published_ablations": getattr(made, "published_ablations", ""),
            "objective": [
                list(pair) for pair in objective(name).items()
            ],  # in its order, which a section would lose
        }
        asked = getattr(made, "reads_dialogues", None)
        if asked(own_settings(settings, name)) if asked else getattr(made, "in_dialogues", False):
            found[name]["in_dialogues"] = True
    return found


_LACKS = {
    "truths": ("recovers nothing", "it"),
    "fused": ("has no single vector that it answers from", "them"),
}
"""What a class without that function cannot, in words."""


def _looked_at(settings: Settings, key: str, needs: str) -> list[str]:
    """The methods and variants that `key` names. Raises UserError unless each is trained, and has the function."""
    trained = {name: name for name in settings.methods}
    trained |= {name: settings.ablations[name].method for name in settings.ablate}
    looked_at = list(getattr(settings, key))
    for name in looked_at:
        if name in settings.ablations and (taken := settings.ablations[name].privileges):
            raise UserError(f"{key}: {name!r} is {told(taken)}: its models are looked at for nothing else")
        told_of = f"{key}: {name!r} is neither in methods nor in ablate ({', '.join(trained)})"
        require_known(name, trained, told_of)
    for name in looked_at:
        if not hasattr(method_class(trained[name]), needs):
            able = ", ".join(n for n in names(METHODS) if hasattr(method_class(n), needs))
            lacks, those = _LACKS[needs]
            raise UserError(f"{key}: {name!r} {lacks}; take {able} or an ablation of {those}")
    return looked_at
