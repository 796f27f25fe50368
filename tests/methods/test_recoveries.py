"""What a method recovers, beside the truth, with a method simple enough to follow by hand."""

import torch
from torch import nn

from cmarr.data.normalise import Normaliser
from cmarr.data.store import Store
from cmarr.methods.inference import recoveries
from cmarr.methods.protocol import Prediction


class Copies(nn.Module):
    """Recovers text as a copy of speech, and answers with the sign of speech plus text."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs

    def truths(self, batch):
        return {m: batch.values[m].view(-1, 1, 1) for m in ("s", "t")}

    def predict(self, batch):
        s, t = (batch.spread(m, x) for m, x in self.truths(batch).items())
        t = torch.where(batch.available[:, 2].view(-1, 1, 1), t, s)
        total = (s + t).view(-1, 1)
        return Prediction(total if self.outputs == 1 else torch.cat([total, -total], 1), recovered={"t": t})


def recovered_by(outputs: int):
    speech, text = torch.tensor([[1.0], [1.0], [-1.0]]), torch.tensor([[5.0], [-5.0], [0.5]])
    starts, lengths = torch.arange(3), torch.ones(3, dtype=torch.int64)
    store = Store(
        ("a", "b", "c"),
        {"s": speech, "t": text},
        dict.fromkeys("st", starts),
        dict.fromkeys("st", lengths),
        torch.zeros(3, dtype=torch.int64),
    )
    return recoveries(Copies(outputs), Normaliser({"s": 1, "t": 1}), store)


def test_the_recovered_modality_leads_to_the_class_of_the_true_one_or_not():
    """Speech 1, 1, -1 answers +, +, -; with the true text 5, -5, 0.5 it is +, -, -."""
    for outputs in (1, 2):
        found = recovered_by(outputs)
        rows = found.rows("s", "t")
        assert found.agrees("s", "t", rows).tolist() == [True, False, True]
        assert found.agrees("s", "t", rows[1:]).tolist() == [False, True]


def test_only_what_is_hidden_is_recovered():
    found = recovered_by(2)
    assert set(found.recovered) == {("s", "t")}
    assert found.recovered["s", "t"].ravel().tolist() == [1.0, 1.0, -1.0]
    assert set(found.logits) == {"s", "t", "st"}
