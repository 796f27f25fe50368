"""What was tried beside the product: the residual begins at `gaussian`, and pseudo-labels need something unlabelled."""

from dataclasses import replace

import torch

from benchmarks.tried import labels_table, residual_table
from benchmarks.tried.pseudo_labelled import PseudoLabelled
from benchmarks.tried.residual import Residual
from cmarr.data.batch import Batch, hide, visibility
from cmarr.data.labelled import UNLABELLED
from cmarr.methods.recovered import Recovered
from cmarr.task import Task

TASK, DIMS = Task(("a", "b")), {"s": 3, "v": 2, "t": 4}


def batch(rows: int = 24) -> Batch:
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(rows) % 2
    values = {
        m: torch.randn(2 * rows, d, generator=draw) + labels.repeat_interleave(2)[:, None]
        for m, d in DIMS.items()
    }
    lengths = {m: torch.full((rows,), 2) for m in DIMS}
    there = torch.ones(rows, 3, dtype=torch.bool)
    return Batch(values, lengths, there, labels, speakers=torch.arange(rows) // 4)


def test_the_residual_begins_at_the_closed_form_and_learns_on_that_of_other_speakers():
    train = batch()
    for left_out in (False, True):
        settings = Residual.Settings(d=8, heads=2, flow_steps=1, blocks=1, left_out=left_out)
        method = Residual(DIMS, TASK, settings)
        method.ground(train)
        seen = hide(train, visibility("st", len(train)))
        closed = method.gaussian.predict(seen).logits
        torch.testing.assert_close(method.predict(seen).logits, closed)
        other = method._of_gaussian(seen)
        assert torch.allclose(other, closed, atol=1e-5) is not left_out
        loss = method.training_losses(seen, train)["cls"]
        torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(other, train.labels))
        assert method.network.fusion.classify.offset is None


def test_pseudo_labels_change_nothing_where_every_utterance_has_a_label():
    train, draw = batch(), torch.Generator()
    few = replace(train, labels=torch.where(torch.arange(24) < 8, train.labels, UNLABELLED))
    for data, same in ((train, True), (few, False)):
        one = Recovered(DIMS, TASK, Recovered.Settings())
        other = PseudoLabelled(DIMS, TASK, PseudoLabelled.Settings())
        for method in (one, other):
            method.fit(data, draw)
        assert torch.allclose(one.weight, other.weight, atol=1e-6) is same


def test_what_has_not_been_run_has_no_row():
    cell = {row: {"difference": 0.02, "lo": 0.01, "hi": 0.03, "shown": 1} for row in ("avg6", "svt")}
    own = {"trainings": 15, "avg6": 0.7, "svt": 0.9}
    content = {
        "methods": {"pseudo_labelled": own},
        "pairs": {"pseudo_labelled/recovered_few": cell},
    }
    assert residual_table(content).startswith("*Not run yet")
    assert labels_table(content).count("\n") == 2
    assert "| 15 | 70.0 | 90.0 | +2.0 [+1.0, +3.0], better |" in labels_table(content)
