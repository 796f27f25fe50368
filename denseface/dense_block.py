"""A dense block's own training step: shared features, shared statistics, one buffer for gradients.

A layer of a dense block reads all channels before it (Huang et al. 2017). Written down plainly, each layer copies them
together, takes their means and variances anew, and gives a gradient to each of its predecessors: work that grows with
the square of the depth and is nearly all memory traffic. Pleiss et al. (2017, "Memory-efficient implementation of
DenseNets") let the layers share one buffer. Here they share what follows from it, too:

- features (C, N), N = B * H * W: a channel is one row, so "all channels before" is a view, and a layer appends rows;
- a channel's mean and variance over the batch are those of its row, whoever reads it: taken once;
- its gradient is sum over its readers l of  s_l * g_l + k_l * x + m_l , with s, k, m numbers that the norm's backward
  pass gives. Only the first term is an array; the others are added up as numbers and applied once;
- 1 x 1 convolutions are matrix products on the rows.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cmarr.encoders.face_network import DenseBlock, Denseface

aten = torch.ops.aten


def training_logits(network: Denseface, faces: Tensor, spare: list[Tensor]) -> Tensor:
    """Faces (B, 1, S, S) -> logits (B, 8), as `network` in training mode gives them; its running statistics move alike.

    Can be differentiated once. `spare` is memory of former steps, which this one takes and its backward pass gives
    back: fresh memory costs as much as filling it twice. Begin with an empty list.
    """
    maps = faces
    for part in network.features.children():
        maps = dense_block(part, maps, spare) if isinstance(part, DenseBlock) else part(maps)
    _, logits = network.head(maps)
    return logits


def dense_block(block: DenseBlock, maps: Tensor, spare: list[Tensor]) -> Tensor:
    """What `block` in training mode makes of maps (B, C0, H, W): (B, C, H, W), C0 channels and those of its layers."""
    layers: list[Any] = list(block.children())
    weights = [
        weight
        for layer in layers
        for part in (layer.norm1, layer.conv1, layer.norm2, layer.conv2)
        for weight in part.parameters()
    ]
    with torch.no_grad():
        torch._foreach_add_(
            [n.num_batches_tracked for layer in layers for n in (layer.norm1, layer.norm2)], 1
        )
    out: Tensor = _Block.apply(maps, layers, spare, *weights)  # type: ignore[no-untyped-call]
    return out


class _Block(torch.autograd.Function):
    """Both passes of a block; its layers' weights come as norm1, conv1, norm2, conv2 have them, six tensors a layer."""

    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, layers: Sequence[Any], spare: list[Tensor], *weights: Tensor
    ) -> Tensor:
        (batch, first, *size), dtype = maps.shape, maps.dtype
        growth = layers[0].conv2.out_channels
        channels, length = first + growth * len(layers), maps.numel() // first
        ends = range(first, channels, growth)  # channels before each layer
        x = maps.new_empty(channels, length)
        x[:first].view(first, batch, *size).copy_(maps.transpose(0, 1))
        memory = _memory(spare, sum(ends) * length, x)
        statistics = weights[0].new_zeros(3, channels)  # means, variances, unbiased variances
        _measure(x[:first], statistics[:, :first])
        kept = []
        for layer, end, a, (w1, b1, k1, w2, b2, k2) in zip(
            layers, ends, _rows(memory, ends, length), _layers(weights), strict=True
        ):
            mean, variance, unbiased = statistics[:, :end]
            layer.norm1.running_mean.lerp_(mean, layer.norm1.momentum)
            layer.norm1.running_var.lerp_(unbiased, layer.norm1.momentum)
            scale = w1 * (variance + layer.norm1.eps).rsqrt()
            _affine(x[:end], scale, b1 - scale * mean, out=a)
            _rectify(a)
            narrow = a.t() @ k1.flatten(1).t().to(dtype)  # (N, 4 * growth)
            narrow = narrow.view(batch, *size, -1).permute(0, 3, 1, 2)  # channels last
            normed, *moments = aten.native_batch_norm(
                narrow, w2, b2, layer.norm2.running_mean, layer.norm2.running_var, True,
                layer.norm2.momentum, layer.norm2.eps,
            )  # fmt: skip
            _rectify(normed)
            new = torch.conv2d(normed, k2.to(dtype), padding=1)
            x[end : end + growth].view(growth, batch, *size).copy_(new.transpose(0, 1))
            _measure(x[end : end + growth], statistics[:, end : end + growth])
            kept.append((narrow, normed, *moments))
        ctx.layers, ctx.spare, ctx.ends, ctx.kept = layers, spare, ends, kept
        ctx.save_for_backward(x, memory, statistics, *weights)
        return x.view(channels, batch, *size).transpose(0, 1).contiguous(memory_format=torch.channels_last)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Any, ...]:
        x, memory, (mean, variance, _), *weights = ctx.saved_tensors
        (channels, length), (batch, _, *size) = x.shape, outer.shape
        first, growth = ctx.ends[0], ctx.ends.step
        total = torch.empty_like(x)  # gradient of x, but for  factor * x + term
        total.view(channels, batch, *size).copy_(outer.transpose(0, 1))
        factor, term = torch.zeros_like(mean), torch.zeros_like(mean)
        room = x.new_empty(ctx.ends[-1], length)
        found: list[tuple[Tensor, ...]] = []
        pieces = zip(
            ctx.layers, ctx.ends, _rows(memory, ctx.ends, length), _layers(weights), ctx.kept, strict=True
        )
        for layer, end, a, (w1, _, k1, w2, _, k2), (narrow, normed, *moments) in reversed(list(pieces)):
            own = slice(end, end + growth)
            new = _affine(x[own], factor[own], term[own]).add_(total[own]).view(growth, batch, *size)
            new = new.transpose(0, 1).contiguous(memory_format=torch.channels_last)
            grad, grad_k2, _ = aten.convolution_backward(
                new, normed, k2.to(x.dtype), None, *([1, 1],) * 3, False, [0, 0], 1, [True, True, False]
            )
            _mask(grad, normed)
            grad, grad_w2, grad_b2 = aten.native_batch_norm_backward(
                grad, narrow, w2, None, None, *moments, True, layer.norm2.eps, [True, True, True]
            )
            grad = grad.permute(0, 2, 3, 1).reshape(length, -1)  # (N, 4 * growth)
            grad_k1 = (grad.t() @ a.t()).view(k1.shape)
            wide = torch.mm(k1.flatten(1).t().to(x.dtype), grad.t(), out=room[:end])
            _mask(wide, a)
            inverse = (variance[:end] + layer.norm1.eps).rsqrt()
            _, grad_w1, grad_b1 = aten.native_batch_norm_backward(
                wide[None], x[None, :end], w1, None, None, mean[:end], inverse, True, 0.0, [False, True, True]
            )
            rounded = (w1 * inverse).to(x.dtype)
            scale = rounded.to(mean.dtype) / length
            total[:end].addcmul_(wide, rounded[:, None])
            factor[:end] -= scale * inverse * grad_w1
            term[:end] += scale * (inverse * grad_w1 * mean[:end] - grad_b1)
            found.append((grad_w1, grad_b1, grad_k1, grad_w2, grad_b2, grad_k2))
        inner = _affine(x[:first], factor[:first], term[:first]).add_(total[:first])
        ctx.spare.append(memory)
        inner = inner.view(first, batch, *size).transpose(0, 1).contiguous(memory_format=torch.channels_last)
        return inner, None, None, *(grad for layer in reversed(found) for grad in layer)


