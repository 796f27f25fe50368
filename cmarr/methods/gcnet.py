"""GCNet, graph completion networks (Lian et al. 2023, TPAMI): the utterances of a dialogue complete each other.

Zeros stand for what is missing of an utterance; recurrent networks and two graphs between neighbouring utterances, by
their order and by who speaks, say what the emotion is, and what is missing.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.data.statistics import mean_and_deviation, mean_over_time
from cmarr.declaration import Count, Flag, NotNegative, Probability, Section, setting
from cmarr.layers.dialogue import DialogueLayout, NeighbourGraph, Recurrent, by_speaker, by_time, neighbours
from cmarr.losses.recognition import recognition_loss
from cmarr.methods.branches import modalities_of, usable_in
from cmarr.methods.protocol import Prediction
from cmarr.task import Task


class GCNet(nn.Module):
    """The whole method. Obeys `cmarr.methods.protocol.Method`, and reads dialogues."""

    class Settings(Section):
        """Sizes and weights of GCNet."""

        d: Count = setting(32, "width, each way, of the recurrent network that reads the dialogue first")
        graph: Count = setting(32, "width of the graph convolutions")
        hidden: Count = setting(
            32, "width, each way, of the recurrent networks behind them, and of their sum"
        )
        pool: Literal["mean", "statistics"] = setting(
            "statistics", "an utterance's features over time: mean; statistics = mean and deviation"
        )
        reach: Count = setting(2, "utterances before and behind that one is joined with")
        speakers: Count = setting(
            2, "of a dialogue that are told apart; further ones count as the last of them"
        )
        dropout: Probability = setting(
            0.3, "between the recurrent layers and before the answer; the authors' 0.5"
        )
        attention: Flag = setting(
            False,
            "true = every utterance reads all of its dialogue before the answer; optional in the public code, too",
        )
        reconstruction_weight: NotNegative = setting(1.0, "of the error of the hidden features")

    in_dialogues = True
    privileges = ("test_epoch", "redrawn_masks")
    redraws_masks = 0
    hidden_losses = ("reconstruction",)
    published_training: ClassVar[Mapping[str, Any]] = {"weight_decay": 1e-5}

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        super().__init__()
        self.task, self.modalities, self.settings = task, modalities_of(dims), settings
        own = settings
        self.pool = mean_over_time if own.pool == "mean" else mean_and_deviation
        self.widths = [dims[m] * (1 if own.pool == "mean" else 2) for m in self.modalities]
        self.read = Recurrent(sum(self.widths), own.d, 2, own.dropout)
        graphs = {"time": 3, "speaker": own.speakers**2}
        self.graphs = nn.ModuleDict(
            {
                name: NeighbourGraph(
                    2 * own.d, own.graph, relations, own.hidden, own.hidden, own.dropout, own.attention
                )
                for name, relations in graphs.items()
            }
        )
        self.dropout = nn.Dropout(own.dropout)
        self.classify = nn.Linear(own.hidden, task.outputs)
        self.complete = nn.Linear(own.hidden, sum(self.widths))

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """cls, and the weighted error of the hidden modalities' features, which are targets alone."""
        usable = usable_in(batch, self.modalities)  # (B, M)
        counted = usable.any(1)
        hidden = usable_in(targets, self.modalities) & ~usable & counted[:, None]
        h = self.fused(batch)
        completed, truth = (x.split(self.widths, 1) for x in (self.complete(h), self._features(targets)))
        errors = [(x - y).square().mean(1) for x, y in zip(completed, truth, strict=True)]
        missed = torch.where(hidden, torch.stack(errors, 1), 0.0).sum() / counted.sum().clamp(min=1)
        logits = self.classify(self.dropout(h))
        return {
            "cls": recognition_loss(logits, batch.labels, counted, self.task.regression),
            "reconstruction": self.settings.reconstruction_weight * missed,
        }

    def predict(self, batch: Batch) -> Prediction:
        """The logits, from the utterance and those around it."""
        return Prediction(self.classify(self.fused(batch)))

    def fused(self, batch: Batch) -> Tensor:
        """What is classified, (B, hidden)."""
        x = self._features(batch)
        layout = DialogueLayout(batch.dialogues, x)
        read = self.read(layout.pad(x), layout.lengths)  # (D, T, 2d)
        near = neighbours(layout.mask, self.settings.reach)
        of_speakers = by_speaker(near, layout.speakers, self.settings.speakers)
        relations = {"time": by_time(near), "speaker": of_speakers}
        found = [graph(read, relations[name], layout.lengths) for name, graph in self.graphs.items()]
        return layout.unpad(torch.stack(found).sum(0))

    def _features(self, batch: Batch) -> Tensor:
        """(B, sum of the widths), zeros for what is missing."""
        parts = [batch.spread(m, self.pool(batch.values[m], batch.lengths[m])) for m in self.modalities]
        return torch.cat(parts, 1)


METHOD = GCNet
