"""Few labels and holes in training: nested, by class, the same whoever asks."""

import pytest
import torch

from cmarr.data.scarcity import scarce, with_rates
from cmarr.data.store import Store
from cmarr.task import Task

TASK = Task(("a", "b", "c"))
ROWS, VALIDATION = 90, 10


def store(regression: bool = False) -> Store:
    n = ROWS + VALIDATION
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0.0] * 60 + [1.0] * 27 + [2.0] * 13)[torch.randperm(n, generator=generator)]
    labels = labels - 1 if regression else labels.long()
    lengths = {m: torch.randint(0, 3, (n,), generator=generator) for m in "svt"}
    values = {m: torch.randn(int(k.sum()), 2, generator=generator) for m, k in lengths.items()}
    return Store(
        tuple(map(str, range(n))), values, {m: k.cumsum(0) - k for m, k in lengths.items()}, lengths, labels
    )


def kept(labels: torch.Tensor) -> torch.Tensor:
    return labels >= 0 if labels.dtype == torch.int64 else ~labels.isnan()


@pytest.mark.parametrize("regression", [False, True], ids=["classes", "scores"])
def test_labels_are_nested_of_each_class_alike_and_others_stay(regression):
    whole, task = store(regression), Task() if regression else TASK
    found = {s: scarce(whole, ROWS, 1, task, labels=s, holes=0.0).labels for s in (0.15, 0.3, 0.6, 1.0)}
    assert torch.equal(found[1.0], whole.labels)
    for less, more in ((0.15, 0.3), (0.3, 0.6), (0.6, 1.0)):
        assert (kept(found[less]) <= kept(found[more])).all()
        assert torch.equal(found[less][ROWS:], whole.labels[ROWS:])
    for one in whole.labels.unique():
        count = int((whole.labels[:ROWS] == one).sum())
        for share, labels in found.items():
            assert int((labels[:ROWS] == one).sum()) == -int(-share * count // 1)


def test_holes_are_nested_and_leave_every_utterance_something():
    whole = store()
    found = {r: scarce(whole, ROWS, 1, TASK, labels=1.0, holes=r).available for r in (0.0, 0.3, 0.9)}
    assert torch.equal(found[0.0], whole.available)
    assert (found[0.9] <= found[0.3]).all() and (found[0.3] <= whole.available).all()
    assert torch.equal(found[0.9].any(1), whole.available.any(1))
    assert torch.equal(found[0.9][ROWS:], whole.available[ROWS:])
    several = whole.available[:ROWS].sum(1) > 1
    lost = 1 - found[0.3][:ROWS][several].sum() / whole.available[:ROWS][several].sum()
    assert 0.15 < lost < 0.35  # 0.3, less what would have been the last


@pytest.mark.parametrize("rates", [(0.9, 0.3, 0.3), (0.5, 0.5, 0.5), (0.0, 0.1, 0.8), (0.7, 0.7, 0.6)])
def test_each_modality_is_missing_at_its_own_rate_and_no_utterance_loses_all(rates):
    available = torch.ones(20_000, 3, dtype=torch.bool)
    named = dict(zip(("text", "speech", "video"), rates, strict=True))
    left = with_rates(available, torch.Generator().manual_seed(0), named)
    assert left.any(1).all()
    lost = 1 - left.float().mean(0)
    torch.testing.assert_close(lost, torch.tensor([rates[1], rates[2], rates[0]]), atol=0.012, rtol=0)
    gone = torch.rand(left.shape, generator=torch.Generator().manual_seed(1)) < 0.4  # never there
    some = with_rates(~gone, torch.Generator().manual_seed(0), named)
    assert (some <= ~gone).all() and torch.equal(some.any(1), (~gone).any(1))


def test_rates_of_the_modalities_are_a_training_utterance_s_alone_and_of_the_fold():
    whole, rates = store(), {"text": 0.8}
    first, again, other = (
        scarce(whole, ROWS, fold, TASK, labels=1.0, holes=rates).available for fold in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(first[ROWS:], whole.available[ROWS:])
    assert torch.equal(first[:, :2], whole.available[:, :2])  # speech and video have no rate
    assert first[:ROWS, 2].sum() < whole.available[:ROWS, 2].sum()


def test_another_fold_is_another_draw_and_the_same_one_is_not():
    first, again, other = (scarce(store(), ROWS, fold, TASK, labels=0.3, holes=0.3) for fold in (1, 1, 2))
    assert torch.equal(first.labels, again.labels) and torch.equal(first.available, again.available)
    assert not torch.equal(first.labels, other.labels) and not torch.equal(first.available, other.available)


def test_frames_of_a_hole_are_neither_in_a_batch_nor_in_what_is_normalised():
    holed = scarce(store(), ROWS, 1, TASK, labels=1.0, holes=0.5)
    batch = holed.batch(torch.arange(len(holed)))
    assert torch.equal(batch.available, holed.available)
    for m, own in holed.frames().items():
        assert len(own) == len(batch.values[m]) == int(holed.lengths[m].sum())
        assert torch.equal(own[: len(own)], batch.values[m])
