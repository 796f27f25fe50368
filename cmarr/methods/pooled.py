"""What closed-form methods read: statistics over time of each modality, standardised and rotated."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from scipy.optimize import minimize
from sklearn.linear_model import Ridge
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.data.normalise import deviation_of
from cmarr.data.statistics import PERCENTILES, STATISTICS, mean_and_deviation, statistics
from cmarr.declaration import Section, setting
from cmarr.methods.branches import modalities_of
from cmarr.modalities import CONDITIONS, MODALITIES, NAMES, visible
from cmarr.task import Task

ROWS = 256
"""Utterances of which statistics are computed at once; bounds memory, never changes one."""

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


Which = Literal["speech", "all", "none"]


class Pooling(Section):
    """What is read of a sequence by the methods that read statistics of it."""

    percentiles: Which = setting(
        "speech",
        "of which modalities the percentiles over time (5, 25, 50, 75, 95) are read beside mean and deviation: speech, "
        "all, none",
    )
    changes: Which = setting("speech", "of which the mean size of the step from frame to frame is read, too")
    learn_from: Literal["both", "training"] = setting(
        "both",
        "both = of training and validation speakers, what has to be chosen being chosen on speakers that are left out "
        "in turn; training = of training speakers alone, as methods do that need the others to choose an epoch",
    )


class StandardFeatures(Fitted):
    """Utterances (B) -> statistics over time of each modality, standardised on the available training rows.

    Mean and standard deviation, (B, 2 D_m), and, where the settings say so, percentiles and mean change beside them:
    (B, W_m). A modality of which every training utterance is a single frame has its mean and deviation alone: the rest
    would be copies.

    Args:
        dims: modality -> feature width D_m.
        pooling: what is read; None: mean and deviation.
    """

    def __init__(self, dims: Mapping[str, int], pooling: Pooling | None = None) -> None:
        super().__init__()
        self.modalities, self.dims = modalities_of(dims), dict(dims)
        read = {"percentiles": [f"{share} %" for share in PERCENTILES], "changes": ["change"]}
        self.more = {
            m: [
                n for key in read if pooling and getattr(pooling, key) in (NAMES[m], "all") for n in read[key]
            ]
            for m in self.modalities
        }
        for m in self.modalities:
            self.register_buffer(f"mean_{m}", torch.zeros(2 * dims[m], dtype=torch.float64))
            self.register_buffer(f"scale_{m}", torch.ones(2 * dims[m], dtype=torch.float64))

    @property
    def widths(self) -> dict[str, int]:
        """Modality -> its number of statistics W_m."""
        return {m: len(getattr(self, f"mean_{m}")) for m in self.modalities}

    @property
    def count(self) -> int:
        """W, the number of statistics of all modalities."""
        return sum(self.widths.values())

    def sizes_agree(self) -> bool:
        """Whether there are as many statistics as there can be."""
        return all(
            getattr(self, f"scale_{m}").shape == (width,) and width in (2 * self.dims[m], self._most(m))
            for m, width in self.widths.items()
        )

    def fit(self, train: Batch) -> None:
        """Set the standardisation from the available rows of a training split."""
        for m in self.modalities:
            there = self.available(train, m)
            if not there.any():
                continue
            moves = int(train.lengths[m].max()) > 1
            pooled = self._pooled(train, m, self._most(m) if moves else 2 * self.dims[m])[there]  # (n_m, W_m)
            deviation = pooled.std(0, correction=0)
            setattr(self, f"mean_{m}", pooled.mean(0))
            setattr(self, f"scale_{m}", torch.where(deviation > 0, deviation, 1.0))

    def standard(self, batch: Batch, modality: str) -> Tensor:
        """Standardised statistics of one modality's sequences (U, W) fp64 on the CPU, zeros for one without frames."""
        mean, scale = (getattr(self, f"{name}_{modality}").cpu() for name in ("mean", "scale"))
        there = batch.lengths[modality].cpu()[:, None] > 0
        return torch.where(there, (self._pooled(batch, modality, len(mean)) - mean) / scale, 0.0)

    def rows(self, batch: Batch) -> Tensor:
        """Those of all modalities, utterance by utterance (B, W), zeros where one is not available."""
        return torch.cat([batch.spread(m, self.standard(batch, m)) for m in self.modalities], 1)

    def available(self, batch: Batch, modality: str) -> Tensor:
        """(B,) bool: the modality exists."""
        return batch.available[:, MODALITIES.index(modality)].cpu()

    def columns(self, usable: Tensor) -> Tensor:
        """Usable modalities (B, 3) bool, or of one condition (3,) -> their columns (B, R), or (R,), bool."""
        sizes = self.ranks
        parts = [
            usable[..., [MODALITIES.index(m)]].expand(*usable.shape[:-1], sizes[m]) for m in self.modalities
        ]
        return torch.cat(parts, -1).cpu()

    @property
    def ranks(self) -> dict[str, int]:
        """Modality -> its number of columns r_m."""
        return self.widths

    def met(self, condition: str) -> bool:
        """Whether the corpus has a modality of the condition, so that it differs from a smaller one."""
        return set(condition) <= set(self.modalities)

    def _most(self, modality: str) -> int:
        return self.dims[modality] * (2 + len(self.more[modality]))

    def _pooled(self, batch: Batch, modality: str, width: int) -> Tensor:
        plain = width == 2 * self.dims[modality]
        names = [*STATISTICS[:2], *([] if plain else self.more[modality])]
        place = torch.tensor([STATISTICS.index(name) for name in names])
        lengths, parts = batch.lengths[modality].split(ROWS), []
        frames = batch.values[modality].split([int(part.sum()) for part in lengths])
        for own, count in zip(frames, lengths, strict=True):  # padded to sort them: not too many at a time
            some = mean_and_deviation if len(names) == 2 else statistics
            parts.append(some(own.double(), count).view(len(count), -1, own.shape[1]).cpu()[:, place])
        pooled = torch.cat(parts) if parts else torch.zeros(0, len(names), self.dims[modality]).double()
        if modality in batch.usual:  # by what they are usually, of the one who speaks
            assert batch.speakers is not None
            mean, variance = batch.usual[modality].pooled[:, :, place].unbind(1)  # (S, n, D)
            speakers = batch.speakers.cpu()
            pooled = (pooled - mean[speakers]) / deviation_of(variance)[speakers]
        return pooled.flatten(1)


