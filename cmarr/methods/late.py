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
from cmarr.declaration import Positive, setting
from cmarr.methods.left_out import chosen_strength, parts_of
from cmarr.methods.pooled import NEVER, Fitted, Pooling, StandardFeatures, fit_linear_model, rotation
from cmarr.methods.protocol import Prediction
from cmarr.modalities import CONDITIONS, MODALITIES, visible
from cmarr.task import Task


class Late(Fitted):
    """Logistic (ridge) regression on statistics over time, one a modality, fused by their product.

    Args:
        dims: modality -> feature width D.
        task: classes, or none for the regression of a score.
        settings: see `Settings`.

    Obeys `ClosedForm` and `Calibrated`.
    """

    class Settings(Pooling):
        """Late fusion: a linear classifier a modality, multiplied."""

        C: Literal["auto"] | Positive = setting(
            "auto",
            "inverse strength of the L2 penalty (ridge: alpha = 1 / C); auto = for each modality what does best on "
            "speakers that are left out",
        )
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
        self.task, self.C, self.learns_from_both = task, settings.C, settings.learn_from == "both"
        self.even = settings.prior == "even" and not task.regression
        self.features = StandardFeatures(dims, settings)
        zeros = torch.zeros(task.outputs, dtype=torch.float64)
        self.register_buffer("prior", zeros.clone())  # log p(k), or the mean score; (K,)
        self.register_buffer("trust", torch.ones(len(MODALITIES), dtype=torch.float64))  # w, (3,)
        for m, width in self.features.widths.items():
            self.register_buffer(f"weight_{m}", zeros.new_zeros(task.outputs, width))  # (K, W)
            self.register_buffer(f"bias_{m}", zeros.clone())  # (K,)

    def sizes_agree(self) -> bool:
        """Whether there is a weight a statistic."""
        widths = self.features.widths
        return all(getattr(self, f"weight_{m}").shape == (self.task.outputs, w) for m, w in widths.items())

    def fit(self, train: Batch, generator: torch.Generator) -> None:
        """Fit the classifier of each modality on the rows that have it; deterministic, `generator` is not used."""
        labels, parts, known = train.labels.cpu(), parts_of(train), labelled(train.labels).cpu()
        self.prior.copy_(self._frequencies(labels[known]))
        self.features.fit(train)
        unseen = torch.zeros(len(MODALITIES), len(train), self.task.outputs, dtype=torch.float64)
        for m in self.features.modalities:
            there = self.features.available(train, m) & known  # (B,)
            if not there.any():  # never seen with a label: it says nothing
                silent = self.prior.new_zeros(self.task.outputs, self.features.widths[m])
                setattr(self, f"weight_{m}", silent)
                continue
            rows = train.spread(m, self.features.standard(train, m))[there]  # (n, W)
            basis = rotation(rows)  # (W, r): loses nothing, costs less
            inputs, own, left = (rows @ basis).numpy(), labels[there].numpy(), parts[there].numpy()
            C = chosen_strength(inputs, own, left, self.task, even=self.even) if self.C == "auto" else self.C
            weight, bias = self._classifier(inputs, own, C)
            setattr(self, f"weight_{m}", weight @ basis.T)
            getattr(self, f"bias_{m}").copy_(bias)
            for number in np.unique(left) if self.learns_from_both else ():
                out = left == number
                weight, bias = self._classifier(inputs[~out], own[~out], C)
                rows_out = there.nonzero().squeeze(1)[torch.from_numpy(out)]
                unseen[MODALITIES.index(m), rows_out] = torch.from_numpy(inputs[out]) @ weight.T + bias
        if self.learns_from_both and len(parts.unique()) > 1:
            self._choose_trust(unseen, train)

    def _classifier(self, inputs: np.ndarray, labels: np.ndarray, C: float) -> tuple[Tensor, Tensor]:
        """Weight (K, r) and bias (K,) of what a modality adds to the frequency of the classes."""
        weight, bias = fit_linear_model(inputs, labels, self.task, C, even=self.even)
        return weight, bias - self._frequencies(torch.from_numpy(labels))

    def calibrate(self, validation: Batch) -> dict[str, float]:
        """Choose how far each modality is to be believed, by likelihood (of a score: by squared error) over all
        conditions; returns the choice by modality, for `calibrated`.
        """
        self._choose_trust(self._said(validation), validation)
        return {m: float(self.trust[MODALITIES.index(m)]) for m in self.features.modalities}

    def _choose_trust(self, said: Tensor, validation: Batch) -> None:
        """`calibrate`, of what each modality says of rows that it was not fitted on (3, B, K)."""
        patterns = torch.tensor([visible(condition) for condition in CONDITIONS])  # (7, 3)
        usable = (validation.available.cpu()[None] & patterns[:, None]).flatten(0, 1)  # (7 B, 3)
        said, labels = said.repeat(1, len(CONDITIONS), 1), validation.labels.cpu().repeat(len(CONDITIONS))
        asked = usable.any(1) & labelled(labels)
        said, labels, usable = said[:, asked], labels[asked], usable[asked]

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
        for m in self.features.modalities:
            weight, bias = (getattr(self, f"{name}_{m}").cpu() for name in ("weight", "bias"))
            own = self.features.standard(batch, m) @ weight.T + bias  # (U, K)
            said[MODALITIES.index(m)] = batch.spread(m, own)
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


METHOD = Late
