"""Summaries written down by hand: tables are tested on their own, without predictions behind them."""

import pytest

from cmarr.evaluation.comparison import METHODS
from cmarr.evaluation.scores import metrics_of
from cmarr.evaluation.sufficient_statistics import AVERAGES, ROWS
from cmarr.modalities import CONDITIONS
from cmarr.report.page import Page, write_page
from cmarr.task import Task
from tests.report.studies import page_of, study

EMOTIONS = Task(("angry", "calm"))


def summary(
    task: Task, mean: float, *, met: tuple[str, ...] = CONDITIONS, folds: int = 5, clusters: int = 10
) -> dict:
    """Every number is `mean`, its deviation 0.02 and its interval 0.03 to either side."""
    out: dict = {}
    for metric in metrics_of(task):
        out[metric] = {}
        for row in ROWS:
            covers = [c for c in AVERAGES.get(row, (row,)) if c in met]
            value = mean if covers else None
            cell = {
                "mean": value,
                "std": 0.02 if folds > 1 else None,
                "std_seeds": None,
                "n": 228 * bool(covers),
                "n_all": 240,
            }
            cell |= {"lo": value and value - 0.03, "hi": value and value + 0.03, "all": value}
            out[metric][row] = cell | ({"covers": covers} if row in AVERAGES else {})
    out["meta"] = {
        "folds": folds,
        "seeds": 1,
        "clusters": clusters,
        "speakers": clusters,
        "utterances": 240,
        "resamples": 2000,
        "level": 0.95,
    }
    return out


def comparison(task: Task, difference: float, *, shown: int, p: float = 0.01, of: str = METHODS) -> dict:
    """The same difference everywhere; its interval holds zero unless it is shown."""
    reach = abs(difference) / 2 if shown else 2 * abs(difference)
    cell = {
        "difference": difference,
        "lo": difference - reach,
        "hi": difference + reach,
        "p": p,
        "p_table": 2 * p,
        "shown": shown,
        "of": of,
    }
    return {metric: dict.fromkeys(ROWS, cell) for metric in metrics_of(task)} | {"meta": {"of": of}}


@pytest.fixture
def make_summary():
    return summary


@pytest.fixture
def make_comparison():
    return comparison


@pytest.fixture
def emotions() -> Task:
    return EMOTIONS


@pytest.fixture(scope="session")
def page() -> Page:
    """A page with every section, of a study whose names are hostile."""
    return page_of(study())


@pytest.fixture(scope="session")
def folder(page, tmp_path_factory):
    """The same page, written."""
    target = tmp_path_factory.mktemp("report")
    write_page(target, page)
    return target