def _layers(weights: Sequence[Tensor]) -> Iterator[Sequence[Tensor]]:
    return (weights[at : at + 6] for at in range(0, len(weights), 6))


def _memory(spare: list[Tensor], size: int, like: Tensor) -> Tensor:
    """Room for `size` numbers or more, not initialised; from `spare` if what lies there is large enough."""
    found = spare.pop() if spare else None
    if found is None or len(found) < size or (found.dtype, found.device) != (like.dtype, like.device):
        return like.new_empty(size)
    return found


def _rows(memory: Tensor, ends: Sequence[int], length: int) -> list[Tensor]:
    """Pieces (end, length) of one memory."""
    sizes = [end * length for end in ends]
    return [piece.view(-1, length) for piece in torch.split(memory[: sum(sizes)], sizes)]


def _measure(x: Tensor, statistics: Tensor) -> None:
    """Means, variances and unbiased variances of the rows of x (C, N), into statistics (3, C)."""
    mean, variance, unbiased = statistics
    mean[:], variance[:] = aten.batch_norm_update_stats(x[None], mean.clone(), unbiased, 1.0)


def _affine(x: Tensor, scale: Tensor, shift: Tensor, out: Tensor | None = None) -> Tensor:
    """scale * x + shift for rows x (C, N): a norm whose mean is 0 and variance 1, which rounds once and is fast."""
    plain = (x[None], scale, shift, torch.zeros_like(scale), torch.ones_like(scale), False, 0.0, 0.0)
    if out is None:
        made: Tensor = aten.native_batch_norm(*plain)[0][0]
    else:
        none = scale.new_empty(0)
        made = aten.native_batch_norm.out(*plain, out=out[None], save_mean=none, save_invstd=none.clone())[0][
            0
        ]
    return made


_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def _rectify(x: Tensor) -> None:
    """ReLU in place. The bits of a negative float are a negative integer, and bf16 is compared faster as integers.

    A NaN may become 0 here; the block's answer still shows it, because features reach that unrectified.
    """
    x.view(_INTEGERS[x.itemsize]).clamp_min_(0)


def _mask(grad: Tensor, rectified: Tensor) -> None:
    """Zero a gradient where the ReLU gave zero. Destroys `rectified`."""
    positive = rectified.view(_INTEGERS[rectified.itemsize]).clamp_max_(1)  # 0 or 1
    grad.view(positive.dtype).mul_(positive)
