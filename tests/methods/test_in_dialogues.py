"""Methods that read dialogues: an answer depends on its dialogue, as far as the draw shows it, and on no other."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from cmarr.data.batch import hide, visibility
from cmarr.data.dialogues import Dialogues
from cmarr.data.normalise import Normaliser
from cmarr.data.store import Store
from cmarr.evaluation.predicting import protocol_predictions
from cmarr.methods import inference
from cmarr.methods.asking import in_dialogues, predictions, training_losses
from cmarr.methods.finetuned import FineTuned
from cmarr.methods.gcnet import GCNet
from cmarr.methods.inference import split_logits
from cmarr.methods.model import with_privileges
from cmarr.methods.registry import build_method
from cmarr.modalities import CONDITIONS
from cmarr.task import Task
from cmarr.training.loop import fit

READERS = {"gcnet": {}, "momke": {"sequence": "dialogue"}}
NUMBER = torch.tensor([3, 1, 3, 1, 3, 0, 1, 3, 2, 2])
"""Dialogues of four, three, one and two utterances."""

DIALOGUES = Dialogues(NUMBER, torch.tensor([4, 0, 1, 3, 0, 0, 1, 9, 1, 0]), torch.arange(10) % 2)
FOUR = Task(("angry", "happy", "neutral", "sad"))


@pytest.fixture(params=[*READERS.items(), ("gcnet", {"attention": True})], ids=[*READERS, "gcnet, attention"])
def method(request, small):
    name, own = request.param
    return small.method(name, **own).eval()


@pytest.fixture
def batch(small):
    return replace(small.batch(absent=0.1), dialogues=DIALOGUES)


def take(small, batch, rows):
    return replace(small.take(batch, rows), dialogues=batch.dialogues[rows])


def answer(method, batch, visible):
    return predictions(method, batch, {"x": visible})["x"].logits


class TestAnswers:
    def test_it_says_that_it_reads_dialogues(self, small, method):
        assert in_dialogues(method)
        assert in_dialogues(FineTuned(method, {}))
        assert not in_dialogues(small.method("momke"))
        assert not in_dialogues(small.method("masked"))

    def test_it_depends_on_no_other_dialogue_nor_on_the_order_of_the_batch(self, small, method, batch):
        visible = small.masks(batch)
        together = answer(method, batch, visible)
        for number in NUMBER.unique():
            rows = (number == NUMBER).nonzero().squeeze(1).flip(0)
            alone = answer(method, take(small, batch, rows), visible[rows])
            torch.testing.assert_close(alone, together[rows], atol=1e-5, rtol=1e-5)

    def test_it_depends_on_the_utterances_around(self, small, method):
        batch, visible = replace(small.batch(absent=0.0), dialogues=DIALOGUES), visibility("svt", 10)
        changed = small.with_noise(small.take(batch, torch.arange(10)), "s")
        rest = torch.repeat_interleave(torch.arange(10) != 4, batch.lengths["s"])
        values = torch.where(rest[:, None], batch.values["s"], changed.values["s"])  # of utterance 4 alone
        moved = answer(method, replace(batch, values={**batch.values, "s": values}), visible)
        still = answer(method, batch, visible)
        same = torch.isclose(moved, still, atol=1e-5).all(1)
        assert torch.equal(same, NUMBER != 3)

    def test_its_order_and_nothing_but_its_order_counts(self, small, method, batch):
        visible = visibility("svt", 10)
        still = answer(method, batch, visible)
        apart = replace(DIALOGUES, position=3 * DIALOGUES.position + 1, number=7 - NUMBER)
        torch.testing.assert_close(answer(method, replace(batch, dialogues=apart), visible), still)
        if isinstance(method, GCNet):
            turned = replace(DIALOGUES, position=-DIALOGUES.position)
            assert not torch.allclose(answer(method, replace(batch, dialogues=turned), visible), still)

    @pytest.mark.parametrize("training", [True, False])
    def test_what_is_hidden_around_is_not_seen(self, small, method, batch, training):
        visible = small.masks(batch)
        method.train(training)
        found = []
        for given in (batch, small.poisoned(batch, visible)):
            torch.manual_seed(1)
            found.append(answer(method, given, visible))
        assert found[0].isfinite().all()
        assert torch.equal(*found)

    def test_conditions_answered_together_or_alone_agree(self, method, batch):
        """A neighbour shows another thing under each, also where the utterance itself does not."""
        together = predictions(method, batch, {c: visibility(c, 10) for c in CONDITIONS})
        for condition in CONDITIONS:
            alone = answer(method, batch, visibility(condition, 10))
            torch.testing.assert_close(together[condition].logits, alone, atol=1e-5, rtol=1e-5)

    def test_without_dialogues_each_utterance_is_one(self, small, method, batch):
        visible = small.masks(batch)
        each = Dialogues(torch.arange(10), torch.zeros(10).long(), torch.zeros(10).long())
        torch.testing.assert_close(
            answer(method, replace(batch, dialogues=None), visible),
            answer(method, replace(batch, dialogues=each), visible),
        )

    def test_an_utterance_without_anything_has_a_place_in_it_and_no_nan(self, method, batch):
        visible = visibility("svt", 10).clone()
        visible[[0, 4]] = False
        losses = training_losses(method, batch, visible)
        sum(losses.values()).backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in method.parameters())
        assert answer(method, batch, visible).isfinite().all()


def test_with_that_privilege_alone_those_around_are_hidden_by_draws_of_their_own(small, method, batch):
    """Each answer is that under one mask of the whole batch in which its own row shows the condition asked about."""
    masks = {c: visibility(c, 10, "cpu") for c in CONDITIONS}
    usual = predictions(method, batch, masks)
    with_privileges(method, ("redrawn_masks",))
    if not method.privileges.count("redrawn_masks"):  # whose authors did not
        assert torch.equal(predictions(method, batch, masks)["sv"].logits, usual["sv"].logits)
        return
    found, again = (predictions(method, batch, masks) for _ in range(2))
    order = torch.rand(7, 10, generator=torch.Generator().manual_seed(1)).argsort(0)
    shown = torch.stack(list(masks.values()))
    method.redraws_masks = 0
    for copy in order:
        alike = answer(method, batch, shown[copy, torch.arange(10)])
        for row, place in enumerate(copy.tolist()):
            torch.testing.assert_close(found[CONDITIONS[place]].logits[row], alike[row])
    alone = NUMBER == 0
    for name in ("t", "sv"):
        assert not torch.equal(found[name].logits, again[name].logits)
        torch.testing.assert_close(found[name].logits[alone], usual[name].logits[alone])
        assert not torch.allclose(found[name].logits[~alone], usual[name].logits[~alone])


def corpus(rows: int = 40) -> Store:
    """Dialogues of four utterances whose turns stand apart in the store."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (rows,), generator=generator)
    values = {m: torch.randn(rows, 4, generator=generator) + labels[:, None] for m in "svt"}
    ones, starts = torch.ones(rows, dtype=torch.long), torch.arange(rows)
    number = torch.arange(rows) % (rows // 4)
    dialogues = Dialogues(number, torch.arange(rows), torch.arange(rows) % 2)
    parts = dict.fromkeys("svt", starts), dict.fromkeys("svt", ones)
    return Store(tuple(f"u{i}" for i in range(rows)), values, *parts, labels, dialogues=dialogues)


def reader(name: str):
    torch.manual_seed(0)
    sizes = {
        "gcnet": {"d": 4, "graph": 4, "hidden": 4},
        "momke": {"d": 8, "depth": 1, "sequence": "dialogue"},
    }
    return build_method(name, dict.fromkeys("svt", 4), Task(("calm", "tense")), sizes[name])


@pytest.mark.parametrize("name", READERS)
def test_a_training_and_its_validation_see_whole_dialogues(name, monkeypatch):
    method, store = reader(name), corpus()
    monkeypatch.setattr(inference, "ROWS", 8)
    seen = []
    ask, losses = method.predict, method.training_losses
    method.predict = lambda batch: seen.append(batch.dialogues) or ask(batch)
    method.training_losses = lambda batch, targets: seen.append(batch.dialogues) or losses(batch, targets)
    normaliser = Normaliser(dict.fromkeys("svt", 4))
    fit(method, normaliser, store, store, task=Task(("calm", "tense")), seed=0, epochs=2, batch_size=10)
    assert len(seen) >= 2 * 4 + 2
    for dialogues in seen:
        assert set(dialogues.number.unique(return_counts=True)[1].tolist()) == {4}
    method.predict = ask
    whole = split_logits(method, normaliser, store, ["sv"])["sv"]
    monkeypatch.setattr(inference, "ROWS", 10_000)
    torch.testing.assert_close(split_logits(method, normaliser, store, ["sv"])["sv"], whole)


@pytest.mark.parametrize("name", READERS)
def test_a_mask_set_hides_of_the_utterances_around_what_it_names(name):
    """Not looked up in the fixed conditions, in which all of a dialogue show the same."""
    method, store = reader(name).eval(), corpus()
    normaliser = Normaliser(dict.fromkeys("svt", 4))
    conditions = [CONDITIONS[i % 7] for i in range(40)]
    drawn = pd.DataFrame({"fold": 1, "id": store.ids, "level": 0.3, "condition": conditions}).iloc[::-1]

    def predict(given, names, **degree):
        parts = []
        for condition, logits in split_logits(method, normaliser, given, names).items():
            rows = {"id": given.ids, "condition": condition, "p": logits.softmax(1)[:, 0].numpy()}
            parts.append(pd.DataFrame(rows).assign(**degree))
        return pd.concat(parts)

    _, found = protocol_predictions(predict, store, {"rate": drawn}, 1, around=True)
    visible = torch.cat([visibility(c, 1) for c in conditions])
    expected = answer(method, normaliser(store.batch(torch.arange(40))), visible).softmax(1)[:, 0]
    assert found["condition"].tolist() == conditions[::-1]
    np.testing.assert_allclose(found["p"], expected.detach().numpy()[::-1], atol=1e-5)
    fixed, looked_up = protocol_predictions(predict, store, {"rate": drawn}, 1)
    assert len(fixed) == 7 * 40
    assert not np.allclose(looked_up["p"], found["p"], atol=1e-5)


def test_parameters_of_gcnet_at_the_authors_sizes():
    """Counted from the layers' description; the paper prints no number. Two speakers, features of 512/1024/1024."""
    sizes = {"d": 200, "graph": 100, "hidden": 500, "pool": "mean"}
    method = build_method("gcnet", {"s": 512, "t": 1024, "v": 1024}, FOUR, sizes)

    def lstm(width, each):
        return sum(2 * 4 * each * (inside + each + 2) for inside in (width, 2 * each))

    def graph(relations):
        return (relations + 1) * 400 * 100 + 100 + 2 * 100 * 100 + 100 + lstm(500, 500) + 1000 * 500 + 500

    assert sum(p.numel() for p in method.parameters()) == (
        lstm(2560, 200) + graph(3) + graph(4) + 500 * 4 + 4 + 500 * 2560 + 2560
    )
    assert sum(p.numel() for p in method.parameters()) == 28_100_364


def test_the_error_of_what_is_hidden_by_hand(small, batch):
    method = small.method("gcnet", pool="mean", reconstruction_weight=2.0).eval()
    batch = replace(small.batch(absent=0.0), dialogues=DIALOGUES)
    losses = training_losses(method, batch, visible := visibility("sv", 10))
    completed = method.complete(method.fused(hide(batch, visible)))[:, -7:]
    truth = torch.stack([x.mean(0) for x in batch.values["t"].split(batch.lengths["t"].tolist())])
    torch.testing.assert_close(losses["reconstruction"], 2 * (completed - truth).square().mean())
