"""TIFF files that Pillow misreads or refuses: floats, and more than 8 bits in separate planes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from geostyle.errors import InputError

_PLANES, _FLOATS, _UNSIGNED = 2, 3, 1
_WHITE_IS_0, _BLACK_IS_0, _RGB = 0, 1, 2
_PREMULTIPLIED = 1
_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_tiff(
    file: BinaryIO, name: str, check_size: Callable[[tuple[int, int]], None]
) -> tuple[np.ndarray, int, bytes | None] | None:
    """Read a TIFF that only this decoder reads right.

    Args:
        file: any picture file.
        name: the argument's name, for errors.
        check_size: called with (width, height) before anything large is read.

    Returns: (H, W, 1 to 4) uint16, grays or RGB and perhaps alpha; its EXIF orientation; its color
        profile. None for all other files.
    Raises: InputError for floats outside [0, 1], other colors and damage.
    """
    file.seek(0)
    if file.read(4) not in _STARTS:
        return None
    import tifffile

    try:
        file.seek(0)
        page: Any = tifffile.TiffFile(file).pages.first
        floats = page.sampleformat == _FLOATS
        apart = page.planarconfig == _PLANES and page.samplesperpixel > 1
        deep = page.bitspersample > 8
    except Exception:  # Pillow says what is wrong with it
        return None
    if not floats and not (apart and deep):
        return None
    check_size((page.imagewidth, page.imagelength))
    samples, photometric = page.samplesperpixel, int(page.photometric)
    gray = photometric in (_WHITE_IS_0, _BLACK_IS_0)
    if samples not in ((1, 2) if gray else (3, 4)) or not (gray or photometric == _RGB):
        raise InputError(f"{name}: expected a TIFF of grays or RGB, got {samples} other channels")
    end = file.seek(0, 2)
    pieces = zip(page.dataoffsets, page.databytecounts, strict=True)
    if any(start + count > end for start, count in pieces):
        raise InputError(f"{name}: expected a whole file, got a TIFF that was cut short")
    array = page.asarray(maxworkers=1)
    if array.ndim == 3 and apart:
        array = np.moveaxis(array, 0, -1)
    array = array.reshape(page.imagelength, page.imagewidth, samples)
    array = _to_16_bits(array, name)
    colors = array[..., : 1 if gray else 3]
    if photometric == _WHITE_IS_0:
        colors = ~colors
    alpha = array[..., colors.shape[2] :]
    if alpha.shape[2] and _PREMULTIPLIED in map(int, page.extrasamples):
        opaque = np.maximum(alpha, 1).astype(np.float64)
        colors = (colors / opaque * 65535).round().clip(0, 65535).astype(np.uint16)
    orientation = page.tags.valueof(274, 1)
    icc = page.tags.valueof(34675, None)
    return np.concatenate([colors, alpha], -1), int(orientation), bytes(icc) if icc else None


def _to_16_bits(array: np.ndarray, name: str) -> np.ndarray:
    kind, bits = array.dtype.kind, 8 * array.dtype.itemsize
    if kind == "f":
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):  # NaN, too
            raise InputError(
                f"{name}: expected values in [0, 1] in a float TIFF, got {low:g} to {high:g}; "
                "tone-map it and save it as PNG or as TIFF with 16 bits"
            )
        return (array.astype(np.float64) * 65535).round().astype(np.uint16)
    if kind == "u" and bits == 16:
        return array.astype(np.uint16)
    if kind == "u" and bits == 32:
        return (array >> 16).astype(np.uint16)
    raise InputError(f"{name}: expected a TIFF of 8 or 16 bits or floats, got {array.dtype}")
