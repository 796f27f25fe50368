"""MCB-CL, worked by hand: who is drawn to whom, and with how much weight."""

import math

import pytest
import torch

from cmarr.losses.regularisation import CombinationContrast
from cmarr.losses.supervised_contrast import score_classes, supervised_contrast

SPEECH, BOTH, NOTHING = [True, False], [True, True], [False, False]


def contrast(**settings) -> CombinationContrast:
    usual = {"combination": 1.0, "category": 0.0, "temperature": 1.0, "same_utterance": False}
    return CombinationContrast(2, **(usual | settings))


def directions(*degrees: float) -> torch.Tensor:
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], 1)


def test_by_hand():
    """Three happy views, of which the first two share speech alone: only they are drawn together.

    Cosines: z0 z1 = 1/2, z0 z2 = 0, z1 z2 = sqrt(3)/2.
    Category and combination: anchor 0 -log(e^.5 / (e^.5 + 1)), anchor 1 -log(e^.5 / (e^.5 + e^(sqrt(3)/2))).
    Category alone: of every anchor log(sum of both) - mean of both, as all are positives.
    """
    h, usable = directions(0, 60, 90), torch.tensor([SPEECH, SPEECH, BOTH])
    happy, views = torch.zeros(3, dtype=torch.long), torch.arange(3)
    first = math.log(1 + math.exp(-0.5))
    second = math.log(1 + math.exp(math.sqrt(3) / 2 - 0.5))
    both = (first + second) / 2
    assert contrast()(h, happy, usable, views).item() == pytest.approx(both, abs=1e-5)

    cosines = [(0.5, 0.0), (0.5, math.sqrt(3) / 2), (0.0, math.sqrt(3) / 2)]
    alone = sum(math.log(math.exp(a) + math.exp(b)) - (a + b) / 2 for a, b in cosines) / 3
    category = contrast(combination=0.0, category=1.0)
    assert category(h, happy, usable, views).item() == pytest.approx(alone, abs=1e-5)
    weighted = contrast(combination=0.3, category=2.0)
    assert weighted(h, happy, usable, views).item() == pytest.approx(0.3 * both + 2 * alone, abs=1e-5)


def test_combinations_are_told_apart_also_across_categories():
    """Category 1 with modality 0 is not category 0 with modalities 0 and 1, whatever numbers stand for them."""
    h = directions(0, 30, 60, 90)
    usable = torch.tensor([SPEECH, BOTH, SPEECH, BOTH])
    assert contrast()(h, torch.tensor([0, 0, 1, 1]), usable, torch.arange(4)).item() == 0.0


def test_a_view_with_nothing_to_see_takes_no_part():
    h, categories = directions(0, 60, 90, 10), torch.zeros(4, dtype=torch.long)
    usable = torch.tensor([SPEECH, SPEECH, BOTH, NOTHING])
    whole = contrast(category=1.0)(h, categories, usable, torch.arange(4))
    rest = contrast(category=1.0)(h[:3], categories[:3], usable[:3], torch.arange(3))
    torch.testing.assert_close(whole, rest)


def test_two_views_of_an_utterance_are_a_pair_only_if_told_so():
    h, category = directions(0, 60), torch.zeros(2, dtype=torch.long)
    usable, one = torch.tensor([SPEECH, SPEECH]), torch.zeros(2, dtype=torch.long)
    apart = contrast()(h.requires_grad_(), category, usable, one)
    apart.backward()
    assert apart.item() == 0.0
    assert not h.grad.any()
    # the only other view is the positive: -log 1
    assert contrast(same_utterance=True)(h, category, usable, one).item() == pytest.approx(0.0, abs=1e-6)
    three = torch.tensor([SPEECH, SPEECH, SPEECH])
    mixed = contrast(same_utterance=True)(
        directions(0, 60, 90), torch.tensor([0, 0, 1]), three, torch.tensor([0, 0, 1])
    )
    assert mixed.item() > 0


def test_a_batch_without_positives_or_of_one_class():
    h = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    usable = torch.tensor([SPEECH, BOTH] * 3)
    lonely = contrast(category=1.0)(h, torch.arange(6), usable, torch.arange(6))
    lonely.backward()
    assert lonely.item() == 0.0
    assert not h.grad.any()
    one_class = contrast(category=1.0)(h, torch.zeros(6, dtype=torch.long), usable, torch.arange(6))
    assert one_class.isfinite()
    assert one_class.item() > 0


def test_weights_multiply_the_anchors_terms():
    h, labels = directions(0, 60, 90), torch.tensor([0, 0, 0])
    each = [
        supervised_contrast(h, labels, torch.arange(3), torch.ones(3, dtype=torch.bool), 1.0, False, one)
        for one in torch.eye(3)
    ]
    plain = supervised_contrast(h, labels, torch.arange(3), torch.ones(3, dtype=torch.bool), 1.0)
    torch.testing.assert_close(sum(each), plain)
    usable = torch.tensor([SPEECH] * 3)
    weighted = contrast()(h, labels, usable, torch.arange(3), torch.tensor([2.0, 0.0, 1.0]))
    torch.testing.assert_close(weighted, 2 * each[0] + each[2])


def test_the_head_is_what_is_contrasted():
    head = contrast(projection=4)
    assert head.project[-1].out_features == 4
    h, labels, usable = directions(0, 60, 90), torch.zeros(3, dtype=torch.long), torch.tensor([SPEECH] * 3)
    through = head(h, labels, usable, torch.arange(3))
    torch.testing.assert_close(through, contrast()(head.project(h), labels, usable, torch.arange(3)))


def test_categories_of_scores():
    scores = torch.tensor([-3.4, -1.5, -0.2, 0.0, 0.2, 0.5, 1.5, 2.6])
    assert score_classes(scores, "sign").tolist() == [0, 0, 0, 1, 2, 2, 2, 2]
    assert score_classes(scores, "rounded").tolist() == [0, 1, 3, 3, 3, 3, 5, 6]  # halves to even
