"""Style transfer as first published: white noise, one scale, L-BFGS, absolute losses."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from geostyle.coords import resize
from geostyle.device import own_world
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.descent import descend
from geostyle.texture.descent_settings import NeuralStyleSettings
from geostyle.texture.memory import check_descent_fits
from geostyle.texture.published import PublishedObjective
from geostyle.texture.pyramid import Level, Progress, TextureResult, white_noise


@own_world
def neural_style(
    content: Tensor,
    tex_style: Tensor,
    network: FeatureExtractor,
    settings: NeuralStyleSettings | None = None,
    *,
    seed: int = 0,
    callback: Callable[[Progress], None] | None = None,
) -> TextureResult:
    """Repaint `content` in the style of `tex_style`, as published.

    Args:
        content, tex_style: (1, 3, H, W) and (1, 3, h, w), sRGB in [0, 1]; the style is resized to
            the content's size, as in the paper.
        network: gives the features; the paper prefers average pooling.
        settings: see `NeuralStyleSettings`.
        seed: of the noise.
        callback: called after every step; raising KeyboardInterrupt in it ends the run with the
            best picture so far.

    Source: Gatys, Ecker, Bethge, "A Neural Algorithm of Artistic Style".
    Differs: layers are scaled by their mean activation (see `PublishedObjective`); L-BFGS takes
        unit steps, and a penalty keeps pixels within [0, 1].
    """
    settings = settings or NeuralStyleSettings()
    size = (content.shape[-2], content.shape[-1])
    check_descent_fits(network, size, settings.descent)
    level = Level(
        size,
        settings.descent.iterations[0],
        lambda: PublishedObjective(
            network,
            content,
            resize(tex_style, size),
            alpha=settings.alpha_over_beta,
            style_layers=settings.style_layers,
            content_layer=settings.content_layer,
        ),
    )
    start = content if settings.init == "content" else white_noise(size, seed, content)
    return descend(start, [level], settings.descent, callback=callback)
