"""Picture files and arrays to tensors and back; the only place where uint8 meets float32."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from torch import Tensor

from geostyle.device import own_world
from geostyle.errors import InputError, brief, is_number
from geostyle.io.colors import can_hold
from geostyle.io.decode import (
    ANIMATED,
    LIMIT_VARIABLE,
    count_frames,
    decode,
    decode_16_bits,
    from_array,
    from_tensor,
    over_limit,
    readable,
)
from geostyle.io.encode import encode, encode_16_bits, levels
from geostyle.io.files import path_of, write_bytes
from geostyle.io.sources import READABLE, SUFFIXES, kind_of, opened
from geostyle.io.tiff import read_tiff

_log = logging.getLogger(__name__)

# Files that commonly lie beside pictures and are none.
BESIDE = frozenset({".txt", ".md", ".json", ".jsonl", ".yaml", ".yml", ".csv", ".html", ".xml",
                    ".ini", ".db", ".safetensors", ".lock"})  # fmt: skip
SAVED = (".png", ".tif", ".tiff", ".webp", ".bmp", ".jpg", ".jpeg")
TRANSPARENT = (".png", ".tif", ".tiff", ".webp")
MIN_SIDE_PX = 16
SHAPE_KEPT = 0.9  # of the smallest side: how much shorter one is stretched to it without a word
NEARLY_BLACK = 0.05  # brightest value of a mask that is likely no mask
MAX_MEGAPIXELS = 200  # 3 GB of memory while it is read


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture read from a file.

    Attributes:
        tensor: (1, 3, H, W) float32, sRGB in [0, 1], composited over white where transparent.
        alpha: (1, 1, H, W) float32 in [0, 1], None where all is opaque.
        icc: the file's color profile, already applied.
        bit_depth: of the channels read, 8 or 16.
        path: the file.
    """

    tensor: Tensor
    alpha: Tensor | None = None
    icc: bytes | None = None
    bit_depth: int = 8
    path: Path | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.tensor.shape[-2], self.tensor.shape[-1]


@own_world
def load_picture(
    path: str | os.PathLike[str] | BinaryIO,
    *,
    name: str = "content",
    min_side_px: int = MIN_SIDE_PX,
    max_pixels: float | None = None,
    keeps_alpha: bool = False,
) -> Picture:
    """Read a picture file: upright (EXIF), sRGB (ICC), RGB from any mode, 16 bits where it has 16.

    One line says so where the file holds more frames than the first, or transparent parts.

    Args:
        path: a path, or an object like a file, such as `io.BytesIO`, opened in binary mode.
        name: the argument's name, for errors.
        min_side_px: the smallest side accepted.
        max_pixels: the largest H·W accepted; default 200 million, or what the environment variable
            GEOSTYLE_MAX_MEGAPIXELS says.
        keeps_alpha: whether the caller makes use of `Picture.alpha`, so that nothing need be said.

    Returns: the first frame, as a `Picture`.
    Raises: InputError, one line, whatever is wrong with the file.
    """
    shown = repr(os.fsdecode(path)) if isinstance(path, str | os.PathLike) else type(path).__name__
    expected = f"{name}: expected a picture file, got {shown}"
    max_pixels = pixel_limit() if max_pixels is None else max_pixels
    check = partial(
        _check_size, min_side_px=min_side_px, max_pixels=max_pixels, name=name, what=shown
    )
    with readable(expected, max_pixels) as formats, opened(path, expected) as (file, own_path):
        unusual = read_tiff(file, name, check)
        if unusual is not None:
            picture = Picture(*decode_16_bits(*unusual, name), path=own_path)
        else:
            with _identified(file, own_path, formats, expected) as image:
                check(image.size)
                picture = Picture(*decode(image, file, name), path=own_path)
        frames = count_frames(file, formats)
    return _told(picture, frames, name, shown, keeps_alpha)


def picture_size(path: str | os.PathLike[str], name: str = "content") -> tuple[int, int]:
    """Return the (H, W) that a picture file states, without decoding it; it may be turned by EXIF.

    Raises: InputError where it is no picture.
    """
    expected = f"{name}: expected a picture file, got {os.fsdecode(path)!r}"
    with (
        readable(expected, pixel_limit()) as formats,
        opened(path, expected) as (file, own_path),
        _identified(file, own_path, formats, expected) as image,
    ):
        return image.height, image.width


