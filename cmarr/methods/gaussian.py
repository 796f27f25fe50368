"""`gaussian`: one joint Gaussian of all modalities, what is missing integrated out exactly.

CM-ARR's linear limit, solved in closed form. Pooled features of the three modalities are one Gaussian a class, with a
common covariance S. Each modality is whitened by an affine map where CM-ARR has a flow; Eq 7's mean of latents becomes
the conditional expectation E[z_missing | z_usable]; Eq 9 is minimised exactly; the posterior takes the place of
Eq 10-13. Recovery, its uncertainty and the prediction are then one computation without a training loop. It is no
reading of the paper, but the bound that flows have to beat.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.data.labelled import labelled
from cmarr.declaration import Positive, PositiveShare, setting
from cmarr.methods.left_out import parts_of
from cmarr.methods.pooled import NEVER, Fitted, PooledFeatures, Pooling, by_condition
from cmarr.methods.protocol import Prediction
from cmarr.modalities import CONDITIONS, visible
from cmarr.task import Task

COLDEST, HOTTEST = 0.02, 2.0
"""Between which the factor on the logits is looked for."""

ROUNDS = 3
"""How often the classes of rows without a label are guessed and learnt from."""

QUANTILES = 101
"""Points of the distribution of distances that is kept of utterances that were not learnt from."""


@dataclass
class _Held:
    """What is known of utterances that were not learnt from; `distances` by the index of the condition."""

    logits: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)
    distances: dict[int, list[Tensor]] = field(default_factory=dict)


class Gaussian(Fitted):
    """Linear discriminant analysis (of a score: ridge regression) on the marginal of what is usable.

    Args:
        dims: modality -> feature width.
        task: classes, or none for the regression of a score.
        settings: see `Settings`.

    Obeys `ClosedForm`, `Calibrated` and `Acquainted`. Its recovered representations are standardised pooled features,
    (B, 1, W).
    """

    class Settings(Pooling):
        """Shrinkage and certainty of `gaussian`."""

        shrink: PositiveShare = setting(
            0.5, "share of the covariance that is replaced by a multiple of the identity"
        )
        temperature: Literal["auto"] | Positive = setting(
            "auto",
            "factor on the logits; auto = by likelihood on speakers that were not learnt from. Changes no class",
        )

    deterministic = True

    means: Tensor
    covariance: Tensor
    prior: Tensor
    weight: Tensor
    bias: Tensor
    temperature: Tensor
    distances: Tensor

    def __init__(self, dims: Mapping[str, int], task: Task, settings: "Gaussian.Settings") -> None:
        super().__init__()
        self.task, self.shrink, self.automatic = task, settings.shrink, settings.temperature == "auto"
        self.learns_from_both = settings.learn_from == "both"
        self.features = PooledFeatures(dims, settings)
        components = 1 if task.regression else task.outputs
        self.register_buffer("means", torch.zeros(components, 0, dtype=torch.float64))  # (K, R)
        self.register_buffer("covariance", torch.zeros(0, 0, dtype=torch.float64))  # (R, R)
        self.register_buffer("prior", torch.zeros(components, dtype=torch.float64))  # log, (K,)
        self.register_buffer(
            "weight", torch.zeros(len(CONDITIONS), 0, task.outputs, dtype=torch.float64)
        )  # (7, R, K)
        self.register_buffer("bias", torch.zeros(len(CONDITIONS), task.outputs, dtype=torch.float64))
        start = 1.0 if settings.temperature == "auto" else float(settings.temperature)
        self.register_buffer("temperature", torch.tensor(start, dtype=torch.float64))
        self.register_buffer("distances", torch.zeros(len(CONDITIONS), QUANTILES, dtype=torch.float64))
        self._factors: dict[str, Tensor] = {}
        self._gains: dict[tuple[str, str], Tensor] = {}

    def fit(self, train: Batch, generator: torch.Generator) -> None:
        """Means, covariance, and the linear classifier of each condition; deterministic, `generator` is not used.

        Where validation speakers are learnt from, too, `calibrate` is done on speakers that are left out in turn. Rows
        without a label belong to each class by its posterior: expectation and maximisation in turn, `ROUNDS` times,
        from the fit on the others.
        """
        device = self.prior.device
        self.cpu()  # where all of this is worked out
        self.features.fit(train)
        z, available, labels = self.features(train), train.available.cpu(), train.labels.cpu()
        parts, held = parts_of(train), _Held()
        for number in parts.unique() if self.learns_from_both else ():
            out, told = parts == number, labelled(labels)
            if not (~out & told).any():
                break
            self._learn(z[~out], available[~out], labels[~out])
            self._ask(held, z[out & told], available[out & told], labels[out & told])
        self._learn(z, available, labels)
        self._choose(held)
        self.to(device)

    def _learn(self, z: Tensor, available: Tensor, labels: Tensor) -> None:
        """Everything but the temperature, from columns z (n, R) of what is available (n, 3), and labels (n,)."""
        known = labelled(labels)
        if self.task.regression:
            share = torch.ones(len(z), 1, dtype=torch.float64)
        else:
            share = nn.functional.one_hot(labels.clamp(min=0), len(self.means)).double() * known[:, None]
        counts = share[known].sum(0)
        self.prior.copy_(torch.where(counts > 0, (counts / counts.sum()).log(), NEVER))
        self._estimate(z, available, share, labels)
        for _ in range(0 if self.task.regression or known.all() else ROUNDS):
            for index, _, rows in by_condition(available):
                rows = rows & ~known
                share[rows] = self._logits(z[rows], index).softmax(1)
            self._estimate(z, available, share, labels)

    def _estimate(self, z: Tensor, available: Tensor, share: Tensor, labels: Tensor) -> None:
        """From rows z (n, R), which belong to the classes by `share` (n, K), and of a regression the scores (n,)."""
        self._factors, self._gains = {}, {}
        there = self.features.columns(available)  # (n, R)
        components, known = len(self.means), labelled(labels)
        self.means = self._class_means(z, there, share)
        # Rows that lack a modality enter with zeros, each column weighted by its own count. This form is positive
        # semi-definite whatever is absent; a block from the rows that have both of two modalities is not.
        rows = ((there * share.sum(1, keepdim=True)).sum(0) - components).clamp(min=1)  # (R,)
        owner = share.argmax(1)
        residuals = torch.where(there, z - self.means[owner], 0.0)[known] / rows.sqrt()  # (n, R)
        if not known.all():
            apart = torch.where(there, z - self.means[:, None], 0.0)[:, ~known]  # (K, n - known, R)
            apart = apart * share[~known].T.sqrt()[..., None] / rows.sqrt()
            residuals = torch.cat([residuals, apart.flatten(0, 1)])
        scatter = residuals.T @ residuals  # (R, R)
        even = scatter.diagonal().mean() if scatter.any() else scatter.new_ones(())
        identity = torch.eye(len(scatter), dtype=torch.float64)
        self.covariance = (1 - self.shrink) * scatter + self.shrink * even * identity
        self.weight = z.new_zeros(len(CONDITIONS), z.shape[1], self.task.outputs)
        if self.task.regression:
            scores = labels[known].double()
            self.bias.fill_(scores.mean())
            target = (scores - scores.mean()) / max(len(scores) - 1, 1) ** 0.5
            told = (there[known].sum(0) - components).clamp(min=1).double()
            own = torch.where(there, z - self.means, 0.0)[known] / told.sqrt()
            moments = (1 - self.shrink) * (own.T @ target)[:, None]  # (R, 1)
        for index, condition in enumerate(CONDITIONS):
            own = self.features.of(condition)
            if not len(own):
                self.bias[index] = self.bias[index] if self.task.regression else self.prior
                continue
            centre = self.means[:, own]  # (K, R_A)
            against = moments[own] if self.task.regression else centre.T
            weight = torch.cholesky_solve(against, self._factor(condition))  # (R_A, K)
            self.weight[index, own] = weight
            if self.task.regression:
                self.bias[index] -= centre @ weight[:, 0]
            else:
                self.bias[index] = self.prior - 0.5 * (centre * weight.T).sum(1)

    def calibrate(self, validation: Batch) -> dict[str, float]:
        """Choose the temperature by likelihood over all conditions; keep how far validation utterances lie.

        Returns the temperature by name, for `calibrated`.
        """
        held = _Held()
        self._ask(held, self.features(validation), validation.available.cpu(), validation.labels.cpu())
        self._choose(held)
        return {"temperature": float(self.temperature)}

    def _ask(self, held: "_Held", z: Tensor, available: Tensor, labels: Tensor) -> None:
        """Note the logits and the distances of utterances that were not learnt from, condition by condition."""
        for index, condition in enumerate(CONDITIONS):
            met = available[:, visible(condition)].all(1)
            if met.any() and self.features.met(condition):
                held.logits.append(self._logits(z[met], index))
                held.labels.append(labels[met])
                held.distances.setdefault(index, []).append(self._distance(z[met], condition))

    def _choose(self, held: "_Held") -> None:
        steps = torch.linspace(0, 1, QUANTILES, dtype=torch.float64)
        for index, far in held.distances.items():
            self.distances[index] = torch.quantile(torch.cat(far), steps)
        if self.task.regression or not self.automatic or not held.logits:
            return
        logits, truth = torch.cat(held.logits), torch.cat(held.labels)

        def loss(exponent: float) -> float:
            return float(nn.functional.cross_entropy(logits * np.exp(exponent), truth))

        found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded")
        self.temperature.fill_(float(np.exp(found.x)))

    def calibrated(self, chosen: Mapping[str, float]) -> None:
        """Take over what `calibrate` of another fit has chosen."""
        self.temperature.fill_(chosen["temperature"])

    def sizes_agree(self) -> bool:
        """Whether everything is about the columns of the rotated features."""
        columns, outputs = sum(self.features.ranks.values()), self.task.outputs
        return (
            self.means.shape == (len(self.prior), columns)
            and self.covariance.shape == (columns, columns)
            and self.weight.shape == (len(CONDITIONS), columns, outputs)
            and self.distances.shape == (len(CONDITIONS), QUANTILES)
            and self.bias.shape == (len(CONDITIONS), outputs)
        )

    def predict(self, batch: Batch) -> Prediction:
        """Each row by the marginal of the condition that its usable modalities form; what is missing is recovered."""
        return self._prediction(self.features(batch), batch.available)

    def truths(self, batch: Batch) -> dict[str, Tensor]:
        """Pooled features, modality -> (B, 1, W), see `PooledFeatures.truths`."""
        return self.features.truths(batch)

    def unlikeness(self, batch: Batch) -> Tensor:
        """See `Acquainted`; NaN where nothing is usable, or no utterance of other speakers was."""
        z = self.features(batch)
        shares = z.new_full((len(z),), torch.nan)
        for index, condition, rows in by_condition(batch.available):
            far = self._distance(z[rows], condition)
            if self.distances[index].any():
                shares[rows] = torch.searchsorted(self.distances[index].cpu(), far).double() / QUANTILES
        out: Tensor = shares.to(batch.available.device)
        return out

    def diagnostics(self, batch: Batch) -> dict[str, Tensor]:
        """`unexplained/<sources>-<missing>`: the share of a modality's variance within the classes that is left when
        the sources are known; told by the model itself, before any truth is seen.
        """
        shares, covariance = {}, self.covariance.cpu()
        for sources in CONDITIONS:
            for missing in self.features.modalities:
                if missing in sources or not self.features.met(sources):
                    continue
                a, m = self.features.of(sources), self.features.of(missing)
                explained = covariance[m][:, a] @ self._gain(sources, missing)
                whole = covariance[m][:, m].trace()
                shares[f"unexplained/{sources}-{missing}"] = (whole - explained.trace()) / whole
        return shares

    def _prediction(self, z: Tensor, usable: Tensor) -> Prediction:
        device = usable.device
        logits = z.new_zeros(len(z), self.task.outputs)
        recovered = {m: z.new_zeros(len(z), 1, width) for m, width in self.features.widths.items()}
        rows_of = {m: torch.zeros(len(z), dtype=torch.bool) for m in recovered}
        for index, condition, rows in by_condition(usable):
            logits[rows] = self.temperature.cpu() * self._logits(z[rows], index)
            for m in recovered:
                if m not in condition:
                    recovered[m][rows, 0] = self._recovered(z[rows], logits[rows], condition, m)
                    rows_of[m] |= rows
        return Prediction(
            logits=logits.float().to(device),
            recovered={m: x.float().to(device) for m, x in recovered.items()},
            recovered_rows={m: x.to(device) for m, x in rows_of.items()},
        )

    def _logits(self, z: Tensor, index: int) -> Tensor:
        own = self.features.of(CONDITIONS[index])
        return z[:, own] @ self.weight.cpu()[index, own] + self.bias.cpu()[index]

    def _recovered(self, z: Tensor, logits: Tensor, condition: str, missing: str) -> Tensor:
        """E[x_missing | z_A] (B, 2 D) = sum over classes of p(k | z_A) (mu_k + gain^T (z_A - mu_Ak))."""
        a, m, means = self.features.of(condition), self.features.of(missing), self.means.cpu()
        gain = self._gain(condition, missing)  # (R_A, R_m)
        share = torch.ones_like(logits[:, :1]) if self.task.regression else logits.softmax(1)  # (B, K)
        expected = z[:, a] @ gain + share @ (means[:, m] - means[:, a] @ gain)
        return expected @ self.features.basis(missing).T

    def _distance(self, z: Tensor, condition: str) -> Tensor:
        """Minus the log density of the usable part, up to a constant of the condition: (B,)."""
        own, means = self.features.of(condition), self.means.cpu()
        factor = self._factor(condition)
        apart = (z[:, None, own] - means[None, :, own]).flatten(0, 1)  # (B * K, R_A)
        squared = torch.linalg.solve_triangular(factor, apart.T, upper=False).square().sum(0)
        return -torch.logsumexp(self.prior.cpu() - 0.5 * squared.view(len(z), -1), 1)

    def _factor(self, condition: str) -> Tensor:
        """Cholesky factor (R_A, R_A) of the covariance of a condition's columns."""
        if condition not in self._factors:
            own = self.features.of(condition)
            self._factors[condition] = torch.linalg.cholesky(self.covariance.cpu()[own][:, own])
        return self._factors[condition]

    def _gain(self, condition: str, missing: str) -> Tensor:
        """S_AA^-1 S_Am (R_A, R_m): what a missing modality is expected to move by."""
        if (condition, missing) not in self._gains:
            a, m = self.features.of(condition), self.features.of(missing)
            cross = self.covariance.cpu()[a][:, m]
            self._gains[condition, missing] = torch.cholesky_solve(cross, self._factor(condition))
        return self._gains[condition, missing]

    @staticmethod
    def _class_means(z: Tensor, there: Tensor, share: Tensor) -> Tensor:
        """(K, R) over the rows that have a column, as far as they are of the class by `share` (n, K); a class without
        any takes the mean of all."""
        counts = share.T @ there.double()  # (K, R)
        overall = torch.where(there, z, 0.0).sum(0) / there.sum(0).clamp(min=1)
        sums = share.T @ torch.where(there, z, 0.0)
        return torch.where(counts > 0, sums / counts.clamp(min=1), overall)


METHOD = Gaussian
