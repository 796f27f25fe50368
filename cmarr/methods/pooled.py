"""What closed-form methods read: mean and deviation over time of each modality, standardised and rotated."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.layers.ragged import mean_and_deviation
from cmarr.methods.branches import modalities_of
from cmarr.modalities import CONDITIONS, MODALITIES, visible
from cmarr.task import Task

NEVER = -1e4
"""Logit of a class that no training utterance has."""


class Fitted(nn.Module):
    """A module whose buffers get their sizes from the data that it is fitted on. Obeys `SizedByData`."""

    def sizes_from(self, stored: Mapping[str, Any], prefix: str) -> None:
        """Make room for what a file holds."""
        for name, buffer in self.named_buffers(recurse=False):
            found = stored.get(prefix + name)
            if found is not None and found.ndim == buffer.ndim and found.shape != buffer.shape:
                setattr(self, name, buffer.new_empty(found.shape))

    def sizes_agree(self) -> bool:
        """Whether the buffers fit together."""
        raise NotImplementedError

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        self.sizes_from(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest)


class PooledFeatures(Fitted):
    """Utterances (B) -> z (B, R) fp64: R = sum of r_m columns, zeros where a modality is not available.

    Mean and standard deviation over time, (B, 2 D_m) a modality, are standardised on the available training rows and
    rotated onto the span of these rows, r_m = min(n_m, 2 D_m) columns. What is linear, and penalised or shrunk alike in
    all directions, loses nothing by it, and everything behind it costs O(n^3) whatever D is.

    Args:
        dims: modality -> feature width D_m.
    """

    def __init__(self, dims: Mapping[str, int]) -> None:
        super().__init__()
        self.modalities = modalities_of(dims)
        self.widths = {m: 2 * dims[m] for m in self.modalities}
        for m, width in self.widths.items():
            self.register_buffer(f"mean_{m}", torch.zeros(width, dtype=torch.float64))
            self.register_buffer(f"scale_{m}", torch.ones(width, dtype=torch.float64))
            self.register_buffer(f"basis_{m}", torch.zeros(width, 0, dtype=torch.float64))

    @property
    def ranks(self) -> dict[str, int]:
        """Modality -> its number of columns r_m."""
        return {m: int(getattr(self, f"basis_{m}").shape[1]) for m in self.modalities}

    def sizes_agree(self) -> bool:
        """Whether every rotation is one of its modality's features."""
        return all(
            getattr(self, f"basis_{m}").shape[0] == width >= self.ranks[m] for m, width in self.widths.items()
        )

    def fit(self, train: Batch) -> None:
        """Set standardisation and rotation from the available rows of a training split."""
        for m in self.modalities:
            pooled = self._pooled(train, m)[self.available(train, m)]  # (n_m, W_m)
            if not len(pooled):
                continue
            deviation = pooled.std(0, correction=0)
            getattr(self, f"mean_{m}").copy_(pooled.mean(0))
            getattr(self, f"scale_{m}").copy_(torch.where(deviation > 0, deviation, 1.0))
            standard = (pooled - getattr(self, f"mean_{m}")) / getattr(self, f"scale_{m}")
            setattr(self, f"basis_{m}", torch.linalg.svd(standard, full_matrices=False).Vh.T.contiguous())

    def forward(self, batch: Batch) -> Tensor:
        """The rows of a batch (B, R), on the CPU."""
        return torch.cat(
            [batch.spread(m, self.standard(batch, m) @ self.basis(m)) for m in self.modalities], 1
        )

    def standard(self, batch: Batch, modality: str) -> Tensor:
        """Standardised pooled features of one modality's sequences (U, 2 D), zeros for one without frames."""
        centred = self._pooled(batch, modality) - getattr(self, f"mean_{modality}").cpu()
        there = batch.lengths[modality].cpu()[:, None] > 0
        return torch.where(there, centred / getattr(self, f"scale_{modality}").cpu(), 0.0)

    def truths(self, batch: Batch) -> dict[str, Tensor]:
        """What a recovery is compared with: standardised pooled features within the span of the training rows,
        modality -> (B, 1, 2 D), zeros where it is not available.
        """
        return {
            m: (self.standard(batch, m) @ self.basis(m) @ self.basis(m).T)[:, None] for m in self.modalities
        }

    def basis(self, modality: str) -> Tensor:
        """(2 D, r) orthonormal columns."""
        basis: Tensor = getattr(self, f"basis_{modality}")
        return basis.cpu()

    def available(self, batch: Batch, modality: str) -> Tensor:
        """(B,) bool: the modality exists."""
        return batch.available[:, MODALITIES.index(modality)].cpu()

    def columns(self, usable: Tensor) -> Tensor:
        """Usable modalities (B, 3) bool, or of one condition (3,) -> their columns (B, R), or (R,), bool."""
        parts = [
            usable[..., [MODALITIES.index(m)]].expand(*usable.shape[:-1], self.ranks[m])
            for m in self.modalities
        ]
        return torch.cat(parts, -1).cpu()

    def of(self, condition: str) -> Tensor:
        """(R_A,) the columns of a condition, as indices."""
        return self.columns(torch.tensor(visible(condition))).nonzero().squeeze(1)

    def met(self, condition: str) -> bool:
        """Whether the corpus has a modality of the condition, so that it differs from a smaller one."""
        return set(condition) <= set(self.modalities)

    def _pooled(self, batch: Batch, modality: str) -> Tensor:
        return mean_and_deviation(batch.values[modality].double(), batch.lengths[modality]).cpu()


def by_condition(usable: Tensor) -> Iterator[tuple[int, str, Tensor]]:
    """Usable modalities (B, 3) bool -> index, condition, and (B,) bool the rows whose usable modalities form it.

    Conditions that no row forms are left out, and so are rows of nothing.

    >>> for found in by_condition(torch.tensor([[True, False, True], [False, False, False]])):
    ...     print(found)
    (5, 'st', tensor([ True, False]))
    """
    for index, condition in enumerate(CONDITIONS):
        rows = (usable.cpu() == torch.tensor(visible(condition))).all(1)
        if rows.any():
            yield index, condition, rows


def fit_linear_model(
    inputs: np.ndarray, labels: np.ndarray, task: Task, C: float, *, even: bool = False
) -> tuple[Tensor, Tensor]:
    """Logistic regression, or ridge regression of a score with alpha = 1 / C: weight (K, R) and bias (K,), fp64.

    With `even` each class counts alike, however many rows it has. A class without a row is never predicted; the only
    class of all rows always.
    """
    weight = torch.zeros(task.outputs, inputs.shape[1], dtype=torch.float64)
    bias = torch.zeros(task.outputs, dtype=torch.float64)
    if task.regression:
        ridge = Ridge(alpha=1 / C).fit(inputs, labels)
        weight[0], bias[0] = torch.from_numpy(ridge.coef_).double(), float(ridge.intercept_)
        return weight, bias
    seen = np.unique(labels)
    bias.fill_(NEVER)
    if len(seen) == 1:
        bias[seen[0]] = 0.0
        return weight, bias
    model = LogisticRegression(C=C, max_iter=2000, class_weight="balanced" if even else None).fit(
        inputs, labels
    )
    own, start = (torch.from_numpy(x).double() for x in (model.coef_, model.intercept_))
    if len(seen) == 2:  # scikit-learn gives one row, the log-odds of the second class
        own, start = torch.cat([-own, own]) / 2, torch.cat([-start, start]) / 2
    weight[seen], bias[seen] = own, start
    return weight, bias