class PooledFeatures(StandardFeatures):
    """Utterances (B) -> z (B, R) fp64: R = sum of r_m columns, zeros where a modality is not available.

    The standardised statistics are rotated onto the span of the training rows, r_m = min(n_m, W_m) columns. What is
    linear, and penalised or shrunk alike in all directions, loses nothing by it, and everything behind it costs O(n^3)
    whatever D is.

    Args:
        dims: modality -> feature width D_m.
        pooling: what is read of a sequence; None: mean and deviation.
    """

    def __init__(self, dims: Mapping[str, int], pooling: Pooling | None = None) -> None:
        super().__init__(dims, pooling)
        for m, width in self.widths.items():
            self.register_buffer(f"basis_{m}", torch.zeros(width, 0, dtype=torch.float64))

    @property
    def ranks(self) -> dict[str, int]:
        """Modality -> its number of columns r_m."""
        return {m: int(getattr(self, f"basis_{m}").shape[1]) for m in self.modalities}

    def sizes_agree(self) -> bool:
        """Whether every rotation is one of its modality's features."""
        return super().sizes_agree() and all(
            getattr(self, f"basis_{m}").shape[0] == width >= self.ranks[m] for m, width in self.widths.items()
        )

    def fit(self, train: Batch) -> None:
        """Set standardisation and rotation from the available rows of a training split."""
        super().fit(train)
        for m in self.modalities:
            rows = self.standard(train, m)[self.available(train, m)]
            setattr(self, f"basis_{m}", rotation(rows))

    def forward(self, batch: Batch) -> Tensor:
        """The rows of a batch (B, R), on the CPU."""
        return torch.cat(
            [batch.spread(m, self.standard(batch, m) @ self.basis(m)) for m in self.modalities], 1
        )

    def truths(self, batch: Batch) -> dict[str, Tensor]:
        """What a recovery is compared with: standardised statistics within the span of the training rows,
        modality -> (B, 1, W), zeros where it is not available.
        """
        return {
            m: (self.standard(batch, m) @ self.basis(m) @ self.basis(m).T)[:, None] for m in self.modalities
        }

    def basis(self, modality: str) -> Tensor:
        """(W, r) orthonormal columns."""
        basis: Tensor = getattr(self, f"basis_{modality}")
        return basis.cpu()

    def of(self, condition: str) -> Tensor:
        """(R_A,) the columns of a condition, as indices."""
        return self.columns(torch.tensor(visible(condition))).nonzero().squeeze(1)


