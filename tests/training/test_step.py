"""A training step: it waits for nothing, can be compiled, and can be done in bf16.

That it does not wait is shown on the device `meta`, which has shapes and no numbers: whatever asks for one raises. A
CUDA device, where there is one, is asked by torch's own watch for synchronisation.
"""

import functools
import itertools

import pytest
import torch

from cmarr.data.masks import draw_epoch
from cmarr.data.normalise import Normaliser
from cmarr.data.store import Store
from cmarr.layers.ragged import worked_rows
from cmarr.methods.asking import looks_at_hidden
from cmarr.methods.protocol import Started
from cmarr.methods.registry import build_method
from cmarr.task import Task
from cmarr.training.loop import fit, limit_gradients
from tests.training.conftest import FIT

DIMS = {"s": 6, "v": 5, "t": 7}
TASK = Task(("angry", "happy", "neutral"))
SMALL = {"d": 8, "length": 4, "heads": 2}
MMIN = {"d": 16, "blocks": 2}
METHODS = {
    "cmarr": {**SMALL, "flow_steps": 2, "blocks": 1},
    "masked": SMALL,
    "cra": {"d": 16},
    "mmin": MMIN,
    "if_mmin": MMIN,
    "cif_mmin": MMIN,
    "dicmor": {**SMALL, "flow_steps": 2, "blocks": 1, "depth": 1},
    "mcur": {"d": 16, "latents": 2, "heads": 2, "depth": 1},
    "cmad": {"d": 16, "latents": 2, "heads": 2, "depth": 1},
    "primd": {"d": 16, "memory": 8, "ranks": 3},
    "momke": {**SMALL, "depth": 1},
    "cyin": {**SMALL, "hidden": 8, "bottleneck": 8, "blocks": 1},
}
FIRST = {"dicmor": {**SMALL, "depth": 1}} | {name: METHODS[name] for name in ("mcur", "cmad", "primd")}


def random_store(rows: int = 24) -> Store:
    generator = torch.Generator().manual_seed(0)
    values, starts, lengths = {}, {}, {}
    for m, width in DIMS.items():
        there = torch.rand(rows, generator=generator) > 0.2
        lengths[m] = torch.randint(1, 7, (rows,), generator=generator) * there
        starts[m] = lengths[m].cumsum(0) - lengths[m]
        values[m] = torch.randn(int(lengths[m].sum()), width, generator=generator).half()
    labels = torch.randint(TASK.outputs, (rows,), generator=generator)
    return Store(tuple(map(str, range(rows))), values, starts, lengths, labels)


def built(name: str):
    torch.manual_seed(0)
    method = build_method(name, DIMS, TASK, METHODS[name])
    if isinstance(method, Started):
        first = build_method(name, DIMS, TASK, FIRST.get(name, {"d": 16}), first_stage=True)
        method.start_from(first)
        return method.train(), first
    return method.train(), None


def losses_of(method, store: Store, normaliser: Normaliser, order: torch.Tensor, sizes: list[int]):
    """The losses of the batches of an epoch, as a training asks for them."""
    drawn = draw_epoch(store.available[order], sizes, torch.Generator().manual_seed(2))
    whole = store.batches(order, sizes) if looks_at_hidden(method) else itertools.repeat(None, len(sizes))
    for seen, targets in zip(store.batches(order, sizes, drawn), whole, strict=True):
        batch = normaliser(seen)
        yield method.training_losses(batch, batch if targets is None else normaliser(targets))


def steps(method, store: Store, normaliser: Normaliser) -> list[dict[str, torch.Tensor]]:
    """The forward and backward passes of an epoch of two batches."""
    order = torch.randperm(len(store), generator=torch.Generator().manual_seed(1))
    sizes = [12, 12]
    found = []
    for losses in losses_of(method, store, normaliser, order, sizes):
        method.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        limit_gradients(method, 1.0, "whole")
        found.append({name: loss.detach() for name, loss in losses.items()})
    return found


@pytest.mark.parametrize("name", METHODS)
def test_a_step_asks_the_device_for_nothing(name, monkeypatch):
    autocast = (
        torch.autocast
    )  # which does not know this device, and is switched off where it is asked for here
    monkeypatch.setattr(
        torch, "autocast", lambda kind, **own: autocast("cpu" if kind == "meta" else kind, **own)
    )
    store, normaliser = random_store(), Normaliser(DIMS)
    method, first = built(name)
    steps(method, store, normaliser)  # what starts from the first batch has started
    if first is not None:
        first.to("meta")
    steps(method.to("meta"), store.to("meta"), normaliser.to("meta"))


