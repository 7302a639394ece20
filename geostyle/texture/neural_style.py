"""Style transfer as first published: white noise, one scale, L-BFGS, absolute losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from geostyle.config import check, setting
from geostyle.coords import resize
from geostyle.device import own_world
from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.descent import DescentSettings, descend
from geostyle.texture.memory import check_descent_fits
from geostyle.texture.published import PublishedObjective
from geostyle.texture.pyramid import Level, Progress, TextureResult, white_noise
from geostyle.texture.score import CONTENT_LAYER, STYLE_LAYERS

# Figure 3 of the paper, left to right.
PAPER_RATIOS = (1e-5, 1e-4, 1e-3, 1e-2)


@dataclass(frozen=True)
class NeuralStyleSettings:
    """Settings of style transfer as published; the defaults are the paper's."""

    alpha_over_beta: float = setting(
        1e-3, min=0.0, max=1e6, help="content weight over style weight"
    )
    style_layers: tuple[str, ...] = setting(
        STYLE_LAYERS, help="layers of the style loss, 1 / their number each"
    )
    content_layer: str = setting(CONTENT_LAYER, help="layer of the content loss")
    init: str = setting("noise", choices=("noise", "content"), help="picture to start from")
    descent: DescentSettings = setting(DescentSettings(iterations=(500,)))

    def __post_init__(self) -> None:
        check(self)
        if not self.style_layers:
            raise InputError("style_layers: expected at least one layer, got none")
        if len(self.descent.iterations) != 1:
            raise InputError(
                "iterations: expected one number, for the paper's single scale, "
                f"got {list(self.descent.iterations)}"
            )

    def sheet(self, ratios: Sequence[float] = PAPER_RATIOS) -> list[NeuralStyleSettings]:
        """Return settings for the paper's figure 3: every depth of style layers with every α/β."""
        return [
            replace(self, style_layers=self.style_layers[:depth], alpha_over_beta=ratio)
            for depth in range(1, len(self.style_layers) + 1)
            for ratio in ratios
        ]


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
