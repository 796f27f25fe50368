"""A training step: it waits for nothing, can be compiled, and can be done in bf16.

Its forward pass and the optimiser run on a CUDA device that is not there (`tests/fake_device.py`), its backward pass on
the device `meta`, which has shapes and no numbers: whatever asks either for a value raises. A CUDA device, where there
is one, is asked by torch's own watch for synchronisation. All that is trained is looked at; a method that reads
dialogues may wait once a step for how many there are, and how long.
"""

import functools
import itertools
import typing

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from cmarr.data.masks import draw_epoch
from cmarr.data.normalise import Normaliser
from cmarr.data.store import Store
from cmarr.layers.flow import ChannelFlow
from cmarr.layers.ragged import worked_rows
from cmarr.methods.asking import in_dialogues, looks_at_hidden
from cmarr.methods.registry import build_method, method_class, method_names
from cmarr.task import Task
from cmarr.training.loop import fit, limit_gradients
from tests.fake_device import Device, Mixed, Waited
from tests.methods.conftest import DIMS, SMALL, sizes
from tests.training.conftest import FIT

TASK = Task(("angry", "happy", "neutral"))
METHODS = [name for name in method_names() if hasattr(method_class(name), "training_losses")]
FIRST = [f"{name}, first stage" for name in METHODS if getattr(method_class(name), "first_stage", None)]


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


def built(name: str, **settings) -> tuple[nn.Module, list[nn.Module]]:
    """A method in training mode that drops nothing out, and all that it is made of; or `<method>, first stage`."""
    torch.manual_seed(0)
    name, first_stage = name.removesuffix(", first stage"), name.endswith(", first stage")
    method = build_method(name, DIMS, TASK, sizes(name, first_stage) | settings, first_stage=first_stage)
    modules = [method]
    if not first_stage and getattr(method, "first_stage", None):
        taken = {key: value for key, value in settings.items() if key in method.first_stage_takes}
        modules.append(build_method(name, DIMS, TASK, sizes(name, True) | taken, first_stage=True))
        method.start_from(modules[1])
    method.train()
    for part in method.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0  # other shapes draw other numbers
    return method, modules


def switched(name: str) -> list[dict[str, object]]:
    """Settings in which each switch once stands in each of its other positions, and each weight of 0 is on.

    As many at once as go together: none may be refused, and none leave another without a task.
    """
    own = method_class(
        name.removesuffix(", first stage"), first_stage=name.endswith(", first stage")
    ).Settings
    left = []
    for key, field in own.model_fields.items():
        kinds = [field.annotation, *typing.get_args(field.annotation)]
        choices = [
            c for kind in kinds if typing.get_origin(kind) is typing.Literal for c in typing.get_args(kind)
        ]
        if isinstance(field.default, bool):
            choices = [not field.default]
        elif field.default == 0:
            choices.append(type(field.default)(1))
        left += [(field.alias or key, choice) for choice in choices if choice != field.default]
    found = []
    while left:
        together: dict[str, object] = {}
        for key, choice in left:
            if key not in together and goes_together(own, together | {key: choice}):
                together[key] = choice
        if not together:
            break
        found.append(together)
        left = [one for one in left if one not in together.items()]
    return found


def goes_together(section, settings: dict[str, object]) -> bool:
    try:
        made = section.model_validate(
            {**{k: v for k, v in SMALL.items() if k in section.model_fields}, **settings}
        )
    except ValueError:
        return False
    return not (hasattr(made, "idle") and list(made.idle()))


def batches(method, store: Store, normaliser: Normaliser, order: torch.Tensor, sizes: list[int]):
    """The batches of an epoch and their targets, as a training asks for them."""
    drawn = draw_epoch(store.available[order], sizes, torch.Generator().manual_seed(2))
    whole = store.batches(order, sizes) if looks_at_hidden(method) else itertools.repeat(None, len(sizes))
    for seen, targets in zip(store.batches(order, sizes, drawn), whole, strict=True):
        batch = normaliser(seen)
        yield batch, batch if targets is None else normaliser(targets)


