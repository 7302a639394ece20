"""Picture files and arrays to tensors and back; the only place where uint8 meets float32."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from geostyle.errors import InputError
from geostyle.io.colors import can_hold, from_srgb, from_srgb_16, open_profile
from geostyle.io.decode import LIMIT_VARIABLE, decode, over_limit, over_white, readable, split
from geostyle.io.files import write_bytes

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".ppm", ".pgm",
            ".jp2", ".avif")  # fmt: skip
SAVED = (".png", ".tif", ".tiff", ".webp", ".bmp", ".jpg", ".jpeg")
MIN_SIDE_PX = 16
MAX_MEGAPIXELS = 200  # 3 GB of memory while it is read


@dataclass(frozen=True)
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


def load_picture(
    path: str | Path,
    *,
    name: str = "content",
    min_side_px: int = MIN_SIDE_PX,
    max_pixels: float | None = None,
) -> Picture:
    """Read a picture file: upright (EXIF), sRGB (ICC), RGB from any mode, 16 bits where it has 16.

    Args:
        name: the argument's name, for errors.
        min_side_px: the smallest side accepted.
        max_pixels: the largest H·W accepted; default 200 million, or what the environment variable
            GEOSTYLE_MAX_MEGAPIXELS says.

    Returns: the first frame, as a `Picture`.
    Raises: InputError, one line, whatever is wrong with the file.
    """
    path = Path(path)
    expected = f"{name}: expected a picture file, got {str(path)!r}"
    max_pixels = pixel_limit() if max_pixels is None else max_pixels
    with readable(expected, max_pixels) as formats:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise InputError(f"{expected} ({kind})")
        if status.st_size == 0:
            raise InputError(f"{expected} (0 bytes)")
        with Image.open(path, formats=formats) as image:
            _check_size(image.size, min_side_px, max_pixels, name, repr(str(path)))
            return Picture(*decode(image, path, name), path=path)


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
        image: a path; a PIL image; a `Picture`; an array (H, W) or (H, W, 1|3|4); a tensor
            (3, H, W) or (1, 3, H, W), 1 channel allowed. Arrays and tensors: uint8, uint16, or
            floats in [0, 1].
        name: the argument's name, for errors.

    Raises: InputError for anything else, and for values that are not finite or outside [0, 1].
    """
    if isinstance(image, (str, Path)):
        return load_picture(image, name=name, min_side_px=min_side_px).tensor
    if isinstance(image, Picture):
        return image.tensor
    if isinstance(image, Image.Image):
        _check_size(image.size, min_side_px, float("inf"), name, "a PIL image")
        return _from_pil(image, name).tensor
    if isinstance(image, np.ndarray):
        fits = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3, 4))
        if not fits or 0 in image.shape:
            expected = "an array (H, W) or (H, W, 3), got shape"
            raise InputError(f"{name}: expected {expected} {image.shape}")
        tensor = over_white(*split(image, name))
    elif isinstance(image, Tensor):
        batch = image[None] if image.ndim == 3 else image
        if batch.ndim != 4 or batch.shape[0] != 1 or batch.shape[1] not in (1, 3):
            expected = "a tensor (3, H, W) or (1, 3, H, W), got"
            raise InputError(f"{name}: expected {expected} {tuple(image.shape)}")
        top = {torch.uint8: 255, torch.uint16: 65535}.get(image.dtype, 1)
        if top == 1 and not image.is_floating_point():
            raise InputError(f"{name}: expected uint8, uint16 or floats, got {image.dtype}")
        tensor = batch.detach().to(torch.float32).expand(-1, 3, -1, -1) / top
    else:
        kind = type(image).__name__
        raise InputError(f"{name}: expected a path, PIL image, array or tensor, got {kind}")
    height, width = tensor.shape[-2:]
    _check_size((width, height), min_side_px, float("inf"), name, "one")
    if not torch.isfinite(tensor).all() or tensor.min() < 0 or tensor.max() > 1:
        low, high = tensor.min().item(), tensor.max().item()
        raise InputError(f"{name}: expected values in [0, 1], got {low:g} to {high:g}")
    return tensor.contiguous()


def as_mask(image: Any, name: str = "tex_mask") -> Tensor:
    """Turn a gray picture of any kind into a mask (1, 1, H, W) in [0, 1]; transparent is black.

    Args: as for `as_tensor`; colors count by their mean.
    """
    if isinstance(image, (str, Path)):
        image = load_picture(image, name=name)
    elif isinstance(image, Image.Image):
        image = _from_pil(image, name)
    mask = as_tensor(image, name).mean(1, keepdim=True)
    if isinstance(image, Picture) and image.alpha is not None:
        mask = mask - (1 - image.alpha)  # takes off the white that lies under the picture
    return mask.clamp(0, 1)


def to_uint8(tensor: Tensor) -> np.ndarray:
    """Turn (1, 3, H, W) or (3, H, W) in [0, 1] into (H, W, 3) uint8, clamped and rounded."""
    return _to_levels(tensor, 255).astype(np.uint8)


