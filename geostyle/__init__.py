"""geostyle: geometric style transfer.

Warp a content picture so that it takes on the geometry of one picture, then repaint it with the
texture of another::

    import geostyle

    result = geostyle.transfer("content.jpg", geo_style="a.jpg", tex_style="b.jpg")
    result.save("result.png")

Names are loaded on first use, so that ``import geostyle`` itself is instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from geostyle.config.lazy import lazy_names

if TYPE_CHECKING:
    from geostyle.errors import GeostyleError as GeostyleError
    from geostyle.errors import InputError as InputError
    from geostyle.features.extractor import load_features as load_features
    from geostyle.io.images import as_tensor as as_tensor
    from geostyle.io.images import load_picture as load_picture
    from geostyle.io.images import save_picture as save_picture
    from geostyle.pipeline import GeometryResult as GeometryResult
    from geostyle.pipeline import Pipeline as Pipeline
    from geostyle.pipeline import Resume as Resume
    from geostyle.pipeline import TransferOptions as TransferOptions
    from geostyle.pipeline import TransferResult as TransferResult
    from geostyle.pipeline import TransferSettings as TransferSettings
    from geostyle.pipeline import estimate_warp as estimate_warp
    from geostyle.pipeline import transfer as transfer
    from geostyle.pipeline import warp as warp
    from geostyle.texture import Progress as Progress
    from geostyle.texture import SynthesisSettings as SynthesisSettings
    from geostyle.texture import TextureSettings as TextureSettings
    from geostyle.texture import synthesize as synthesize
    from geostyle.texture.score import score as score
    from geostyle.texture.synthesis import gram_errors as gram_errors
    from geostyle.warps import WarpParameters as WarpParameters
    from geostyle.warps.mixing import mean_warp as mean_warp
    from geostyle.warps.mixing import regional_warp as regional_warp

__version__ = "0.2.0"
__all__ = ["__version__"]

lazy_names(__name__)
