"""The flow of a transfer, from its inputs to one result; every command goes through `Pipeline`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geostyle.config.lazy import lazy_names

if TYPE_CHECKING:
    from geostyle.pipeline.flow import Pipeline as Pipeline
    from geostyle.pipeline.flow import estimate_warp as estimate_warp
    from geostyle.pipeline.flow import transfer as transfer
    from geostyle.pipeline.geometry import place_masks as place_masks
    from geostyle.pipeline.geometry import warp as warp
    from geostyle.pipeline.inputs import as_guide as as_guide
    from geostyle.pipeline.inputs import check_tex_styles as check_tex_styles
    from geostyle.pipeline.mixing import check_geo_styles as check_geo_styles
    from geostyle.pipeline.networks import Networks as Networks
    from geostyle.pipeline.options import TransferOptions as TransferOptions
    from geostyle.pipeline.results import GeometryResult as GeometryResult
    from geostyle.pipeline.results import PictureResult as PictureResult
    from geostyle.pipeline.results import Resume as Resume
    from geostyle.pipeline.results import TransferResult as TransferResult
    from geostyle.pipeline.settings import TransferSettings as TransferSettings

lazy_names(__name__)
