"""Settings of the estimation of warps, and of the geometry networks that take part in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geostyle.config import check, setting
from geostyle.config.registry import Registry
from geostyle.errors import InputError
from geostyle.warps.families import FAMILIES

# Estimators that compare features: (pair, settings, guide or None, seed) → FittedWarp. A new one is
# one file of this folder, and one line here.
COMPARING: Registry[Any] = Registry(
    {
        "refined": "geostyle.matching.estimators.fit_matches",
        "robust": "geostyle.matching.estimators.fit_matches",
        "regression": "geostyle.matching.estimators.regression",
        "ransac-affine": "geostyle.matching.estimators.ransac_affine",
    }
)
MATCH_MAX_PX = 1024  # largest long side at which pictures are compared
ESTIMATORS = (*COMPARING, "points", "none")
GROUPS = 8  # of the normalization in geometry networks


@dataclass(frozen=True)
class GeometrySettings:
    """Settings of the warp's estimation, and bounds on the warp."""

    geometry: str = setting("affine+tps", choices=tuple(FAMILIES), help="family of the warp")
    estimator: str = setting("refined", choices=ESTIMATORS, help="method that finds the warp")
    geonet: tuple[Path, ...] = setting(
        (),
        repeat=True,
        help="networks of the estimator regression, in order: each one reads the content as warped "
        "by those before it; default: the bundled ones. Given to refined, their warp is one more "
        "start",
    )
    looks: int = setting(2, min=0, max=10, help="comparisons of the warped picture by refined")
    mirror: str = setting(
        "off", choices=("off", "auto", "on"), help="mirror the content; auto: where it fits better"
    )
    keep_position: bool = setting(
        False, help="take the shape only: the subject keeps its place and its size"
    )
    frame: str = setting("content", choices=("content", "geo"), help="whose canvas the result has")
    match_sizes_px: tuple[int, ...] = setting(
        (240, 320), min=32, max=MATCH_MAX_PX, help="long sides at which the pictures are compared"
    )
    match_layers: tuple[str, ...] = setting(
        ("pool4", "relu5_1"), help="feature layers that are compared"
    )
    lattice: int = setting(6, min=2, max=16, help="control points of the spline per side")
    smoothing: float = setting(2e-4, min=1e-6, max=1e3, help="weight of the bending energy")
    prior: float = setting(0.03, min=0.0, max=10.0, help="strength of the pull towards no warp")
    max_rotation_deg: float = setting(
        20.0, min=0.0, max=180.0, help="largest rotation and slant; twice that with the spline"
    )
    max_scale: float = setting(2.0, min=1.0, max=10.0, help="largest zoom, in or out")
    max_anisotropy: float = setting(
        1.5, min=1.0, max=10.0, help="largest ratio of the affine part's two scales"
    )
    max_stretch: float = setting(
        2.0, min=1.0, max=100.0, help="largest local stretch or squeeze, not counting the zoom"
    )
    max_outside: float = setting(
        0.3,
        min=0.0,
        max=1.0,
        help="largest share of the canvas beyond the content; the warped picture is zoomed to it",
    )
    max_lost: float = setting(
        1.0,
        min=0.0,
        max=1.0,
        help="largest share of the content outside the canvas; the warp is weakened to it",
    )
    conformal_weight: float = setting(
        0.05,
        min=0.0,
        max=100.0,
        help="cost of distorted shapes: parts keep their proportions, faces above all, unless the "
        "matches ask for more; 0: only the matches count",
    )
    choose: int = setting(1, min=1, max=20, help="which of the warps of --preview K is taken")
    fade: bool = setting(True, help="weaken the warp where the pictures share little geometry")

    def __post_init__(self) -> None:
        check(self)
        if not self.match_sizes_px or not self.match_layers:
            raise InputError("match_sizes_px, match_layers: expected at least one, got none")


@dataclass(frozen=True)
class NetworkSettings:
    """Input, layers and output of a geometry network; stored in its checkpoint."""

    geometry: str = setting(
        "affine+tps", choices=("affine", "tps", "affine+tps"), help="family of the network's theta"
    )
    network_lattice: int = setting(
        4, min=2, max=16, help="control points of the network's spline per side"
    )
    layer: str = setting("pool4", help="feature layer that is correlated")
    match_px: int = setting(
        240, min=32, max=1024, help="side of the squares both pictures are squeezed into"
    )
    head: str = setting(
        "fit",
        choices=("fit", "linear"),
        help="theta by a weighted fit to a match of every position, or by linear layers",
    )
    width: int = setting(96, min=8, max=1024, help="channels of the convolutions")
    blocks: int = setting(3, min=0, max=32, help="residual blocks of the fit head")
    reach: float = setting(
        1.1, min=0.05, max=2.0, help="displacements the fit head reads, ± in half sides"
    )
    soft_matches: tuple[float, ...] = setting(
        (0.1, 0.05, 0.02),
        min=1e-3,
        max=10.0,
        help="temperatures at which soft matches are read from the correlation",
    )
    center: bool = setting(True, help="subtract the mean feature direction before correlating")

    def __post_init__(self) -> None:
        check(self)
        if self.width % GROUPS:
            raise InputError(f"width: expected a multiple of {GROUPS}, got {self.width}")
