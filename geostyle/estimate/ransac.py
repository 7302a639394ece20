"""The control: an affine map by RANSAC from mutual nearest neighbours, nothing held back."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from geostyle.correlation import mutual_neighbours
from geostyle.estimate.frames import Frame, square
from geostyle.estimate.result import Found, nothing
from geostyle.estimate.settings import GeometrySettings
from geostyle.warps.affine import Affine


def ransac_affine(
    correlation: Tensor,
    source: Tensor,
    target: Tensor,
    frame: Frame,
    settings: GeometrySettings,
    seed: int,
) -> Found:
    """Fit an affine map to those mutual nearest neighbours that agree.

    correlation: (1, Ns, Ht, Wt). source: (Ns, 2) in the content. target: (Nt, 2) in the geometry
    style.
    """
    i, j = mutual_neighbours(correlation)
    points, matches = target[j] * frame.to_output, source[i]
    unit = square(torch.ones(2, dtype=torch.float64), frame.content_size).numpy()
    cv2.setRNGSeed(seed)
    found, inliers = cv2.estimateAffine2D(
        points.numpy(), matches.numpy() * unit, method=cv2.RANSAC, ransacReprojThreshold=0.12
    )
    if found is None or np.linalg.det(found[:, :2]) <= 0:
        return nothing(settings)
    theta = torch.from_numpy(found / unit[:, None] - np.eye(2, 3)).flatten()
    weights = torch.from_numpy(inliers[:, 0]).double()
    return Found(Affine(), theta, points, matches, weights, float(weights.mean()), settings)
