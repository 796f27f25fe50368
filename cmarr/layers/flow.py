"""Normalizing flows on the channels of one step, built on nflows (Eq 6 and 8).

A flow is K steps of ActNorm, channel mixing and affine coupling (Kingma & Dhariwal 2018). It is an
`nflows` Transform, so nflows' own tools (its `Flow` with a base distribution, `InverseTransform`, a
`CompositeTransform` with others) take it as it is. Inputs are (N, d), one row a time step of an utterance.
"""

import math
from collections.abc import Iterator
from typing import Literal, cast

import torch
import torch.nn.functional as F
from nflows.distributions.normal import StandardNormal
from nflows.flows.base import Flow
from nflows.transforms.base import Transform
from torch import Tensor, nn

Mixing = Literal["lu", "permutation"]
Scaling = Literal["tanh", "sigmoid"]

SMALLEST_DEVIATION = 1e-3
"""A channel that deviates less counts as constant: ActNorm centres it and leaves its scale alone."""

SMALLEST_LOG_SCALE = -2.0
"""Of a coupling with `scaling="sigmoid"`. The inverse divides by the scale, which a logistic function lets come as
near to zero as it likes: without a floor one unusual row sends the inverse, and the training, to infinity."""


class ChannelFlow(Transform):  # type: ignore[misc]  # nflows has no types
    """z = F(x), for each of `steps` steps k:

        h = exp(log_scale_k) x + shift_k                     ActNorm
        h = M_k h + bias_k                                   mixing, M_k = L_k U_k or a permutation
        h_a = exp(tanh(r)) h_a + t, (r, t) = network_k(h_b)  affine coupling of one half of the channels

    The halves take turns, so every channel is transformed. The parameters of all steps are stacked, and
    the two linear maps of a step are applied as one: an eager step costs three matrix products.

    Each flow starts as the identity (but for ActNorm's start from data, and the reordering of
    `permutation`, which is drawn from a fixed seed, the same for every modality): the latents of different
    modalities, which Eq 7 averages, then begin with their channels in the same order.

    Why not nflows' own parts: its ActNorm starts on whatever comes first, hidden modalities included, and
    yields NaN on a single or a constant row; the inverse of its LULinear calls a deprecated solver.

    d: channels, an even number; hidden: width of the couplings' networks; mixing: "lu", M_k learned with a
    unit lower and a positive upper diagonal, or "permutation", fixed; layers: hidden layers of a coupling's
    network, 1 or 2; scaling: "tanh" as above, or "sigmoid", h_a = sigmoid(r + 2) (h_a + t), which is DiCMoR's, with
    a floor under the scale.

    >>> flow, x = ChannelFlow(d=4, steps=2, hidden=8), torch.randn(3, 4)
    >>> z, log_determinant = flow(x)
    >>> z.shape, log_determinant.shape
    (torch.Size([3, 4]), torch.Size([3]))
    >>> bool(torch.allclose(flow.inverse(z)[0], x, atol=1e-5))
    True
    """

    def __init__(
        self,
        d: int,
        steps: int,
        hidden: int,
        mixing: Mixing = "lu",
        layers: int = 1,
        scaling: Scaling = "tanh",
    ):
        super().__init__()
        if d % 2 or d < 2:
            raise ValueError(f"a flow needs an even number of channels, not {d}")
        if layers not in (1, 2):
            raise ValueError(f"a coupling's network has 1 or 2 hidden layers, not {layers}")
        self.d, self.steps, self.mixing, self.layers, self.scaling = d, steps, mixing, layers, scaling
        half = d // 2
        self.initialised: Tensor
        self.register_buffer("initialised", torch.tensor(False))
        self._seen_initialised = False
        self.register_load_state_dict_post_hook(_forget)
        self.log_scale = nn.Parameter(torch.zeros(steps, d))
        self.shift = nn.Parameter(torch.zeros(steps, d))
        if mixing == "lu":
            # Below the diagonal L, above it U, on it the logarithm of U's diagonal.
            self.triangles = nn.Parameter(torch.zeros(steps, d, d))
            self.bias = nn.Parameter(torch.zeros(steps, d))
        else:
            draws = torch.Generator().manual_seed(0)
            orders = torch.stack([torch.randperm(d, generator=draws) for _ in range(steps)])
            self.permutations: Tensor
            self.register_buffer("permutations", orders)
        self.weight_in = nn.Parameter(_uniform(steps, hidden, half, fan_in=half))
        self.bias_in = nn.Parameter(_uniform(steps, hidden, fan_in=half))
        if layers == 2:
            self.weight_between = nn.Parameter(_uniform(steps, hidden, hidden, fan_in=hidden))
            self.bias_between = nn.Parameter(_uniform(steps, hidden, fan_in=hidden))
        self.weight_out = nn.Parameter(torch.zeros(steps, d, hidden))
        self.bias_out = nn.Parameter(torch.zeros(steps, d))

    def forward(self, inputs: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (N, d) -> z (N, d) and log |det dz/dx| (N,)."""
        weights, biases = self._linear_maps()
        h, log_scales = inputs, []
        for k, (weight, bias, network) in enumerate(zip(weights, biases, self._networks(), strict=True)):
            h = F.linear(h, weight, bias)
            changed, kept = _halves(h, k)
            log_scale, shift = self._coupling(kept, *network)
            h = _whole(torch.addcmul(shift, changed, log_scale.exp()), kept, k)
            log_scales.append(log_scale)
        return h, self._log_determinant(log_scales)

    def inverse(self, inputs: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """z (N, d) -> x (N, d) and log |det dx/dz| (N,)."""
        weights, biases = self._inverse_linear_maps()
        h, log_scales = inputs, []
        networks = list(self._networks())
        for k in reversed(range(self.steps)):
            changed, kept = _halves(h, k)
            log_scale, shift = self._coupling(kept, *networks[k])
            h = _whole((changed - shift) * (-log_scale).exp(), kept, k)
            h = F.linear(h, weights[k], biases[k])
            log_scales.append(log_scale)
        return h, -self._log_determinant(log_scales)

    @property
    def started(self) -> bool:
        """Whether `initialise` has happened. Read from the device until it has, and not again."""
        self._seen_initialised = self._seen_initialised or bool(self.initialised)
        return self._seen_initialised

    @torch.no_grad()
    def initialise(self, rows: Tensor) -> None:
        """Start every ActNorm from `rows` (N, d), which may be seen: zero mean and unit deviation.

        Happens once; with fewer than two rows it waits for a later batch.
        """
        if self.started or len(rows) < 2:
            return
        h = rows
        for k in range(self.steps):
            deviation = h.std(0, correction=0)
            deviation = torch.where(deviation < SMALLEST_DEVIATION, 1.0, deviation)
            self.log_scale[k] = -deviation.log()
            self.shift[k] = -h.mean(0) / deviation
            weights, biases = self._linear_maps()
            h = F.linear(h, weights[k], biases[k])
            changed, kept = _halves(h, k)
            log_scale, shift = self._coupling(kept, *list(self._networks())[k])
            h = _whole(changed * log_scale.exp() + shift, kept, k)
        self.initialised.fill_(True)
        self._seen_initialised = True

    def _linear_maps(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        if self.mixing == "lu":
            lower, upper = self._triangles()
            mix = lower @ upper
        else:
            mix = self._permutation_matrices()
        weights = mix * self.log_scale.exp()[:, None, :]
        biases = (mix @ self.shift[..., None]).squeeze(-1)
        if self.mixing == "lu":
            biases = biases + self.bias
        return weights.unbind(), biases.unbind()

    def _inverse_linear_maps(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        back = (-self.log_scale).exp()
        biases = -back * self.shift
        if self.mixing == "lu":
            lower, upper = self._triangles()
            # Solved against the identity once, not against every batch: the identity is only d wide.
            identity = torch.eye(self.d, dtype=lower.dtype, device=lower.device).expand_as(lower)
            half = torch.linalg.solve_triangular(lower, identity, upper=False, unitriangular=True)
            weights = back[..., None] * torch.linalg.solve_triangular(upper, half, upper=True)
            biases = biases - (weights @ self.bias[..., None]).squeeze(-1)
        else:
            weights = back[..., None] * self._permutation_matrices().transpose(1, 2)
        return weights.unbind(), biases.unbind()

    def _permutation_matrices(self) -> Tensor:
        identity = torch.eye(self.d, dtype=self.shift.dtype, device=self.shift.device)
        return identity[self.permutations]

    def _triangles(self) -> tuple[Tensor, Tensor]:
        diagonal = self.triangles.diagonal(dim1=1, dim2=2)
        lower = self.triangles.tril(-1) + torch.eye(self.d, dtype=diagonal.dtype, device=diagonal.device)
        return lower, self.triangles.triu(1) + diagonal.exp().diag_embed()

    def _networks(self) -> Iterator[tuple[Tensor, ...]]:
        parameters = [self.weight_in, self.bias_in, self.weight_out, self.bias_out]
        if self.layers == 2:
            parameters[2:2] = [self.weight_between, self.bias_between]
        return zip(*[p.unbind() for p in parameters], strict=True)

    def _coupling(self, kept: Tensor, *network: Tensor) -> tuple[Tensor, Tensor]:
        h = kept
        for weight, bias in zip(network[:-2:2], network[1:-2:2], strict=True):
            h = F.linear(h, weight, bias).relu_()
        raw, shift = F.linear(h, *network[-2:]).chunk(2, dim=1)
        # A bounded scale: K couplings cannot overflow, whatever they are given.
        if self.scaling == "tanh":
            return raw.tanh(), shift
        log_scale = F.logsigmoid(raw + 2).clamp(min=SMALLEST_LOG_SCALE)
        return log_scale, shift * log_scale.exp()

    def _log_determinant(self, log_scales: list[Tensor]) -> Tensor:
        constant = self.log_scale.sum()
        if self.mixing == "lu":
            constant = constant + self.triangles.diagonal(dim1=1, dim2=2).sum()
        return torch.stack([s.sum(1) for s in log_scales]).sum(0) + constant


def bits_per_dimension(flow: ChannelFlow, x: Tensor) -> Tensor:
    """Negative log-likelihood (N,) of rows x (N, d) under a standard normal latent, in bits per channel.

    >>> bits_per_dimension(ChannelFlow(d=4, steps=2, hidden=8), torch.zeros(1, 4))  # log2(2 pi) / 2 at the mode
    tensor([1.3257], grad_fn=<DivBackward0>)
    """
    out: Tensor = -Flow(flow, StandardNormal([flow.d])).log_prob(x) / (flow.d * math.log(2))
    return out


def _forget(flow: nn.Module, keys: object) -> None:
    """After other weights were loaded, their own `initialised` counts."""
    cast(ChannelFlow, flow)._seen_initialised = False


def _halves(h: Tensor, step: int) -> tuple[Tensor, Tensor]:
    first, second = h.chunk(2, dim=1)
    return (first, second) if step % 2 == 0 else (second, first)


def _whole(changed: Tensor, kept: Tensor, step: int) -> Tensor:
    return torch.cat([changed, kept] if step % 2 == 0 else [kept, changed], dim=1)


def _uniform(*shape: int, fan_in: int) -> Tensor:
    bound = fan_in**-0.5
    return torch.empty(shape).uniform_(-bound, bound)
