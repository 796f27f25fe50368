"""The vectors that a method's answers are read from, for a whole split."""

from collections import defaultdict
from collections.abc import Iterable
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from cmarr.data.batch import visibility
from cmarr.data.normalise import Normaliser
from cmarr.data.store import Store
from cmarr.methods.inference import batches
from cmarr.methods.protocol import Represents
from cmarr.modalities import CONDITIONS


@torch.no_grad()
def representations(
    method: nn.Module, normaliser: Normaliser, store: Store, conditions: Iterable[str] = CONDITIONS
) -> dict[str, np.ndarray]:
    """Condition -> (N, d) float32 of a `Represents`, in evaluation mode.

    Rows that have nothing usable under a condition hold whatever the method gave.
    """
    names = list(conditions)
    parts: dict[str, list[Tensor]] = defaultdict(list)
    for batch in batches(method, normaliser, store):
        masks = {name: visibility(name, len(batch), store.labels.device) for name in names}
        for name, h in cast(Represents, method).fused(batch, masks).items():
            parts[name].append(h.float().cpu())
    return {name: torch.cat(part).numpy() for name, part in parts.items()}
