"""`recovered`: one linear model for all conditions, what is missing recovered by ridge regression.

The ablation that says what recovery is worth: with `fill: zeros` it is the same model without it, the linear twin of
`masked`. Each training utterance enters once a condition, what the condition hides filled in.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from cmarr.data.batch import Batch, visibility
from cmarr.data.labelled import labelled
from cmarr.declaration import NotNegative, Positive, setting
from cmarr.methods.pooled import Fitted, PooledFeatures, Pooling, by_condition, fit_linear_model
from cmarr.methods.protocol import Prediction
from cmarr.modalities import CONDITIONS, MODALITIES
from cmarr.task import Task

PER_COLUMN = 15 / 3.5
"""C = auto is this over the number of pooled features: about as many units of fit a feature, whatever their number."""


class Recovered(Fitted):
    """Logistic (ridge) regression on pooled features, the missing ones recovered from the usable ones.

    Args:
        dims: modality -> feature width.
        task: classes, or none for the regression of a score.
        settings: see `Settings`.

    Obeys `ClosedForm`. Its recovered representations are standardised pooled features, (B, 1, W).
    """

    class Settings(Pooling):
        """Penalties of `recovered`, and what fills the gaps."""

        kappa: NotNegative = setting(
            0.5, "penalty of the recovery, times the number of features it recovers from"
        )
        C: Literal["auto"] | Positive = setting(
            "auto", "inverse strength of the classifier's penalty; auto = 4.3 over the number of features"
        )
        fill: Literal["ridge", "zeros"] = setting(
            "ridge", "what is missing: ridge = recovered, zeros = the mean"
        )

    deterministic = True

    weight: Tensor
    bias: Tensor

    def __init__(self, dims: Mapping[str, int], task: Task, settings: "Recovered.Settings") -> None:
        super().__init__()
        self.task, self.kappa, self.fill = task, settings.kappa, settings.fill
        self.features, self.C = PooledFeatures(dims, settings), settings.C
        self.register_buffer("weight", torch.zeros(task.outputs, 0, dtype=torch.float64))
        self.register_buffer("bias", torch.zeros(task.outputs, dtype=torch.float64))
        for sources, missing in self._pairs():
            self.register_buffer(f"gain_{sources}_{missing}", torch.zeros(0, 0, dtype=torch.float64))

    def fit(self, train: Batch, generator: torch.Generator) -> None:
        """Fit the recoveries on all rows, then the classifier on those with a label; `generator` is not used."""
        self.features.fit(train)
        z = self.features(train)  # (n, R)
        for sources, missing in self._pairs():
            rows = (self.features.available(train, missing)).clone()
            for letter in sources:
                rows &= self.features.available(train, letter)
            a, m = z[rows][:, self.features.of(sources)], z[rows][:, self.features.of(missing)]
            penalty = self.kappa * sum(self.features.widths[letter] for letter in sources)
            gram = a.T @ a + penalty * torch.eye(a.shape[1], dtype=torch.float64)
            # The pseudo-inverse: without a penalty, rotated training rows may leave directions without any spread.
            setattr(self, f"gain_{sources}_{missing}", torch.linalg.pinv(gram, hermitian=True) @ (a.T @ m))
        inputs, labels = [], []
        for condition in CONDITIONS:
            usable = train.available & visibility(condition, len(train), train.available.device)
            rows = (usable.any(1) & labelled(train.labels)).cpu()
            inputs.append(self._filled(z, usable)[rows])
            labels.append(train.labels.cpu()[rows])
        C = PER_COLUMN / self.features.count if self.C == "auto" else self.C
        self.weight, bias = fit_linear_model(
            torch.cat(inputs).numpy(), torch.cat(labels).numpy(), self.task, C
        )
        self.bias.copy_(bias)

    def sizes_agree(self) -> bool:
        """Whether everything is about the columns of the rotated features."""
        ranks, outputs = self.features.ranks, self.task.outputs
        gains = all(
            getattr(self, f"gain_{sources}_{missing}").shape
            == (sum(ranks[letter] for letter in sources), ranks[missing])
            for sources, missing in self._pairs()
        )
        return gains and self.weight.shape == (outputs, sum(ranks.values())) and self.bias.shape == (outputs,)

    def predict(self, batch: Batch) -> Prediction:
        """What is missing is recovered from what is usable, then classified."""
        return self._prediction(self.features(batch), batch.available)

    def truths(self, batch: Batch) -> dict[str, Tensor]:
        """Pooled features, modality -> (B, 1, W), see `PooledFeatures.truths`."""
        return self.features.truths(batch)

    def _prediction(self, z: Tensor, usable: Tensor) -> Prediction:
        device, filled = usable.device, self._filled(z, usable)
        logits = filled @ self.weight.cpu().T + self.bias.cpu()
        recovered, rows_of = {}, {}
        for m in self.features.modalities if self.fill == "ridge" else ():
            rows = usable.cpu().any(1) & ~usable.cpu()[:, MODALITIES.index(m)]
            back = filled[:, self.features.of(m)] @ self.features.basis(m).T
            recovered[m] = torch.where(rows[:, None], back, 0.0)[:, None].float().to(device)
            rows_of[m] = rows.to(device)
        return Prediction(logits.float().to(device), recovered, rows_of)

    def _filled(self, z: Tensor, usable: Tensor) -> Tensor:
        """z (B, R) of what is usable; the rest recovered from it, or zeros."""
        filled = torch.where(self.features.columns(usable), z, 0.0)
        if self.fill == "zeros":
            return filled
        for _, sources, rows in by_condition(usable):
            for missing in self.features.modalities:
                if missing not in sources:
                    gain: Tensor = getattr(self, f"gain_{sources}_{missing}").cpu()
                    own = self.features.of(missing)
                    filled[rows.nonzero(), own] = filled[rows][:, self.features.of(sources)] @ gain
        return filled

    def _pairs(self) -> list[tuple[str, str]]:
        """(sources, missing): every modality and every condition of the corpus that it can be recovered from."""
        return [
            (sources, missing)
            for sources in CONDITIONS
            for missing in self.features.modalities
            if missing not in sources and self.features.met(sources)
        ]


METHOD = Recovered
