"""`train.precision` by part: what is in bf16 and what is not, and what `auto` decides, once."""

import itertools

import pytest
import torch
from torch import nn

from cmarr.layers.attention import Reconstruction
from cmarr.methods.model import load_model
from cmarr.training import precision
from cmarr.training.job import run_job
from cmarr.training.precision import CHOICE, in_bf16, what_pays
from tests.methods.conftest import DIMS
from tests.training.conftest import TRAIN, job_of
from tests.training.test_step import METHODS, Normaliser, batches, built, random_store

SMALL = {"d": 8, "length": 4, "heads": 2, "flow_steps": 2, "blocks": 1}
PARTS = ("recovery", "fusion", "encoders")


def first_batch(method: nn.Module):
    return next(batches(method, random_store(), Normaliser(DIMS), torch.arange(24), [12, 12]))


def below(method: nn.Module, part: str) -> list[nn.Module]:
    """The layers of a part that multiply."""
    own = [module for module in method.modules() if getattr(module, "part", None) == part]
    return [x for module in own for x in module.modules() if isinstance(x, nn.Linear | nn.Conv1d)]


def losses_of(method: nn.Module, given) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return method.training_losses(*given)


@pytest.mark.parametrize("name", METHODS)
def test_a_part_and_nothing_else_is_in_bf16(name):
    method, _ = built(name)
    seen: dict[nn.Module, set[torch.dtype]] = {}
    for module in method.modules():
        if isinstance(module, nn.Linear | nn.Conv1d):
            module.register_forward_hook(
                lambda module, inputs, found: seen.setdefault(module, set()).add(found.dtype)
            )
    given = first_batch(method)
    plain = losses_of(method, given)
    for part in PARTS:
        wanted = below(method, part)
        seen.clear()
        with in_bf16(method, (part,)):
            losses = losses_of(method, given)
        torch.stack(list(losses.values())).sum().backward()
        for module, types in seen.items():
            assert types == {torch.bfloat16 if module in wanted else torch.float32}
        assert {loss.dtype for loss in losses.values()} == {torch.float32}
        assert all(p.grad.dtype == torch.float32 for p in method.parameters() if p.grad is not None)
        for key, loss in losses.items():
            torch.testing.assert_close(loss, plain[key], rtol=0.05, atol=0.02)
    for key, loss in losses_of(method, given).items():
        torch.testing.assert_close(loss, plain[key], rtol=1e-5, atol=1e-6)  # and none is left


def test_cmarr_has_every_part():
    method, _ = built("cmarr")
    assert all(below(method, part) for part in PARTS)


def test_predictions_are_in_fp32():
    method, _ = built("cmarr")
    batch, _ = first_batch(method)
    method.training_losses(batch, batch)
    method.eval()
    expected = method.predict(batch).logits
    with in_bf16(method, PARTS):
        assert torch.equal(method.predict(batch).logits, expected)


def times(monkeypatch, *of_steps: float) -> None:
    """What the steps in turns seem to take: fp32, bf16."""
    told = itertools.cycle(of_steps)
    real = precision._seconds
    monkeypatch.setattr(precision, "_seconds", lambda *given: 0 * real(*given) + next(told))


@pytest.mark.parametrize(("seconds", "expected"), [((1.2, 1.0), CHOICE), ((1.05, 1.0), ()), ((1.0, 1.2), ())])
def test_bf16_is_chosen_where_it_pays_and_measuring_changes_nothing(monkeypatch, seconds, expected):
    method, _ = built("cmarr")
    before = {key: value.clone() for key, value in method.state_dict().items()}
    state, given = torch.get_rng_state(), first_batch(method)
    times(monkeypatch, *seconds)
    assert what_pays(method, *given) == expected
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[key], value) for key, value in method.state_dict().items())
    assert all(p.grad is None for p in method.parameters())


def test_a_method_without_recovery_is_not_measured(monkeypatch):
    times(monkeypatch, 1.2, 1.0)
    method, _ = built("masked")
    assert what_pays(method, *first_batch(method)) == ()


def test_what_was_measured_is_written_down_and_holds_after_a_kill(corpus, monkeypatch):
    def job(folder):
        train = TRAIN | {"precision": "auto", "refit": True}
        return job_of("cmarr", folder, SMALL, train=train)

    used: list[set[torch.dtype]] = []
    forward = Reconstruction.forward

    def watched(self, x):
        if self.training:
            used[-1].add(self.widen(x.transpose(1, 2)).dtype)
        return forward(self, x)

    monkeypatch.setattr(Reconstruction, "forward", watched)
    times(monkeypatch, 1.2, 1.0)
    used.append(set())
    run_job(job("one"), lambda: None)
    model = load_model(corpus.root / "one/fold1-seed0.safetensors", "cpu")
    assert model.description["train"]["precision"] == ["recovery"]

    class Kill(Exception):
        pass

    def kill():
        raise Kill

    with pytest.raises(Kill):
        run_job(job("two"), kill)
    times(monkeypatch, 1.0, 1.2)  # now it would choose otherwise
    used.append(set())
    run_job(job("two"), lambda: None)
    assert used[-1] == {torch.bfloat16}
    names = ("one/fold1-seed0.safetensors", "two/fold1-seed0.safetensors")
    one, two = ((corpus.root / name).read_bytes() for name in names)
    assert one == two
