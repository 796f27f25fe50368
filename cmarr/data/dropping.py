"""A store from which frames and tokens are missing."""

from collections.abc import Mapping

import torch
from torch import Tensor

from cmarr.data.store import Store, ragged_rows


def without_steps(store: Store, kept: Mapping[str, Tensor]) -> Store:
    """The same utterances with fewer steps: what is dropped is gone, what is left moves together.

    kept: modality -> (sum of its lengths,) bool on the host, utterance by utterance; one without an entry stays whole.
    An utterance that keeps no step of a modality does not have it any more.
    """
    values, starts, lengths = dict(store.values), dict(store.starts), dict(store.lengths)
    for m, keep in kept.items():
        owner = torch.repeat_interleave(torch.arange(len(store)), store.lengths[m])
        rows = ragged_rows(store.starts[m], store.lengths[m])[keep]
        values[m] = store.values[m][rows.to(store.values[m].device)]
        lengths[m] = torch.bincount(owner[keep], minlength=len(store))
        starts[m] = lengths[m].cumsum(0) - lengths[m]
    return Store(store.ids, values, starts, lengths, store.labels)
