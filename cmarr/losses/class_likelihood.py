"""The likelihood of latents under Gaussians that depend on the class (DiCMoR, Wang et al. 2023)."""

import math

import torch
from torch import Tensor, nn


class ClassPriors(nn.Module):
    """A diagonal Gaussian over the channels of a latent for each class, shared by the modalities.

    All start as the standard normal distribution.
    """

    def __init__(self, classes: int, d: int):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(classes, d))
        self.log_deviation = nn.Parameter(torch.zeros(classes, d))

    def forward(self, z: Tensor, log_determinant: Tensor, labels: Tensor) -> Tensor:
        """Bits per dimension (R,) of what a flow mapped to the latents z.

        z: (R, L, d); log_determinant: (R, L), log |det dz/dx| of each step; labels: (R,) classes.

            -(log N(z; mean_y, deviation_y) + log |det|) / (d log 2), mean over the L steps
        """
        mean, log_deviation = self.mean[labels][:, None], self.log_deviation[labels][:, None]  # (R, 1, d)
        standard = (z - mean) * (-log_deviation).exp()
        log_density = -(0.5 * standard.square() + log_deviation + 0.5 * math.log(2 * math.pi)).sum(-1)
        return -(log_density + log_determinant).mean(1) / (z.shape[-1] * math.log(2))
