"""A CUDA device that is not there: what a real one would refuse, or be waited for, is an error here.

`Device` stands on torch's `FakeTensorMode`: a tensor on it says `cuda:0`, and has shapes and types. Beside each lies
its value, computed on the host, so that one can ask for it where waiting is allowed (an evaluation, an encoder) and
compare what comes out. The host's own tensors are as ever. A backward pass needs a driver: tests show it on `meta`.
"""

import contextlib
import functools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

aten = torch.ops.aten
COPIES = (aten._to_copy.default, aten.copy_.default)
INDEXED = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default)
ASKS = (aten._linalg_check_errors.default,)
"""Ask the device and have no tag of torch's that says so."""

PRODUCTS = (
    *(aten.mm.default, aten.addmm.default, aten.bmm.default, aten.baddbmm.default, aten.convolution.default),
    *(aten._scaled_dot_product_flash_attention_for_cpu.default, aten.addmv.default, aten.mv.default),
)
"""What autocast sets the type of."""


def _lstm_cell(
    inputs: Tensor, hidden: Tensor, cell: Tensor, *biases: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """(new hidden state, new cell, gates), of gates (B, 4 d) before their biases."""
    gates = inputs + hidden + sum(biases)
    into, forget, new, out = gates.chunk(4, dim=1)
    moved = forget.sigmoid() * cell + into.sigmoid() * new.tanh()
    return out.sigmoid() * moved.tanh(), moved, gates


ON_HOST = {aten._thnn_fused_lstm_cell.default: _lstm_cell}
"""What a CPU has no kernel of."""


PACK = aten._pack_padded_sequence.default
"""Wants lengths on the host, and gives sizes there."""


class Mixed(AssertionError):
    """Host and device meet in one operation."""


class Waited(AssertionError):
    """The host waits for the device: for a value, for a shape that hangs on one, or for a copy."""


class Device(TorchDispatchMode):
    """Inside, `cuda` can be used. `waits`: whether the host may wait for it.

    products: the type of the inputs of each matrix product on the device, in their order
    """

    def __init__(self, waits: bool = False):
        super().__init__()
        self.waits = waits
        self.products: list[torch.dtype] = []
        self.fake = _fake_mode()
        self._open = contextlib.ExitStack()

    def __enter__(self) -> "Device":
        self._open.enter_context(torch.backends.cudnn.flags(enabled=False))
        self._open.enter_context(_as_if_there())
        self._open.enter_context(self.fake)  # below this one: what lies on the host never gets there
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._open.close()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.prim.device.default and isinstance(args[0], FakeTensor):
            return args[0].fake_device
        given = {**(kwargs or {})}
        leaves = tree_leaves((args, given))
        there = any(isinstance(x, FakeTensor) for x in leaves)
        target = given.get("device")
        goes = target is not None and torch.device(target).type == "cuda"
        if not there and not goes:
            with unset_fake_temporarily():
                return func(*args, **given)
        if torch.is_inference_mode_enabled() and func._can_decompose():  # elsewhere torch has done so
            super().__enter__()
            try:
                return func.decompose(*args, **given)
            finally:
                super().__exit__(None, None, None)
        if func in PRODUCTS:
            self.products.append(next(x.dtype for x in leaves if isinstance(x, FakeTensor)))
        self._refuse(func, args, given, leaves)
        values, named = tree_map(value_of, (args, given))
        with unset_fake_temporarily():
            value = ON_HOST.get(func, func)(*values, **(named | {"device": "cpu"} if goes else named))
        if there and target is not None and not goes:
            return value  # a copy to the host
        if func is aten.copy_.default and not isinstance(args[0], FakeTensor):
            return args[0]
        if not any(isinstance(x, Tensor) for x in tree_leaves(value)):
            return value
        if func is PACK:
            return _placed(value[0]), value[1]
        shared = [found.alias_info for found in func._schema.returns if found.alias_info is not None]
        if any(of.is_write for of in shared) or (shared and torch.is_inference_mode_enabled()):
            return _paired(
                func(*args, **given), value
            )  # a tensor that was there before, or counts its changes
        return tree_map(_placed, value)

    def _refuse(self, func: Any, args: Any, given: Any, leaves: list[Any]) -> None:
        tensors = [x for x in leaves if isinstance(x, Tensor)]
        here = [x for x in tensors if not isinstance(x, FakeTensor)]
        if func in COPIES:
            if not self.waits and not given.get("non_blocking", False) and _crosses(func, args, given):
                raise Waited(f"{func}: a copy between host and device")
            return
        if func is not PACK and len(here) < len(tensors) and any(x.ndim for x in here):
            raise Mixed(f"{func}: tensors of the host among those of the device")
        if not self.waits and _asks(func, args, given):
            raise Waited(f"{func}: asks the device for values")


def _placed(value: Any) -> Any:
    """A tensor of the host, on the device. Its shape is that of the value: torch would take long to find it anew."""
    if not isinstance(value, Tensor):
        return value
    with unset_fake_temporarily():
        shape = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
    fake = FakeTensor(_fake_mode(), shape, torch.device("cuda:0"))
    fake.value = value
    return fake


@functools.cache
def _fake_mode() -> FakeTensorMode:
    """One for all, so that what is kept between two steps is of no other."""
    return FakeTensorMode(allow_non_fake_inputs=True, shape_env=ShapeEnv())


def value_of(x: Any) -> Any:
    """What lies beside a tensor of the device; anything else as it is."""
    if isinstance(x, FakeTensor):
        return x.value
    return x


def _paired(fake: Any, value: Any) -> Any:
    for place, (one, own) in enumerate(zip(tree_leaves(fake), tree_leaves(value), strict=True)):
        if isinstance(one, FakeTensor) and isinstance(own, Tensor):
            # What comes after the first is as a rule noted for a backward pass, by either device in its own form.
            assert place or one.shape == own.shape, (one.shape, own.shape)
            one.value = own
    return fake


def _crosses(func: Any, args: Any, given: Any) -> bool:
    """Whether a copy is one between host and device; a single number goes there with the call."""
    if func is aten.copy_.default:
        into, source = args[:2]
        return isinstance(into, FakeTensor) != isinstance(source, FakeTensor) and source.ndim > 0
    target = given.get("device")
    return target is not None and (torch.device(target).type == "cuda") != isinstance(args[0], FakeTensor)


def _asks(func: Any, args: Any, given: Any) -> bool:
    """Whether an operation needs a value of the device on the host."""
    if func in ASKS:
        return True
    if func is aten.repeat_interleave.Tensor:
        return given.get("output_size") is None
    if func in INDEXED:
        found = [x for x in args[1] if x is not None and x.dtype in (torch.bool, torch.uint8)]
        one_value = func is not aten.index.Tensor and args[2].numel() == 1 and len(args[1]) == 1
        return bool(found) and not one_value  # a single value is filled in, without counting where
    return torch.Tag.data_dependent_output in func.tags or torch.Tag.dynamic_output_shape in func.tags


@contextlib.contextmanager
def _as_if_there() -> Iterator[None]:
    """Autocast, which torch switches off without a driver; and modules that go to the device and are then converted."""
    common, utils, cuda = torch.cuda.amp.common, torch.utils, torch.cuda
    before = common.amp_definitely_not_available, cuda.is_bf16_supported, utils.weakref
    common.amp_definitely_not_available, cuda.is_bf16_supported = lambda: False, lambda *a, **k: True
    utils.weakref = SimpleNamespace(getweakrefs=lambda tensor: [])  # the mode's own, which do no harm
    try:
        yield
    finally:
        common.amp_definitely_not_available, cuda.is_bf16_supported, utils.weakref = before
