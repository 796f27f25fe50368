"""Flows: inverted, their log-determinant, every parameter and every channel at work."""

import math

import pytest
import torch
from nflows.flows.base import Flow
from nflows.transforms.base import InverseTransform, Transform

from cmarr.layers.flow import SMALLEST_DEVIATION, ChannelFlow, bits_per_dimension

MIXINGS = ["lu", "permutation"]


def rows(n: int = 64, d: int = 6, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(n, d, generator=generator) + torch.arange(d)


def perturbed(mixing: str = "lu", d: int = 6, steps: int = 4, by: float = 0.2) -> ChannelFlow:
    """A flow away from its start, where it is nearly the identity."""
    torch.manual_seed(0)
    flow = ChannelFlow(d, steps, hidden=5, mixing=mixing)
    with torch.no_grad():
        for p in flow.parameters():
            p.add_(by * torch.randn_like(p))
    return flow


def trained(mixing: str, steps: int = 40) -> tuple[ChannelFlow, torch.Tensor]:
    """A flow fitted to rows by maximum likelihood, and the bits before and after."""
    torch.manual_seed(0)
    flow, x = ChannelFlow(6, 4, 16, mixing), rows(256).exp().clamp(max=50)
    flow.initialise(x)
    optimiser = torch.optim.Adam(flow.parameters(), lr=1e-2)
    history = []
    for _ in range(steps):
        loss = bits_per_dimension(flow, x).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(loss.item())
    return flow, torch.tensor(history)


@pytest.mark.parametrize("mixing", MIXINGS)
class TestEveryFlow:
    def test_it_is_an_nflows_transform(self, mixing):
        flow, x = perturbed(mixing), rows()
        assert isinstance(flow, Transform)
        back, _ = InverseTransform(flow)(flow(x)[0])
        torch.testing.assert_close(back, x, atol=1e-4, rtol=1e-4)

    def test_the_inverse_undoes_it_after_training(self, mixing):
        flow, _ = trained(mixing)
        x = rows(seed=1)
        z, forward = flow(x)
        back, backward = flow.inverse(z)
        assert (back - x).abs().max() < 1e-4
        torch.testing.assert_close(forward, -backward, atol=1e-4, rtol=1e-4)
        again, _ = flow(flow.inverse(x)[0])
        assert (again - x).abs().max() < 1e-4

    def test_the_log_determinant_is_that_of_the_jacobian(self, mixing):
        flow, x = perturbed(mixing), rows(5)
        _, claimed = flow(x)
        jacobians = [torch.autograd.functional.jacobian(lambda r: flow(r[None])[0][0], row) for row in x]
        torch.testing.assert_close(claimed, torch.stack(jacobians).det().abs().log(), atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize("direction", ["forward", "inverse"])
    def test_a_gradient_reaches_every_parameter(self, mixing, direction):
        flow, x = perturbed(mixing), rows()
        flow.forward(x)[0].square().sum().backward() if direction == "forward" else flow.inverse(x)[
            0
        ].square().sum().backward()
        for name, parameter in flow.named_parameters():
            per_step = parameter.grad.abs().flatten(1).sum(1)
            assert (per_step > 0).all(), name

    def test_likelihood_training_lowers_the_bits(self, mixing):
        _, history = trained(mixing)
        assert history[-1] < history[0] - 0.1


def test_every_channel_is_transformed_by_the_couplings_alone():
    flow, x = ChannelFlow(6, 2, 5), rows()
    torch.nn.init.normal_(flow.weight_out)
    z, _ = flow(x)
    assert ((z - x).abs().amax(0) > 1e-3).all()


def test_one_step_by_hand():
    # d = 2. ActNorm: 2 x + 1. Mixing: L = [[1, 0], [3, 1]], U = [[1, 4], [0, e^0.5]], bias (0, 1).
    # Coupling of the first channel: network constant, raw = 1, shift = 0.5: h_1 exp(tanh 1) + 0.5.
    flow = ChannelFlow(2, 1, 3)
    with torch.no_grad():
        flow.log_scale.fill_(math.log(2))
        flow.shift.fill_(1.0)
        flow.triangles.copy_(torch.tensor([[[0.0, 4.0], [3.0, 0.5]]]))
        flow.bias.copy_(torch.tensor([[0.0, 1.0]]))
        flow.bias_out.copy_(torch.tensor([[1.0, 0.5]]))
    z, log_determinant = flow(torch.tensor([[1.0, -1.0]]))
    # ActNorm (3, -1); U: (3 - 4, -e^0.5); L: (-1, -3 - e^0.5), bias: (-1, -2 - e^0.5)
    expected = [-math.exp(math.tanh(1)) + 0.5, -2 - math.exp(0.5)]
    assert z[0].tolist() == pytest.approx(expected, abs=1e-5)
    assert log_determinant.item() == pytest.approx(2 * math.log(2) + 0.5 + math.tanh(1), abs=1e-5)


def test_a_flow_starts_as_the_identity():
    x = rows()
    z, log_determinant = ChannelFlow(6, 4, 5)(x)
    assert torch.equal(z, x)
    assert not log_determinant.any()


def test_two_flows_permute_alike():
    x = rows()
    assert torch.equal(ChannelFlow(6, 3, 5, "permutation")(x)[0], ChannelFlow(6, 3, 5, "permutation")(x)[0])


class TestActNormsStart:
    def test_outputs_of_the_given_rows_become_standard(self):
        flow, x = perturbed(), rows()
        flow.initialise(x)
        flow.weight_out.data.zero_(), flow.bias_out.data.zero_(), flow.triangles.data.zero_()
        flow.bias.data.zero_()
        flow.load_state_dict(flow.state_dict() | {"initialised": torch.tensor(False)})
        flow.initialise(x)
        z, _ = flow(x)
        torch.testing.assert_close(z.mean(0), torch.zeros(6), atol=1e-5, rtol=0)
        torch.testing.assert_close(z.std(0, correction=0), torch.ones(6), atol=1e-5, rtol=0)

    def test_by_hand(self):
        # Rows 1 and 5: mean 3, deviation 2, so scale 1/2 and shift -3/2.
        flow = ChannelFlow(2, 1, 3)
        flow.initialise(torch.tensor([[1.0, 1.0], [5.0, 5.0]]))
        assert flow.log_scale.exp()[0].tolist() == pytest.approx([0.5, 0.5])
        assert flow.shift[0].tolist() == pytest.approx([-1.5, -1.5])

    def test_it_happens_once(self):
        flow = ChannelFlow(6, 2, 5)
        flow.initialise(rows())
        before = flow.log_scale.clone()
        flow.initialise(100 * rows(seed=2))
        assert torch.equal(flow.log_scale, before)
        assert flow.state_dict()["initialised"]

    @pytest.mark.parametrize("count", [0, 1])
    def test_too_few_rows_wait_for_more(self, count):
        flow = ChannelFlow(6, 2, 5)
        flow.initialise(rows(count))
        assert not flow.initialised
        assert not flow.log_scale.any()

    def test_a_constant_channel_is_centred_and_keeps_its_scale(self):
        flow, x = ChannelFlow(6, 3, 5), rows()
        x[:, 2] = 7.0
        x[:, 3] = 7.0 + SMALLEST_DEVIATION / 10 * torch.randn(len(x))
        flow.initialise(x)
        z, _ = flow(x + 1.0)
        assert z.isfinite().all()
        assert z[:, 2:4].abs().max() < 1.1


def test_bits_per_dimension_of_the_standard_normal():
    # At zero a standard normal has density (2 pi)^(-d/2): log2(2 pi) / 2 bits a channel.
    bits = bits_per_dimension(ChannelFlow(4, 1, 3), torch.zeros(1, 4))
    assert bits.item() == pytest.approx(math.log2(2 * math.pi) / 2)


def test_bits_per_dimension_count_the_scale():
    # Halving every channel before the standard normal costs one bit a channel more at zero.
    flow = ChannelFlow(4, 1, 3)
    torch.nn.init.constant_(flow.log_scale, -math.log(2))
    assert bits_per_dimension(flow, torch.zeros(1, 4)).item() == pytest.approx(math.log2(2 * math.pi) / 2 + 1)


def test_nflows_can_sample_from_it():
    from nflows.distributions.normal import StandardNormal

    assert Flow(perturbed(), StandardNormal([6])).sample(3).shape == (3, 6)


def test_an_odd_number_of_channels_is_refused():
    with pytest.raises(ValueError, match="even number"):
        ChannelFlow(5, 1, 3)
