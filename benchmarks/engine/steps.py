"""The steps of the training loop one by one, for parts that look into them."""

from collections.abc import Callable, Iterator

import torch
from torch import nn

from benchmarks.engine.stores import fitted
from cmarr.data.masks import draw_epoch
from cmarr.data.store import Store
from cmarr.methods.asking import training_losses
from cmarr.training.loop import limit_gradients


def engine_steps(
    method: nn.Module, store: Store, batch_size: int, tick: Callable[[str], None] = lambda phase: None
) -> Iterator[int]:
    """Steps for ever; yields how many utterances each had. `tick` is called after every phase, '' before the first."""
    normaliser, generator = fitted(store), torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(method.parameters(), lr=1e-4, fused=True)
    method.train()
    while True:
        order = torch.randperm(len(store), generator=generator)
        sizes = [batch_size] * (len(store) // batch_size)
        tick("")
        seen = draw_epoch(store.available[order], sizes, generator).split(sizes)
        tick("masks")
        for batch, visible in zip(store.batches(order, sizes), seen, strict=True):
            tick("gather")
            batch = normaliser(batch)
            tick("normalise")
            losses = training_losses(method, batch, visible)
            tick("forward")
            optimiser.zero_grad()
            torch.stack(list(losses.values())).sum().backward()
            tick("backward")
            limit_gradients(method, 1.0, "whole")
            tick("clip")
            optimiser.step()
            tick("Adam")
            yield len(batch)
            tick("")
