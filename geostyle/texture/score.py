"""The score of a picture: its style and content errors, comparable between methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from geostyle.device import own_world
from geostyle.errors import InputError, brief
from geostyle.features.extractor import FeatureExtractor
from geostyle.io.images import as_painted
from geostyle.texture.losses import gram, relative_error
from geostyle.texture.settings import CONTENT_LAYER, STYLE_LAYERS

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


def check_network(network: Any) -> FeatureExtractor:
    """Return `network` if it is a feature network.

    Raises: InputError otherwise.
    """
    if not isinstance(network, FeatureExtractor):
        raise InputError(f"network: expected what load_features returns, got {brief(network)}")
    return network


@own_world
@torch.no_grad()
def score(image: Any, content: Any, tex_style: Any, network: FeatureExtractor) -> Score:
    """Score `image` as a repainting of `content` in the texture of `tex_style`.

    Args:
        image: (1, 3, H, W) in [0, 1], or a picture of another kind, as for `as_tensor`; values
            outside are clamped, as a saved picture would be.
        content: of the same size, the warped content, or None (texture synthesis: content counts
            0).
        tex_style: (1, 3, h, w), at the scale its texture is wanted in `image`.
        network: scores are comparable only under the same network; published ones use VGG-19 in
            float32.

    Raises: InputError for unusable pictures, and for a content of another size.
    """
    check_network(network)
    image = as_painted(image, "image").clamp(0, 1)
    tex_style = as_painted(tex_style, "tex_style")
    found = network(image, [*STYLE_LAYERS, CONTENT_LAYER])
    goal = network(tex_style, STYLE_LAYERS)
    layers = {k: float(relative_error(gram(found[k]), gram(goal[k]))) for k in STYLE_LAYERS}
    style = sum(layers.values()) / len(layers)
    kept = 0.0
    if content is not None:
        content = as_painted(content, "content")
        if content.shape != image.shape:
            sizes = (f"{x.shape[-1]}x{x.shape[-2]}" for x in (image, content))
            raise InputError("content: expected the size of image, {}, got {}".format(*sizes))
        reference = network(content, [CONTENT_LAYER])[CONTENT_LAYER]
        kept = float(relative_error(found[CONTENT_LAYER].float(), reference.float()))
    return Score(style, kept, style + CONTENT_WEIGHT * kept, layers)
