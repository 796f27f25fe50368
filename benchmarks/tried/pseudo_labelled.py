"""`pseudo_labelled`: `recovered`, which then learns from its own answers where a training utterance has no label."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from cmarr.data.batch import Batch
from cmarr.data.labelled import labelled
from cmarr.declaration import PositiveShare, setting
from cmarr.methods.recovered import Recovered
from cmarr.task import Task


class PseudoLabelled(Recovered):
    """`Recovered`, and one round of pseudo-labels (Lee 2013, *ICML workshop*)."""

    class Settings(Recovered.Settings):
        """Those of `recovered`, and which answers are learnt from."""

        share: PositiveShare = setting(
            1.0, "share of the unlabelled utterances that are learnt from, the surest"
        )

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings) -> None:
        super().__init__(dims, task, settings)
        self.share = settings.share

    def fit(self, train: Batch, generator: torch.Generator) -> None:
        """Fit on the labelled, answer the others by all that they have, and fit on both."""
        super().fit(train, generator)
        known = labelled(train.labels)
        sure, guess = self.predict(train).logits.softmax(1).max(1)
        order = sure.masked_fill(known, -1.0).argsort(descending=True)[
            : round(self.share * int((~known).sum()))
        ]
        labels = train.labels.clone()
        labels[order] = guess[order]
        super().fit(replace(train, labels=labels), generator)


METHOD = PseudoLabelled
