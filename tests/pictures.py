"""Small random pictures that tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from geostyle.coords import resize


def picture(seed: int, height: int, width: int) -> Tensor:
    """Return a smooth random picture (1, 3, height, width) in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return resize(torch.rand(1, 3, 6, 6, generator=generator), (height, width))


def in_8_bits(image: Tensor) -> Tensor:
    """Return a picture in [0, 1] rounded to values that 8 bits hold exactly."""
    return (image * 255).round() / 255


def noise(seed: int, height: int, width: int) -> Tensor:
    """Return white noise (1, 3, height, width) in [0, 1]."""
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def picture_file(path: Path, size: tuple[int, int], seed: int) -> Path:
    """Write a smooth random picture of `size` (H, W), and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC).save(path)
    return path
