"""Faces as they might have looked: turned, moved, mirrored, lit and covered otherwise, a whole batch at a time."""

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from cmarr.declaration import NotNegative, Section, Share
from cmarr.encoders.face_network import SIDE, prepared, scaled
from cmarr.media.faces import resized


class Augmentation(Section):
    """How far a face may be changed; denseface/params.yaml says what each number means."""

    shift: Share
    zoom: NotNegative
    rotation: NotNegative
    flip: Share
    contrast: NotNegative
    light: Share
    erase: Share
    erase_area: Share

    def __call__(self, faces: Tensor, generator: torch.Generator, side: int = SIDE) -> Tensor:
        """Faces (B, 48, 48) uint8 -> (B, 1, side, side) float32 from -1 to 1.

        All draws are made on the CPU by `generator`, so that they are the same on every device. One resampling does
        crop, zoom, rotation, mirroring and change of size; beyond the edge the edge is repeated.
        """
        draws = torch.rand(13, len(faces), generator=generator).to(faces.device)  # (13, B), from 0 to 1
        pixels = scaled(faces)[:, None]  # (B, 1, 48, 48)
        places = affine_grid(self._places(draws[:5]), [len(faces), 1, side, side], align_corners=False)
        pixels = grid_sample(pixels, places, padding_mode="border", align_corners=False)  # (B, 1, side, side)
        return self._covered(self._lit(pixels, draws[5:7]), draws[7:])

    def _places(self, draws: Tensor) -> Tensor:
        """Where the corners of the result lie in the face: (B, 2, 3), the face reaching from -1 to 1."""
        angle, size, mirrored, across, down = draws
        turn = self.rotation * math.pi / 180 * (2 * angle - 1)
        scale = (1 + self.zoom) ** (2 * size - 1)
        sign = 1 - 2 * (mirrored < self.flip).float()
        cosine, sine = scale * turn.cos(), scale * turn.sin()
        move = 2 * self.shift * (2 * torch.stack([across, down], 1) - 1)  # (B, 2)
        rows = torch.stack([sign * cosine, -sine, sign * sine, cosine], 1).view(-1, 2, 2)
        return torch.cat([rows, move[:, :, None]], 2)

    def _lit(self, pixels: Tensor, draws: Tensor) -> Tensor:
        factor = (1 + self.contrast) ** (2 * draws[0] - 1)
        lift = 2 * self.light * (2 * draws[1] - 1)
        mean = pixels.mean((1, 2, 3), keepdim=True)
        return ((pixels - mean) * factor.view(-1, 1, 1, 1) + mean + lift.view(-1, 1, 1, 1)).clamp(-1, 1)

    def _covered(self, pixels: Tensor, draws: Tensor) -> Tensor:
        """A rectangle of random shape, 1:3 to 3:1, and gray over some of the faces."""
        whether, area, shape, across, down, gray = draws
        whole = pixels.shape[-1]
        middle = (self.erase_area * area).sqrt() * whole
        slim = 3 ** (shape - 0.5)
        height, width = middle * slim, middle / slim
        top, left = (whole - height) * down, (whole - width) * across
        at = torch.arange(whole, device=pixels.device) + 0.5
        inside = (at >= top[:, None]) & (at < (top + height)[:, None])  # (B, side)
        beside = (at >= left[:, None]) & (at < (left + width)[:, None])
        hidden = inside[:, :, None] & beside[:, None, :] & (whether < self.erase)[:, None, None]
        return torch.where(hidden[:, None], 2 * gray.view(-1, 1, 1, 1) - 1, pixels)


def plain(faces: Tensor, side: int = SIDE) -> Tensor:
    """Faces (B, H, W) uint8 -> (B, 1, side, side) float32 from -1 to 1, of another size and otherwise as they are."""
    return prepared([resized(face, side) for face in faces.numpy()])
