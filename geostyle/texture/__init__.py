"""Texture: painting, synthesis, mixtures, reconstructions; losses, optimizer, pyramid, score."""

from geostyle.config.registry import Registry
from geostyle.texture.borders import add_border, cut_border
from geostyle.texture.gram import GramPainting, transfer_texture
from geostyle.texture.masks import normalized_masks
from geostyle.texture.matched_painting import MatchedPainting
from geostyle.texture.matched_settings import MatchedSettings
from geostyle.texture.painting import Painting, PaintOptions, SourceGuide
from geostyle.texture.pyramid import Finished, Progress, TextureResult
from geostyle.texture.schedule import level_sizes, schedule, style_size
from geostyle.texture.score import Score, score
from geostyle.texture.settings import TextureSettings
from geostyle.texture.synthesis import SynthesisSettings, synthesize

# A new painter is one file of this folder, and one line here.
PAINTERS: Registry[type[Painting]] = Registry(
    {
        "matched": "geostyle.texture.matched_painting.MatchedPainting",
        "gram": "geostyle.texture.gram.GramPainting",
    }
)

__all__ = [
    "PAINTERS",
    "Finished",
    "GramPainting",
    "MatchedPainting",
    "MatchedSettings",
    "PaintOptions",
    "Painting",
    "Progress",
    "Score",
    "SourceGuide",
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
