"""Texture: transfer, synthesis, mixtures, reconstructions; losses, optimizer, pyramid, score."""

from geostyle.texture.borders import add_border, cut_border
from geostyle.texture.colors import PRESERVE_COLORS, after_transfer, before_transfer
from geostyle.texture.masks import keep_unmasked, normalized_masks
from geostyle.texture.neural_style import NeuralStyleSettings, neural_style
from geostyle.texture.pyramid import Finished, Progress, TextureResult
from geostyle.texture.reconstruct import ReconstructionSettings, reconstruct
from geostyle.texture.schedule import level_sizes, schedule, style_size
from geostyle.texture.score import Score, score
from geostyle.texture.settings import TextureSettings
from geostyle.texture.synthesis import SynthesisSettings, synthesize
from geostyle.texture.transfer import Painting, PaintOptions, transfer_texture

__all__ = [
    "PRESERVE_COLORS",
    "Finished",
    "NeuralStyleSettings",
    "PaintOptions",
    "Painting",
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
    "neural_style",
    "normalized_masks",
    "reconstruct",
    "schedule",
    "score",
    "style_size",
    "synthesize",
    "transfer_texture",
]
