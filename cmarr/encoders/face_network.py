"""Denseface: the network that reads emotions off a face, and its weights on disk."""

import os
import shutil
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, relu

from cmarr.budgets import expanded, plain_json, shown
from cmarr.errors import UserError
from cmarr.files import atomic, canonical_json, file_digest, write_text

EMOTIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""The classes of FER+ (Barsoum et al. 2016), in the order of its columns."""

WIDTH = 342
"""Features of a face: 150 channels and 16 layers of growth 12."""

SIDE = 64
"""Height and width of the faces it is given, pixels."""

SHIPPED = Path(__file__).parent / "weights" / "denseface.safetensors"
"""Where the weights lie that cmarr brings along."""


class DenseLayer(nn.Module):
    """A bottleneck: maps (B, C, H, W) -> `growth` new channels (B, growth, H, W), seen through 4 x `growth`."""

    def __init__(self, channels: int, growth: int):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, 4 * growth, kernel_size=1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, kernel_size=3, padding=1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """As above."""
        narrow = self.conv1(relu(self.norm1(maps), inplace=True))  # (B, 4 growth, H, W)
        new: Tensor = self.conv2(relu(self.norm2(narrow), inplace=True))
        return new


class DenseBlock(nn.ModuleDict):
    """Layers each of which reads all channels before it: (B, C, H, W) -> (B, C + layers x growth, H, W)."""

    def __init__(self, channels: int, layers: int, growth: int):
        super().__init__(
            {f"denselayer{n + 1}": DenseLayer(channels + n * growth, growth) for n in range(layers)}
        )

    def forward(self, maps: Tensor) -> Tensor:
        """As above."""
        for layer in self.values():
            maps = torch.cat([maps, layer(maps)], dim=1)
        return maps


def transition(channels: int) -> nn.Sequential:
    """Between two blocks: (B, C, H, W) -> (B, C / 2, H / 2, W / 2)."""
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(channels),
            relu=nn.ReLU(inplace=True),
            conv=nn.Conv2d(channels, channels // 2, kernel_size=1, bias=False),
            pool=nn.AvgPool2d(kernel_size=2),
        )
    )


class Denseface(nn.Module):
    """DenseNet-BC, L = 100, k = 12 (Huang et al. 2017), over 64 x 64 gray faces.

    The stem is a 3 x 3 convolution of stride 2 with 24 channels; three blocks of 16 bottleneck layers follow, halved in
    channels and size between: 24 -> 216 -> 108 -> 300 -> 150 -> 342 channels, maps of 32, 16, 8 pixels.
    """

    def __init__(self) -> None:
        super().__init__()
        channels = 24
        parts: dict[str, nn.Module] = {
            "conv0": nn.Conv2d(1, channels, kernel_size=3, stride=2, padding=1, bias=False),
            "norm0": nn.BatchNorm2d(channels),
            "relu0": nn.ReLU(inplace=True),
        }
        for number in (1, 2, 3):
            parts[f"denseblock{number}"] = DenseBlock(channels, layers=16, growth=12)
            channels += 16 * 12
            if number < 3:
                parts[f"transition{number}"] = transition(channels)
                channels //= 2
        parts["norm5"] = nn.BatchNorm2d(channels)
        self.features = nn.Sequential(OrderedDict(parts))
        self.classifier = nn.Linear(channels, len(EMOTIONS))
        nn.init.zeros_(self.classifier.bias)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """Faces (B, 1, 64, 64) as `prepared` gives them -> features (B, 342), logits (B, 8) of `EMOTIONS`."""
        return self.head(self.features(faces))

    def head(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """What the blocks make of the faces (B, 342, H, W), 8 x 8 in use -> features (B, 342), logits (B, 8)."""
        features = adaptive_avg_pool2d(relu(maps), 1).flatten(1)  # (B, 342)
        return features, self.classifier(features)

    def probabilities(self, faces: Tensor) -> Tensor:
        """Faces (B, 1, 64, 64) -> probabilities (B, 8) of `EMOTIONS`."""
        logits: Tensor = self(faces)[1]
        return logits.softmax(dim=-1)


def faces_at_once(device: torch.device | str) -> int:
    """How many faces are fastest on a device: more than 8 leave the caches of a CPU's core, and take twice as long."""
    return 8 if torch.device(device).type == "cpu" else 256


