"""What was tried on the tuning corpora of docs/claim.md and is no part of the product, beside what it should beat.

python -m benchmarks.tried run      fifteen trainings of each, five minutes of one core once the corpora are there
python -m benchmarks.tried keep     benchmarks/results/tried.json of what was answered so far

residual          `anchored`'s network trained on `gaussian`'s logits as a fixed offset, instead of pooled with them
pseudo_labelled   `recovered`, which learns from its own answers where 85 in 100 labels are missing
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.claim.table import difference
from benchmarks.records import markdown

NAME = "tried"
PLUGINS = [str(Path(__file__).with_name(f"{name}.py")) for name in ("residual", "pseudo_labelled")]
FEW = 0.15
"""Share of the training utterances that keep their label, where few are asked for."""


@dataclass(frozen=True)
class Row:
    """A way of training: a method, whose settings they are `like`, what is `set` instead, the share of labels."""

    method: str
    like: str = ""
    set: Mapping[str, Any] = field(default_factory=dict)
    labels: float = 1.0


ALONE = {"learn_from": "training"}
"""Of a closed form: validation speakers, who keep their labels, are not learnt from."""

ROWS = {
    "gaussian": Row("gaussian"),
    "anchored": Row("anchored"),
    "residual": Row("residual", "anchored"),
    "residual_left_out": Row("residual", "anchored", {"left_out": True}),
    "recovered_few": Row("recovered", set=ALONE, labels=FEW),
    "gaussian_few": Row("gaussian", set=ALONE, labels=FEW),
    "pseudo_labelled": Row("pseudo_labelled", "recovered", ALONE, FEW),
    "pseudo_labelled_surest": Row("pseudo_labelled", "recovered", {**ALONE, "share": 0.5}, FEW),
}
PAIRS = (
    *((name, other) for name in ("residual", "residual_left_out") for other in ("gaussian", "anchored")),
    ("anchored", "gaussian"),
    *((name, "recovered_few") for name in ("pseudo_labelled", "pseudo_labelled_surest", "gaussian_few")),
    *((name, "gaussian_few") for name in ("pseudo_labelled", "pseudo_labelled_surest")),
)
"""Whose difference is told, the first minus the second."""

WORDS = {
    "recovered_few": "`recovered`, labelled utterances alone",
    "residual": "`anchored`'s network as the residual of `gaussian`'s logits",
    "residual_left_out": "the same, in training the logits of a Gaussian that has not learnt from the speaker",
    "anchored": "`anchored`, pooled",
    "pseudo_labelled": "`recovered` with a round of pseudo-labels",
    "pseudo_labelled_surest": "the same, the surer half of them",
    "gaussian_few": "`gaussian`, unlabelled utterances by their posterior",
}
OTHERS = {
    "gaussian": "minus `gaussian`",
    "anchored": "minus `anchored`",
    "recovered_few": "minus `recovered`",
    "gaussian_few": "minus `gaussian`",
}


def residual_table(content: Mapping[str, Any]) -> str:
    """A row a way to put the network beside the closed form."""
    return _table(content, ("anchored", "residual", "residual_left_out"), ("gaussian", "anchored"))


def labels_table(content: Mapping[str, Any]) -> str:
    """A row a way to learn from what has no label."""
    names = ("recovered_few", "pseudo_labelled", "pseudo_labelled_surest", "gaussian_few")
    return _table(content, names, ("recovered_few", "gaussian_few"))


def _table(content: Mapping[str, Any], names: tuple[str, ...], others: tuple[str, ...]) -> str:
    rows, met = [], [name for name in names if name in content["methods"]]
    if not met:
        return f"*Not run yet: `python -m benchmarks.{NAME} run`.*"
    for name in met:
        scores = [f"{content['methods'][name]['trainings']}"]
        scores += [f"{100 * content['methods'][name][row]:.1f}" for row in ("avg6", "svt")]
        cells = []
        for other in others:
            pair = content["pairs"].get(f"{name}/{other}")
            cells += [difference(pair[row], points=True) if pair else "" for row in ("avg6", "svt")]
        rows.append([WORDS[name], *scores, *cells])
    head = [f"{OTHERS[other]}, {row}" for other in others for row in ("avg6", "svt")]
    return markdown(["UAR, points", "trainings", "avg6", "svt", *head], rows)
