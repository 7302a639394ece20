"""Two pictures → theta and its confidence; one interface for all estimators.

`refined`, the default, needs no training: two maps, there and back, are fitted to soft matches of
features (`robust`), then again to those of the warped picture. `regression` asks trained networks
(see `geonet.py`); where there are any, `refined` starts from their answer, too. `points` follows
correspondences given by hand.
"""

from __future__ import annotations

from geostyle.matching.candidates import Candidate, candidates
from geostyle.matching.description import Description, describe
from geostyle.matching.front import estimate_from, estimate_warp, reads_features
from geostyle.matching.guide import Guide
from geostyle.matching.points import Correspondences
from geostyle.matching.result import Estimate
from geostyle.matching.settings import ESTIMATORS, GeometrySettings
from geostyle.matching.single import estimate_pinned

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
