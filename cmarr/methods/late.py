"""`late`: late fusion, one linear classifier a modality, and the product of what they say.

log p(k | x_A) = log p(k) + sum over the modalities m of A of w_m (log p_m(k | x_m) - log p_m(k)) + constant: each
classifier speaks for what it has seen beyond the frequency of the classes, w_m is how far it is to be believed, and a
modality that is missing says nothing. A classifier is fitted on the rows that have its modality, so no row need have
two of them. Of a score: ridge regressions, averaged by how near each comes.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.data.labelled import labelled
from cmarr.data.statistics import mean_and_deviation
from cmarr.declaration import Positive, Section, setting
from cmarr.methods.branches import modalities_of
from cmarr.methods.pooled import NEVER, fit_linear_model
from cmarr.methods.protocol import Prediction
from cmarr.modalities import CONDITIONS, MODALITIES, visible
from cmarr.task import Task


class Late(nn.Module):
    """Logistic (ridge) regression on mean and deviation over time, one a modality, fused by their product.

    Args:
        dims: modality -> feature width D.
        task: classes, or none for the regression of a score.
        settings: see `Settings`.

    Obeys `ClosedForm` and `Calibrated`.
    """

    class Settings(Section):
        """Late fusion: a linear classifier a modality, multiplied."""

        C: Positive = setting(0.01, "inverse strength of the L2 penalty (ridge: alpha = 1 / C)")
        prior: Literal["training", "even"] = setting(
            "training",
            "how often a class is expected: training = as often as there; even = all alike, and each counts alike in "
            "training, too",
        )

    plain, deterministic, tuned = True, True, "C"

    prior: Tensor
    trust: Tensor

    def __init__(self, dims: Mapping[str, int], task: Task, settings: "Late.Settings") -> None:
        super().__init__()
        self.task, self.C, self.modalities = task, settings.C, modalities_of(dims)
        self.even = settings.prior == "even" and not task.regression
        zeros = torch.zeros(task.outputs, dtype=torch.float64)
        self.register_buffer("prior", zeros.clone())  # log p(k), or the mean score; (K,)
        self.register_buffer("trust", torch.ones(len(MODALITIES), dtype=torch.float64))  # w, (3,)
        for m in self.modalities:
            width = 2 * dims[m]
            self.register_buffer(f"weight_{m}", zeros.new_zeros(task.outputs, width))  # (K, 2 D)
            self.register_buffer(f"bias_{m}", zeros.clone())  # (K,)
            self.register_buffer(f"mean_{m}", zeros.new_zeros(width))
            self.register_buffer(f"scale_{m}", zeros.new_ones(width))

    def fit(self, train: Batch, generator: torch.Generator) -> None:
        """Fit the classifier of each modality on the rows that have it; deterministic, `generator` is not used."""
        labels, known = train.labels.cpu(), labelled(train.labels).cpu()
        self.prior.copy_(self._frequencies(labels[known]))
        for m in self.modalities:
            rows = train.available[:, MODALITIES.index(m)].cpu() & known
            pooled = self._pooled(train, m)[rows]  # (n, 2 D)
            if not len(pooled):
                continue
            mean, deviation = pooled.mean(0), pooled.std(0, correction=0)
            scale = torch.where(deviation > 0, deviation, 1.0)
            standard = (pooled - mean) / scale
            basis = torch.linalg.svd(
                standard, full_matrices=False
            ).Vh.T  # (2 D, r): loses nothing, costs less
            weight, bias = fit_linear_model(
                (standard @ basis).numpy(), labels[rows].numpy(), self.task, self.C, even=self.even
            )
            said = self._frequencies(labels[rows])
            getattr(self, f"mean_{m}").copy_(mean)
            getattr(self, f"scale_{m}").copy_(scale)
            getattr(self, f"weight_{m}").copy_(weight @ basis.T)
            getattr(self, f"bias_{m}").copy_(bias - said)

    def calibrate(self, validation: Batch) -> dict[str, float]:
        """Choose how far each modality is to be believed, by likelihood (of a score: by squared error) over all
        conditions; returns the choice by modality, for `calibrated`.
        """
        said = self._said(validation)  # (3, B, K)
        patterns = torch.tensor([visible(condition) for condition in CONDITIONS])  # (7, 3)
        usable = (validation.available.cpu()[None] & patterns[:, None]).flatten(0, 1)  # (7 B, 3)
        said, labels = said.repeat(1, len(CONDITIONS), 1), validation.labels.cpu().repeat(len(CONDITIONS))
        said, labels, usable = said[:, usable.any(1)], labels[usable.any(1)], usable[usable.any(1)]

        def loss(trust: np.ndarray) -> tuple[float, np.ndarray]:
            own = torch.tensor(trust, dtype=torch.float64, requires_grad=True)
            fused = self._fused(said, usable, own)
            if self.task.regression:
                value = (fused[:, 0] - labels.double()).square().mean()
            else:
                value = nn.functional.cross_entropy(fused, labels, self._counted(labels))
            value.backward()
            assert own.grad is not None
            return value.item(), own.grad.numpy()

        if len(labels):
            found = minimize(
                loss,
                np.ones(len(MODALITIES)),
                jac=True,
                method="L-BFGS-B",
                bounds=[(1e-3, 10.0)] * len(MODALITIES),
            )
            self.trust.copy_(torch.from_numpy(found.x))
        return {m: float(self.trust[MODALITIES.index(m)]) for m in self.modalities}

    def calibrated(self, chosen: Mapping[str, float]) -> None:
        """Take over what `calibrate` of another fit has chosen."""
        for m, value in chosen.items():
            self.trust[MODALITIES.index(m)] = value

    def predict(self, batch: Batch) -> Prediction:
        """Each row from the classifiers of its usable modalities; a row of nothing gets the prior."""
        fused = self._fused(self._said(batch), batch.available.cpu(), self.trust.cpu())
        return Prediction(fused.float().to(batch.available.device))

    def _said(self, batch: Batch) -> Tensor:
        """What each modality adds to the prior, (3, B, K); zeros where it is not available."""
        said = torch.zeros(len(MODALITIES), len(batch), self.task.outputs, dtype=torch.float64)
        for m in self.modalities:
            weight, bias, mean, scale = (
                getattr(self, f"{name}_{m}").cpu() for name in ("weight", "bias", "mean", "scale")
            )
            index = MODALITIES.index(m)
            there = batch.available[:, index].cpu()
            standard = (self._pooled(batch, m)[there] - mean) / scale  # (b, 2 D)
            said[index, there] = standard @ weight.T + bias
        return said

    def _fused(self, said: Tensor, usable: Tensor, trust: Tensor) -> Tensor:
        """(3, B, K) of the modalities, (B, 3) which may be used, (3,) trust -> logits or scores (B, K)."""
        share = usable.double() * trust  # (B, 3)
        if self.task.regression:
            share = share / share.sum(1, keepdim=True).clamp(min=1e-9)
        return self.prior.cpu() + torch.einsum("bm,mbk->bk", share, said)

    def _frequencies(self, labels: Tensor) -> Tensor:
        """log p(k) of labels (n,), or their mean where they are scores: (K,)."""
        if self.task.regression:
            return labels.double().mean().reshape(1)
        counts = torch.bincount(labels, minlength=self.task.outputs).double()
        if self.even:
            counts = (counts > 0).double()
        return torch.where(counts > 0, (counts / counts.sum()).log(), NEVER)

    def _counted(self, labels: Tensor) -> Tensor | None:
        """How much an utterance of each class counts, (K,); None: all alike."""
        if not self.even:
            return None
        return 1 / torch.bincount(labels, minlength=self.task.outputs).double().clamp(min=1)

    def _pooled(self, batch: Batch, modality: str) -> Tensor:
        pooled = mean_and_deviation(batch.values[modality].double(), batch.lengths[modality])
        return batch.spread(modality, pooled).cpu()


METHOD = Late
