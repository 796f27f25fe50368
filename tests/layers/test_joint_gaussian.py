"""The conditional expectation of a missing latent."""

import pytest
import torch

from cmarr.layers.joint_gaussian import JointGaussian
from cmarr.layers.recovery import Recovery


def latents(rows: int = 400, length: int = 2, d: int = 3, seed: int = 0) -> torch.Tensor:
    """(3, rows, length, d) that share a third of what they are."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(rows, length, d, generator=generator)
    return torch.stack([common + torch.randn(rows, length, d, generator=generator) for _ in range(3)]) + 1


def observed(z: torch.Tensor, there: torch.Tensor | None = None, **options) -> JointGaussian:
    joint = JointGaussian(3, z.shape[-1], **options)
    joint.observe(z, torch.ones(z.shape[1], 3).bool() if there is None else there)
    return joint


def test_it_is_brute_force_conditioning():
    z = latents()
    joint, seen = observed(z, shrink=0.2), torch.tensor([True, False, True]).expand(1, 400, 3)
    own, missing = [0, 1, 2, 6, 7, 8], [3, 4, 5]
    s, mean = joint.covariance, joint.mean
    flat = z.permute(1, 2, 0, 3).flatten(2)
    gain = torch.linalg.inv(s[own][:, own]) @ s[own][:, missing]
    expected = mean[missing] + (flat[..., own] - mean[own]) @ gain
    torch.testing.assert_close(joint(z, seen)[1, 0], expected, atol=1e-4, rtol=1e-4)


def test_usable_latents_are_their_own_expectation_and_nothing_gives_the_mean():
    z = latents()
    joint = observed(z)
    patterns = torch.tensor([[True, False, True], [False, False, False]])[:, None].expand(2, 400, 3)
    found = joint(z, patterns)
    torch.testing.assert_close(found[0, 0], z[0], atol=1e-4, rtol=1e-4)
    assert torch.equal(found[1, 1], joint.mean[3:6].expand(400, 2, 3))


def test_what_is_not_usable_is_not_read():
    z = latents(20)
    joint, seen = observed(z), torch.tensor([True, False, False]).expand(1, 20, 3)
    noisy = z.clone()
    noisy[1:] = 1e6
    assert torch.equal(joint(z, seen), joint(noisy, seen))


@pytest.mark.parametrize("absent", [0.0, 0.5, 1.0])
def test_the_covariance_stays_positive_whatever_is_absent(absent):
    there = torch.rand(30, 3, generator=torch.Generator().manual_seed(1)) >= absent
    joint = observed(latents(30), there, shrink=0.01)
    assert torch.linalg.eigvalsh(joint.covariance)[0] > 0


def test_moments_forget_their_start_and_then_move_a_little():
    joint = JointGaussian(1, 1, momentum=0.25)
    for value in (4.0, 8.0, 8.0, 8.0, 16.0):
        joint.observe(torch.full((1, 2, 1, 1), value), torch.ones(2, 1).bool())
    # 4, then the mean of 4 and 8, of 4, 8, 8, of 4, 8, 8, 8; then a quarter of the way to 16
    assert float(joint.mean) == pytest.approx(7 + 0.25 * 9)


def test_recovery_takes_it_for_eq_7():
    torch.manual_seed(0)
    recovery = Recovery(("s", "t"), 4, 2, 8, "lu", 1, averaging="conditional").eval()
    x = {m: torch.randn(6, 5, 4) for m in "st"}
    usable = torch.tensor([True, False]).expand(1, 6, 2)
    before = recovery(x, usable, {}).x["t"]
    recovery.observe(x, torch.ones(6, 2).bool())
    assert not torch.equal(before, recovery(x, usable, {}).x["t"])
    assert torch.equal(recovery(x, usable, {}).x["s"][0], x["s"])


def test_draws_have_the_mean_and_the_covariance_that_the_gaussian_leaves_open():
    z = latents(1)
    joint = observed(latents(), shrink=0.2)
    own, missing = [0, 1, 2], [3, 4, 5, 6, 7, 8]
    seen = torch.tensor([True, False, False]).expand(1, 1, 3)
    noise = torch.randn(4000, 9, generator=torch.Generator().manual_seed(2))
    drawn = torch.stack([joint(z, seen, n)[1:, 0, 0, 0].flatten() for n in noise[:2000]])
    s = joint.covariance
    left = s[missing][:, missing] - s[missing][:, own] @ torch.linalg.inv(s[own][:, own]) @ s[own][:, missing]
    torch.testing.assert_close(drawn.mean(0), joint(z, seen)[1:, 0, 0, 0].flatten(), atol=0.1, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), left, atol=0.15, rtol=0)
