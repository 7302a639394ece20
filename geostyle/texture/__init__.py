"""Texture: painting, synthesis, mixtures, reconstructions; losses, optimizer, pyramid, score."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geostyle.config.lazy import lazy_names
from geostyle.config.registry import Registry

if TYPE_CHECKING:
    from geostyle.texture.borders import add_border as add_border
    from geostyle.texture.borders import cut_border as cut_border
    from geostyle.texture.descent_settings import SynthesisSettings as SynthesisSettings
    from geostyle.texture.gram import GramPainting as GramPainting
    from geostyle.texture.gram import transfer_texture as transfer_texture
    from geostyle.texture.masks import normalized_masks as normalized_masks
    from geostyle.texture.matched_painting import MatchedPainting as MatchedPainting
    from geostyle.texture.matched_settings import MatchedSettings as MatchedSettings
    from geostyle.texture.painting import Painting as Painting
    from geostyle.texture.painting import PaintOptions as PaintOptions
    from geostyle.texture.painting import SourceGuide as SourceGuide
    from geostyle.texture.pyramid import Finished as Finished
    from geostyle.texture.pyramid import Progress as Progress
    from geostyle.texture.pyramid import TextureResult as TextureResult
    from geostyle.texture.schedule import level_sizes as level_sizes
    from geostyle.texture.schedule import schedule as schedule
    from geostyle.texture.schedule import style_size as style_size
    from geostyle.texture.score import Score as Score
    from geostyle.texture.score import score as score
    from geostyle.texture.settings import TextureSettings as TextureSettings
    from geostyle.texture.synthesis import synthesize as synthesize

# A new painter is one file of this folder, and one line here.
PAINTERS: Registry[type[Painting]] = Registry(
    {
        "matched": "geostyle.texture.matched_painting.MatchedPainting",
        "gram": "geostyle.texture.gram.GramPainting",
    }
)

__all__ = ["PAINTERS"]

lazy_names(__name__)
