"""Denseface's forward pass in training, with every batch statistic computed once.

In a dense block each layer normalises all maps before it, and so computes again, layer after layer, the mean and the
variance of the same maps over the same batch. They are equal in every layer; only scale and shift are a layer's own.
Here a map is normalised once, when it is made, and a layer scales, shifts and rectifies what it takes from the list.
Same function and same gradients as `Denseface.forward` in training mode; on a CPU, whose limit in this network is
memory and not arithmetic, it takes about half the time when compiled.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, batch_norm, relu

from cmarr.encoders.face_network import Denseface


def training_logits(network: Denseface, faces: Tensor) -> Tensor:
    """Faces (B, 1, 64, 64) -> logits (B, 8); running statistics move, those of the blocks in their last norm only.

    Call `spread_statistics` before the network is used in evaluation mode.
    """
    parts = network.features
    maps = relu(parts.norm0(parts.conv0(faces)))  # (B, 24, 32, 32)
    for number in (1, 2, 3):
        block = getattr(parts, f"denseblock{number}")
        after = last_norm(network, number)
        known = [_normalised(maps, after, 0)]
        for layer in block.values():
            seen = _scaled(known, layer.norm1)
            new = layer.conv2(relu(layer.norm2(layer.conv1(seen))))  # (B, 12, H, W)
            known.append(_normalised(new, after, sum(part.shape[1] for part in known)))
        maps = _scaled(known, after)
        if number < 3:
            maps = avg_pool2d(getattr(parts, f"transition{number}").conv(maps), 2)
    return network.classifier(adaptive_avg_pool2d(maps, 1).flatten(1))


def last_norm(network: Denseface, number: int) -> nn.BatchNorm2d:
    """The norm behind a block: it sees all of the block's maps."""
    parts = network.features
    return parts.norm5 if number == 3 else getattr(parts, f"transition{number}").norm


@torch.no_grad()
def spread_statistics(network: Denseface) -> None:
    """Give every layer of a block the running statistics of the maps it sees."""
    for number in (1, 2, 3):
        after = last_norm(network, number)
        for layer in getattr(network.features, f"denseblock{number}").values():
            seen = layer.norm1.num_features
            layer.norm1.running_mean.copy_(after.running_mean[:seen])
            layer.norm1.running_var.copy_(after.running_var[:seen])


def _normalised(maps: Tensor, norm: nn.BatchNorm2d, first: int) -> Tensor:
    places = slice(first, first + maps.shape[1])
    mean, var = norm.running_mean[places], norm.running_var[places]
    return batch_norm(maps, mean, var, None, None, True, norm.momentum, norm.eps)


def _scaled(known: list[Tensor], norm: nn.BatchNorm2d) -> Tensor:
    # In float32 until the convolution rounds it: compiled, that takes no memory.
    return relu(torch.cat(known, 1) * norm.weight[:, None, None] + norm.bias[:, None, None])