def save_picture(
    tensor: Tensor,
    path: str | Path,
    *,
    bit_depth: int = 8,
    quality: int | None = None,
    icc: bytes | None = None,
) -> None:
    """Write a picture, whole or not at all; the suffix sets the format.

    Args:
        tensor: (1, 3, H, W) or (3, H, W), sRGB, clamped to [0, 1].
        path: .png, .tif, .tiff, .webp, .bmp, .jpg or .jpeg.
        bit_depth: 8, or 16 for PNG and TIFF.
        quality: 1 to 100, of JPEG (default 95; chroma is kept at full resolution) and of WebP
            (default lossless).
        icc: an RGB profile to convert to and embed; None leaves sRGB, untagged.

    Raises: InputError for unusable arguments or an unwritable path, GeostyleError on a full disk.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SAVED:
        raise InputError(f"output: expected .png, .jpg, .tif, .webp or .bmp, got {path.name!r}")
    if bit_depth not in (8, 16) or (bit_depth == 16 and suffix not in (".png", ".tif", ".tiff")):
        raise InputError(f"bit_depth: expected 8, or 16 for PNG and TIFF, got {bit_depth}")
    if icc is not None and not can_hold(icc):
        raise InputError("icc: expected an RGB color profile, got another")
    if quality is not None and not 1 <= quality <= 100:
        raise InputError(f"quality: expected 1 to 100, got {quality}")
    levels = _to_levels(tensor, 2**bit_depth - 1)
    try:
        if bit_depth == 16:
            data = _encode_16_bits(levels.astype(np.uint16), suffix, icc)
        else:
            data = _encode(Image.fromarray(levels.astype(np.uint8)), suffix, quality, icc)
    except (OSError, ValueError, RuntimeError) as error:
        size = f"{levels.shape[1]}x{levels.shape[0]}"
        raise InputError(f"output: expected a size that {suffix} can hold, got {size}") from error
    write_bytes(path, data)


def fit_size(size: tuple[int, int], size_px: int) -> tuple[int, int]:
    """Return the (H, W) of the same shape whose long side is `size_px`; no side under 16 px."""
    scale = size_px / max(size)
    height, width = (max(MIN_SIDE_PX, round(side * scale)) for side in size)
    return height, width


def is_validation(path: str | Path) -> bool:
    """Return whether a picture is of the tenth kept from training, by a hash of its file name."""
    return int(hashlib.sha256(Path(path).name.encode()).hexdigest(), 16) % 10 == 0


def list_pictures(
    folder: str | Path, *, recursive: bool = False, name: str = "folder"
) -> list[Path]:
    """List the picture files of a folder by suffix, sorted, hidden files and folders left out.

    Raises: InputError when it is not a folder or has no picture.
    """
    folder = Path(folder)
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        reason = error.strerror
        raise InputError(f"{name}: expected a folder, got {str(folder)!r} ({reason})") from error
    found = [
        file
        for file in (sorted(folder.rglob("*")) if recursive else inside)
        if file.suffix.lower() in SUFFIXES and file.is_file()
        if not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]
    if not found:
        raise InputError(f"{name}: expected a folder with pictures, got {str(folder)!r} (none)")
    return found


def _from_pil(image: Image.Image, name: str) -> Picture:
    with readable(f"{name}: expected a readable PIL image, got one", float("inf")):
        return Picture(*decode(image, None, name))


def _check_size(
    size: tuple[int, int], min_side_px: int, max_pixels: float, name: str, what: str
) -> None:
    width, height = size
    got = f"got {what} ({width}x{height} px"
    if width * height > max_pixels:
        raise InputError(f"{name}: expected a smaller picture, {got}, {over_limit(max_pixels)})")
    if min(size) < min_side_px:
        raise InputError(f"{name}: expected sides of at least {min_side_px} px, {got})")


def _to_levels(tensor: Tensor, top: int) -> np.ndarray:
    """Turn (1, 3, H, W) or (3, H, W) in [0, 1] into whole floats (H, W, 3) in [0, top]."""
    picture = tensor[0] if tensor.ndim == 4 and tensor.shape[0] == 1 else tensor
    if picture.ndim != 3 or picture.shape[0] != 3:
        raise InputError(f"picture: expected (1, 3, H, W), got {tuple(tensor.shape)}")
    picture = picture.detach().to("cpu", torch.float32)
    if not torch.isfinite(picture).all():
        raise InputError("picture: expected finite values, got NaN or infinity")
    return picture.clamp(0, 1).mul(top).round().permute(1, 2, 0).numpy()


def _encode_16_bits(array: np.ndarray, suffix: str, icc: bytes | None) -> bytes:
    """Encode sRGB (H, W, 3) uint16, converted to a profile where one is given."""
    import imagecodecs
    import tifffile

    if icc is not None and open_profile(icc, "icc") is not None:
        array = from_srgb_16(array, icc)
    if suffix != ".png":
        buffer = io.BytesIO()
        options: dict[str, Any] = {"compression": "zlib", "predictor": True, "metadata": None}
        tifffile.imwrite(buffer, array, photometric="rgb", iccprofile=icc, **options)
        return buffer.getvalue()
    data = bytes(imagecodecs.png_encode(np.ascontiguousarray(array)))
    if icc is None:
        return data
    # The encoder writes no profiles. A chunk is its length, name, body and checksum; the first,
    # IHDR, ends at byte 33.
    body = b"iCCP" + b"ICC profile\0\0" + zlib.compress(icc)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return data[:33] + chunk + data[33:]


def _encode(image: Image.Image, suffix: str, quality: int | None, icc: bytes | None) -> bytes:
    """Encode an sRGB image with 8 bits, converted to a profile where one is given."""
    profile = open_profile(icc, "icc")
    if profile is not None:
        image = from_srgb(image, profile)
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": quality or 95, "subsampling": 0},
        "WEBP": {"lossless": quality is None, "quality": quality or 80, "method": 4},
        "TIFF": {"compression": "tiff_lzw"},
    }
    kind = Image.registered_extensions()[suffix]
    buffer = io.BytesIO()
    image.save(buffer, kind, icc_profile=icc, **options.get(kind, {}))
    return buffer.getvalue()