def steps(method, store: Store, normaliser: Normaliser) -> list[dict[str, torch.Tensor]]:
    """The forward and backward passes of an epoch of two batches."""
    order = torch.randperm(len(store), generator=torch.Generator().manual_seed(1))
    sizes = [12, 12]
    found = []
    for given in batches(method, store, normaliser, order, sizes):
        losses = method.training_losses(*given)
        method.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        limit_gradients(method, 1.0, "whole")
        found.append({name: loss.detach() for name, loss in losses.items()})
    return found


class OnDevice:
    """A method on a device that is not there, and the losses of a batch of its epoch, for which nothing may wait."""

    def __init__(self, name: str, precision: str = "fp32", **settings):
        (self.method, modules), store, normaliser = built(name, **settings), random_store(), Normaliser(DIMS)
        given = store, normaliser, torch.arange(24), [12, 12]
        self.method.training_losses(
            *next(batches(self.method, *given))
        )  # what starts from a batch has started
        with Device(waits=True) as self.device:
            for module in modules:
                module.to("cuda")
            there = batches(self.method, store.to("cuda"), normaliser.to("cuda"), *given[2:])
            next(there)  # where the utterances lie has gone to the device
            self.device.waits = in_dialogues(self.method)
            with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
                self.losses = self.method.training_losses(*next(there))

    def optimise(self) -> None:
        """A step with gradients limited in every way."""
        with self.device:
            optimiser = torch.optim.Adam(self.method.parameters(), lr=1e-3, fused=True)
            for own in self.method.parameters():
                own.grad = torch.ones_like(own)
            for clip_by in ("whole", "part", "value"):
                assert limit_gradients(self.method, 1.0, clip_by).device.type == "cuda"
            optimiser.step()


@pytest.mark.parametrize("name", [*METHODS, *FIRST])
def test_a_step_asks_a_device_for_nothing_and_rounds_no_flow_and_no_loss(name, monkeypatch):
    """In bf16; in fp32 `test_no_switch_makes_a_step_ask` asks, where there is a switch."""
    inside: list[set[torch.dtype]] = []

    def watched(work):
        def run(*given):
            there = [mode for mode in _get_current_dispatch_mode_stack() if isinstance(mode, Device)]
            before = len(there[0].products) if there else 0
            found = work(*given)
            inside.extend(set(mode.products[before:]) for mode in there)
            return found

        return run

    for way in ("forward", "inverse"):
        monkeypatch.setattr(ChannelFlow, way, watched(getattr(ChannelFlow, way)))
    on = OnDevice(name, "bf16")
    assert {loss.device.type for loss in on.losses.values()} == {"cuda"}
    assert {loss.dtype for loss in on.losses.values()} == {torch.float32}
    assert torch.bfloat16 in on.device.products
    assert all(types <= {torch.float32} for types in inside)
    assert bool(inside) == any(isinstance(part, ChannelFlow) for part in on.method.modules())
    on.optimise()


@pytest.mark.parametrize("name", [*METHODS, *FIRST])
def test_no_switch_makes_a_step_ask(name):
    for settings in switched(name):
        try:
            OnDevice(name, **settings)
        except (Mixed, Waited) as error:
            raise AssertionError(f"{name}, {settings}: {error}") from error


