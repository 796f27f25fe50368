"""Decision trees as tensors: what scikit-learn's histogram gradient boosting has grown, without scikit-learn."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class Trees(nn.Module):
    """`rounds` times `outputs` trees of at most `nodes` nodes; the answer is their sum and a start.

    A saved model holds arrays of numbers only, and reading one runs nothing. Thresholds are compared in
    fp64, as where they were found. A tree that was never grown is a single leaf of value 0.
    """

    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    missing_left: Tensor
    leaf: Tensor
    value: Tensor
    start: Tensor

    def __init__(self, rounds: int, outputs: int, nodes: int):
        super().__init__()
        shape = (rounds, outputs, nodes)
        for name in ("feature", "left", "right"):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.int32))
        self.register_buffer("threshold", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("value", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("missing_left", torch.zeros(shape, dtype=torch.bool))
        self.register_buffer("leaf", torch.ones(shape, dtype=torch.bool))
        self.register_buffer("start", torch.zeros(outputs, dtype=torch.float64))

    def grow(self, place: tuple[int, int], nodes: np.ndarray) -> None:
        """Take over one tree's nodes, as scikit-learn's predictors hold them, at (round, output)."""
        columns: dict[str, Any] = {
            "feature": nodes["feature_idx"],
            "threshold": nodes["num_threshold"],
            "left": nodes["left"],
            "right": nodes["right"],
            "missing_left": nodes["missing_go_to_left"].astype(bool),
            "leaf": nodes["is_leaf"].astype(bool),
            "value": nodes["value"],
        }
        for name, column in columns.items():
            buffer = getattr(self, name)
            buffer[place][: len(nodes)] = torch.from_numpy(np.array(column)).to(buffer.dtype)

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (B, W) float64, NaN where absent -> (B, outputs) float64."""
        rounds, outputs, size = self.feature.shape
        trees = rounds * outputs
        flat = {
            name: getattr(self, name).reshape(-1)
            for name in ("feature", "threshold", "left", "right", "missing_left", "leaf", "value")
        }
        first = torch.arange(trees, device=inputs.device) * size  # (trees,)
        at = first.expand(len(inputs), trees)  # (B, trees), every row at every root
        while not flat["leaf"][at].all():
            given = inputs.gather(1, flat["feature"][at].long())  # (B, trees)
            to_left = torch.where(given.isnan(), flat["missing_left"][at], given <= flat["threshold"][at])
            below = first + torch.where(to_left, flat["left"][at], flat["right"][at])
            at = torch.where(flat["leaf"][at], at, below)
        return self.start + flat["value"][at].view(-1, rounds, outputs).sum(1)
