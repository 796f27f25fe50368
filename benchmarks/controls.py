"""Every method on two corpora of which the optimum is known: `python -m benchmarks.controls [--draws 3]`.

Writes `benchmarks/results/controls.csv` and draws docs/controls.svg from it; docs/controls.md says how to read them.
"""

import argparse
import csv
import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

import cmarr
from benchmarks.records import markdown
from cmarr.corpora.controls import CLASSES, Options, best_rates, frames, read
from cmarr.data.load import load_store
from cmarr.data.normalise import Normaliser
from cmarr.data.store import Store
from cmarr.features.shards import FeatureTable
from cmarr.files import atomic
from cmarr.methods.inference import split_logits
from cmarr.methods.model import training_prior
from cmarr.methods.protocol import Calibrated, ClosedForm, Concluded, Grounded
from cmarr.methods.registry import build_method, method_class
from cmarr.modalities import CONDITIONS, INCOMPLETE
from cmarr.task import Task
from cmarr.training.loop import fit

ROOT = Path(__file__).parents[1]
RESULTS, FIGURE = ROOT / "benchmarks/results/controls.csv", ROOT / "docs/controls.svg"
TRAIN = {"epochs": 30, "lr": 1e-3, "patience": 10}
DIRECT = {
    "alpha": 0.0,
    "flow_input": "features",
    "zero_start": True,
    "dropout": 0.3,
    "gradient_shares": False,
}
ROWS: Mapping[str, tuple[str, dict[str, Any], bool]] = {
    "linear": ("linear", {}, False),
    "late": ("late", {}, False),
    "gbdt": ("gbdt", {}, False),
    "masked": ("masked", {}, False),
    "recovered, zeros": ("recovered", {"fill": "zeros"}, False),
    "direct w/o recovery": ("cmarr", DIRECT | {"zero_start": False, "recovery": "zeros"}, False),
    "recovered": ("recovered", {}, True),
    "gaussian": ("gaussian", {}, True),
    "anchored": ("anchored", {}, True),
    "cmarr": ("cmarr", {"gradient_shares": False}, True),
    "cmarr direct": ("cmarr", DIRECT, True),
    "cra": ("cra", {}, True),
    "mmin": ("mmin", {}, True),
    "if_mmin": ("if_mmin", {}, True),
    "cif_mmin": ("cif_mmin", {}, True),
    "dicmor": ("dicmor", {}, True),
    "mcur": ("mcur", {}, False),
}
"""Row -> the method, its settings, and whether it recovers what is missing."""

BEST = "best possible"
COLUMNS = ("control", "method", "recovers", "draw", "condition", "uar")
TASK = Task(CLASSES)


def stores(options: Options) -> tuple[Store, Store, Store]:
    """Training, validation and test utterances of a draw."""
    utterances, _ = read(Path(), options)
    found = {u.id: u for u in utterances}
    tables = {}
    for m, own in frames(options).items():
        lengths = [len(x) for x in own.values()]
        values = np.concatenate(list(own.values())).astype(np.float16)
        tables[m] = FeatureTable(list(own), values, np.cumsum([0, *lengths]))
    train, validation, test = (
        load_store([u.id for u in utterances if u.split == part], found, tables, TASK)
        for part in ("train", "valid", "test")
    )
    return train, validation, test


def trained(
    name: str, settings: Mapping[str, Any], train: Store, validation: Store, seed: int, *, first: bool = False
) -> tuple[nn.Module, Normaliser]:
    """A method, or the model that it starts from, as the pipeline trains it."""
    made = method_class(name, first_stage=first)
    torch.manual_seed(seed)
    method = build_method(name, train.dims, TASK, settings, first_stage=first)
    if (
        not first
        and getattr(made, "first_stage", None)
        and getattr(made, "starts", lambda s: True)(made.Settings())
    ):
        cast(Any, method).start_from(trained(name, {}, train, validation, seed, first=True)[0])
    normaliser = Normaliser(train.dims)
    normaliser.fit(train.frames())
    whole, held = (normaliser(own.batch(torch.arange(len(own)))) for own in (train, validation))
    if isinstance(method, ClosedForm):
        method.fit(whole, torch.Generator().manual_seed(seed))
    else:
        if isinstance(method, Grounded):
            method.ground(whole)
        own = {**TRAIN, **getattr(made, "published_training", {})}
        fit(method, normaliser, train, validation, task=TASK, seed=seed, **own)
        if isinstance(method, Concluded):
            method.eval()
            method.conclude(whole)
    if isinstance(method, Calibrated):
        method.calibrate(held)
    return method.eval(), normaliser


