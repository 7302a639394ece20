"""Two pictures → theta and its confidence, through one interface for all estimators.

`refined`, the default, needs no training: two maps, there and back, are fitted to soft matches of
features, then again to those of the warped picture. `robust` leaves out the latter. `regression`
asks trained networks (see `network`), whose warp can also be one more start of `refined`. `points`
follows correspondences given by the user.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from geostyle.config.lazy import lazy_names

if TYPE_CHECKING:
    from geostyle.matching.description import Description as Description
    from geostyle.matching.description import describe as describe
    from geostyle.matching.estimate import Candidate as Candidate
    from geostyle.matching.estimate import candidates as candidates
    from geostyle.matching.estimate import estimate_from as estimate_from
    from geostyle.matching.estimate import estimate_pinned as estimate_pinned
    from geostyle.matching.estimate import estimate_warp as estimate_warp
    from geostyle.matching.estimate import reads_features as reads_features
    from geostyle.matching.guide import Correspondences as Correspondences
    from geostyle.matching.guide import Guide as Guide
    from geostyle.matching.result import Estimate as Estimate
    from geostyle.matching.settings import ESTIMATORS as ESTIMATORS
    from geostyle.matching.settings import GeometrySettings as GeometrySettings

lazy_names(__name__)
