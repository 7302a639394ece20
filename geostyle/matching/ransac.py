"""The control: an affine map by RANSAC from mutual nearest neighbors, nothing held back."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from geostyle.matching.correlation import mutual_neighbors
from geostyle.matching.frames import Frame, square
from geostyle.matching.result import Found, nothing
from geostyle.matching.settings import GeometrySettings
from geostyle.warps.affine import Affine


def ransac_affine(
    correlation: Tensor,
    source: Tensor,
    target: Tensor,
    frame: Frame,
    settings: GeometrySettings,
    seed: int,
) -> Found:
    """Fit an affine map to those mutual nearest neighbors that agree.

    correlation: (1, Ns, Ht, Wt). source: (Ns, 2) in the content. target: (Nt, 2) in the geometry
    style.
    """
    i, j = mutual_neighbors(correlation)
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
