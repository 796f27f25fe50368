"""`linear`: logistic (ridge) regression on time-pooled features, one model a condition.

The plainest rival, and hard to beat. Mean and standard deviation over time of each modality,
standardised on the training split; a condition's model is trained on the utterances that have a
modality of it, absent ones entering as zeros (the mean), and predicts from what it may use.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.declaration import Positive, Section, setting
from cmarr.methods.pooled import fit_linear_model
from cmarr.methods.protocol import Prediction
from cmarr.modalities import CONDITIONS, MODALITIES, visible
from cmarr.task import Task


class Linear(nn.Module):
    """One linear model for each of the seven conditions. Obeys `cmarr.methods.protocol.ClosedForm`."""

    class Settings(Section):
        """Logistic (ridge) regression on pooled features."""

        C: Positive = setting(0.1, "inverse strength of the L2 penalty (ridge: alpha = 1 / C)")

    plain, deterministic, tuned = True, True, "C"

    weight: Tensor
    bias: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings) -> None:
        super().__init__()
        # Columns lie in this order, whatever the caller's.
        self.dims = {m: dims[m] for m in MODALITIES if m in dims}
        self.task, self.C = task, settings.C
        width = 2 * sum(dims.values())
        self.register_buffer("weight", torch.zeros(len(CONDITIONS), task.outputs, width))
        self.register_buffer("bias", torch.zeros(len(CONDITIONS), task.outputs))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def fit(self, train: Batch, generator: torch.Generator) -> None:
        """Fit the seven models; deterministic, the generator is not used."""
        pooled, present = self._pooled(train)
        filled = torch.where(present, pooled, torch.nan).double()
        counts = present.sum(0).clamp(min=1)
        mean = filled.nansum(0) / counts
        variance = (filled - mean).square().nansum(0) / counts
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(variance > 0, variance.sqrt(), 1.0))
        standard = self._standardised(pooled, present).numpy()
        labels = train.labels.cpu().numpy()
        for index, condition in enumerate(CONDITIONS):
            usable = train.available & torch.tensor(visible(condition), device=train.available.device)
            rows = usable.any(1).cpu().numpy()
            if rows.any():
                inputs = standard * self._columns(usable).numpy()
                weight, bias = fit_linear_model(inputs[rows], labels[rows], self.task, self.C)
                self.weight[index], self.bias[index] = weight, bias

    def predict(self, batch: Batch) -> Prediction:
        """Each row is predicted by the model of the condition that its usable modalities form."""
        return Prediction(self._logits(self._standardised(*self._pooled(batch)), batch.available))

    def _logits(self, standard: Tensor, usable: Tensor) -> Tensor:
        usable = usable.cpu()
        which = torch.zeros(len(usable), dtype=torch.long)
        for index, condition in enumerate(CONDITIONS):
            which[(usable == torch.tensor(visible(condition))).all(1)] = index
        inputs = standard * self._columns(usable)  # (B, W)
        logits = torch.einsum("bw,bkw->bk", inputs, self.weight.cpu()[which]) + self.bias.cpu()[which]
        return logits.to(self.weight.device)

    def _pooled(self, batch: Batch) -> tuple[Tensor, Tensor]:
        pooled, present = [], []
        for modality, dim in self.dims.items():
            values, mask = batch.padded(modality)  # (B, T, D), (B, T)
            count = mask.sum(1, keepdim=True).clamp(min=1)
            mean = values.sum(1) / count
            deviation = ((values - mean[:, None]).square() * mask[..., None]).sum(1).div(count).sqrt()
            pooled += [batch.spread(modality, x) for x in (mean, deviation)]
            present += [batch.available[:, [MODALITIES.index(modality)]].expand(-1, 2 * dim)]
        return torch.cat(pooled, 1).cpu(), torch.cat(present, 1).cpu()  # (B, W), (B, W)

    def _standardised(self, pooled: Tensor, present: Tensor) -> Tensor:
        return (pooled - self.mean.cpu()) / self.scale.cpu() * present

    def _columns(self, usable: Tensor) -> Tensor:
        parts = [usable[:, [MODALITIES.index(m)]].expand(-1, 2 * dim) for m, dim in self.dims.items()]
        return torch.cat(parts, 1).cpu()


METHOD = Linear
