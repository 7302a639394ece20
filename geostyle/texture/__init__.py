"""Texture transfer: losses, the scorer, the optimiser, the coarse-to-fine pyramid."""

from geostyle.texture.pyramid import Progress, TextureResult, level_sizes, transfer_texture
from geostyle.texture.score import Score, score
from geostyle.texture.settings import TextureSettings

__all__ = [
    "Progress",
    "Score",
    "TextureResult",
    "TextureSettings",
    "level_sizes",
    "score",
    "transfer_texture",
]