def pixel_limit() -> float:
    """Return the largest H·W that is read: a small file can hold a huge picture.

    Raises: InputError where GEOSTYLE_MAX_MEGAPIXELS is no positive number.
    """
    text = os.environ.get(LIMIT_VARIABLE, str(MAX_MEGAPIXELS))
    with contextlib.suppress(ValueError):
        if float(text) > 0:
            return float(text) * 1e6
    raise InputError(f"{LIMIT_VARIABLE}: expected a number of millions of pixels, got {text!r}")


def as_tensor(image: Any, name: str = "content", *, min_side_px: int = MIN_SIDE_PX) -> Tensor:
    """Turn a picture of any kind into (1, 3, H, W) float32 sRGB in [0, 1].

    Args:
        image: a path; an object like a file, such as `io.BytesIO`; a PIL image; a `Picture`; an
            array (H, W) or (H, W, 1|3|4); a tensor (H, W), (3, H, W) or (1, 3, H, W), 1 channel
            allowed. Arrays and tensors: uint8, uint16, bool, or floats in [0, 1].
        name: the argument's name, for errors.

    Raises: InputError for anything else, and for values that are not finite or outside [0, 1].
    """
    return as_picture(image, name, min_side_px=min_side_px).tensor


@own_world
def as_picture(
    image: Any, name: str = "content", *, min_side_px: int = MIN_SIDE_PX, keeps_alpha: bool = False
) -> Picture:
    """Turn a picture of any kind into a `Picture`; arguments as for `as_tensor`, `load_picture`."""
    if isinstance(image, Picture):
        return image
    if isinstance(image, (str, os.PathLike)) or hasattr(image, "read"):
        return load_picture(image, name=name, min_side_px=min_side_px, keeps_alpha=keeps_alpha)
    alpha, frames = None, 1
    if isinstance(image, Image.Image):
        frames = getattr(image, "n_frames", 1) if image.format in ANIMATED else 1
        _check_size(image.size, min_side_px, float("inf"), name, "a PIL image")
        with readable(f"{name}: expected a readable PIL image, got one", float("inf")):
            tensor, alpha, _, _ = decode(image, None, name)
    elif isinstance(image, np.ndarray):
        tensor, alpha = from_array(image, name)
    elif isinstance(image, Tensor):
        tensor = from_tensor(image, name)
    else:
        kind = type(image).__name__
        raise InputError(f"{name}: expected a path, PIL image, array or tensor, got {kind}")
    height, width = tensor.shape[-2:]
    _check_size((width, height), min_side_px, float("inf"), name, "one")
    for values in (tensor, alpha):
        if values is not None and not (values.min() >= 0 and values.max() <= 1):  # NaN, too
            low, high = values.min().item(), values.max().item()
            raise InputError(f"{name}: expected values in [0, 1], got {low:g} to {high:g}")
    if alpha is not None and bool((alpha == 1).all()):
        alpha = None
    return _told(Picture(tensor.contiguous(), alpha), frames, name, "it", keeps_alpha)


def as_painted(image: Any, name: str) -> Tensor:
    """Turn a picture of any kind into (1, 3, H, W), or return it where it is such a tensor.

    Args: as for `as_tensor`; values of a tensor may exceed [0, 1] somewhat, as those of resampled
        and painted pictures do.
    Raises: InputError as for `as_tensor`, and for values as far off as 255 is.
    """
    ready = isinstance(image, Tensor) and image.is_floating_point() and not image.is_meta
    if not (ready and image.ndim == 4 and image.shape[:2] == (1, 3)):
        return as_tensor(image, name, min_side_px=1)
    if bool(((image < -1) | (image > 2)).any()):
        low, high = image.min().item(), image.max().item()
        raise InputError(f"{name}: expected values in [0, 1], got {low:g} to {high:g}")
    return image


def _told(picture: Picture, frames: int, name: str, shown: str, keeps_alpha: bool) -> Picture:
    """`picture`, once it is said what of its file is not used."""
    if frames > 1:
        _log.warning("%s: %s has %d frames; only the first is taken", name, shown, frames)
    if picture.alpha is not None and not keeps_alpha:
        _log.warning("%s: %s is partly transparent; it is taken on white", name, shown)
    return picture


