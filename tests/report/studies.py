"""A small study made up in memory, with the names that nobody should be harmed by."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from cmarr.analyses import corpus, summary
from cmarr.analyses.ablations import ablations_section
from cmarr.analyses.calibration import calibration, calibration_section, reliability
from cmarr.analyses.confusion import confusion_section
from cmarr.analyses.cost import cost_section
from cmarr.analyses.faces import faces_section
from cmarr.analyses.importance import importance, importance_section
from cmarr.analyses.learning import learning_section
from cmarr.analyses.provenance import provenance_section
from cmarr.analyses.results import results_section
from cmarr.analyses.risk import risk_coverage, risk_section, selective
from cmarr.analyses.robustness import robustness_section
from cmarr.analyses.study import Study
from cmarr.evaluation.comparison import compare_all
from cmarr.evaluation.predictions import predictions_frame, usable_counts
from cmarr.evaluation.summary import summarise
from cmarr.folds.files import Fold
from cmarr.media.faces_file import SeenFaces
from cmarr.modalities import CONDITIONS
from cmarr.report.notes import footnotes
from cmarr.report.page import Page
from cmarr.task import Task
from cmarr.utterance import Utterance

HOSTILE = "<script>document.title='pwned'</script>"
"""A label that would like to be markup."""
TASK = Task((HOSTILE, "a & b_c $x$ 100%"))
METHODS = ("cmarr", "masked", "linear")


def predictions(task: Task, method: int, fold: int, n: int = 24, seed: int = 0) -> pd.DataFrame:
    """`n` utterances of four speakers; the later the method, the better it guesses."""
    draws = np.random.default_rng([method, fold, *([seed] if seed else [])])
    truth = np.arange(n) % 2
    target = truth[:, None] * 2.0 - 1 if task.regression else np.eye(task.outputs)[truth]
    logits = {
        c: draws.normal(size=(n, task.outputs)) + (0.4 + 0.3 * method) * len(c) * target for c in CONDITIONS
    }
    available = np.ones((n, 3), bool)
    available[0, 0] = False
    return predictions_frame(
        ids=[f"f{fold}u{i}" for i in range(n)],
        speakers=[f"f{fold}s{i % 4}" for i in range(n)],
        clusters=[f"f{fold}s{i % 4}" for i in range(n)],
        labels=list(target[:, 0]) if task.regression else [task.classes[k] for k in truth],
        n_usable=usable_counts(available),
        task=task,
        prior=prior(task),
        fold=fold,
        seed=seed,
        logits=logits,
    )


def prior(task: Task) -> list[float]:
    """What the answer is without any evidence."""
    return [0.0] if task.regression else [1 / task.outputs] * task.outputs


def curves(epochs: int) -> pd.DataFrame:
    """Learning curves of two folds; a single epoch is a method fitted in one step."""
    names = ["validation/selection", *(f"validation/{c}" for c in CONDITIONS)]
    names += ["loss/cls", "loss/gradient_norm"] if epochs > 1 else []
    rows = [(f, 0, e, name, 0.5 + e / 50) for f in (1, 2) for e in range(1, epochs + 1) for name in names]
    return pd.DataFrame(rows, columns=["fold", "seed", "epoch", "name", "value"])


def study(task: Task = TASK) -> Study:
    """Three methods, two folds, one seed; the last method has no epochs."""
    frames = {name: [predictions(task, i, fold) for fold in (1, 2)] for i, name in enumerate(METHODS)}
    cost = {
        "seconds": 3.0,
        "core_seconds": 2.5,
        "peak_memory_bytes": 5e8,
        "parameters": 1234,
        "trainings": [{"epochs": 4, "device": "cpu"}],
    }
    return Study(
        dataset=f"corpus {HOSTILE}",
        task=task,
        frames=frames,
        summaries={m: summarise(f, task) for m, f in frames.items()},
        comparisons=compare_all(frames, task),
        costs=dict.fromkeys(METHODS, cost),
        curves={m: curves(1 if m == "linear" else 4) for m in METHODS},
        settings={"declared": {m: {"plain": m != "cmarr"} for m in METHODS}, **told_of(METHODS)},
    )


def told_of(methods: Sequence[str]) -> dict[str, Any]:
    """What the sentences of a report are made of."""
    chosen = {"selection": "mean7", "selection_folds": 1, "refit": False, "methods": list(methods)}
    return chosen | {"cluster": "speaker", "corpus": {"kind": "demo"}}


def evaluated(made: Study) -> dict[str, dict[str, pd.DataFrame]]:
    """What evaluation leaves beside the scores: table -> method -> rows."""
    priors = {fold: prior(made.task) for fold in (1, 2)}
    return {
        "calibration": {m: reliability(f, made.task) for m, f in made.frames.items()},
        "scores": {
            m: pd.concat([calibration(f, made.task), selective(f, made.task)]) for m, f in made.frames.items()
        },
        "risk": {m: risk_coverage(f, made.task) for m, f in made.frames.items()},
        "importance": {m: importance(f, made.task, priors) for m, f in made.frames.items()},
        "protocols": {m: protocols(m) for m in made.frames},
    }


def protocols(method: str) -> pd.DataFrame:
    """Scores that fall with the missing rate."""
    rows = [
        {"method": method, "protocol": name, "level": level, "realised": 0.96 * level, "condition": "mixed"}
        | {"metric": "UAR", "mean": 0.8 - level / 2, "lo": 0.75 - level / 2, "hi": 0.85 - level / 2}
        for name in ("rate", "bursts")
        for level in (0.0, 0.3, 0.7)
    ]
    return pd.DataFrame(rows)


def page_of(made: Study) -> Page:
    """Every section that a study can have, as the stage puts them together."""
    found = evaluated(made)
    features = {"speech": "logmel", "text": "hashing"}
    rules = {"selection": "Epoch kept: highest validation UAR.", "fold_rule": "Leave one session out."}
    notes = footnotes(
        made.summaries,
        made.task,
        dataset=made.dataset,
        selection=rules["selection"],
        folds=rules["fold_rule"],
        features=features,
    )
    vars(made).update(
        features=features,
        utterances=[
            Utterance(f"u{i}", text="x", label=TASK.classes[i % 2], speaker=HOSTILE, session="1")
            for i in range(6)
        ],
        folds=[Fold(1, ["u0", "u1"], ["u2"], ["u3", "u4"])],
        available={"s": ["u3"], "v": [], "t": [f"u{i}" for i in range(6)]},
        headers={},
        fold_rule=rules["fold_rule"],
        doubts=[],
        rejected=pd.DataFrame(
            [(HOSTILE, "v", "extract", HOSTILE)], columns=["id", "modality", "stage", "reason"]
        ),
    )
    sections = [
        summary.section(made),
        corpus.section(made),
        results_section(made, notes=notes, cluster="speaker", published=None),
        confusion_section(made),
        importance_section(found["importance"], made.task),
        robustness_section(found["protocols"], made.task),
        calibration_section(found["scores"], found["calibration"]),
        risk_section(found["scores"], found["risk"], "share of wrong answers"),
        ablations_section({}, made.task, changes={}),
        learning_section(made),
        faces_section(
            [
                SeenFaces(HOSTILE, HOSTILE, HOSTILE, np.zeros((2, 16, 16), np.uint8), 2, 3),
                SeenFaces("none", None, None, np.zeros((0, 16, 16), np.uint8), 0, 3, HOSTILE),
            ]
        ),
        cost_section(made.costs),
        provenance_section(
            {"cmarr": {"beta": 0.1, "train": {"lr": 1e-3}}}, {"manifest": "0" * 64}, dataset="x"
        ),
    ]
    return Page(made.dataset, "What is felt.", sections, [("48", "test utterances")], ["Made by `cmarr`."])
