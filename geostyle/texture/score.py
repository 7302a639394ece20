"""The score of a picture: its style and content errors, comparable between methods."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geostyle.device import own_world
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.losses import gram, relative_error

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT_LAYER = "relu4_2"
CONTENT_WEIGHT = 0.1


@dataclass(frozen=True)
class Score:
    """Style and content error of a picture; lower is better, 0 is a perfect match.

    Attributes:
        style: mean over relu1_1 … relu5_1 of ‖G(x) − G(s)‖² / ‖G(s)‖².
        content: ‖F(x) − F(c)‖² / ‖F(c)‖² at relu4_2, c the *warped* content.
        total: style + 0.1 · content.
        style_layers: the five terms of `style`.
    """

    style: float
    content: float
    total: float
    style_layers: dict[str, float]


@own_world
@torch.no_grad()
def score(
    image: Tensor, content: Tensor | None, tex_style: Tensor, network: FeatureExtractor
) -> Score:
    """Score `image` as a repainting of `content` in the texture of `tex_style`.

    Args:
        image: (1, 3, H, W) in [0, 1]; values outside are clamped, as a saved picture would be.
        content: (1, 3, H, W), the warped content, or None (texture synthesis: content counts 0).
        tex_style: (1, 3, h, w), at the scale its texture is wanted in `image`.
        network: scores are comparable only under the same network; published ones use VGG-19 in
            float32.
    """
    image = image.clamp(0, 1)
    found = network(image, [*STYLE_LAYERS, CONTENT_LAYER])
    goal = network(tex_style, STYLE_LAYERS)
    layers = {k: float(relative_error(gram(found[k]), gram(goal[k]))) for k in STYLE_LAYERS}
    style = sum(layers.values()) / len(layers)
    kept = 0.0
    if content is not None:
        reference = network(content, [CONTENT_LAYER])[CONTENT_LAYER]
        kept = float(relative_error(found[CONTENT_LAYER].float(), reference.float()))
    return Score(style, kept, style + CONTENT_WEIGHT * kept, layers)