def scores(name: str, settings: Mapping[str, Any], options: Options) -> dict[str, float]:
    """Condition -> UAR of one training on one draw."""
    train, validation, test = stores(options)
    assert len(training_prior(train.labels, TASK)) == len(CLASSES)
    method, normaliser = trained(name, settings, train, validation, options.seed)
    logits = split_logits(method, normaliser, test, CONDITIONS)
    return {c: uar(logits[c].argmax(1).numpy(), test.labels.numpy()) for c in CONDITIONS}


def uar(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean recall of the classes."""
    return float(np.mean([(found[truth == k] == k).mean() for k in np.unique(truth)]))


def run(draws: int, command: str) -> None:
    """Keep a row a control, method, draw and condition, after every draw all there is."""
    rows: list[dict[str, Any]] = []
    for draw in range(draws):
        for control in ("recovery", "nothing"):
            options = Options(control=control, seed=draw)  # type: ignore[arg-type]
            if draw == 0:
                rows += best_rows(control)
            for label, (name, settings, recovers) in ROWS.items():
                found = scores(name, settings, options)
                found["avg6"] = float(np.mean([found[c] for c in INCOMPLETE]))
                own = {"control": control, "method": label, "recovers": recovers, "draw": draw}
                rows += [own | {"condition": c, "uar": round(value, 4)} for c, value in found.items()]
                print(control, draw, label, f"{found['avg6']:.3f}", flush=True)
        keep(rows, command)


def best_rows(control: str) -> list[dict[str, Any]]:
    """What no method can exceed, as rows of the file."""
    best = best_rates(control)  # type: ignore[arg-type]
    best["avg6"] = float(np.mean([best[c] for c in INCOMPLETE]))
    own = {"control": control, "method": BEST, "recovers": "", "draw": ""}
    return [own | {"condition": c, "uar": round(value, 4)} for c, value in best.items()]


def table(path: Path = RESULTS) -> str:
    """Mean UAR of the six incomplete conditions, a row a method and the best possible, a column a control."""
    found, rows = means(path), []
    for method in (BEST, *ROWS):
        recovers = "yes" if method in ROWS and ROWS[method][2] else ""
        cells = [" ".join(f"{100 * value:.2f} %" for value in found[c].get(method, ())) for c in found]
        rows.append([method, recovers, *cells])
    return markdown(["method", "recovers", "`control_recovery`", "`control_nothing`"], rows)


def keep(rows: list[dict[str, Any]], command: str) -> None:
    """Write the file, with command, versions and date above the columns."""
    with atomic(RESULTS) as temporary, Path(temporary).open("w", newline="") as out:
        out.write(
            f"# {command}; cmarr {cmarr.__version__}, torch {torch.__version__}; {datetime.date.today()}\n"
        )
        writer = csv.DictWriter(out, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def means(path: Path = RESULTS) -> dict[str, dict[str, np.ndarray]]:
    """Control -> method -> (draws,) mean UAR of the six incomplete conditions."""
    with path.open() as opened:
        rows = list(csv.DictReader(line for line in opened if not line.startswith("#")))
    found: dict[str, dict[str, np.ndarray]] = {}
    for control in dict.fromkeys(row["control"] for row in rows):
        for method in dict.fromkeys(row["method"] for row in rows):
            wanted = (control, method, "avg6")
            values = [float(r["uar"]) for r in rows if (r["control"], r["method"], r["condition"]) == wanted]
            found.setdefault(control, {})[method] = np.array(values)
    return found


def draw_figure(path: Path = FIGURE) -> None:
    """A panel a control: a dot a draw, a line at what no method can exceed, and one at guessing."""
    found = means()
    figure, panels = plt.subplots(1, 2, figsize=(9, 5), sharey=True, layout="constrained")
    for panel, (control, methods) in zip(panels, found.items(), strict=True):
        drawn = {method: values for method, values in methods.items() if method in ROWS}
        for place, (method, values) in enumerate(drawn.items()):
            colour = "tab:blue" if ROWS[method][2] else "tab:gray"
            panel.plot(100 * values, [place] * len(values), "o", color=colour, alpha=0.6, markersize=4)
            panel.plot(100 * values.mean(), place, "|", color=colour, markersize=14)
        best = 100 * np.mean([best_rates(control)[c] for c in INCOMPLETE])  # type: ignore[arg-type]
        panel.axvline(best, color="black", linewidth=1)
        panel.axvline(50, color="black", linewidth=1, linestyle=":")
        panel.set(title=f"control_{control}", xlabel="UAR, mean of the six incomplete conditions")
        panel.set_yticks(range(len(drawn)), list(drawn))
    panels[0].invert_yaxis()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Run, keep, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--figure", action="store_true", help="only draw the figure, from the kept results")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if not asked.figure:
        run(asked.draws, f"python -m benchmarks.controls --draws {asked.draws}")
    draw_figure()
    print(table())


if __name__ == "__main__":
    main()