@own_world
def as_mask(image: Any, name: str = "tex_mask") -> Tensor:
    """Turn a gray picture of any kind into a mask (1, 1, H, W) in [0, 1]; transparent is black.

    Labels 0 and 1 of a picture whose white is 255 (or 65535) are taken as black and white, and one
    line says so; it also says where a mask is nearly black.

    Args: as for `as_tensor`; colors count by their mean.
    """
    picture = as_picture(image, name, keeps_alpha=True)
    mask = picture.tensor.mean(1, keepdim=True)
    if picture.alpha is not None:
        mask = mask - (1 - picture.alpha)  # takes off the white that lies under the picture
    mask = mask.clamp(0, 1)
    top = float(mask.max())
    for white in (255, 65535):
        if top > 0 and abs(top * white - 1) < 1e-3 and bool(((mask == 0) | (mask == top)).all()):
            _log.warning("%s: holds 0 and 1 of %d only; 1 is taken as white", name, white)
            return mask / top
    if 0 < top < NEARLY_BLACK:
        _log.warning("%s: is at most %.0f of 255, nearly black; white is 255", name, 255 * top)
    return mask


def to_uint8(tensor: Tensor) -> np.ndarray:
    """Turn (1, 3, H, W) or (3, H, W) in [0, 1] into (H, W, 3) uint8, clamped and rounded."""
    return levels(tensor, None, 255).astype(np.uint8)


@own_world
def save_picture(
    picture: Any,
    path: str | os.PathLike[str],
    *,
    bit_depth: int = 8,
    quality: int | None = None,
    icc: bytes | None = None,
    alpha: Tensor | None = None,
) -> None:
    """Write a picture, whole or not at all; the suffix sets the format.

    Args:
        picture: (1, 3, H, W) or (3, H, W), sRGB, floats clamped to [0, 1], which is said where
            they are far beyond; or any other picture, as for `as_tensor`, whose alpha is kept.
        path: .png, .tif, .tiff, .webp, .bmp, .jpg or .jpeg.
        bit_depth: 8, or 16 for PNG and TIFF.
        quality: 1 to 100, of JPEG (default 95; chroma is kept at full resolution) and of WebP
            (default lossless).
        icc: an RGB profile to convert to and embed; None leaves sRGB, untagged.
        alpha: (1, 1, H, W) in [0, 1], of a picture on white; JPEG and BMP leave it on white, which
            is said. None for an opaque picture.

    Raises: InputError for unusable arguments or an unwritable path, GeostyleError on a full disk.
    """
    path = path_of(path)
    suffix = path.suffix.lower()
    if suffix not in SAVED:
        raise InputError(f"output: expected .png, .jpg, .tif, .webp or .bmp, got {path.name!r}")
    if bit_depth not in (8, 16) or (bit_depth == 16 and suffix not in (".png", ".tif", ".tiff")):
        raise InputError(f"bit_depth: expected 8, or 16 for PNG and TIFF, got {brief(bit_depth)}")
    if icc is not None and not (isinstance(icc, bytes) and can_hold(icc)):
        raise InputError("icc: expected an RGB color profile, got another")
    if quality is not None and quality not in range(1, 101):
        raise InputError(f"quality: expected 1 to 100, got {brief(quality)}")
    if not isinstance(picture, Tensor) or picture.is_meta or not picture.is_floating_point():
        given = as_picture(picture, "picture", min_side_px=1, keeps_alpha=True)
        picture, alpha = given.tensor, given.alpha if alpha is None else alpha
    elif picture.numel() and bool(((picture < -1) | (picture > 2)).any()):
        low, high = picture.min().item(), picture.max().item()
        _log.warning("picture: %g to %g are clamped to [0, 1]; divide by 255?", low, high)
    if alpha is not None and suffix not in TRANSPARENT:
        _log.warning("output: %s holds no transparency; the picture is left on white", suffix)
        alpha = None
    array = levels(picture, alpha, 2**bit_depth - 1)
    try:
        if bit_depth == 16:
            data = encode_16_bits(array.astype(np.uint16), suffix, icc)
        else:
            data = encode(Image.fromarray(array.astype(np.uint8)), suffix, quality, icc)
    except (OSError, ValueError, RuntimeError) as error:
        size = f"{array.shape[1]}x{array.shape[0]}"
        raise InputError(f"output: expected a size that {suffix} can hold, got {size}") from error
    write_bytes(path, data)


