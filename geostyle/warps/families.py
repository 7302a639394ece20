"""The families by name."""

from __future__ import annotations

from collections.abc import Callable

from geostyle.errors import InputError
from geostyle.warps.affine import Affine
from geostyle.warps.base import NoWarp, WarpFamily
from geostyle.warps.biquadratic import Biquadratic
from geostyle.warps.composite import AffineThinPlate
from geostyle.warps.homography import Homography
from geostyle.warps.thin_plate import ThinPlate

# A further family is one file and one line here.
FAMILIES: dict[str, Callable[[int], WarpFamily]] = {
    "none": lambda lattice: NoWarp(),
    "affine": lambda lattice: Affine(),
    "tps": ThinPlate,
    "affine+tps": AffineThinPlate,
    "homography": lambda lattice: Homography(),
    "biquadratic": lambda lattice: Biquadratic(),
}


def make_family(name: str, lattice: int = 4) -> WarpFamily:
    """The family called `name`; `lattice` is k of the k×k control points of the splines.

    Raises: InputError for an unknown name, or a lattice out of range.
    """
    if name not in FAMILIES:
        raise InputError(f"family: expected one of {', '.join(FAMILIES)}, got {name!r}")
    return FAMILIES[name](lattice)
