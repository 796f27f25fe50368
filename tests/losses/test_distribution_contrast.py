"""L_udcl (Eq 1-5), worked by hand."""

import math

import pytest
import torch

from cmarr.losses.distribution_contrast import DistributionContrast, entropy_margin, retrieval


def gaussians(mu, sigma) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(mu, dtype=torch.float32), torch.tensor(sigma, dtype=torch.float32)


# Two modalities, two utterances, one channel.
#   n: mu 0, 1 and sigma 1, 2;  m: mu 0, 3 and sigma 1, 2
MU, SIGMA = gaussians([[[0.0], [1.0]], [[0.0], [3.0]]], [[[1.0], [2.0]], [[1.0], [2.0]]])
BOTH = torch.ones(2, 2, dtype=torch.bool)


def random_batch(m: int = 3, b: int = 6, d: int = 5, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(m, b, d, generator=generator), torch.rand(m, b, d, generator=generator) + 0.5


class TestDistance:
    def test_by_hand_with_the_deviation(self):
        # (0-0)^2 + (1-1)^2 = 0; (0-3)^2 + (1-2)^2 = 10; (1-0)^2 + (2-1)^2 = 2; (1-3)^2 + (2-2)^2 = 4
        assert DistributionContrast().distances(MU, SIGMA).tolist() == [[[0.0, 10.0], [2.0, 4.0]]]

    def test_by_hand_with_the_variance(self):
        # sigma^2 is 1 and 4: 9 + 9 = 18; 1 + 9 = 10; 4 + 0 = 4
        distances = DistributionContrast(sigma="variance").distances(MU, SIGMA)
        assert distances.tolist() == [[[0.0, 18.0], [10.0, 4.0]]]

    def test_by_hand_between_points(self):
        assert DistributionContrast(contrast="point").distances(MU, SIGMA).tolist() == [
            [[0.0, 9.0], [1.0, 4.0]]
        ]

    def test_it_agrees_with_the_sum_of_squared_differences(self):
        mu, sigma = random_batch()
        distances = DistributionContrast().distances(mu, sigma)
        for p, (n, m) in enumerate([(0, 1), (0, 2), (1, 2)]):
            expected = (mu[n][:, None] - mu[m][None]).square().sum(-1)
            expected += (sigma[n][:, None] - sigma[m][None]).square().sum(-1)
            torch.testing.assert_close(distances[p], expected, atol=1e-4, rtol=1e-4)


class TestLoss:
    def test_by_hand(self):
        # a = -1/2, tau = 1, b = 4: S = 4 - D / 2 = [[4, -1], [3, 2]].
        # n to m: -log(e^4 / (e^4 + e^-1)), -log(e^2 / (e^3 + e^2)); m to n: columns (4, 3) and (-1, 2).
        contrast = DistributionContrast(tau=1.0)
        contrast.log_scale.data.fill_(math.log(0.5))
        rows = (math.log1p(math.exp(-5)) + math.log1p(math.exp(1))) / 2
        columns = (math.log1p(math.exp(-1)) + math.log1p(math.exp(-3))) / 2
        assert contrast(MU, SIGMA, BOTH).item() == pytest.approx(rows + columns, abs=1e-5)
        contrast.directions = "mean"
        assert contrast(MU, SIGMA, BOTH).item() == pytest.approx((rows + columns) / 2, abs=1e-5)

    def test_three_modalities_add_their_three_pairs(self):
        mu, sigma = random_batch()
        everything = torch.ones(6, 3, dtype=torch.bool)
        contrast = DistributionContrast(tau=1.0)
        pairs = [[0, 1], [0, 2], [1, 2]]
        separate = sum(contrast(mu[p], sigma[p], everything[:, :2]) for p in pairs)
        torch.testing.assert_close(contrast(mu, sigma, everything), separate)

    def test_the_shift_cancels(self):
        mu, sigma = random_batch()
        everything = torch.ones(6, 3, dtype=torch.bool)
        first = DistributionContrast(b=4.0)(mu, sigma, everything)
        torch.testing.assert_close(
            first, DistributionContrast(b=-1.0)(mu, sigma, everything), atol=1e-4, rtol=1e-4
        )

    def test_an_utterance_without_one_modality_leaves_that_pair(self):
        mu, sigma = random_batch()
        available = torch.ones(6, 3, dtype=torch.bool)
        available[2, 1] = False
        contrast = DistributionContrast()
        kept = torch.tensor([0, 1, 3, 4, 5])
        full = available.new_ones
        expected = (
            contrast(mu[[0, 1]][:, kept], sigma[[0, 1]][:, kept], full(5, 2))
            + contrast(mu[[1, 2]][:, kept], sigma[[1, 2]][:, kept], full(5, 2))
            + contrast(mu[[0, 2]], sigma[[0, 2]], full(6, 2))
        )
        torch.testing.assert_close(contrast(mu, sigma, available), expected)
        noisy = mu.clone()
        noisy[1, 2] = 1e3
        torch.testing.assert_close(contrast(noisy, sigma, available), expected)

    def test_the_order_of_the_batch_does_not_matter(self):
        mu, sigma = random_batch()
        available = torch.rand(6, 3, generator=torch.Generator().manual_seed(1)) > 0.3
        order = torch.tensor([3, 0, 5, 1, 2, 4])
        contrast = DistributionContrast()
        torch.testing.assert_close(
            contrast(mu, sigma, available), contrast(mu[:, order], sigma[:, order], available[order])
        )

    def test_an_unavailable_modality_adds_nothing(self):
        mu, sigma = random_batch()
        available = torch.tensor([[True, True, False]] * 6)
        contrast = DistributionContrast()
        torch.testing.assert_close(
            contrast(mu, sigma, available), contrast(mu[:2], sigma[:2], available[:, :2])
        )

    @pytest.mark.parametrize("rows", [0, 1])
    def test_without_a_negative_the_loss_is_zero_and_its_gradient_finite(self, rows):
        mu, sigma = random_batch()
        mu.requires_grad_()
        available = torch.zeros(6, 3, dtype=torch.bool)
        available[:rows] = True
        loss = DistributionContrast()(mu, sigma, available)
        loss.backward()
        assert loss.item() == 0.0
        assert not mu.grad.any()

    def test_matching_gaussians_lower_it(self):
        mu, sigma = random_batch(m=2)
        everything = torch.ones(6, 2, dtype=torch.bool)
        contrast = DistributionContrast(tau=1.0)
        contrast.start(mu, sigma, everything)
        apart = contrast(mu, sigma, everything)
        assert contrast(mu[[0, 0]], sigma[[0, 0]], everything) < apart

    def test_full_precision_under_autocast(self):
        mu, sigma = random_batch()
        everything = torch.ones(6, 3, dtype=torch.bool)
        contrast = DistributionContrast()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = contrast(mu, sigma, everything)
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, contrast(mu, sigma, everything))


