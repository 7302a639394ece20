"""All families of warps, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geostyle.config.registry import Registry
from geostyle.errors import InputError

if TYPE_CHECKING:
    from geostyle.warps.base import WarpFamily

# A new family is one file of this folder, and one line here.
FAMILIES: Registry[type[WarpFamily]] = Registry(
    {
        "none": "geostyle.warps.nothing.NoWarp",
        "affine": "geostyle.warps.affine.Affine",
        "tps": "geostyle.warps.thin_plate.ThinPlate",
        "affine+tps": "geostyle.warps.composite.AffineThinPlate",
        "homography": "geostyle.warps.homography.Homography",
        "biquadratic": "geostyle.warps.biquadratic.Biquadratic",
    }
)


def make_family(name: str, lattice: int = 4) -> WarpFamily:
    """Return the family called `name`; `lattice` is k of the k×k control points of the splines.

    Raises: InputError for an unknown name, or a lattice out of range.
    """
    if not isinstance(name, str) or name not in FAMILIES:
        raise InputError(f"family: expected one of {', '.join(FAMILIES)}, got {name!r}")
    return FAMILIES[name](lattice)
