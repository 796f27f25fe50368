"""CM-ARR trained the straightforward way: what the speed of the engine is compared with.

The same network with the same weights, as it is written down from the paper with PyTorch and nobody thinks of speed:
a `Dataset` of utterances and a `DataLoader` that pads them and draws their masks one by one, encoders that work on
padding, flows of one module a step (whose inverse solves against every batch, as that of nflows' LULinear), every
modality of every utterance recovered and then kept where it was hidden, Adam as it comes, the loss read after every
step. `tests/benchmarks/test_plain.py` holds that its losses and gradients are those of `cmarr.methods.cmarr`.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from cmarr.data.store import Store
from cmarr.layers.attention import attend
from cmarr.layers.flow import ChannelFlow
from cmarr.layers.ragged import mean_weights, resampling_weights
from cmarr.layers.representation import LOG_SIGMA_RANGE
from cmarr.losses.recognition import recognition_loss
from cmarr.losses.reconstruction import reconstruction_loss
from cmarr.losses.supervised_contrast import supervised_contrast
from cmarr.methods.cmarr import CMARR
from cmarr.modalities import CONDITIONS, visible

Sample = tuple[dict[str, Tensor], int, Tensor]
Padded = tuple[dict[str, Tensor], dict[str, Tensor], Tensor, Tensor]


class Utterances(Dataset[Sample]):
    """One utterance at a time: its normalised features (T, D) a modality, its label, and a mask (3,)."""

    def __init__(self, store: Store, means: Mapping[str, Tensor], scales: Mapping[str, Tensor]):
        self.features = [
            {
                m: (values[store.starts[m][i] :][: store.lengths[m][i]].float() - means[m]) / scales[m]
                for m, values in store.values.items()
            }
            for i in range(len(store))
        ]
        self.labels = store.labels.tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        own = self.features[index]
        choices = [c for c in CONDITIONS if any(len(own[m]) for m in c if m in own)]
        return own, self.labels[index], torch.tensor(visible(random.choice(choices)))


def collate(samples: Sequence[Sample]) -> Padded:
    """Padded features (B, T, D) and lengths (B,) a modality, visible (B, 3), labels (B,)."""
    names = samples[0][0].keys()
    padded = {m: pad_sequence([s[0][m] for s in samples], batch_first=True) for m in names}
    lengths = {m: torch.tensor([len(s[0][m]) for s in samples]) for m in names}
    return padded, lengths, torch.stack([s[2] for s in samples]), torch.tensor([s[1] for s in samples])


def losses(method: CMARR, batch: Padded) -> dict[str, Tensor]:
    """The losses of Eq 14 with the default settings, for a batch in which every modality is available."""
    padded, lengths, seen, labels = batch
    mu, sigma, x = {}, {}, {}
    for m in method.modalities:
        mu[m], sigma[m], x[m] = _encoded(method.representations[m], padded[m], lengths[m])
    usable = seen  # (B, 3), in the order of the modalities
    latents = torch.stack([_forward(method.recovery.flows[m], x[m]) for m in method.modalities])
    weights = usable.T.float()[..., None, None]  # (3, B, 1, 1)
    mean = (weights * latents).sum(0) / weights.sum(0)
    restored = {}
    for i, m in enumerate(method.modalities):
        estimate = method.recovery.reconstructions[m](_inverse(method.recovery.flows[m], mean))
        restored[m] = torch.where(usable[:, i, None, None], x[m], estimate)
    mus, sigmas = (torch.stack([of[m] for m in method.modalities]) for of in (mu, sigma))
    everything, nothing = torch.ones_like(usable), torch.zeros_like(usable)
    count = len(method.modalities)
    return {
        "udcl": method.settings.alpha * method.distribution_contrast(mus, sigmas, everything),
        "spcl": method.settings.beta
        * supervised_contrast(
            torch.cat([own.mean(1) for own in restored.values()]),
            labels.repeat(count),
            torch.arange(len(labels)).repeat(count),
            everything.T.flatten(),
            method.settings.temperature,
            method.settings.same_utterance,
        ),
        "rec": method.settings.lambda_
        * reconstruction_loss(
            torch.stack(list(restored.values())), torch.stack(list(x.values())), (~usable).T
        ),
        "cls": recognition_loss(method.fusion(restored, nothing), labels, everything.any(1), False),
    }


def train(method: CMARR, loader: DataLoader[Any], lr: float, clip: float) -> Iterator[int]:
    """Steps of training, one after another; yields how many utterances each had."""
    optimiser = torch.optim.Adam(method.parameters(), lr=lr)
    while True:
        for batch in loader:
            found = losses(method, batch)
            loss = torch.stack(list(found.values())).sum()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(method.parameters(), clip)
            optimiser.step()
            loss.item()
            yield len(batch[3])


def _encoded(encoder: Any, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    umc = encoder.uncertainty
    mask = torch.arange(frames.shape[1]) < lengths[:, None]  # (B, T)
    h = umc.norm(F.gelu(umc.project(frames)))
    query, key, value = umc.qkv(h).chunk(3, dim=-1)
    for_mean, for_log_sigma = attend(query, key, value, umc.heads, mask).chunk(2, dim=-1)
    mu = h + umc.mean(for_mean)
    mu = mu + umc.mean_mlp(umc.mean_norm(mu))
    log_sigma = umc.log_sigma(for_log_sigma)
    log_sigma = log_sigma + umc.log_sigma_mlp(umc.log_sigma_norm(log_sigma))
    sigma = log_sigma.clamp(*LOG_SIGMA_RANGE).exp()
    over_time = mean_weights(mask)  # (B, 1, T)
    resampled = resampling_weights(lengths, frames.shape[1], encoder.length) @ mu
    x = encoder.norm(encoder.convolution(resampled.transpose(1, 2)).transpose(1, 2))
    return (over_time @ mu).squeeze(1), (over_time @ sigma).squeeze(1), x


def _triangles(flow: ChannelFlow, k: int) -> tuple[Tensor, Tensor]:
    both = flow.triangles[k]
    return both.tril(-1) + torch.eye(flow.d), both.triu(1) + both.diagonal().exp().diag()


def _coupling(flow: ChannelFlow, k: int, kept: Tensor) -> tuple[Tensor, Tensor]:
    h = F.relu(F.linear(kept, flow.weight_in[k], flow.bias_in[k]))
    raw, shift = F.linear(h, flow.weight_out[k], flow.bias_out[k]).chunk(2, dim=-1)
    return raw.tanh(), shift


def _halves(h: Tensor, k: int) -> tuple[Tensor, Tensor]:
    first, second = h.chunk(2, dim=-1)
    return (first, second) if k % 2 == 0 else (second, first)


def _whole(changed: Tensor, kept: Tensor, k: int) -> Tensor:
    return torch.cat([changed, kept] if k % 2 == 0 else [kept, changed], dim=-1)


def _forward(flow: ChannelFlow, x: Tensor) -> Tensor:
    h, determinant = x.flatten(0, 1), x.new_zeros(())
    for k in range(flow.steps):
        h = h * flow.log_scale[k].exp() + flow.shift[k]
        lower, upper = _triangles(flow, k)
        h = F.linear(F.linear(h, upper), lower) + flow.bias[k]
        changed, kept = _halves(h, k)
        log_scale, shift = _coupling(flow, k, kept)
        h = _whole(changed * log_scale.exp() + shift, kept, k)
        determinant = determinant + flow.log_scale[k].sum() + log_scale.sum(-1)
    return h.view_as(x)


def _inverse(flow: ChannelFlow, z: Tensor) -> Tensor:
    h = z.flatten(0, 1)
    for k in reversed(range(flow.steps)):
        changed, kept = _halves(h, k)
        log_scale, shift = _coupling(flow, k, kept)
        h = _whole((changed - shift) * (-log_scale).exp(), kept, k)
        lower, upper = _triangles(flow, k)
        h = (h - flow.bias[k]).T
        h = torch.linalg.solve_triangular(lower, h, upper=False, unitriangular=True)
        h = torch.linalg.solve_triangular(upper, h, upper=True).T
        h = (h - flow.shift[k]) * (-flow.log_scale[k]).exp()
    return h.view_as(z)
