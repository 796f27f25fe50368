"""Which parts of a training step are in bf16: none, all that can be, some, or what a short measurement says.

A part is made of modules whose class says so: `part = "recovery"`. What comes out of one is fp32 again, so that all
around it (flows, losses, weights, gradients) stays in fp32. In evaluation mode a module is in fp32 always.
"""

import copy
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from cmarr.data.batch import Batch
from cmarr.methods.protocol import Method
from cmarr.training.settings import Part

PAYS = 1.1
"""Times that a step has to be faster before bf16 is chosen: less is no use, and would hang on chance."""

MEASURED = 3
"""Steps that are measured either way, after one that is not."""

CHOICE: tuple[Part, ...] = ("recovery",)
"""What `auto` may put in bf16: it is what pays on a CPU with instructions for bf16; all of a step is slower there."""


@contextmanager
def in_bf16(method: nn.Module, parts: Sequence[str]) -> Iterator[None]:
    """Inside, training steps of `method` have the modules of these parts in bf16."""
    chosen = [module for module in method.modules() if getattr(module, "part", None) in parts]
    for module in chosen:
        module.forward = partial(_forward, module)  # stands before the class's own, and is in no state
    try:
        yield
    finally:
        for module in chosen:
            del module.forward


def _forward(module: nn.Module, *inputs: Any, **named: Any) -> Any:
    work = type(module).forward
    if not module.training:
        return work(module, *inputs, **named)
    device = next(x.device.type for x in inputs if isinstance(x, Tensor))
    with torch.autocast(device, torch.bfloat16):
        found = work(module, *inputs, **named)
    return tree_map(lambda x: x.float() if isinstance(x, Tensor) and x.is_floating_point() else x, found)


def what_pays(method: nn.Module, batch: Batch, targets: Batch) -> tuple[Part, ...]:
    """The parts of `CHOICE`, if a step is `PAYS` times as fast with them in bf16; else none.

    A copy of the method takes a few steps either way, in turns; the method and torch's generators stay as they are.
    """
    if not any(getattr(module, "part", None) in CHOICE for module in method.modules()):
        return ()
    tried = copy.deepcopy(method).train()
    times: dict[tuple[Part, ...], list[float]] = {(): [], CHOICE: []}
    on_gpu = batch.labels.device.type == "cuda"
    with torch.random.fork_rng([batch.labels.device] if on_gpu else []):
        for _ in range(MEASURED + 1):
            for way, found in times.items():
                with in_bf16(tried, way):
                    found.append(_seconds(cast(Method, tried), batch, targets, on_gpu))
    slow, fast = (statistics.median(found[1:]) for found in times.values())
    return CHOICE if slow >= PAYS * fast else ()


def _seconds(method: Method, batch: Batch, targets: Batch, on_gpu: bool) -> float:
    """Of a step, forward and backward: the processor's own, which other programs lengthen least, or a GPU's."""
    clock = time.perf_counter if on_gpu else time.process_time
    began = clock()
    torch.stack(list(method.training_losses(batch, targets).values())).sum().backward()
    if on_gpu:
        torch.cuda.synchronize()
    return clock() - began
