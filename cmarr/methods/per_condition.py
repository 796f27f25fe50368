"""One trained method a condition, as a single one: the privilege of authors who trained anew for what they asked."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.methods.asking import in_dialogues
from cmarr.methods.protocol import Prediction
from cmarr.modalities import visible


class PerCondition(nn.Module):
    """Asked as any `cmarr.methods.protocol.Method`; whoever trained under the condition that a row shows answers it.

    methods: condition -> the method that was trained under it
    """

    def __init__(self, methods: Mapping[str, nn.Module]):
        super().__init__()
        self.methods = nn.ModuleDict(methods)
        self.in_dialogues = any(map(in_dialogues, methods.values()))
        self.redraws_masks = max(getattr(method, "redraws_masks", 0) for method in methods.values())

    def predict(self, batch: Batch) -> Prediction:
        """The logits (B, K); of rows that show nothing some method's, as of any other."""
        logits: Tensor | None = None
        for condition, method in self.methods.items():
            shown = batch.available == torch.tensor(visible(condition), device=batch.available.device)
            rows = shown.all(1, keepdim=True)  # (B, 1)
            if logits is None or rows.any():
                own = method.predict(batch).logits  # type: ignore[operator]
                logits = own if logits is None else torch.where(rows, own, logits)
        assert logits is not None
        return Prediction(logits)
