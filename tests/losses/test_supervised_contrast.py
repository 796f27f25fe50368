"""L_spcl, worked by hand and against pytorch-metric-learning where the definitions coincide."""

import math

import pytest
import torch
from pytorch_metric_learning.losses import SupConLoss

from cmarr.losses.supervised_contrast import sign_classes, supervised_contrast


def random_vectors(n: int = 12, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(n, 4, generator=generator)
    return vectors, torch.randint(3, (n,), generator=generator)


ALL = torch.ones(12, dtype=torch.bool)


def test_by_hand():
    # Directions 0, 60 and 90 degrees; labels a, a, b; one vector an utterance; temperature 1.
    # Cosines: z0 z1 = 1/2, z0 z2 = 0, z1 z2 = sqrt(3)/2.
    # anchor 0: -log(e^.5 / (e^.5 + e^0)); anchor 1: -log(e^.5 / (e^.5 + e^(sqrt(3)/2))); anchor 2: no positive.
    angles = torch.tensor([0.0, math.pi / 3, math.pi / 2])
    vectors = 7 * torch.stack([angles.cos(), angles.sin()], 1)  # their lengths do not matter
    loss = supervised_contrast(vectors, torch.tensor([0, 0, 1]), torch.arange(3), ALL[:3], temperature=1.0)
    first = math.log(1 + math.exp(-0.5))
    second = math.log(1 + math.exp(math.sqrt(3) / 2 - 0.5))
    assert loss.item() == pytest.approx((first + second) / 2, abs=1e-5)


def test_several_positives_are_averaged_outside_the_logarithm():
    # Anchor 0 at 0 degrees; positives at 0 and 180 degrees, no negatives; temperature 1.
    # L_out of anchor 0: mean of log(e + 1/e) - 1 and log(e + 1/e) + 1, that is log(e + 1/e).
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    loss = supervised_contrast(vectors, torch.zeros(3), torch.arange(3), ALL[:3], temperature=1.0)
    anchor_0 = math.log(math.e + 1 / math.e)
    anchor_2 = math.log(2 / math.e) + 1  # both others are opposite: -log(e^-1 / 2 e^-1) = log 2
    assert loss.item() == pytest.approx((2 * anchor_0 + anchor_2) / 3, abs=1e-5)


def test_it_agrees_with_supcon_for_one_vector_an_utterance():
    vectors, labels = random_vectors()
    ours = supervised_contrast(vectors, labels, torch.arange(12), ALL, temperature=0.1)
    torch.testing.assert_close(ours, SupConLoss(temperature=0.1)(vectors, labels), atol=1e-5, rtol=1e-5)


def test_it_agrees_with_supcon_when_pairs_of_one_utterance_are_kept():
    vectors, labels = random_vectors()
    utterances = torch.arange(4).repeat(3)
    labels = labels[:4].repeat(3)
    ours = supervised_contrast(vectors, labels, utterances, ALL, temperature=0.1, same_utterance=True)
    torch.testing.assert_close(ours, SupConLoss(temperature=0.1)(vectors, labels), atol=1e-5, rtol=1e-5)


def test_pairs_of_one_utterance_are_neither_positives_nor_negatives():
    # Utterance 0 has two vectors. For anchor 0 only utterances 1 and 2 exist.
    vectors, _ = random_vectors(4)
    labels, utterances = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 2])
    z = torch.nn.functional.normalize(vectors, dim=-1)
    s = z @ z.T
    anchors = [
        torch.logsumexp(s[0, [2, 3]], 0) - s[0, 2],
        torch.logsumexp(s[1, [2, 3]], 0) - s[1, 2],
        torch.logsumexp(s[2, [0, 1, 3]], 0) - s[2, [0, 1]].mean(),
    ]
    loss = supervised_contrast(vectors, labels, utterances, ALL[:4], temperature=1.0)
    torch.testing.assert_close(loss, torch.stack(anchors).mean())


def test_what_is_not_valid_takes_no_part():
    vectors, labels = random_vectors()
    valid = torch.arange(12) % 4 != 0
    loss = supervised_contrast(vectors, labels, torch.arange(12), valid)
    kept = supervised_contrast(vectors[valid], labels[valid], torch.arange(12)[valid], ALL[:9])
    torch.testing.assert_close(loss, kept)


def test_the_order_does_not_matter():
    vectors, labels = random_vectors()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(2))
    first = supervised_contrast(vectors, labels, torch.arange(12) // 2, ALL)
    second = supervised_contrast(vectors[order], labels[order], (torch.arange(12) // 2)[order], ALL)
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize(
    ("labels", "valid"),
    [(torch.arange(12), ALL), (torch.zeros(12), ~ALL), (torch.zeros(12), torch.arange(12) == 3)],
    ids=["no label twice", "nothing valid", "one vector"],
)
def test_without_positives_the_loss_is_zero_and_its_gradient_finite(labels, valid):
    vectors, _ = random_vectors()
    vectors.requires_grad_()
    loss = supervised_contrast(vectors, labels, torch.arange(12), valid)
    loss.backward()
    assert loss.item() == 0.0
    assert not vectors.grad.any()


def test_a_zero_vector_is_not_nan():
    vectors = torch.zeros(12, 4, requires_grad=True)
    loss = supervised_contrast(vectors, torch.zeros(12), torch.arange(12), ALL)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(11), abs=1e-5)
    assert vectors.grad.isfinite().all()


def test_classes_of_scores():
    assert sign_classes(torch.tensor([-2.5, 0.0, 0.2])).tolist() == [0, 1, 2]


def test_vectors_of_zeros_have_no_direction_and_a_gradient_with_bounds():
    """All similarities are 0, so each of three anchors loses log 2 for its one positive; divided by 0.01 and not by
    their length, a vector moves towards that positive by 1 / 0.01, times what the softmax leaves, over T = 1."""
    vectors = torch.zeros(3, 2)
    vectors[0, 0] = 1.0
    vectors.requires_grad_()
    everything = torch.ones(3, dtype=torch.bool)
    loss = supervised_contrast(vectors, torch.tensor([0, 0, 1]), torch.arange(3), everything, 1.0)
    assert loss.item() == pytest.approx(math.log(2))
    loss.backward()
    # two anchors; 1 of 0: z1 (1 - 1/2) z0, 0 of 1: the same, and z2 stands against the positive of 0 by 1/2
    torch.testing.assert_close(vectors.grad[1], torch.tensor([-50.0, 0.0]))
    torch.testing.assert_close(vectors.grad[2], torch.tensor([25.0, 0.0]))


def test_a_vector_without_a_label_takes_no_part():
    vectors, labels = random_vectors()
    known = labels.clone()
    known[3:5] = -1
    rows = known >= 0
    found = supervised_contrast(vectors, known, torch.arange(12), ALL)
    wanted = supervised_contrast(vectors[rows], labels[rows], torch.arange(10), ALL[:10])
    torch.testing.assert_close(found, wanted)
