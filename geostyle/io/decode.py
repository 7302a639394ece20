"""Opened picture files to upright sRGB tensors: modes, 16 bits, orientation, transparency."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import warnings
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageFile
from torch import Tensor

from geostyle.errors import InputError
from geostyle.io.colors import open_profile, to_srgb, to_srgb_16

# Formats that Pillow reads by itself: others run programs (EPS) or accept noise (TGA).
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")
ANIMATED = ("GIF", "WEBP", "PNG", "TIFF", "AVIF")  # a JPEG may hold a preview of itself, too
LIMIT_VARIABLE = "GEOSTYLE_MAX_MEGAPIXELS"
_ORIENTATION = 0x0112  # EXIF tag
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # TIFF tags
_pillow_lock = threading.Lock()
if hasattr(os, "register_at_fork"):  # a worker must not start with the lock of another thread
    os.register_at_fork(
        before=_pillow_lock.acquire,
        after_in_parent=_pillow_lock.release,
        after_in_child=_pillow_lock.release,
    )
for _name in ("PIL", "tifffile"):  # they raise for damage as well; logging it says it twice
    logging.getLogger(_name).addHandler(logging.NullHandler())


@contextlib.contextmanager
def readable(expected: str, max_pixels: float) -> Iterator[list[str]]:
    """Turn everything that can go wrong while Pillow reads into one InputError.

    Pillow is held to our pixel limit and to whole files, whatever the caller has set; its other
    warnings are kept off the screen.

    Args: expected, the start of the message: the argument, what was expected and what came.
    Yields: the formats that this build of Pillow reads.
    """
    Image.init()
    with _pillow_lock, warnings.catch_warnings():
        before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
        Image.MAX_IMAGE_PIXELS = int(min(max_pixels, 2**62))
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            yield [kind for kind in FORMATS if kind in Image.OPEN]
        except InputError:
            raise
        except Exception as error:  # a decoder of damaged data can raise anything
            raise InputError(f"{expected} ({_reason(error, max_pixels)})") from error
        finally:
            Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before


def over_limit(max_pixels: float) -> str:
    """Return the reason why a picture of more than `max_pixels` is refused."""
    limit = f"{max_pixels / 1e6:g}"
    return f"over {limit} million pixels; if you trust it, set {LIMIT_VARIABLE} above {limit}"


def decode(
    image: Image.Image, file: BinaryIO | None, name: str
) -> tuple[Tensor, Tensor | None, bytes | None, int]:
    """Turn an opened PIL image, and its file where it has one, into an upright sRGB picture.

    Returns: its pixels over white (1, 3, H, W); its alpha (1, 1, H, W), None where all is opaque;
        its color profile, already applied; the bits per channel that were read, 8 or 16.
    """
    orientation = _orientation(image)
    with _quiet() if image.format == "TIFF" else contextlib.nullcontext():
        image.load()  # also finds out whether the file is whole
    remaining = _orientation(image)  # the TIFF reader turns by itself
    icc = image.info.get("icc_profile") or None
    profile = open_profile(icc, name)
    array = _read_16_bits(image, file, 1 if remaining == orientation else orientation)
    deep = array is not None
    if array is not None:
        array = array if icc is None or profile is None else to_srgb_16(array, icc, name)
    elif image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        opaque = to_srgb(rgba.convert("RGB"), profile, name)
        array = np.dstack([np.asarray(opaque), np.asarray(rgba.getchannel("A"))])
    elif image.mode[:1] in "IF":
        raise InputError(f"{name}: expected 8 or 16 bits per channel, got mode {image.mode!r}")
    else:
        array = np.asarray(to_srgb(image, profile, name))
    return (*_in_tensors(_upright(array, remaining), name), icc, 16 if deep else 8)


def decode_16_bits(
    array: np.ndarray, orientation: int, icc: bytes | None, name: str
) -> tuple[Tensor, Tensor | None, bytes | None, int]:
    """Turn an array (H, W, 1 to 4) uint16 as it is stored into what `decode` returns."""
    if icc is not None and open_profile(icc, name) is not None:
        array = to_srgb_16(array[..., 0] if array.shape[2] == 1 else array, icc, name)
    return (*_in_tensors(_upright(array, orientation), name), icc, 16)


def count_frames(file: BinaryIO, formats: list[str]) -> int:
    """Return how many frames or pages a picture file has; 1 where that cannot be found out."""
    try:
        file.seek(0)
        with Image.open(file, formats=formats) as image:
            return int(getattr(image, "n_frames", 1)) if image.format in ANIMATED else 1
    except Exception:  # of frames after the first, which is all that is needed
        return 1


def _in_tensors(array: np.ndarray, name: str) -> tuple[Tensor, Tensor | None]:
    """Colors over white, and alpha where not all is opaque."""
    color, alpha = split(array, name)
    if alpha is not None and bool((alpha == 1).all()):
        alpha = None
    return over_white(color, alpha), alpha


def from_array(array: np.ndarray, name: str) -> tuple[Tensor, Tensor | None]:
    """Turn an array in memory, (H, W) or (H, W, 1|3|4), into colors over white, and its alpha."""
    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if not fits or 0 in array.shape:
        raise InputError(f"{name}: expected an array (H, W) or (H, W, 3), got shape {array.shape}")
    if np.ma.is_masked(array):
        raise InputError(f"{name}: expected a value for every pixel, got a masked array")
    color, alpha = split(np.asarray(array), name)
    return over_white(color, alpha), alpha


def from_tensor(image: Tensor, name: str) -> Tensor:
    """Turn a tensor of any size accepted into (1, 3, H, W) float32."""
    if image.is_meta or image.layout != torch.strided:
        kind = "on the meta device" if image.is_meta else f"of layout {image.layout}"
        raise InputError(f"{name}: expected a dense tensor with values, got one {kind}")
    batch = image[(None,) * max(0, 4 - image.ndim)]
    kept = image.ndim in (2, 3, 4) and batch.shape[0] == 1 and batch.shape[1] in (1, 3)
    if not kept or 0 in image.shape:
        expected = "a tensor (3, H, W) or (1, 3, H, W), got"
        raise InputError(f"{name}: expected {expected} {tuple(image.shape)}")
    top = {torch.uint8: 255, torch.uint16: 65535, torch.bool: 1}.get(image.dtype)
    if top is None and not image.is_floating_point():
        raise InputError(f"{name}: expected uint8, uint16, bool or floats, got {image.dtype}")
    return batch.detach().to(torch.float32).expand(-1, 3, -1, -1) / (top or 1)


def split(array: np.ndarray, name: str) -> tuple[Tensor, Tensor | None]:
    """Split an array into colors and alpha.

    Args: array, (H, W) or (H, W, 1 to 4), uint8, uint16, bool or floats in [0, 1].
    Returns: colors (1, 3, H, W), and alpha (1, 1, H, W) or None, float32 in [0, 1].
    """
    top = {"uint8": 255.0, "uint16": 65535.0}.get(array.dtype.name, 1.0)
    if top == 1.0 and array.dtype.kind not in "fb":
        raise InputError(f"{name}: expected uint8, uint16, bool or floats, got {array.dtype}")
    array = array[..., None] if array.ndim == 2 else array
    planes = torch.from_numpy(np.array(array.transpose(2, 0, 1), np.float32, order="C"))[None]
    planes /= top
    if array.shape[2] in (2, 4):
        return planes[:, :-1].expand(-1, 3, -1, -1), planes[:, -1:]
    return planes.expand(-1, 3, -1, -1), None


def over_white(color: Tensor, alpha: Tensor | None) -> Tensor:
    """Composite colors (1, 3, H, W) over white by alpha (1, 1, H, W), where there is one."""
    return (color if alpha is None else 1 + alpha * (color - 1)).contiguous()


def _reason(error: Exception, max_pixels: float) -> str:
    """Return what is wrong with a file that could not be read, without line breaks."""
    match error:
        case FileNotFoundError():
            return "no such file"
        case Image.UnidentifiedImageError():
            return "not a picture, or of an unknown format"
        case Image.DecompressionBombWarning() | Image.DecompressionBombError():
            return over_limit(max_pixels)
        case MemoryError():
            return "not enough memory"
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(reason.split())[:120]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep off the screen what libtiff prints by itself (under the lock)."""
    try:
        kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    except OSError:  # no stderr to keep clean
        yield
        return
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a damaged EXIF block is no reason to refuse the picture
        return 1