PLANTED = {
    "a copy": lambda losses: {name: loss.cpu() for name, loss in losses.items()},
    "a question": lambda losses: losses if losses["cls"].isfinite().any() else {},
    "a number": lambda losses: losses if losses["cls"].item() else {},
    "a shape": lambda losses: losses | {"found": losses["cls"].view(1).nonzero().sum()},
    "a mask": lambda losses: losses | {"found": losses["cls"].view(1)[losses["cls"].view(1) > 0].sum()},
    "numbers from the host": lambda losses: losses | {"found": losses["cls"] * losses["cls"].new_tensor(2.0)},
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_step_that_asks_is_noticed(planted, monkeypatch):
    losses = method_class("masked").training_losses
    monkeypatch.setattr(
        method_class("masked"), "training_losses", lambda *given: PLANTED[planted](losses(*given))
    )
    with pytest.raises(Waited):
        OnDevice("masked")


def test_a_step_that_mixes_host_and_device_is_noticed(monkeypatch):
    losses = method_class("masked").training_losses

    def mixed(*given):
        return {name: (loss * torch.ones(2)).sum() for name, loss in losses(*given).items()}

    monkeypatch.setattr(method_class("masked"), "training_losses", mixed)
    with pytest.raises(Mixed):
        OnDevice("masked")


@pytest.mark.parametrize("name", METHODS)
def test_a_backward_pass_asks_for_nothing(name, monkeypatch):
    autocast = (
        torch.autocast
    )  # which does not know this device, and is switched off where it is asked for here
    monkeypatch.setattr(
        torch, "autocast", lambda kind, **own: autocast("cpu" if kind == "meta" else kind, **own)
    )
    store, normaliser = random_store(), Normaliser(DIMS)
    method, modules = built(name)
    if in_dialogues(method):
        pytest.skip("asks how long the dialogues are")
    order, sizes = torch.arange(24), [12, 12]
    method.training_losses(*next(batches(method, store, normaliser, order, sizes)))  # what starts has started
    for module in modules:
        module.to("meta")
    steps(method, store.to("meta"), normaliser.to("meta"))


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
        method, _ = built(name)
        losses = steps(method, store, normaliser)
        return losses, [p.grad for p in method.parameters() if p.grad is not None]

    expected, gradients = trained()
    everywhere = lambda mask, training=True: torch.arange(len(mask)) if training else worked_rows(mask)  # noqa: E731
    for module in (
        *("layers.recovery", "layers.representation"),
        *("methods._mmin", "methods.dicmor", "methods.imder"),
    ):
        monkeypatch.setattr(f"cmarr.{module}.worked_rows", everywhere)
    found, others = trained()
    for one, other in zip(expected, found, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            torch.testing.assert_close(one[key], other[key], rtol=2e-5, atol=1e-6)
    for one, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", METHODS)
def test_a_step_on_a_gpu_does_not_synchronise(name):
    store, normaliser = random_store().to("cuda"), Normaliser(DIMS).to("cuda")
    method, modules = built(name)
    if in_dialogues(method):
        pytest.skip("asks how long the dialogues are")
    for module in modules:
        module.to("cuda")
    steps(method, store, normaliser)
    epoch = batches(method, store, normaliser, torch.arange(len(store)), [12, 12])
    next(epoch)  # where the utterances lie has gone to the device
    torch.cuda.set_sync_debug_mode("error")
    try:
        for given in epoch:
            losses = method.training_losses(*given)
            torch.stack(list(losses.values())).sum().backward()
            limit_gradients(method, 1.0, "whole")
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
# Dynamo makes an instance of an autograd function to see its context.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("name", ["cmarr", "mcur"])  # the first holds the network of `masked`
def test_a_step_is_one_graph_for_the_compiler(name):
    """Traced, not compiled: that takes minutes."""
    store, order = random_store(), torch.arange(24)
    visible = draw_epoch(store.available, [24], torch.Generator().manual_seed(2))
    seen, whole = next(store.batches(order, [24], visible)), store.batch(order)
    method, _ = built(name)
    targets = whole if looks_at_hidden(method) else seen
    method.training_losses(seen, targets)  # what starts from the first batch has started
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
    (weights, curves), (rounded, others) = trained(name, epochs=1), trained(name, epochs=1, precision="bf16")
    assert all(rounded[key].dtype == value.dtype for key, value in weights.items())
    assert curves != others
    for key in curves[0]:
        if key.startswith("loss/") and key != "loss/gradient_norm":
            assert others[0][key] == pytest.approx(curves[0][key], rel=0.05, abs=0.02)


@pytest.mark.slow
def test_a_compiled_training_rounds_and_no_more(monkeypatch):
    """The graph is taken and differentiated as ever, its machine code, which takes minutes, is not made."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    (weights, curves), (compiled, others) = trained("cra", epochs=1), trained("cra", epochs=1, compile=True)
    for key, value in weights.items():
        torch.testing.assert_close(compiled[key], value, rtol=1e-3, atol=1e-4)
    assert others[-1]["loss/cls"] == pytest.approx(curves[-1]["loss/cls"], rel=1e-3)
    torch._dynamo.reset()
