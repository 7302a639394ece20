"""Two pictures → theta and its confidence; one interface for all estimators.

`robust` needs no training: two maps, there and back, are fitted to soft matches of features.
`regression` asks a trained network (see `geonet.py`), once each way.
"""

from __future__ import annotations

from geostyle.estimate.description import Description, describe
from geostyle.estimate.estimator import estimate_from, estimate_warp
from geostyle.estimate.result import Estimate
from geostyle.estimate.settings import ESTIMATORS, GeometrySettings

__all__ = [
    "ESTIMATORS",
    "Description",
    "Estimate",
    "GeometrySettings",
    "describe",
    "estimate_from",
    "estimate_warp",
]
