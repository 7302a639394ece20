"""Two pictures → theta and its confidence, through one interface for all estimators.

`refined`, the default, needs no training: two maps, there and back, are fitted to soft matches of
features, then again to those of the warped picture. `robust` leaves out the latter. `regression`
asks trained networks (see `network`), whose warp can also be one more start of `refined`. `points`
follows correspondences given by the user.
"""

from __future__ import annotations

from geostyle.matching.description import Description, describe
from geostyle.matching.estimate import (
    Candidate,
    candidates,
    estimate_from,
    estimate_pinned,
    estimate_warp,
    reads_features,
)
from geostyle.matching.guide import Correspondences, Guide
from geostyle.matching.result import Estimate
from geostyle.matching.settings import ESTIMATORS, GeometrySettings

__all__ = [
    "ESTIMATORS",
    "Candidate",
    "Correspondences",
    "Description",
    "Estimate",
    "GeometrySettings",
    "Guide",
    "candidates",
    "describe",
    "estimate_from",
    "estimate_pinned",
    "estimate_warp",
    "reads_features",
]
