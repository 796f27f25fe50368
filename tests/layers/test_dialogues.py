"""Networks over dialogues: who is joined with whom, and graph convolutions by hand."""

import torch

from cmarr.data.dialogues import Dialogues
from cmarr.layers.dialogue import (
    DialogueLayout,
    NeighbourGraph,
    Recurrent,
    by_speaker,
    by_time,
    neighbours,
)

MASK = torch.tensor([[True, True, True, True], [True, True, False, False]])


def test_a_layout_orders_and_gives_back():
    dialogues = Dialogues(
        torch.tensor([5, 2, 5, 2, 5]), torch.tensor([7, 0, 1, 3, 4]), torch.tensor([0, 1, 1, 0, 0])
    )
    x = torch.arange(5.0)[:, None]
    layout = DialogueLayout(dialogues, x)
    assert layout.lengths.tolist() == [2, 3]
    assert layout.pad(x).squeeze(-1).tolist() == [[1, 3, 0], [2, 4, 0]]  # zero is also the first utterance
    assert layout.mask.tolist() == [[True, True, False], [True, True, True]]
    assert layout.speakers.tolist() == [[1, 0, 0], [1, 0, 0]]
    assert torch.equal(layout.unpad(layout.pad(x)), x)


def test_relations_part_the_neighbours():
    near = neighbours(MASK, 2)
    speakers = torch.tensor([[0, 1, 2, 0], [1, 1, 0, 0]])
    assert near[0].sum() == 4 + 2 * 3 + 2 * 2  # itself, one further, two further
    assert near[1].sum() == 4
    for relations in (by_time(near), by_speaker(near, speakers, 2)):
        assert torch.equal(relations.sum(1), near.long())
    past, own, future = by_time(near)[0]
    assert past[3].tolist() == [False, True, True, False]
    assert torch.equal(own, torch.eye(4).bool())
    assert torch.equal(future, past.T)
    pairs = by_speaker(near, speakers, 2)
    assert pairs[0, 0 * 2 + 1, 0].tolist() == [
        False,
        True,
        True,
        False,
    ]  # of the third speaker as of the second
    assert pairs[1, 1 * 2 + 1].sum() == 4


def test_convolutions_by_hand():
    """Two utterances, widths of 1: means of what is before, itself, behind; then sums."""
    graph = NeighbourGraph(d=1, width=1, relations=3, recurrent=2, out=2, dropout=0.0).eval()
    with torch.no_grad():
        graph.relations.weight.copy_(torch.tensor([[1.0], [10.0], [100.0]]))
        graph.root.weight.fill_(1000.0)
        graph.root.bias.fill_(0.5)
        graph.near.weight.fill_(1.0)
        graph.near.bias.fill_(0.25)
        graph.own.weight.fill_(-1.0)
    seen = {}
    graph.recurrent.forward = lambda x, lengths: seen.setdefault("x", x) @ torch.ones(2, 4)
    near = neighbours(torch.ones(1, 2).bool(), 2)
    graph(torch.tensor([[[1.0], [2.0]]]), by_time(near), torch.tensor([2]))
    h = [1000 * 1 + 0.5 + 10 * 1 + 100 * 2, 1000 * 2 + 0.5 + 1 * 1 + 10 * 2]
    g = [-own + sum(h) + 0.25 for own in h]
    assert seen["x"].tolist() == [[[1.0, g[0]], [2.0, g[1]]]]


def test_a_dialogue_does_not_see_another_nor_its_padding():
    torch.manual_seed(0)
    network = Recurrent(d=3, width=2, layers=2, dropout=0.5).eval()
    x = torch.randn(2, 4, 3)
    both = network(x, torch.tensor([4, 2]))
    torch.testing.assert_close(both[1:, :2], network(x[1:, :2], torch.tensor([2])))
    assert not both[1, 2:].any()
