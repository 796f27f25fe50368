"""What a task keeps of a corpus, those without a label among them where they are to be learnt from."""

import numpy as np
import torch

from cmarr.corpora.labels import select_labels
from cmarr.data.load import load_store
from cmarr.features.shards import FeatureTable
from cmarr.task import Task
from cmarr.utterance import Utterance

CORPUS = [
    Utterance("a", label="happy", score=1.0),
    Utterance("b"),
    Utterance("c", label="sad", score=-1.0),
    Utterance("d", label="other", score=0.5),
]


def test_without_a_label_is_left_out_unless_it_is_to_be_learnt_from():
    kept, selection = select_labels(CORPUS, ["happy", "sad"])
    assert [u.id for u in kept] == ["a", "c"]
    assert str(selection).endswith("1 without a label left out")
    kept, selection = select_labels(CORPUS, ["happy", "sad"], unlabelled="learn")
    assert [u.id for u in kept] == ["a", "b", "c"]
    assert str(selection).endswith("1 without a label kept to learn from")
    kept, selection = select_labels(CORPUS, [], unlabelled="learn")
    assert (len(kept), selection.unlabelled) == (4, 1)


def test_a_store_has_no_class_and_no_score_for_it():
    found = {u.id: u for u in CORPUS}
    tables = {"s": FeatureTable(["a", "b", "c"], np.zeros((3, 1), np.float16), np.arange(4))}
    labels = load_store(["a", "b", "c"], found, tables, Task(("happy", "sad"))).labels
    assert torch.equal(labels, torch.tensor([0, -1, 1]))
    scores = load_store(["a", "b", "c"], found, tables, Task()).labels
    assert scores.tolist()[::2] == [1.0, -1.0]
    assert scores[1].isnan()
