"""Texture: transfer, synthesis, mixtures, reconstructions; losses, optimizer, pyramid, scorer."""

from geostyle.texture.borders import add_border, cut_border
from geostyle.texture.colors import PRESERVE_COLORS, after_transfer, before_transfer
from geostyle.texture.masks import keep_unmasked, mask_shares
from geostyle.texture.neural_style import NeuralStyleSettings, neural_style
from geostyle.texture.pyramid import (
    Finished,
    Progress,
    TextureResult,
    transfer_texture,
)
from geostyle.texture.reconstruct import ReconstructionSettings, reconstruct
from geostyle.texture.schedule import level_sizes, schedule, style_size
from geostyle.texture.score import Score, score
from geostyle.texture.settings import TextureSettings
from geostyle.texture.synthesis import SynthesisSettings, synthesize

__all__ = [
    "PRESERVE_COLORS",
    "Finished",
    "NeuralStyleSettings",
    "Progress",
    "ReconstructionSettings",
    "Score",
    "SynthesisSettings",
    "TextureResult",
    "TextureSettings",
    "add_border",
    "after_transfer",
    "before_transfer",
    "cut_border",
    "keep_unmasked",
    "level_sizes",
    "mask_shares",
    "neural_style",
    "reconstruct",
    "schedule",
    "score",
    "style_size",
    "synthesize",
    "transfer_texture",
]