def _upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation of an array (H, W, …)."""
    # ImageOps.exif_transpose has 8 bits only, and fails where it cannot rewrite the EXIF block.
    array = array.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else array
    axes = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}.get(orientation, ())
    return np.flip(array, axes)


def _read_16_bits(image: Image.Image, file: BinaryIO | None, orientation: int) -> np.ndarray | None:
    """Return (H, W) or (H, W, 2 to 4) uint16, None where 8 bits are all there is.

    Pillow cuts colors to 8 bits, so another decoder reads them again and they are turned by
    `orientation`; they are taken only where their high bytes are what Pillow read, so that channel
    order, turns and damage are held to one standard.
    """
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (16,))
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        gray = np.asarray(image).clip(0, 65535).astype(np.uint16)
        if bits[0] < 16:  # 12 bits, kept in the low ones
            gray = (gray * (65535 / (2 ** bits[0] - 1))).round().clip(0, 65535).astype(np.uint16)
        return ~gray if tags.get(_PHOTOMETRIC) == 0 else gray
    if file is None or image.mode not in ("RGB", "RGBA") or "transparency" in image.info:
        return None
    try:
        array = _decode_colors(image.format, file, bits)
    except Exception:  # Pillow's 8 bits remain
        return None
    if array is None or array.dtype != np.uint16 or array.ndim != 3 or array.shape[2] < 2:
        return None
    array = _upright(array, orientation)
    seen = array if array.shape[2] > 2 else array[..., [0, 0, 0, 1]]
    return array if np.array_equal(seen >> 8, np.asarray(image)) else None


def _decode_colors(kind: str | None, file: BinaryIO, bits: tuple[int, ...]) -> np.ndarray | None:
    """Decode a PNG, or a TIFF of `bits` per channel, with 16 bits; None for other pictures."""
    if kind == "PNG":
        file.seek(24)  # of the bit depth, in the first chunk
        if file.read(1) != b"\x10":
            return None
        import imagecodecs

        file.seek(0)
        return imagecodecs.png_decode(file.read())
    if kind != "TIFF" or set(bits) != {16}:
        return None
    import tifffile

    file.seek(0)
    return tifffile.TiffFile(file).pages.first.asarray(maxworkers=1)