def test_a_device_without_numbers_notices_who_asks():
    with pytest.raises(NotImplementedError):
        torch.ones(3, device="meta").bool().nonzero()
    with pytest.raises(RuntimeError):
        int(torch.ones(3, device="meta").sum())


@pytest.mark.parametrize("name", METHODS)
def test_working_on_all_rows_changes_no_loss_and_no_gradient(name, monkeypatch):
    """As off the CPU: more rows are worked on, the same ones count."""
    store, normaliser = random_store(), Normaliser(DIMS)

    def trained():
        torch.manual_seed(0)
        method, _ = built(name)
        for part in method.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0  # other shapes draw other numbers
        losses = steps(method, store, normaliser)
        return losses, [p.grad for p in method.parameters() if p.grad is not None]

    expected, gradients = trained()
    everywhere = lambda mask, training=True: torch.arange(len(mask)) if training else worked_rows(mask)  # noqa: E731
    for module in ("layers.recovery", "layers.representation", "methods._mmin", "methods.dicmor"):
        monkeypatch.setattr(f"cmarr.{module}.worked_rows", everywhere)
    found, others = trained()
    for one, other in zip(expected, found, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            torch.testing.assert_close(one[key], other[key], rtol=2e-5, atol=1e-6)
    for one, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", METHODS)
def test_a_step_on_a_gpu_does_not_synchronise(name):
    store, normaliser = random_store().to("cuda"), Normaliser(DIMS).to("cuda")
    method, first = built(name)
    if first is not None:
        first.to("cuda")
    steps(method.to("cuda"), store, normaliser)
    epoch = losses_of(method, store, normaliser, torch.arange(len(store)), [12, 12])
    next(epoch)  # where the utterances lie has gone to the device
    torch.cuda.set_sync_debug_mode("error")
    try:
        for losses in epoch:
            torch.stack(list(losses.values())).sum().backward()
            limit_gradients(method, 1.0, "whole")
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
# Dynamo makes an instance of an autograd function to see its context.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("name", ["cmarr", "masked", "mcur"])
def test_a_step_is_one_graph_for_the_compiler(name):
    """Traced, not compiled: that takes minutes."""
    store, order = random_store(), torch.arange(24)
    visible = draw_epoch(store.available, [24], torch.Generator().manual_seed(2))
    seen, whole = next(store.batches(order, [24], visible)), store.batch(order)
    method, _ = built(name)
    targets = whole if looks_at_hidden(method) else seen
    method.training_losses(seen, targets)  # what starts from the first batch has started
    for part in method.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    traced = torch.compile(method.training_losses, backend="eager", fullgraph=True, dynamic=True)
    expected = method.training_losses(seen, targets)
    for key, loss in traced(seen, targets).items():
        torch.testing.assert_close(loss, expected[key], rtol=2e-5, atol=1e-6)
    torch._dynamo.reset()


def trained(name: str, **changes):
    method, _ = built(name)
    store, normaliser = random_store(), Normaliser(DIMS)
    normaliser.fit(store.frames())
    options = {
        "task": TASK,
        "seed": 3,
        "lr": 1e-3,
        "batch_size": 8,
        "epochs": 2,
        **FIT,
    }
    progress = fit(method, normaliser, store, random_store(), **options | changes)
    return method.state_dict(), progress.curves


@pytest.mark.parametrize("name", METHODS)
def test_bf16_rounds_the_step_and_leaves_the_weights_in_fp32(name):
    (weights, curves), (rounded, others) = trained(name), trained(name, precision="bf16")
    assert all(rounded[key].dtype == value.dtype for key, value in weights.items())
    assert curves != others
    for key in curves[0]:
        if key.startswith("loss/") and key != "loss/gradient_norm":
            assert others[0][key] == pytest.approx(curves[0][key], rel=0.05, abs=0.02)


@pytest.mark.slow
def test_a_compiled_training_rounds_and_no_more(monkeypatch):
    """The graph is taken and differentiated as ever, its machine code, which takes minutes, is not made."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    (weights, curves), (compiled, others) = trained("cra", epochs=1), trained("cra", epochs=1, compile=True)
    for key, value in weights.items():
        torch.testing.assert_close(compiled[key], value, rtol=1e-3, atol=1e-4)
    assert others[-1]["loss/cls"] == pytest.approx(curves[-1]["loss/cls"], rel=1e-3)
    torch._dynamo.reset()
