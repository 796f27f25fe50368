"""Which layers of a pretrained network make the features."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, cat, stack

from cmarr.errors import UserError

Layers = str | Sequence[int]


class LayerChoice:
    """Turns a network's output into rows.

    'last' is what transformers calls `last_hidden_state`. Whole numbers are averaged: 0 is what enters the first
    layer, n what leaves the n-th (in models that end with a layer norm of their own, before that norm). 'all' puts 0
    to n side by side, so that a method's first linear map weighs the layers itself, in training.
    """

    def __init__(self, encoder: str, layers: Layers, config: Any):
        self.layers = layers
        self.deepest = int(config.num_hidden_layers)
        if isinstance(layers, str):
            fits = layers in ("last", "all")
        else:
            fits = bool(layers) and all(isinstance(n, int) and 0 <= n <= self.deepest for n in layers)
        if not fits:
            raise UserError(
                f"encoders.{encoder}.layers: {layers!r} is not last, all, or a list of layers from 0 to "
                f"{self.deepest}, which is what this model has"
            )
        self.width = int(config.hidden_size) * (self.deepest + 1 if layers == "all" else 1)

    @property
    def needs_all(self) -> bool:
        """Whether the network has to hand out the output of every layer."""
        return self.layers != "last"

    def rows(self, output: Any) -> Tensor:
        """Features (B, T, width) of an output of the network."""
        if self.layers == "last":
            return output.last_hidden_state
        states = output.hidden_states
        if self.layers == "all":
            return cat(states, dim=-1)
        return stack([states[n].float() for n in self.layers]).mean(dim=0)

    def __str__(self) -> str:
        return self.layers if isinstance(self.layers, str) else ",".join(map(str, self.layers))
