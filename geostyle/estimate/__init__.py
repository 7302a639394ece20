"""Two pictures → theta and its confidence; one interface for all estimators.

`refined`, the default, needs no training: two maps, there and back, are fitted to soft matches of
features (`robust`), then again to those of the warped picture. `regression` asks trained networks
(see `geonet.py`); where there are any, `refined` starts from their answer, too. `points` follows
correspondences given by hand.
"""

from __future__ import annotations

from geostyle.estimate.description import Description, describe
from geostyle.estimate.estimator import estimate_from, estimate_warp, points_alone
from geostyle.estimate.points import Correspondences
from geostyle.estimate.result import Estimate
from geostyle.estimate.settings import ESTIMATORS, GeometrySettings

__all__ = [
    "ESTIMATORS",
    "Correspondences",
    "Description",
    "Estimate",
    "GeometrySettings",
    "describe",
    "estimate_from",
    "estimate_warp",
    "points_alone",
]