def to_pil(tensor: Tensor, alpha: Tensor | None = None) -> Image.Image:
    """Turn a picture (1, 3, H, W) on white into an 8-bit PIL image, RGBA where it has an alpha."""
    return Image.fromarray(levels(tensor, alpha, 255).astype(np.uint8))


def fit_size(size: tuple[int, int], size_px: int) -> tuple[int, int]:
    """Return the (H, W) of the same shape whose long side is `size_px`; no side under 16 px.

    Raises: InputError for a `size_px` that is no positive number.
    """
    if not is_number(size_px) or not 1 <= size_px < 1e6:
        raise InputError(f"size_px: expected a number of pixels above 0, got {brief(size_px)}")
    scale = size_px / max(size)
    height, width = (max(MIN_SIDE_PX, round(side * scale)) for side in size)
    return height, width


def check_shape_kept(size: tuple[int, int], size_px: int, name: str = "size") -> None:
    """Check that a picture of (H, W) keeps its shape at a long side of `size_px`.

    Raises: InputError where its short side would be far below the 16 px that are needed.
    """
    short, least = size_px * min(size) / max(size), SHAPE_KEPT * MIN_SIDE_PX
    if size_px >= 1 and short < least:
        raise InputError(
            f"{name}: expected at least {math.ceil(least * max(size) / min(size))} px for a "
            f"picture of {size[1]}x{size[0]} px, which {size_px} would squeeze, got {size_px}; "
            "or crop it"
        )


def is_validation(path: str | Path) -> bool:
    """Return whether a picture is of the tenth kept from training, by a hash of its file name."""
    return int(hashlib.sha256(os.fsencode(Path(path).name)).hexdigest(), 16) % 10 == 0


def list_pictures(
    folder: str | Path, *, recursive: bool = False, name: str = "folder"
) -> list[Path]:
    """List the picture files of a folder by suffix, sorted, hidden files and folders left out.

    One line says which other files, and folders, are left out.

    Raises: InputError when it is not a folder or has no picture.
    """
    folder = Path(folder)
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        reason = error.strerror
        raise InputError(f"{name}: expected a folder, got {str(folder)!r} ({reason})") from error
    entries = [
        entry
        for entry in (sorted(folder.rglob("*")) if recursive else inside)
        if not any(part.startswith(".") for part in entry.relative_to(folder).parts)
    ]
    files = [entry for entry in entries if not entry.is_dir()]
    found = [file for file in files if file.suffix.lower() in SUFFIXES and file.is_file()]
    others = [file.name for file in files if file not in found]
    others = [name for name in others if Path(name).suffix.lower() not in BESIDE]
    if not recursive:
        others += [f"{entry.name}/" for entry in entries if entry.is_dir()]
    words = f"{', '.join(others[:3])}{', …' if len(others) > 3 else ''}"
    if not found:
        none = f"none; left out are {words}" if others else "none"
        raise InputError(f"{name}: expected a folder with pictures, got {str(folder)!r} ({none})")
    if others:
        _log.warning("%s: %d of %r left out, as no pictures: %s",
                     name, len(others), str(folder), words)  # fmt: skip
    return found


def _identified(
    file: BinaryIO, path: Path | None, formats: list[str], expected: str
) -> Image.Image:
    """Open a picture file by Pillow; a format that is not read is named."""
    file.seek(0)
    try:
        return Image.open(file, formats=formats)
    except Image.UnidentifiedImageError:
        if kind := kind_of(file, path):
            raise InputError(f"{expected} ({kind}; read are {READABLE})") from None
        raise


def _check_size(
    size: tuple[int, int], min_side_px: int, max_pixels: float, name: str, what: str
) -> None:
    width, height = size
    got = f"got {what} ({width}x{height} px"
    if width * height > max_pixels:
        raise InputError(f"{name}: expected a smaller picture, {got}, {over_limit(max_pixels)})")
    if min(size) < min_side_px:
        raise InputError(f"{name}: expected sides of at least {min_side_px} px, {got})")
