"""Color profiles: pictures to sRGB and back, with 8 bits by Pillow, with 16 by imagecodecs."""

from __future__ import annotations

import functools
import io
import logging

import numpy as np
from PIL import Image, ImageCms

_log = logging.getLogger(__name__)
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
# Of 255: how far two descriptions of sRGB, with rounded primaries or a table, may lie apart.
SAME_LEVELS = 3
_UNFIT = "%s: its color profile does not fit its mode; taken as sRGB"


@functools.cache
def srgb_profile() -> bytes:
    """Return an sRGB profile, the same bytes every time."""
    made = _SRGB.tobytes()
    return made[:24] + bytes([7, 208, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]) + made[36:]  # made in 2000


def can_hold(icc: bytes) -> bool:
    """Return whether RGB pictures can be converted from sRGB to a color profile and carry it."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        ImageCms.buildTransform(_SRGB, profile, "RGB", "RGB")
    except (ImageCms.PyCMSError, OSError):
        return False
    return True


def open_profile(icc: bytes | None, name: str) -> ImageCms.ImageCmsProfile | None:
    """Open an embedded profile; None where it is sRGB already, missing or (with a warning) damaged.

    What a profile does to colors decides, not its name: sRGB's primaries under another curve, such
    as linear light, often keep the name.

    Args: name, the picture's name, for the warning.
    """
    if icc is None:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    except (ImageCms.PyCMSError, OSError):
        _log.warning("%s: its color profile is damaged; taken as sRGB", name)
        return None
    return None if _is_srgb(icc) else profile


@functools.lru_cache(maxsize=64)
def _is_srgb(icc: bytes) -> bool:
    """Return whether a profile of RGB or of grays leaves colors as sRGB has them."""
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    mode = {"RGB": "RGB", "GRAY": "L"}.get(profile.profile.xcolor_space.strip())
    if mode is None:
        return False
    values = np.linspace(0, 255, 18).round().astype(np.uint8)
    colors = np.stack(np.meshgrid(values, values, values), -1).reshape(18, -1, 3)
    probe = Image.fromarray(colors if mode == "RGB" else np.ascontiguousarray(colors[..., 0]))
    try:
        converted = _convert(probe, profile, _SRGB)
    except ImageCms.PyCMSError:
        return False
    found = np.asarray(converted).astype(int) - np.asarray(probe.convert("RGB"))
    return bool(np.abs(found).max() <= SAME_LEVELS)


def to_srgb(image: Image.Image, profile: ImageCms.ImageCmsProfile | None, name: str) -> Image.Image:
    """Convert an opaque PIL image of any mode to RGB, through its profile where it has one."""
    if image.mode == "LAB":
        profile = profile or ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    elif image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    if profile is not None:
        try:
            return _convert(image, profile, _SRGB)
        except ImageCms.PyCMSError:
            _log.warning(_UNFIT, name)
    return image if image.mode == "RGB" else image.convert("RGB")


def from_srgb(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    """Convert an RGB image from sRGB to a profile that `can_hold` accepts."""
    return _convert(image, _SRGB, profile)


def to_srgb_16(array: np.ndarray, icc: bytes, name: str) -> np.ndarray:
    """Convert a picture with 16 bits from its profile to sRGB; alpha stays as it is.

    Args:
        array: uint16, (H, W) or (H, W, 2) in grays, (H, W, 3) or (H, W, 4) in RGB.
        icc: a profile, of grays or of RGB.
        name: the picture's name, for the warning where the profile does not fit.

    Returns: (H, W, 3) or (H, W, 4) uint16; where the profile does not fit, the array.
    """
    planes = array[..., None] if array.ndim == 2 else array
    gray = planes.shape[2] < 3
    try:
        converted = _convert_16(planes[..., 0 if gray else slice(3)], icc, srgb_profile())
    except RuntimeError:
        _log.warning(_UNFIT, name)
        return array
    return np.concatenate([converted, planes[..., 1 if gray else 3 :]], -1)


def from_srgb_16(array: np.ndarray, icc: bytes) -> np.ndarray:
    """Convert (H, W, 3) uint16 from sRGB to a profile that `can_hold` accepts."""
    return _convert_16(array, srgb_profile(), icc)


def _convert(
    image: Image.Image, source: ImageCms.ImageCmsProfile, target: ImageCms.ImageCmsProfile
) -> Image.Image:
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.HIGHRESPRECALC
    converted = ImageCms.profileToProfile(image, source, target, intent, "RGB", flags=flags)
    assert converted is not None
    return converted


def _convert_16(array: np.ndarray, source: bytes, target: bytes) -> np.ndarray:
    from imagecodecs import CMS, cms_transform

    return cms_transform(
        np.ascontiguousarray(array),
        source,
        target,
        colorspace="gray" if array.ndim == 2 else "rgb",
        outcolorspace="rgb",
        intent=CMS.INTENT.RELATIVE_COLORIMETRIC,
        # Tables in between would cost up to four of the sixteen bits.
        flags=CMS.FLAGS.BLACKPOINTCOMPENSATION | CMS.FLAGS.NOOPTIMIZE,
    )
