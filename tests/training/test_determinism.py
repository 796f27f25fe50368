"""The same seed gives the same bytes, however many work side by side and wherever the features are."""

from pathlib import Path

import pytest
import torch

import stages.train
from cmarr.data.normalise import Normaliser
from cmarr.data.store import Store
from cmarr.methods.cmarr import CMARR
from cmarr.seals import write_json
from cmarr.task import Task
from cmarr.training.loop import fit
from tests.training.conftest import FIT

SMALL = {"d": 8, "length": 4, "heads": 2, "flow_steps": 2, "blocks": 1}
GPU_TOLERANCE = 0.02
"""Relative difference of an epoch's losses that is left on a GPU, where sums are added up in any order."""


def trained(corpus, **machine) -> dict[str, bytes]:
    """What the stage `train` leaves of CM-ARR, file by file."""
    write_json(
        corpus.root / "data/tiny/settings/run.json",
        {"workers": 1, "device": "cpu", "memory": "auto", "executor": "local"} | machine,
    )
    corpus.settings("cmarr", SMALL)
    stages.train.main("tiny", "cmarr")
    files = sorted(Path("data/tiny/models/cmarr").glob("*.safetensors"))
    assert len(files) == 2
    return {file.name: file.read_bytes() for file in files} | {
        "curves": Path("metrics/tiny/cmarr/curves.csv").read_bytes()
    }


def test_no_number_of_workers_and_no_limit_of_memory_changes_a_byte(corpus):
    expected = trained(corpus)
    assert trained(corpus, memory=1e-9) == expected
    assert trained(corpus, workers=2) == expected


def losses(device: str) -> list[float]:
    """The losses of two epochs."""
    generator = torch.Generator().manual_seed(0)
    ones, starts = torch.ones(40, dtype=torch.long), torch.arange(40)
    values = {m: torch.randn(40, 6, generator=generator) for m in "svt"}
    labels = torch.randint(2, (40,), generator=generator)
    names = tuple(map(str, range(40)))
    store = Store(names, values, dict.fromkeys("svt", starts), dict.fromkeys("svt", ones), labels)
    normaliser = Normaliser(store.dims)
    normaliser.fit(store.frames())
    task = Task(("calm", "tense"))
    torch.manual_seed(0)
    method = CMARR(store.dims, task, CMARR.Settings(**SMALL, dropout=0.0)).to(device)
    progress = fit(
        method,
        normaliser.to(device),
        store.to(device),
        store.to(device),
        task=task,
        seed=0,
        lr=1e-3,
        batch_size=8,
        epochs=2,
        **FIT,
    )
    return [value for curve in progress.curves for name, value in curve.items() if name.startswith("loss/")]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_what_a_gpu_leaves_open_is_small():
    first, again, here = losses("cuda"), losses("cuda"), losses("cpu")
    assert again == pytest.approx(first, rel=GPU_TOLERANCE)
    assert here == pytest.approx(first, rel=GPU_TOLERANCE)
