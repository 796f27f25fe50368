"""The coupling of DiCMoR's flows: two hidden layers, out = (b + t) s with s = sigmoid(log_s + 2)."""

import pytest
import torch

from cmarr.layers.flow import SMALLEST_LOG_SCALE, ChannelFlow


def flow(steps: int = 3, perturbed: bool = True) -> ChannelFlow:
    torch.manual_seed(0)
    made = ChannelFlow(6, steps, hidden=5, layers=2, scaling="sigmoid")
    if perturbed:
        with torch.no_grad():
            for p in made.parameters():
                p.add_(0.2 * torch.randn_like(p))
    return made


def test_one_step_by_hand():
    made = flow(steps=1, perturbed=False)
    with torch.no_grad():
        made.bias_out[0, :3], made.bias_out[0, 3:] = 1.0, 0.5  # log_s = 1, t = 0.5
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    z, log_determinant = made(x)
    s = torch.tensor(3.0).sigmoid()
    torch.testing.assert_close(z, torch.cat([(x[:, :3] + 0.5) * s, x[:, 3:]], dim=1))
    torch.testing.assert_close(log_determinant, 3 * s.log()[None])


def test_it_is_inverted():
    made, x = flow(), torch.randn(20, 6)
    z, forward = made(x)
    back, backward = made.inverse(z)
    torch.testing.assert_close(back, x, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(forward, -backward, atol=1e-4, rtol=1e-4)


def test_rows_far_off_do_not_send_the_inverse_to_infinity():
    made = ChannelFlow(6, 32, hidden=5, layers=2, scaling="sigmoid")
    with torch.no_grad():
        made.bias_out[:, :3] = -1000.0  # a scale of sigmoid(-998) = 0 in every step, but for the floor
    z, log_determinant = made(torch.ones(1, 6))
    back, _ = made.inverse(torch.full((1, 6), 10.0))
    assert back.isfinite().all()
    torch.testing.assert_close(log_determinant, torch.tensor([32 * 3 * SMALLEST_LOG_SCALE]))
    assert z.isfinite().all()


def test_its_log_determinant_is_autograd_s():
    made, x = flow(), torch.randn(4, 6)
    for row in x:
        jacobian = torch.autograd.functional.jacobian(lambda given: made(given[None])[0][0], row)
        torch.testing.assert_close(jacobian.det().abs().log(), made(row[None])[1][0], atol=1e-4, rtol=1e-4)


def test_a_gradient_reaches_every_parameter():
    made = flow()
    z, log_determinant = made(torch.randn(30, 6))
    (z.square().sum() - log_determinant.sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


def test_sizes_of_the_authors():
    """272,512 and 479,488 parameters a flow in the public code, of which ours are within 2 %."""
    for d, published in ((32, 272_512), (64, 479_488)):
        made = ChannelFlow(d, 32, 64, layers=2, scaling="sigmoid")
        assert sum(p.numel() for p in made.parameters()) == pytest.approx(published, rel=0.02)


def test_a_coupling_has_one_or_two_hidden_layers():
    with pytest.raises(ValueError, match="1 or 2 hidden layers, not 3"):
        ChannelFlow(4, 1, 4, layers=3)