class TestScale:
    def test_the_logits_start_with_deviation_one(self):
        mu, sigma = random_batch(b=20)
        everything = torch.ones(20, 3, dtype=torch.bool)
        contrast = DistributionContrast()
        contrast.start(mu, sigma, everything)
        assert contrast.a < 0
        assert contrast.similarities(mu, sigma).std().item() == pytest.approx(1.0, abs=1e-2)

    def test_by_hand(self):
        # D = 0, 10, 2, 4: mean 4, variance (16 + 36 + 4 + 0) / 4 = 14; a = -0.07 / sqrt(14)
        contrast = DistributionContrast()
        contrast.start(MU, SIGMA, BOTH)
        assert contrast.a.item() == pytest.approx(-0.07 / math.sqrt(14), rel=1e-4)

    def test_it_waits_for_two_pairs_and_then_stays(self):
        contrast = DistributionContrast()
        before = contrast.a.item()
        contrast.start(MU, SIGMA, torch.tensor([[True, True], [True, False]]))
        assert (contrast.a.item(), contrast.started.item()) == (before, False)
        contrast.start(MU, SIGMA, BOTH)
        after = contrast.a.item()
        contrast.start(10 * MU, SIGMA, BOTH)
        assert (contrast.a.item(), contrast.started.item()) == (after, True)

    def test_small_distances_far_from_the_origin(self):
        """Points 1 apart at 1000: squares of a million less their product would leave 1.0 +- 0.06 a channel."""
        mu = torch.tensor([[[1000.0] * 8, [1001.0] * 8], [[1000.0] * 8, [1003.0] * 8]])
        found = DistributionContrast(contrast="point").distances(mu, torch.ones_like(mu))
        torch.testing.assert_close(found, torch.tensor([[[0.0, 72.0], [8.0, 32.0]]]))

    def test_absent_utterances_have_no_part_in_it(self):
        mu, sigma = random_batch()
        available = torch.ones(6, 3, dtype=torch.bool)
        available[4:] = False
        wild = mu.clone()
        wild[:, 4:] *= 1000
        first, second = DistributionContrast(), DistributionContrast()
        first.start(mu, sigma, available)
        second.start(wild, sigma, available)
        assert first.a == second.a

    def test_fixed_is_that_of_map_and_does_not_learn(self):
        contrast = DistributionContrast(scale="fixed")
        contrast.start(MU, SIGMA, BOTH)
        assert contrast.a.item() == pytest.approx(-1 / 200)
        assert not contrast.log_scale.requires_grad

    def test_the_temperature_learns_and_has_a_floor(self):
        contrast = DistributionContrast()
        contrast(MU, SIGMA, BOTH).backward()
        assert contrast.tau.grad.abs() > 0
        contrast.tau.data.fill_(-5.0)
        # What is asked between the step that went too far and the next one.
        held = contrast.similarities(MU, SIGMA)
        contrast.train()(MU, SIGMA, BOTH)
        assert contrast.tau.item() == pytest.approx(0.01)
        torch.testing.assert_close(held, contrast.similarities(MU, SIGMA))


def test_entropy_margin_by_hand():
    # One channel, sigma e: entropy 1 + log(2 pi e) / 2 = 2.4189; margin 3 leaves 0.5811.
    sigma = torch.tensor([[[math.e], [100.0]], [[math.e], [math.e]]])
    available = torch.tensor([[True, False], [False, False]])
    expected = 3 - (1 + 0.5 * math.log(2 * math.pi * math.e))
    assert entropy_margin(sigma, available, 3.0).item() == pytest.approx(expected, abs=1e-5)
    assert entropy_margin(sigma, available, 2.0).item() == 0.0
    assert entropy_margin(sigma, torch.zeros(2, 2, dtype=torch.bool), 3.0).item() == 0.0


def test_retrieval_counts_both_directions():
    # rows: 0 -> 0 and 1 -> 1 right; columns: 0 -> 1 wrong, 1 -> 1 right
    one = torch.tensor([[2.0, 1.0], [3.0, 4.0]])
    assert retrieval(one[None]).item() == pytest.approx(0.75)
    assert retrieval(one.T[None]).item() == pytest.approx(0.75)
    assert retrieval(torch.eye(4)[None]).item() == 1.0
    assert retrieval(torch.stack([one, torch.eye(2)])).item() == pytest.approx(0.875)
