"""The numbers printed in the CM-ARR paper, as data: WAR / UAR in percent, as printed.

Source: Sun et al. 2024, arXiv 2407.09029, Table 2 (both corpora) and Table 3 (IEMOCAP). Other features, faces and
training runs lie behind them: they are context beside our numbers, not a race.
"""

from collections.abc import Mapping

SOURCE = "Sun et al. 2024, arXiv 2407.09029"

_ORDER = ("t", "s", "v", "vt", "sv", "st", "avg6", "svt")

Published = Mapping[str, Mapping[str, tuple[float, float] | None]]
"""Method -> row -> (WAR, UAR) in percent, or None where the paper prints '-'."""

_TABLE_2 = {
    "iemocap": {
        "CRA": "31.15/27.96 54.58/56.79 53.31/51.17 31.66/28.42 63.12/63.93 32.88/30.13 44.45/43.07 -",
        "MMIN": "67.49/68.46 54.84/56.87 53.17/50.28 72.98/73.60 64.03/64.71 74.07/75.49 64.43/64.90 77.17/77.89",
        "IF-MMIN": "66.58/67.51 56.06/58.38 53.11/51.28 72.61/73.14 64.80/66.49 73.77/75.48 64.48/65.38 77.97/78.58",
        "CIF-MMIN": "67.97/68.93 56.26/58.46 51.40/51.39 73.00/74.12 66.03/67.17 74.50/75.72 64.86/65.96 79.26/80.34",
        "DiCMoR+": "68.83/70.15 71.02/72.30 51.60/49.03 72.14/73.36 72.28/73.49 76.89/77.83 68.79/69.36 78.36/79.80",
        "CM-ARR": "69.74/70.92 74.15/75.38 54.06/52.42 73.04/74.09 75.51/76.38 78.95/79.70 70.90/71.48 79.86/81.06",
    },
    "msp_improv": {
        "CRA": "46.78/28.37 37.90/38.96 59.46/42.42 54.96/38.84 57.85/47.70 48.57/37.97 52.59/39.04 -",
        "MMIN": "62.08/57.30 51.60/43.35 60.09/45.75 69.37/63.94 63.74/55.91 64.00/60.98 61.81/54.53 69.70/64.89",
        "IF-MMIN": "61.97/58.23 50.46/40.45 61.68/45.29 67.49/63.40 62.42/53.14 63.25/59.91 61.21/53.40 69.03/63.84",
        "CIF-MMIN": "62.42/58.71 50.66/40.37 61.10/46.15 69.90/65.36 63.75/55.21 63.78/60.80 61.93/54.43 72.02/67.12",
        "DiCMoR+": "62.13/59.85 52.78/47.17 59.84/49.33 67.30/64.21 62.70/52.65 67.92/65.37 62.11/56.43 71.69/68.08",
        "CM-ARR": "63.57/61.49 55.55/50.87 62.04/51.01 68.47/65.88 63.84/54.25 69.49/66.85 63.82/58.39 72.37/69.69",
    },
}

_TABLE_3 = {
    "baseline": "66.63/67.15 55.57/57.75 42.91/37.54 68.71/68.94 61.10/62.84 75.34/76.61 61.71/61.80",
    "w/o udcl": "69.44/70.20 71.90/72.67 50.24/48.35 71.59/72.90 72.06/72.96 76.51/78.04 68.62/69.18",
    "w/o spcl": "69.49/70.45 71.89/72.99 51.14/48.56 72.55/73.33 73.37/73.86 77.80/78.83 69.37/69.67",
    "w/o attention": "68.71/69.75 71.68/72.72 50.00/47.76 70.72/71.53 72.10/73.47 76.77/77.91 68.33/68.85",
    "w/ point": "66.71/67.96 70.48/71.74 50.35/48.99 71.06/72.19 72.65/73.26 75.53/76.67 67.79/68.46",
    "full": "69.74/70.92 74.15/75.38 54.06/52.42 73.04/74.09 75.51/76.38 78.95/79.70 70.90/71.48",
}

SLIPS = {
    "msp_improv": "CRA's printed average WAR on MSP-IMPROV (52.59) is not the mean of its six cells (50.92).",
}
"""Errors in the paper's tables, repeated as printed and named under ours."""


def table_2(dataset: str) -> Published | None:
    """The paper's Table 2 for a dataset; None where the paper did not test it."""
    rows = _TABLE_2.get(dataset)
    return None if rows is None else {method: _cells(cells) for method, cells in rows.items()}


def table_3() -> Published:
    """The paper's ablations on IEMOCAP; they have no row for all modalities."""
    return {variant: _cells(cells) for variant, cells in _TABLE_3.items()}


ABLATIONS = {"Table 3": table_3}
"""The paper's tables of ablations, as a method's `published_ablations` names them."""


def with_avg7(published: Published) -> Published:
    """Add avg7, which the paper does not print: the mean of its seven printed cells."""
    out = {}
    for method, cells in published.items():
        seven = [cells.get(c) for c in ("t", "s", "v", "vt", "sv", "st", "svt")]
        pairs = [cell for cell in seven if cell is not None]
        war, uar = (round(sum(p[i] for p in pairs) / 7, 2) for i in (0, 1))
        out[method] = {**cells, "avg7": (war, uar) if len(pairs) == 7 else None}
    return out


def _cells(line: str) -> dict[str, tuple[float, float] | None]:
    pairs = [None if cell == "-" else tuple(float(x) for x in cell.split("/")) for cell in line.split()]
    return dict(zip(_ORDER, pairs, strict=False))  # type: ignore[arg-type]