def rotation(rows: Tensor) -> Tensor:
    """Rows (n, W) fp64 -> orthonormal columns (W, min(n, W)) whose span holds them; as they are where n >= W.

    >>> rotation(torch.tensor([[3.0, 4.0]], dtype=torch.float64)).abs()
    tensor([[0.6000],
            [0.8000]], dtype=torch.float64)
    """
    if rows.shape[0] >= rows.shape[1]:
        return torch.eye(rows.shape[1], dtype=rows.dtype)
    basis: Tensor = torch.linalg.qr(rows.T).Q
    return basis.contiguous()


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
    inputs: np.ndarray,
    labels: np.ndarray,
    task: Task,
    C: float,
    start: Sequence[Tensor] | None = None,
    *,
    even: bool = False,
) -> tuple[Tensor, Tensor]:
    """Logistic regression, or ridge regression of a score with alpha = 1 / C: weight (K, R) and bias (K,), fp64.

    With `even` each class counts alike, however many rows it has. A class without a row is never predicted; the only
    class of all rows always. start: weight and bias of a similar fit of the same classes, from where fewer steps are
    needed.
    """
    weight = torch.zeros(task.outputs, inputs.shape[1], dtype=torch.float64)
    bias = torch.zeros(task.outputs, dtype=torch.float64)
    if task.regression:
        ridge = Ridge(alpha=1 / C).fit(inputs, labels)
        weight[0], bias[0] = torch.from_numpy(ridge.coef_).double(), float(ridge.intercept_)
        return weight, bias
    seen, places = np.unique(labels, return_inverse=True)
    bias.fill_(NEVER)
    if len(seen) == 1:
        bias[seen[0]] = 0.0
        return weight, bias
    # Of two classes, C counts for their log-odds, as it does in scikit-learn: twice the weight of either.
    strength = C / 2 if len(seen) == 2 else C
    before = None if start is None else np.concatenate([x[seen].numpy().ravel() for x in start])
    counts = np.bincount(places)[places, None]  # (n, 1)
    targets = np.eye(len(seen))[places] * (len(labels) / len(seen) / counts if even else 1.0)
    found = torch.from_numpy(_logistic(inputs, targets, strength, before))
    weight[seen] = found[: -len(seen)].view(len(seen), -1)
    bias[seen] = found[-len(seen) :]
    return weight, bias


def _logistic(inputs: np.ndarray, targets: np.ndarray, C: float, start: np.ndarray | None) -> np.ndarray:
    """Weights (K R,), then biases (K,), that minimise the cross-entropy + |W|^2 / (2 C).

    targets (n, K): how much a row counts, in the column of its class.
    """
    (n, width), classes = inputs.shape, targets.shape[1]
    counted = targets.sum(1, keepdims=True)  # (n, 1)

    def loss(given: np.ndarray) -> tuple[float, np.ndarray]:
        weight, bias = given[:-classes].reshape(classes, width), given[-classes:]
        logits = inputs @ weight.T + bias
        logits -= logits.max(1, keepdims=True)
        odds = np.exp(logits)
        total = odds.sum(1, keepdims=True)
        value = ((np.log(total) * counted).sum() - (logits * targets).sum() + (weight**2).sum() / (2 * C)) / n
        wrong = (odds / total * counted - targets) / n  # (n, K)
        return value, np.concatenate([(wrong.T @ inputs + weight / (C * n)).ravel(), wrong.sum(0)])

    first = np.zeros(classes * (width + 1)) if start is None else start
    steps = {"maxiter": 2000, "gtol": 1e-5, "ftol": 1e-13}
    found: np.ndarray = minimize(loss, first, jac=True, method="L-BFGS-B", options=steps).x
    return found