def prepared(patches: np.ndarray | Sequence[np.ndarray]) -> Tensor:
    """Gray patches (B, 64, 64) uint8 -> (B, 1, 64, 64) float32 from -1 to 1, in training and in use alike."""
    return scaled(torch.from_numpy(np.array(patches, dtype=np.uint8, order="C")))[:, None]


def scaled(gray: Tensor) -> Tensor:
    """Gray from 0 to 255, of any shape, as float32 from -1 to 1."""
    return gray.float() / 127.5 - 1


def save_weights(
    path: str | Path, network: Denseface, *, half: bool = False, notes: Mapping[str, Any] | None = None
) -> None:
    """Write the weights as safetensors, and beside them `<file>.sha256`, in the form of `sha256sum`.

    With `half` the kernels are stored in half precision, which halves the file; the few numbers of the norms are not.
    `notes`, which JSON must be able to hold, are kept in the file.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    if half:
        tensors = {name: value.half() if value.ndim > 1 else value for name, value in tensors.items()}
    with atomic(path) as temporary:
        save_file(
            tensors, temporary, {"denseface": canonical_json(notes or {})}
        )  # of several keys the order varies
    _write_checksum(path)


def copy_weights(source: str | Path, target: str | Path) -> None:
    """Copy a file of weights, and write the checksum of the copy beside it."""
    with atomic(target) as temporary:
        shutil.copy(source, temporary)
    _write_checksum(target)


def remove_weights(path: Path) -> None:
    """Remove a file of weights and its checksum, if they are there."""
    for file in (path, _checksum_file(path)):
        file.unlink(missing_ok=True)


def read_notes(weights: str | Path) -> dict[str, Any]:
    """The notes in a file that `save_weights` wrote."""
    with safe_open(str(weights), framework="np") as opened:
        notes: dict[str, Any] = plain_json((opened.metadata() or {}).get("denseface", "{}"))
    return notes


def weights_file(weights: str | Path = "") -> Path:
    """The file that a setting names; empty stands for the weights that cmarr brings along."""
    return expanded(weights) if weights else SHIPPED


_LINE = 4096
"""Letters of a checksum's file that are read: it holds one line."""


def load_denseface(weights: str | Path = "") -> Denseface:
    """The network with its weights, in evaluation mode; an empty `weights` stands for those that cmarr brings along.

    Raises UserError for a file that is not there, whose checksum is missing or another, or that holds something else.
    """
    key = "encoders.denseface.weights"
    path = weights_file(weights)
    if not os.path.isfile(path):  # noqa: PTH113 - it says no to what no file can be called
        wrong = "is a folder" if os.path.isdir(path) else "does not exist"  # noqa: PTH112
        raise UserError(
            f"{key}: {shown(path)} {wrong}; give the safetensors file of a trained Denseface"
            if weights
            else f"{key}: this version of cmarr brings no Denseface weights along; give the safetensors file of a "
            "trained Denseface, or set encoders.video to hog"
        )
    checksum = _checksum_file(path)
    if not checksum.is_file():
        raise UserError(f"{key}: {checksum} is missing; put the file's SHA-256 there (sha256sum writes it)")
    with checksum.open(errors="replace") as opened:
        said = opened.read(_LINE).lower().split()[:1]
    if said != [file_digest(path)]:
        raise UserError(f"{key}: {path} does not have the SHA-256 that {checksum.name} names; fetch it again")
    network = Denseface()
    try:
        tensors = load_file(path)
        misfit = _misfit(tensors, network.state_dict())
    except (SafetensorError, OSError) as error:
        misfit = str(error).splitlines()[0]
    if misfit:
        raise UserError(
            f"{key}: {path} does not hold the weights of a Denseface ({misfit}); give a file that `make denseface` or "
            "`save_weights` wrote"
        )
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)


def _misfit(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """The first reason why tensors cannot be those of a network; empty if they can."""
    for name, value in expected.items():
        if name not in found:
            return f"{name} is missing"
        if found[name].shape != value.shape:
            return f"{name} has the shape {tuple(found[name].shape)} instead of {tuple(value.shape)}"
        if found[name].is_floating_point() != value.is_floating_point():
            return f"{name} holds {found[name].dtype}"
        if not found[name].isfinite().all():
            return f"{name} holds values that are not finite"
    return next((f"{name} is none of its tensors" for name in found if name not in expected), "")


def _write_checksum(path: str | Path) -> None:
    write_text(_checksum_file(path), f"{file_digest(path)}  {Path(path).name}\n")


def _checksum_file(path: str | Path) -> Path:
    return Path(f"{path}.sha256")
