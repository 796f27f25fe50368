"""When does recovering a missing modality pay? How much they share, how much is missing, how much data there is.

    python -m benchmarks.recovery                        the whole study, a few hours on two cores
    python -m benchmarks.recovery --axis shared --replicates 1 --train 100 --epochs 5     a glance, minutes

Corpora are drawn from a latent model, so that each of the three can be turned on its own. An utterance has an emotion
(arousal and valence), and every modality shows it through a blur of its own, as in the demo corpus, together with
content that has nothing to do with it. A share of that content's variance is common to all modalities, the rest is
each modality's own; content and affect are mixed by a fixed random network, so affect cannot be read without telling
it from content. Every method sees the same corpora, splits and test utterances (1200 of them).

Rows are added to recovery.csv in the folder `--out` as they are found, and a run goes on where the last one stopped;
recovery.png beside it shows each method's mean UAR minus that of `masked`, the fusion network trained with masks alone.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from sklearn.metrics import recall_score

from benchmarks.records import command_line
from cmarr.corpora.demo.content import AFFECT, BLUR
from cmarr.data.normalise import Normaliser
from cmarr.data.store import Store
from cmarr.methods.inference import split_logits
from cmarr.methods.registry import build_method
from cmarr.modalities import CONDITIONS, MODALITIES
from cmarr.report.style import horizontal_grid, looks, save_figure, style
from cmarr.task import Task
from cmarr.training.loop import fit

TASK = Task(tuple(AFFECT))
CONTENT, WIDTH, STEPS, NOISE = 6, 24, 4, 0.3
"""Dimensions of an utterance's content, width and steps of a modality's features, their noise."""
TEST = 1200

SIZES = {"d": 32, "length": 4, "heads": 4}
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "masked": ("masked", SIZES),
    "cmarr": ("cmarr", SIZES | {"flow_steps": 4, "blocks": 2}),
    "w/o flow": ("cmarr", SIZES | {"flow_steps": 4, "blocks": 2, "recovery": "mean"}),
    "plain flows": ("cmarr", SIZES | {"flow_steps": 4, "blocks": 2, "alpha": 0.0, "beta": 0.0}),
}
CENTRE = {"shared": 0.5, "absent": 0.0, "train": 300}
AXES = {
    "shared": (0.0, 0.25, 0.5, 0.75, 1.0),
    "absent": (0.0, 0.2, 0.4, 0.6),
    "train": (100, 300, 1000, 3000),
}
TITLES = {
    "shared": "share of the content common to all modalities",
    "absent": "share of training data that a modality lacks",
    "train": "training utterances",
}
GROUPS = {"one missing": ("vt", "sv", "st"), "two missing": ("t", "s", "v"), "none missing": ("svt",)}


@dataclass(frozen=True)
class Trial:
    """One training: the corpus it is drawn from, the method, the replicate that seeds both."""

    method: str
    shared: float
    absent: float
    train: int
    epochs: int
    replicate: int


def trials(axes: list[str], replicates: int, epochs: int, train: int | None) -> Iterator[Trial]:
    """Every training of the study, each once, replicate after replicate."""
    centre = CENTRE | ({"train": train} if train else {})
    seen = set()
    for replicate in range(replicates):
        for axis in axes:
            for value in AXES[axis]:
                for method in METHODS:
                    trial = Trial(method, **{**centre, axis: value}, epochs=epochs, replicate=replicate)  # type: ignore[arg-type]
                    if trial not in seen:
                        seen.add(trial)
                        yield trial


def corpus(trial: Trial, rows: int, part: int, absent: float) -> Store:
    """`rows` utterances of the trial's corpus; `part` tells training, validation and test apart."""
    world = np.random.default_rng([trial.replicate, 0])  # what does not change between the parts: the mixing
    draws = np.random.default_rng([trial.replicate, 1, part])
    labels = draws.integers(len(AFFECT), size=rows)
    affect = np.array(list(AFFECT.values()))[labels]
    common = draws.normal(size=(rows, CONTENT))
    present = draws.random((rows, 3)) >= absent
    rescued = draws.integers(3, size=rows)
    present[~present.any(1), rescued[~present.any(1)]] = True
    values, starts, lengths = {}, {}, {}
    for i, modality in enumerate(MODALITIES):
        own = draws.normal(size=(rows, CONTENT))
        content = np.sqrt(trial.shared) * common + np.sqrt(1 - trial.shared) * own
        shown = affect + np.array(BLUR[modality]) * draws.normal(size=affect.shape)
        latent = np.concatenate([shown, content], axis=1)
        first, second = (
            world.normal(size=s) / np.sqrt(s[0]) for s in ((latent.shape[1], WIDTH), (WIDTH, WIDTH))
        )
        steps = np.tanh(1.5 * latent @ first)[:, None] @ second + NOISE * draws.normal(
            size=(rows, STEPS, WIDTH)
        )
        kept = present[:, i]
        values[modality] = torch.from_numpy(steps[kept].reshape(-1, WIDTH)).float()
        lengths[modality] = torch.from_numpy(STEPS * kept.astype(np.int64))
        starts[modality] = lengths[modality].cumsum(0) - lengths[modality]
    return Store(tuple(map(str, range(rows))), values, starts, lengths, torch.from_numpy(labels))


