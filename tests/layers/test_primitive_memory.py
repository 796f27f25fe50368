"""PriMD's memory: what is read of it, in which order, and at what cost."""

import math

import pytest
import torch

from cmarr.layers.primitive_memory import PrimitiveMemory


def memory(**settings) -> PrimitiveMemory:
    torch.manual_seed(0)
    made = PrimitiveMemory(**({"d": 4, "size": 6, "ranks": 6} | settings)).eval()
    with torch.no_grad():
        made.vectors.normal_()
    return made


def test_all_of_it_is_the_mean_that_attention_gives():
    made, z = memory(fixed=6), torch.randn(3, 4)
    attention = (made.query(z) @ made.key(made.vectors).T / 8).softmax(1)
    found = made(z)
    torch.testing.assert_close(found.vector, attention @ made.vectors)
    torch.testing.assert_close(found.attention, attention)
    torch.testing.assert_close(found.cost, torch.full((3,), math.e - 1))


def test_one_of_it_is_the_vector_attended_most():
    made, z = memory(fixed=1), torch.randn(3, 4)
    found = made(z)
    torch.testing.assert_close(found.vector, made.vectors[found.attention.argmax(1)])


def test_a_choice_mixes_the_means_of_the_best_ones():
    made, z = memory(ranks=2), torch.randn(1, 4)
    with torch.no_grad():
        made.choose[2].weight.zero_()
        made.choose[2].bias.copy_(torch.tensor([0.5 * math.log(3.0), 0.0]))  # 3 to 1 at temperature 1/2
    found = made(z)
    (a, b), (first, second) = (x[:2] for x in found.attention[0].sort(descending=True))
    pair = (a * made.vectors[first] + b * made.vectors[second]) / (a + b)
    torch.testing.assert_close(found.vector[0], 0.75 * made.vectors[first] + 0.25 * pair)
    assert found.cost.item() == pytest.approx(0.75 * math.expm1(0.5) + 0.25 * math.expm1(1.0), rel=1e-5)


def test_noise_is_part_of_training_alone():
    made, z = memory(ranks=3), torch.randn(2, 4)
    assert torch.equal(made(z).vector, made(z).vector)
    made.train()
    assert not torch.equal(made(z).vector, made(z).vector)


def test_the_nearest_vector():
    made = memory()
    x = made.vectors[[4, 1]].detach() + 0.01
    assert torch.equal(made.nearest(x), made.vectors[[4, 1]])
