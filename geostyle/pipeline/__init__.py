"""The flow of a transfer, from its inputs to one result; every command goes through `Pipeline`."""

from geostyle.pipeline.flow import Pipeline, estimate_warp, transfer
from geostyle.pipeline.geometry import place_masks, warp
from geostyle.pipeline.inputs import as_guide, check_tex_styles
from geostyle.pipeline.mixing import check_geo_styles
from geostyle.pipeline.networks import Networks
from geostyle.pipeline.results import GeometryResult, PictureResult, Resume, TransferResult
from geostyle.pipeline.settings import TransferOptions, TransferSettings

__all__ = [
    "GeometryResult",
    "Networks",
    "PictureResult",
    "Pipeline",
    "Resume",
    "TransferOptions",
    "TransferResult",
    "TransferSettings",
    "as_guide",
    "check_geo_styles",
    "check_tex_styles",
    "estimate_warp",
    "place_masks",
    "transfer",
    "warp",
]
