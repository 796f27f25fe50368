"""A dense block's own training step gives what torchvision's block gives, faster."""

import copy

import pytest
import torch

from cmarr.encoders.face_network import Denseface
from denseface.dense_block import dense_block, training_logits


def block(layers=4, channels=6, growth=3, dtype=torch.float64):
    """In training mode; scales on both sides of zero, so that each affine map is tried."""
    torch.manual_seed(0)
    densenet = pytest.importorskip(
        "torchvision.models.densenet", reason="needs torchvision (the extra `dev`)"
    )
    made = densenet._DenseBlock(layers, channels, bn_size=2, growth_rate=growth, drop_rate=0.0).to(dtype)
    for value in made.parameters():
        if value.ndim == 1:
            torch.nn.init.normal_(value)
    return made.to(memory_format=torch.channels_last).train()


def learnt(forward, module, maps):
    """Answer, gradients and running statistics of a pass in both directions."""
    maps = maps.clone().requires_grad_()
    answer = forward(module, maps)
    answer.backward(torch.linspace(-1, 1, answer.numel(), dtype=answer.dtype).view_as(answer).sin())
    gradients = {name: value.grad for name, value in module.named_parameters()}
    return {"answer": answer.detach(), "maps": maps.grad, **gradients}, dict(module.state_dict())


def own(module, maps):
    return dense_block(module, maps, [])


def plain(module, maps):
    return module(maps)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_answer_gradients_and_running_statistics_are_those_of_the_plain_block(dtype, tolerance):
    one, other = block(dtype=dtype), block(dtype=dtype)
    maps = torch.randn(4, 6, 8, 8, dtype=dtype).to(memory_format=torch.channels_last)
    for _ in range(2):  # running statistics of running statistics
        (found, state), (expected, reference) = learnt(own, one, maps), learnt(plain, other, maps)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=tolerance, atol=tolerance, msg=name)
    for name, value in reference.items():
        torch.testing.assert_close(state[name], value, rtol=tolerance, atol=tolerance, msg=name)


def test_gradients_are_those_of_finite_differences():
    tiny = block(layers=2, channels=2, growth=2)
    maps = torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    inputs = [maps, *tiny.parameters()]
    dense_block(tiny, maps, []).sin().sum().backward()
    for value in inputs:
        way = torch.randn_like(value)
        ends = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                value += step * way
                ends.append(dense_block(tiny, maps, []).sin().sum())
                value -= step * way
        assert (value.grad * way).sum() == pytest.approx(
            (ends[0] - ends[1]).item() / 2e-6, rel=1e-5, abs=1e-6
        )


def test_a_second_backward_pass_is_refused():
    answer = dense_block(block(), torch.randn(2, 6, 8, 8, dtype=torch.float64), []).sum()
    answer.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        answer.backward()


def test_in_bf16_it_rounds_about_as_much_as_the_plain_block():
    exact = block(layers=16, channels=24, growth=12, dtype=torch.float32)
    maps = torch.randn(16, 24, 8, 8).bfloat16()
    expected, _ = learnt(plain, copy.deepcopy(exact), maps.float())
    with torch.autocast("cpu", torch.bfloat16):
        found, state = learnt(own, copy.deepcopy(exact), maps)
        usual, reference = learnt(plain, copy.deepcopy(exact), maps)
    for name, value in expected.items():
        error, other = ((kind[name].float() - value).norm() for kind in (found, usual))
        assert error < 1.5 * other, name
    for name, value in reference.items():
        torch.testing.assert_close(state[name], value, rtol=0.05, atol=0.01, msg=name)


def test_the_whole_network_learns_alike():
    torch.manual_seed(0)
    one = Denseface().double().train()
    other = copy.deepcopy(one)
    faces = torch.randn(4, 1, 32, 32, dtype=torch.float64)
    for _ in range(2):
        logits, expected = training_logits(one, faces, []), other(faces)[1]
        torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)
        logits.square().sum().backward()
        expected.square().sum().backward()
    for (name, value), reference in zip(one.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(value.grad, reference.grad, rtol=1e-7, atol=1e-7, msg=name)
    for name, value in other.state_dict().items():
        torch.testing.assert_close(one.state_dict()[name], value, rtol=1e-9, atol=1e-9, msg=name)


def test_memory_goes_from_step_to_step_and_never_to_two_at_once():
    module, spare = block(), []
    maps = torch.randn(2, 6, 8, 8, dtype=torch.float64)
    alone = dense_block(copy.deepcopy(module), maps, []).sum()
    first, second = dense_block(module, maps, spare), dense_block(module, 2 * maps, spare)
    assert not spare
    second.sum().backward()
    (given,) = spare
    first.sum().backward()
    torch.testing.assert_close(first.sum(), alone)
    assert len(spare) == 2 and given.data_ptr() != spare[1].data_ptr()
    latest = spare[1].data_ptr()
    dense_block(module, maps[:1], spare).sum().backward()  # less fits, too
    assert spare[1].data_ptr() == latest


def test_a_face_that_is_not_a_number_is_not_hidden():
    maps = torch.randn(2, 6, 8, 8, dtype=torch.float64)
    maps[0, 0, 0, 0] = torch.nan
    assert dense_block(block(), maps, []).isnan().any()
