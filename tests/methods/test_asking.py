"""Nothing that is hidden reaches a method: what it is given does not hold it."""

import pytest
import torch
from torch import nn

from cmarr.data.batch import Batch, hide, side_by_side, visibility
from cmarr.data.store import Store
from cmarr.methods.asking import predictions, training_losses
from cmarr.methods.protocol import Prediction
from cmarr.modalities import CONDITIONS, MODALITIES


class Spy(nn.Module):
    """Keeps what it is given, and answers with nothing."""

    def training_losses(self, batch, targets):
        self.given, self.targets = batch, targets
        return {"cls": torch.zeros(())}

    def predict(self, batch):
        self.given = batch
        return Prediction(torch.zeros(len(batch), 2))


def frames_of(batch: Batch, row: int, modality: str) -> torch.Tensor:
    """Everything of a modality that an utterance of a batch leads to."""
    own = batch.sequence[modality][row] if modality in batch.sequence else torch.tensor(row)
    parts = batch.values[modality].split(batch.lengths[modality].tolist())
    return parts[int(own)] if own >= 0 else batch.values[modality][:0]


def test_a_hidden_modality_has_no_frame_no_length_and_is_not_there(small):
    batch = small.batch()
    visible = small.masks(batch)
    seen = hide(batch, visible)
    for i, m in enumerate(MODALITIES):
        shown = batch.available[:, i] & visible[:, i]
        assert torch.equal(seen.available[:, i], shown)
        assert torch.equal(seen.lengths[m], batch.lengths[m] * shown)
        assert len(seen.values[m]) == int(seen.lengths[m].sum())
        for row in shown.nonzero().squeeze(1).tolist():
            assert torch.equal(frames_of(seen, row, m), frames_of(batch, row, m))


def test_utterances_side_by_side_lead_to_what_their_own_pattern_shows(small):
    batch = small.batch()
    patterns = [visibility("s", 10), small.masks(batch), visibility("st", 10)]
    together = side_by_side(batch, patterns)
    assert len(together) == 30
    assert len(together.values["s"]) == len(batch.values["s"])  # once, not for each pattern
    for p, visible in enumerate(patterns):
        alone = hide(batch, visible)
        for row in range(10):
            for m in MODALITIES:
                assert torch.equal(frames_of(together, 10 * p + row, m), frames_of(alone, row, m))


def test_what_no_pattern_shows_is_not_there_at_all(small):
    together = side_by_side(small.batch(), [visibility("s", 10), visibility("t", 10)])
    assert len(together.values["v"]) == 0
    assert not together.lengths["v"].any()


def test_what_was_made_of_a_sequence_is_spread_and_what_is_not_there_is_zero(small):
    batch = small.batch(4, absent=0.0)
    together = side_by_side(batch, [visibility("s", 4), visibility("t", 4)])
    made = torch.tensor([1.0, 2.0, 3.0, torch.nan])
    assert torch.equal(together.spread("s", made)[:3], made[:3])
    assert torch.equal(together.spread("s", made)[4:], torch.zeros(4))
    assert torch.equal(hide(batch, visibility("t", 4)).spread("s", made), torch.zeros(4))


@pytest.mark.parametrize("named", [(), ("rec",)])
def test_only_a_method_that_names_losses_is_given_targets(small, named):
    spy, batch = Spy(), small.batch()
    spy.hidden_losses = named
    visible = small.masks(batch)
    training_losses(spy, batch, visible)
    assert torch.equal(spy.given.available, batch.available & visible)
    assert (spy.targets is batch) == bool(named)
    assert (spy.targets is spy.given) == (not named)


def test_a_method_is_asked_once_for_all_conditions_and_never_twice_for_the_same(small):
    """An utterance without video is the same under 'vt' and 't'."""
    spy, batch = Spy(), small.without(small.batch(absent=0.0), "v")
    found = predictions(spy, batch, {c: visibility(c, 10) for c in CONDITIONS})
    assert list(found) == list(CONDITIONS)
    assert {tuple(row) for row in spy.given.available.tolist()} == {
        (True, False, True),
        (True, False, False),
        (False, False, True),
        (False, False, False),
    }
    assert len(spy.given) == 4 * 10


def test_a_store_s_batches_hold_no_more_than_hiding_leaves():
    generator = torch.Generator().manual_seed(0)
    lengths = {m: torch.randint(0, 4, (7,), generator=generator) for m in "sv"}
    values = {m: torch.randn(int(n.sum()), 3, generator=generator) for m, n in lengths.items()}
    starts = {m: n.cumsum(0) - n for m, n in lengths.items()}
    store = Store(tuple("abcdefg"), values, starts, lengths, torch.zeros(7, dtype=torch.long))
    order, visible = torch.tensor([3, 1, 6, 0]), torch.rand(4, 3, generator=generator) < 0.5
    given = list(store.batches(order, [3, 1], visible))
    for own, whole, seen in zip(given, store.batches(order, [3, 1]), visible.split([3, 1]), strict=True):
        wanted = hide(whole, seen)
        assert torch.equal(own.available, wanted.available)
        for m in "sv":
            assert torch.equal(own.values[m], wanted.values[m])
            assert torch.equal(own.lengths[m], wanted.lengths[m])
            assert own.longest[m] == int(wanted.lengths[m].max())