def run(trial: Trial) -> dict[str, float]:
    """UAR per condition on complete test utterances of which the protocol hides some."""
    train = corpus(trial, trial.train, 0, trial.absent)
    validation = corpus(trial, max(trial.train // 3, 60), 1, trial.absent)
    test = corpus(trial, TEST, 2, 0.0)
    torch.manual_seed(trial.replicate)
    name, settings = METHODS[trial.method]
    method = build_method(name, train.dims, TASK, settings)
    normaliser = Normaliser(train.dims)
    normaliser.fit(train.frames())
    fit(
        method,
        normaliser,
        train,
        validation,
        task=TASK,
        seed=trial.replicate,
        lr=5e-4,
        batch_size=64,
        epochs=trial.epochs,
        patience=8,
        weight_decay=0.0,
        clip=1.0,
        selection="mean7",
        masks="sample",
        mask_conditions="seven",
    )
    answers = split_logits(method, normaliser, test, CONDITIONS)
    truth = test.labels.numpy()
    return {c: float(recall_score(truth, answers[c].argmax(1).numpy(), average="macro")) for c in CONDITIONS}


def gains(results: pd.DataFrame) -> pd.DataFrame:
    """Each trial's UAR minus that of `masked` on the same corpus, averaged over the conditions of a group."""
    keys = ["shared", "absent", "train", "epochs", "replicate"]
    scores = results.assign(
        **{group: results[list(members)].mean(axis=1) for group, members in GROUPS.items()}
    )
    plain = scores[scores["method"] == "masked"].set_index(keys)[list(GROUPS)]
    rest = scores[scores["method"] != "masked"].set_index([*keys, "method"])[list(GROUPS)]
    return (rest - plain.reindex(rest.index.droplevel("method")).to_numpy()).reset_index()


def figure(found: pd.DataFrame, centre: dict[str, float]) -> Figure:
    """A row an axis that was studied, a column a number of missing modalities: mean gain, its range over replicates."""
    studied = [axis for axis in AXES if found[axis].nunique() > 1] or list(AXES)
    groups = list(GROUPS)[:2]
    with style():
        drawn = Figure(figsize=(9, 0.6 + 2.9 * len(studied)), layout="constrained")
        grid = drawn.subplots(len(studied), len(groups), sharey=True, squeeze=False)
        for row, axis in zip(grid, studied, strict=True):
            values = AXES[axis]
            fixed = [other for other in AXES if other != axis]
            here = found[np.logical_and.reduce([found[o] == centre[o] for o in fixed])]
            for axes, group in zip(row, groups, strict=True):
                horizontal_grid(axes)
                axes.axhline(0, color="black", linewidth=0.8)
                for k, (method, look) in enumerate(looks(list(METHODS)[1:]).items()):
                    part = here[here["method"] == method].groupby(axis)[group]
                    x = [values.index(v) + 0.1 * (k - 1) for v in part.groups]
                    axes.vlines(x, 100 * part.min(), 100 * part.max(), color=look.colour, alpha=0.4)
                    axes.plot(
                        x,
                        100 * part.mean(),
                        color=look.colour,
                        marker=look.marker,
                        markersize=5,
                        label=method,
                    )
                axes.set_xticks(range(len(values)), [f"{v:g}" for v in values])
                axes.set_xlim(-0.4, len(values) - 0.6)
                axes.set_xlabel(TITLES[axis])
                axes.set_title(group, fontsize=10)
            row[0].set_ylabel("UAR minus masked, points")
        grid[0][0].legend(loc="best")
        drawn.suptitle(
            "What recovery gains over the same fusion without it; bars: range over replicates",
            x=0.01,
            ha="left",
        )
    return drawn


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument(
        "--axis", choices=list(AXES), action="append", help="only this axis (may be repeated)"
    )
    parser.add_argument("--replicates", type=int, default=3, help="corpora drawn for each point")
    parser.add_argument(
        "--epochs", type=int, default=40, help="epochs at most; stops after 8 without a better one"
    )
    parser.add_argument(
        "--train", type=int, help=f"training utterances where they do not vary ({CENTRE['train']})"
    )
    parser.add_argument("--out", type=Path, default=Path(".cmarr/recovery"), help="folder of the results")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.out.mkdir(parents=True, exist_ok=True)
    table = asked.out / "recovery.csv"
    results = pd.read_csv(table) if table.is_file() else pd.DataFrame()
    known = {
        Trial(**{name: row[name] for name in Trial.__dataclass_fields__})
        for row in results.to_dict("records")
    }
    for trial in trials(asked.axis or list(AXES), asked.replicates, asked.epochs, asked.train):
        if trial in known:
            continue
        scores = run(trial)
        results = pd.concat([results, pd.DataFrame([asdict(trial) | scores])], ignore_index=True)
        results.to_csv(table, index=False)
        means = ", ".join(f"{group} {np.mean([scores[c] for c in cs]):.3f}" for group, cs in GROUPS.items())
        print(f"{trial}: {means}", flush=True)
    found = gains(results[results["epochs"] == asked.epochs])
    summary = found.groupby(["method", "shared", "absent", "train"])[list(GROUPS)].agg(["mean", "count"])
    print(summary.round(3).to_string())
    centre = CENTRE | ({"train": asked.train} if asked.train else {})
    save_figure(asked.out / "recovery.png", figure(found, centre))


if __name__ == "__main__":
    main()
