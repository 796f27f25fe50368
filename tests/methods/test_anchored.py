"""`anchored`: a network and `gaussian`, pooled by a weight that validation data choose."""

import pytest
import torch

from cmarr.data.batch import hide, visibility
from cmarr.methods.anchored import Anchored, sharpness
from cmarr.methods.asking import predictions, training_losses
from cmarr.methods.gaussian import Gaussian
from cmarr.modalities import CONDITIONS


def every(rows: int) -> dict[str, torch.Tensor]:
    return {c: visibility(c, rows) for c in CONDITIONS}


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_it_pools_what_both_say(small, weight):
    method, batch = small.method("anchored", weight=weight).eval(), small.batch()
    answers = predictions(method, batch, every(10))
    closed, network = (predictions(part, batch, every(10)) for part in (method.gaussian, method.network))
    for condition, answer in answers.items():
        parts = closed[condition].logits.softmax(1), network[condition].logits.softmax(1)
        product = parts[0] ** (1 - weight) * parts[1] ** weight
        expected = product / product.sum(1, keepdim=True)
        torch.testing.assert_close(answer.logits.softmax(1), expected, atol=1e-5, rtol=1e-4)


def test_until_the_last_epoch_is_over_the_network_answers_alone(small):
    made = small.method("anchored")
    alone = Anchored(small.dims, small.classes, Anchored.Settings(**small.sizes("anchored")))
    alone.load_state_dict(
        {k: v for k, v in made.state_dict().items() if k.startswith("network.")}, strict=False
    )
    batch = small.batch()
    answer = predictions(alone.eval(), batch, {"st": visibility("st", 10)})["st"]
    assert torch.equal(
        answer.logits, predictions(made.network.eval(), batch, {"st": visibility("st", 10)})["st"].logits
    )


@pytest.mark.parametrize(("truth", "weight"), [("closed form", 0.0), ("network", 1.0)])
def test_validation_data_choose_the_weight_and_either_part_can_win(small, truth, weight):
    method, batch = small.method("anchored", weight="auto").eval(), small.batch(40, absent=0.0)
    method.network.fusion.classify.weight.data *= 20  # nothing between the two is as good as the right one
    part = method.gaussian if truth == "closed form" else method.network
    batch.labels.copy_(predictions(part, batch, {"svt": visibility("svt", 40)})["svt"].logits.argmax(1))
    assert method.calibrate(batch)["weight"] == pytest.approx(weight, abs=0.15)


def test_the_weight_of_a_score_is_chosen_by_its_error(small):
    method = small.method("anchored", task=small.scores, weight="auto").eval()
    batch = small.batch(40, absent=0.0, regression=True)
    batch.labels.copy_(
        predictions(method.gaussian, batch, {"svt": visibility("svt", 40)})["svt"].logits[:, 0]
    )
    assert method.calibrate(batch)["weight"] < 1


def test_a_refit_takes_over_what_was_chosen(small):
    chosen = {"gaussian_temperature": 0.5, "network_temperature": 2.0, "weight": 0.75}
    method = small.method("anchored", weight="auto")
    method.calibrated(chosen)
    assert (float(method.weight), float(method.gaussian.temperature)) == (0.75, 0.5)
    assert float(method.temperature) == 2.0


def test_a_weight_that_is_typed_stays(small):
    method = small.method("anchored", weight=0.25).eval()
    assert method.calibrate(small.batch(40))["weight"] == 0.25


def test_validation_data_without_anything_choose_nothing(small):
    empty = small.batch(5)
    for m in "svt":
        empty = small.without(empty, m)
    assert small.method("anchored").eval().calibrate(empty)["weight"] == 0.5


def test_its_closed_form_is_gaussian(small):
    method, batch = small.method("anchored", weight=0.0).eval(), small.batch()
    alone = Gaussian(small.dims, small.classes, Gaussian.Settings(learn_from="training"))
    alone.fit(small.batch(60, seed=5), torch.Generator())
    for condition, answer in predictions(method, batch, every(10)).items():
        expected = predictions(alone, batch, every(10))[condition].logits.log_softmax(1)
        torch.testing.assert_close(answer.logits, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("network", "losses"), [("cmarr", {"spcl", "rec", "cls"}), ("masked", {"cls"})])
def test_the_network_is_trained_as_if_it_were_alone(small, network, losses):
    method, batch = small.method("anchored", network=network), small.batch()
    found = training_losses(method, batch, small.masks(batch))
    assert set(found) == losses
    torch.stack(list(found.values())).sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in method.network.parameters())


def test_what_is_recovered_can_be_compared_whichever_part_recovers(small):
    batch = small.batch(absent=0.0)
    for network in ("cmarr", "masked"):
        method = small.method("anchored", network=network).eval()
        truths, answer = method.truths(batch), predictions(method, batch, {"st": visibility("st", 10)})["st"]
        assert set(truths) == set("svt")
        if answer.recovered:
            assert answer.recovered["v"].shape == truths["v"].shape


def test_a_switch_without_a_task_is_named():
    assert [idle.key for idle in Anchored.Settings(network="masked", averaging="equal").idle()] == [
        "recovery"
    ]
    assert not list(Anchored.Settings().idle())


def test_sharpness_by_hand():
    """Two of three right with logits +-1: the best factor says log 2 for the odds, 2 s = log 2."""
    logits = torch.tensor([[1.0, -1.0]] * 3)
    assert sharpness(logits, torch.tensor([0, 0, 1])) == pytest.approx(0.5 * 0.6931, abs=1e-3)


def test_several_draws_are_averaged_and_the_same_every_time(small):
    """Multiple imputation: where nothing is missing all draws agree, and where something is they do not."""
    method = small.method("cmarr", averaging="conditional", draws=3).eval()
    batch = small.batch(absent=0.0)
    small.train(method, batch, small.masks(batch), 2)
    method.eval()
    answers = predictions(method, batch, every(10))
    again = predictions(method, batch, every(10))
    for condition, answer in answers.items():
        assert torch.equal(answer.logits, again[condition].logits)
        torch.testing.assert_close(answer.logits.exp().sum(1), torch.ones(10))
    encoded = method._encode(hide(batch, visibility("t", 10)), False)
    one, other = (
        method._predicted(hide(batch, visibility("t", 10)), encoded, draw).logits for draw in (0, 1)
    )
    assert not torch.allclose(one, other)
    mean = torch.stack(
        [method._predicted(hide(batch, visibility("t", 10)), encoded, d).logits.softmax(1) for d in range(3)]
    ).mean(0)
    torch.testing.assert_close(answers["t"].logits.exp(), mean, atol=1e-5, rtol=1e-5)
