"""Every setting of a transfer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geostyle.config import check, setting
from geostyle.errors import InputError
from geostyle.features.settings import NETWORKS
from geostyle.matching.settings import GeometrySettings
from geostyle.texture import PAINTERS
from geostyle.texture.matched_settings import MatchedSettings
from geostyle.texture.settings import PRESERVE_COLORS, TextureSettings
from geostyle.warps.extends import EXTENDS

DEFAULT_TEXTURE_PX = 512
# Settings of texture in a file that a run of an earlier version has written.
COMPLETE = 15


@dataclass(frozen=True)
class TransferSettings:
    """Every setting of a transfer."""

    size_px: int | None = setting(
        None,
        flag="--size",
        min=16,
        max=32768,
        help="long side of the result in pixels; default: the content's own, at most "
        f"{DEFAULT_TEXTURE_PX} where texture is painted",
    )
    geo_strength: float = setting(
        1.0,
        min=0.0,
        max=5.0,
        help="strength of the warp: 0 none, 1 as estimated; above 1 shapes are exaggerated, not "
        "their place and size",
    )
    extend: str = setting(
        "patches",
        choices=EXTENDS,
        help="how the picture is filled where the warp reaches beyond the content: patches of it, "
        "a smooth fill, its mirror image or its outermost pixels",
    )
    preserve_color: str = setting(
        "off",
        choices=PRESERVE_COLORS,
        help="preserve the content's colors: lab repaints only its lightness, histogram recolors "
        "the texture styles first",
    )
    border_px: int = setting(
        8,
        flag="--border",
        min=0,
        max=256,
        help="pixels of mirrored content that are painted beyond the edges and cut off: networks "
        "leave flat and off-color rims",
    )
    mask_frame: str = setting(
        "content",
        choices=("content", "result"),
        help="picture that --tex-mask is drawn on: the content, with which it is warped, or the "
        "result",
    )
    features: str = setting(
        "lite",
        choices=(*NETWORKS, "lite+vgg19"),
        help="network whose features are matched; lite+vgg19: lite, also for the warp, and VGG-19 "
        "for the last steps of painting",
    )
    weights: Path | None = setting(
        None, help="local file with that network's weights; for lite+vgg19, with VGG-19's"
    )
    pooling: str = setting("max", choices=("max", "average"), help="pooling in the texture stage")
    device: str = setting("auto", help="auto, cpu, cuda, cuda:N or mps")
    precision: str = setting(
        "auto",
        choices=("auto", "float32", "bfloat16", "float32+bfloat16", "bfloat16+float32"),
        help="precision of the texture stage's convolutions, or of its two networks'; geometry is "
        "always estimated in float32",
    )
    seed: int = setting(0, min=0, max=2**32 - 1, help="random seed")
    painter: str = setting(
        "matched",
        choices=tuple(PAINTERS),
        help="matched paints every part after the part of the texture that matches it, gram by the "
        "texture's statistics (Gatys et al.)",
    )
    geometry: GeometrySettings = setting(GeometrySettings())
    texture: TextureSettings = setting(TextureSettings())
    matched: MatchedSettings = setting(MatchedSettings())

    @staticmethod
    def implied(given: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        """The painter of a complete file of settings from before there were several."""
        n_texture = sum(name.startswith(f"{prefix}texture.") for name in given)
        earlier = n_texture >= COMPLETE and f"{prefix}painter" not in given
        return {f"{prefix}painter": "gram"} if earlier else {}

    @property
    def guided(self) -> bool:
        """True where painting is guided by the places that a warp points to in the texture."""
        return self.painter == "matched" and self.matched.guidance > 0

    def __post_init__(self) -> None:
        check(self)
        if "+" in self.precision and "+" not in self.features:
            raise InputError(
                f"precision: expected that of one network, {self.features}, got {self.precision!r}"
            )
