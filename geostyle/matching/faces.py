"""Faces in a picture, which a warp shall keep similar."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geostyle.coords import resize, size_of

DETECTED_PX = 320  # long side of the picture that is searched
SMALLEST_PX = 24  # width of the detector's window
RADIUS = 0.75  # of a face's disc, relative to the width of its window, eyes to chin


@dataclass(frozen=True)
class Face:
    """A disc: center (2,), normalized in the picture, in float64, and radius in half long sides."""

    center: Tensor
    radius: float


def find_faces(picture: Tensor) -> tuple[Face, ...]:
    """Find upright human faces seen from the front; those of animals and profiles are missed.

    Args: picture, (1, 3, H, W), sRGB in [0, 1].

    Source: Liao et al., "Learning Multi-scale Block Local Binary Patterns for Face Recognition"
        (2007), the cascade that scikit-image brings along.
    """
    factor = min(1.0, DETECTED_PX / max(size_of(picture)))
    height, width = (max(1, round(side * factor)) for side in size_of(picture))
    if min(height, width) < SMALLEST_PX:
        return ()
    small = resize(picture, (height, width)).clamp(0, 1)[0].permute(1, 2, 0)
    found = _cascade().detect_multi_scale(
        img=(255 * small).round().to("cpu", torch.uint8).numpy(),
        scale_factor=1.1,
        step_ratio=1.5,
        min_size=(SMALLEST_PX, SMALLEST_PX),
        max_size=(height, width),
    )
    half = np.array([width, height]) / 2
    faces = []
    for box in sorted(found, key=lambda b: (b["r"], b["c"], b["width"])):
        middle = np.array([box["c"] + box["width"] / 2, box["r"] + box["height"] / 2])
        radius = 2 * RADIUS * box["width"] / max(height, width)
        faces.append(Face(torch.from_numpy(middle / half - 1), radius))
    return tuple(faces)


@lru_cache
def _cascade() -> Any:
    import skimage.data  # slow to import, and needed only here
    from skimage.feature import Cascade

    return Cascade(str(Path(skimage.data.data_dir) / "lbpcascade_frontalface_opencv.xml"))
