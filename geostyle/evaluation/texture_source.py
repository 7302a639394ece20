"""Benchmark of matched painting's matches: the parts of a texture that keypoints are matched to.

The content is a pair's source picture, the texture style its target; no warp is applied, nothing is
painted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from geostyle.coords import normalized_to_pixel, pixel_to_normalized, resize, sample, size_of
from geostyle.evaluation import metrics
from geostyle.evaluation.keypoints import KeypointPair
from geostyle.evaluation.metrics import Array
from geostyle.features.extractor import FeatureExtractor
from geostyle.io.images import check_shape_kept, fit_size, load_picture
from geostyle.matching import GeometrySettings
from geostyle.pipeline import GeometryResult
from geostyle.pipeline.guidance import source_guide
from geostyle.texture import MatchedSettings, SourceGuide, TextureSettings
from geostyle.texture.matched_level import MatchedLevel, Scene

# The matches, and the two controls.
MATCHED, WARP, NEIGHBORS = "matched", "warp alone", "neighbors"
SOURCES = (MATCHED, WARP, NEIGHBORS)


@torch.no_grad()
def sources(
    content: Tensor,
    tex_style: Tensor,
    points: Tensor,
    guide: SourceGuide,
    network: FeatureExtractor,
    settings: MatchedSettings,
) -> dict[str, Tensor]:
    """Return the places in a texture style that points of the content take their paint from.

    Args:
        content: (1, 3, H, W), sRGB in [0, 1], at the size that is matched.
        tex_style: (1, 3, h, w).
        points: (K, 2), normalized (x, y) in the content.
        guide: where the parts of the content are expected in the style.
        network: its features are matched.
        settings: of the matching; `settings.guidance` says how much the guide counts.

    Returns: by name of `SOURCES`, normalized (x, y) in the style, (K, 2): of the cell matched to
        the one under each point, with the guide; of the guide itself; and of the cell matched
        without a guide.
    """
    level = MatchedLevel(
        Scene(content, [tex_style], [1.0]), network, size_of(content), settings, TextureSettings()
    )
    at = points.to(content)[None, None]
    found = {}
    for name, used in ((MATCHED, guide), (NEIGHBORS, None)):
        level.guides = [used]
        level.match(level.recolored)
        source = level.source_map()
        assert source is not None
        found[name] = sample(source[None, 1:3], at, "nearest")[0, :, 0].T
    found[WARP] = sample(guide.positions.permute(0, 3, 1, 2), at)[0, :, 0].T
    return {name: found[name] for name in SOURCES}


def measure(
    pairs: Sequence[KeypointPair],
    network: FeatureExtractor,
    settings: MatchedSettings,
    geometry: GeometrySettings,
    *,
    size_px: int = 256,
    seed: int = 0,
    on_pair: Callable[[], object] = lambda: None,
) -> dict[str, dict[int, Array]]:
    """Return the errors of the places that keypoints take their paint from.

    Args:
        pairs: content and texture style are their source and target.
        network: for the guide and for the matches.
        settings: of the matching.
        geometry: of the estimate that guides it.
        size_px: long side of the content, and so of the texture, as they are matched.
        seed: of the estimate.
        on_pair: called after every pair.

    Returns: by name of `SOURCES`, then by number of the pair, errors (K,) in units of the box
        around the target's keypoints.
    """
    errors: dict[str, dict[int, Array]] = {name: {} for name in SOURCES}
    for number, pair in enumerate(pairs):
        content, style = (
            load_picture(path, name="root").tensor.to(network.mean.device)
            for path in (pair.source, pair.target)
        )
        check_shape_kept(size_of(content), size_px)
        canvas = resize(content, fit_size(size_of(content), size_px)).clamp(0, 1)
        guide = source_guide(content, style, GeometryResult(canvas), network, geometry, seed=seed)
        points = pixel_to_normalized(torch.from_numpy(pair.source_points), size_of(content))
        for name, found in sources(canvas, style, points, guide, network, settings).items():
            pixels = normalized_to_pixel(found.double().cpu(), size_of(style)).numpy()
            errors[name][number] = metrics.keypoint_errors(pixels, pair.target_points)
        on_pair()
    return errors


def share_of_warp(errors: dict[str, dict[int, Array]], alpha: float = 0.1) -> float:
    """Return the PCK of the matches over that of the warp; NaN where the warp's is 0."""
    right = {name: metrics.pck(list(rows.values()), alpha) for name, rows in errors.items()}
    return right[MATCHED] / right[WARP] if right[WARP] else float(np.nan)
