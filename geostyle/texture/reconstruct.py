"""Reconstruction of a picture's content or style, from noise, from the features of some layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from geostyle.device import own_world
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.descent import descend
from geostyle.texture.descent_settings import (
    ReconstructionSettings,
    SynthesisSettings,
)
from geostyle.texture.losses import relative_error
from geostyle.texture.memory import check_descent_fits
from geostyle.texture.objective import LossSettings, TextureObjective
from geostyle.texture.pyramid import Level, Progress, TextureResult, white_noise
from geostyle.texture.synthesis import synthesize


@own_world
def reconstruct(
    picture: Tensor,
    network: FeatureExtractor,
    settings: ReconstructionSettings | None = None,
    *,
    seed: int = 0,
    callback: Callable[[Progress], None] | None = None,
) -> TextureResult:
    """Optimize white noise until it agrees with `picture` at the layers of the settings.

    Args:
        picture: (1, 3, H, W), sRGB in [0, 1].
        network: gives the features.
        settings: see `ReconstructionSettings`; content has one level, whatever they say.
        seed: of the noise.
        callback: called after every step; raising KeyboardInterrupt in it ends the run with the
            best picture so far.

    Source: Gatys, Ecker, Bethge, "A Neural Algorithm of Artistic Style", figure 1.
    Differs: relative losses, which have the same minima.
    """
    settings = settings or ReconstructionSettings()
    layers = settings.layers(network)
    if settings.what == "style":
        own = SynthesisSettings(layers=tuple(layers), init="noise", descent=settings.descent)
        return synthesize(picture, network, own, seed=seed, callback=callback)
    size = (picture.shape[-2], picture.shape[-1])
    check_descent_fits(network, size, settings.descent)
    level = Level(
        size,
        # A start from coarser levels would hold more of the picture than the layer keeps.
        sum(settings.descent.iterations),
        lambda: TextureObjective(
            network,
            [],
            picture,
            LossSettings(style_weight=0.0, content_weight=1.0, content_layers=layers),
        ),
    )
    start = white_noise(size, seed, picture)
    return descend(start, [level], settings.descent, callback=callback)


@torch.no_grad()
def feature_errors(
    image: Tensor, picture: Tensor, network: FeatureExtractor, layers: Sequence[str]
) -> dict[str, float]:
    """Return ‖F − P‖ / ‖P‖ (not squared) at each layer, of F under `image` and P under `picture`.

    Args: image, picture, (1, 3, H, W); `image` is clamped to [0, 1], as a saved picture would be.
    """
    own, goal = network(image.clamp(0, 1), layers), network(picture, layers)
    return {k: float(relative_error(own[k].float(), goal[k].float()).sqrt()) for k in layers}
