"""A picture as the coefficients of a Laplacian pyramid, moved by Adam."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from geostyle.texture.settings import OptimizerSettings

LEAST_SIDE_PX = 8
MAX_BANDS = 6
# Step size at the end of a level, as a share of the first.
LAST_RATE = 0.2
# Of Adam (Kingma & Ba, 2015, algorithm 1).
BETAS, EPSILON = (0.9, 0.99), 1e-8


class PyramidAdam:
    """Adam on the Laplacian pyramid of a picture, its step size falling along a cosine.

    One coefficient of a coarse band moves many pixels together: large shapes and colors settle
    within a few steps, and strokes stay sharp.

    Args:
        start: (B, 3, H, W), the picture to begin from.
        lr: first step size.
        steps: length of the cosine.

    Source: Kolkin et al., "Neural Neighbor Style Transfer", section 3.3.
    """

    def __init__(self, start: Tensor, lr: float, steps: int) -> None:
        self.lr, self.steps, self.taken, self.since = lr, steps, 0, 0
        self._reset(start.detach())

    def next(self, image: Tensor, loss: float, gradient: Tensor) -> Tensor:
        """The next picture, of the shape of `image`, given the loss and its gradient there."""
        if not math.isfinite(loss):
            self._reset(image)
            return image
        # Of a scalar: for the gradient of a tensor, autograd first loads sympy, for a second.
        with torch.enable_grad():
            along = (picture_of(self.bands) * gradient).sum()
        gradients = torch.autograd.grad(along, self.bands)
        falling = 0.5 * (1 + math.cos(math.pi * min(1.0, self.taken / max(1, self.steps))))
        rate = self.lr * (LAST_RATE + (1 - LAST_RATE) * falling)
        self.taken, self.since = self.taken + 1, self.since + 1
        # Written out: the first step of torch.optim loads a compiler, which takes seconds.
        bias, square_bias = 1 - BETAS[0] ** self.since, 1 - BETAS[1] ** self.since
        with torch.no_grad():
            for band, slope, mean, square in zip(
                self.bands, gradients, self.means, self.squares, strict=True
            ):
                mean.lerp_(slope, 1 - BETAS[0])
                square.mul_(BETAS[1]).addcmul_(slope, slope, value=1 - BETAS[1])
                scale = (square / square_bias).sqrt_().add_(EPSILON)
                band.addcdiv_(mean, scale, value=-rate / bias)
            return picture_of(self.bands)

    def _reset(self, image: Tensor) -> None:
        self.bands = [band.contiguous().requires_grad_() for band in pyramid_of(image)]
        self.means, self.squares = ([torch.zeros_like(b) for b in self.bands] for _ in range(2))
        self.since = 0


@dataclass(frozen=True)
class PyramidSettings(OptimizerSettings):
    """Settings of `PyramidAdam`: `lr` is its first step size.

    The objective may change from step to step, so the last picture is the result.
    """

    keeps_best = False

    def stepper(self, start: Tensor, steps: int) -> Any:
        return PyramidAdam(start, self.lr, steps)


def pyramid_of(image: Tensor) -> list[Tensor]:
    """Bands of `image` (B, C, H, W), fine to coarse; `picture_of` puts them together again."""
    bands: list[Tensor] = []
    while len(bands) + 1 < MAX_BANDS and min(image.shape[-2:]) >= 2 * LEAST_SIDE_PX:
        small = F.interpolate(
            image,
            (image.shape[-2] // 2, image.shape[-1] // 2),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )
        bands.append(image - _enlarged(small, image))
        image = small
    return [*bands, image]


def picture_of(bands: list[Tensor]) -> Tensor:
    """The picture (B, C, H, W) of `bands`, fine to coarse."""
    image = bands[-1]
    for band in reversed(bands[:-1]):
        image = _enlarged(image, band) + band
    return image


def _enlarged(small: Tensor, like: Tensor) -> Tensor:
    size = (like.shape[-2], like.shape[-1])
    return F.interpolate(small, size, mode="bilinear", align_corners=False)
