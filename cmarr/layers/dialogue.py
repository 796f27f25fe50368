"""Networks over the utterances of a dialogue: recurrent ones, graphs between neighbours (GCNet, Lian et al. 2023)."""

import torch
from torch import Tensor, nn

from cmarr.data.dialogues import Dialogues
from cmarr.layers.ragged import Layout


class DialogueLayout:
    """The B utterances of a batch in dialogues, (D, T, ...) with zeros behind the shorter ones, and back.

    dialogues: None: each utterance is a dialogue of its own.
    mask:      (D, T) bool, True on utterances.

    >>> of = Dialogues(torch.tensor([7, 3, 7]), torch.tensor([5, 0, 2]), torch.zeros(3).long())
    >>> layout = DialogueLayout(of, torch.zeros(3, 1))
    >>> layout.pad(torch.tensor([[1.0], [2.0], [3.0]])).squeeze(-1).tolist()
    [[2.0, 0.0], [3.0, 1.0]]
    >>> layout.unpad(layout.pad(torch.tensor([[1.0], [2.0], [3.0]]))).squeeze(-1).tolist()
    [1.0, 2.0, 3.0]
    """

    def __init__(self, dialogues: Dialogues | None, like: Tensor):
        rows = torch.arange(len(like), device=like.device)
        number = rows if dialogues is None else dialogues.number.to(like.device)
        position = torch.zeros_like(rows) if dialogues is None else dialogues.position.to(like.device)
        speaker = torch.zeros_like(rows) if dialogues is None else dialogues.speaker.to(like.device)
        order = position.argsort(stable=True)
        self._order = order[number[order].argsort(stable=True)]
        self._back = self._order.argsort()
        self.lengths = number[self._order].unique_consecutive(return_counts=True)[1]  # (D,)
        self._layout = Layout(self.lengths, len(rows))
        self.mask = self._layout.mask
        self.speakers = self.pad(speaker[:, None]).squeeze(-1)  # (D, T)

    def pad(self, x: Tensor) -> Tensor:
        """(B, d) -> (D, T, d), in the order of the dialogues."""
        return self._layout.pad(x[self._order])

    def unpad(self, x: Tensor) -> Tensor:
        """(D, T, d) -> (B, d), in the order of the batch."""
        return self._layout.unpad(x)[self._back]


class Recurrent(nn.Module):
    """A bidirectional LSTM of `layers` layers over dialogues, (D, T, d) -> (D, T, 2 width), zeros on padding.

    >>> Recurrent(d=4, width=3, layers=2, dropout=0.0)(torch.zeros(2, 5, 4), torch.tensor([5, 2])).shape
    torch.Size([2, 5, 6])
    """

    def __init__(self, d: int, width: int, layers: int, dropout: float):
        super().__init__()
        self.lstm = nn.LSTM(
            d, width, layers, batch_first=True, bidirectional=True, dropout=dropout if layers > 1 else 0.0
        )

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x (D, T, d), lengths (D,) of at least 1."""
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        out, _ = self.lstm(packed)
        padded: Tensor = nn.utils.rnn.pad_packed_sequence(out, batch_first=True, total_length=x.shape[1])[0]
        return padded


def neighbours(mask: Tensor, reach: int) -> Tensor:
    """(D, T) bool -> (D, T, T) bool: which utterances j stand at most `reach` before or behind i, and i itself.

    >>> neighbours(torch.tensor([[True, True, True, False]]), 1).int().tolist()
    [[[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]]
    """
    places = torch.arange(mask.shape[1], device=mask.device)
    near = (places[:, None] - places[None, :]).abs() <= reach
    return near & mask[:, :, None] & mask[:, None, :]


def by_time(near: Tensor) -> Tensor:
    """(D, T, T) -> (D, 3, T, T): of the neighbours those before, the utterance itself, those behind.

    >>> by_time(torch.ones(1, 2, 2).bool())[0].int().tolist()
    [[[0, 0], [1, 0]], [[1, 0], [0, 1]], [[0, 1], [0, 0]]]
    """
    places = torch.arange(near.shape[-1], device=near.device)
    order = (places[None, :] - places[:, None]).sign()  # -1 where j is before i
    return torch.stack([near & (order == way) for way in (-1, 0, 1)], 1)


def by_speaker(near: Tensor, speakers: Tensor, count: int) -> Tensor:
    """(D, T, T) and (D, T) -> (D, count^2, T, T): of the neighbours those with each pair of speakers.

    A dialogue's speakers from the `count`-th on count as one.

    >>> by_speaker(torch.ones(1, 2, 2).bool(), torch.tensor([[0, 1]]), 2)[0].int().tolist()
    [[[1, 0], [0, 0]], [[0, 1], [0, 0]], [[0, 0], [1, 0]], [[0, 0], [0, 1]]]
    """
    own = speakers.clamp(max=count - 1)
    pair = own[:, :, None] * count + own[:, None, :]  # (D, T, T)
    return torch.stack([near & (pair == relation) for relation in range(count**2)], 1)


class NeighbourGraph(nn.Module):
    """A relational graph convolution and a plain one over neighbours, then a recurrent network on both and the input.

        h_i = W_0 x_i + b + sum_r mean_{j in N_r(i)} W_r x_j;      g_i = V_0 h_i + sum_{j in N(i)} V h_j + c
        out = relu(Linear(LSTM([x, g])))

    With `attention` a step of the LSTM gives way to the mean of all steps of its dialogue, each weighted by how well it
    fits: softmax_k(y_k . W y_i) (Luong et al. 2015).

    x (D, T, d), relations (D, R, T, T) bool -> (D, T, out).

    >>> graph = NeighbourGraph(d=4, width=3, relations=3, recurrent=5, out=6, dropout=0.0)
    >>> mask = torch.ones(2, 4).bool()
    >>> graph(torch.zeros(2, 4, 4), by_time(neighbours(mask, 2)), torch.tensor([4, 4])).shape
    torch.Size([2, 4, 6])
    """

    def __init__(
        self,
        d: int,
        width: int,
        relations: int,
        recurrent: int,
        out: int,
        dropout: float,
        attention: bool = False,
    ):
        super().__init__()
        self.relations = nn.Linear(d, relations * width, bias=False)
        self.root = nn.Linear(d, width)
        self.near = nn.Linear(width, width)
        self.own = nn.Linear(width, width, bias=False)
        self.recurrent = Recurrent(d + width, recurrent, 2, dropout)
        self.narrow = nn.Linear(2 * recurrent, out)
        self.match = nn.Linear(2 * recurrent, 2 * recurrent) if attention else None

    def forward(self, x: Tensor, relations: Tensor, lengths: Tensor) -> Tensor:
        """See the class; lengths (D,) of the dialogues."""
        weights = relations.to(x.dtype)
        means = weights / weights.sum(-1, keepdim=True).clamp(min=1)  # (D, R, T, T)
        told = self.relations(x).unflatten(-1, (relations.shape[1], -1)).transpose(1, 2)  # (D, R, T, width)
        h = self.root(x) + (means @ told).sum(1)  # (D, T, width)
        g = self.own(h) + self.near(weights.sum(1) @ h)
        y = self.recurrent(torch.cat([x, g], -1), lengths)  # (D, T, 2 recurrent)
        if self.match is not None:
            beyond = torch.arange(y.shape[1], device=y.device) >= lengths[:, None]  # (D, T)
            fits = (self.match(y) @ y.transpose(1, 2)).masked_fill(beyond[:, None], -torch.inf)
            y = fits.softmax(-1) @ y
        out: Tensor = self.narrow(y).relu()
        return out
