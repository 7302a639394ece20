"""Texture: transfer, synthesis, mixtures, reconstructions; losses, optimizer, pyramid, score."""

from geostyle.texture.borders import add_border, cut_border
from geostyle.texture.masks import normalized_masks
from geostyle.texture.pyramid import Finished, Progress, TextureResult
from geostyle.texture.schedule import level_sizes, schedule, style_size
from geostyle.texture.score import Score, score
from geostyle.texture.settings import TextureSettings
from geostyle.texture.synthesis import SynthesisSettings, synthesize
from geostyle.texture.transfer import Painting, PaintOptions, transfer_texture

__all__ = [
    "Finished",
    "PaintOptions",
    "Painting",
    "Progress",
    "Score",
    "SynthesisSettings",
    "TextureResult",
    "TextureSettings",
    "add_border",
    "cut_border",
    "level_sizes",
    "normalized_masks",
    "schedule",
    "score",
    "style_size",
    "synthesize",
    "transfer_texture",
]
