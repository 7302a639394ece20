"""Encoders of picture files: 8 bits by Pillow, 16 by imagecodecs and tifffile; transparency."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from geostyle.errors import InputError
from geostyle.io.colors import from_srgb, from_srgb_16, open_profile


def levels(picture: Tensor, alpha: Tensor | None, top: int) -> np.ndarray:
    """Whole numbers of a picture, as they are stored: colors that give it when laid on white.

    Args:
        picture: (1, 3, H, W) or (3, H, W), clamped to [0, 1]; alpha: (1, 1, H, W), or None.
        top: that stands for 1.

    Returns: (H, W, 3 or 4), floats in [0, top]; fully transparent pixels keep the picture's colors.
    Raises: InputError for another shape, NaN and infinities.
    """
    if alpha is None:
        return _whole(picture, 3, top)
    if not isinstance(alpha, Tensor) or alpha.shape != (1, 1, *picture.shape[-2:]):
        got = tuple(getattr(alpha, "shape", ())) or type(alpha).__name__
        size = "x".join(map(str, picture.shape[-2:]))
        raise InputError(f"alpha: expected a tensor (1, 1, H, W) for {size} pixels, got {got}")
    clear = alpha.to(picture).clamp(0, 1)
    colors = (1 - (1 - picture) / clear.clamp_min(1e-6)).clamp(0, 1)
    colors = torch.where(clear == 0, picture, colors)
    return np.concatenate([_whole(colors, 3, top), _whole(alpha, 1, top)], -1)


def _whole(tensor: Tensor, channels: int, top: int) -> np.ndarray:
    picture = tensor[0] if tensor.ndim == 4 and tensor.shape[0] == 1 else tensor
    if picture.ndim != 3 or picture.shape[0] != channels:
        raise InputError(f"picture: expected (1, {channels}, H, W), got {tuple(tensor.shape)}")
    picture = picture.detach().to("cpu", torch.float32)
    if not torch.isfinite(picture).all():
        raise InputError("picture: expected finite values, got NaN or infinity")
    return picture.clamp(0, 1).mul(top).round().permute(1, 2, 0).numpy()


def encode_16_bits(array: np.ndarray, suffix: str, icc: bytes | None) -> bytes:
    """Encode sRGB (H, W, 3 or 4) uint16, converted to a profile where one is given."""
    import imagecodecs
    import tifffile

    if icc is not None and open_profile(icc, "icc") is not None:
        colors = from_srgb_16(np.ascontiguousarray(array[..., :3]), icc)
        array = np.concatenate([colors, array[..., 3:]], -1)
    if suffix != ".png":
        buffer = io.BytesIO()
        options: dict[str, Any] = {"compression": "zlib", "predictor": True, "metadata": None}
        if array.shape[2] == 4:
            options["extrasamples"] = ["unassalpha"]
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


def encode(image: Image.Image, suffix: str, quality: int | None, icc: bytes | None) -> bytes:
    """Encode an sRGB image with 8 bits, converted to a profile where one is given."""
    profile = open_profile(icc, "icc")
    if profile is not None:
        converted = from_srgb(image.convert("RGB"), profile)
        if image.mode == "RGBA":
            converted.putalpha(image.getchannel("A"))
        image = converted
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": quality or 95, "subsampling": 0},
        "WEBP": {"lossless": quality is None, "quality": quality or 80, "method": 4, "exact": True},
        "TIFF": {"compression": "tiff_lzw"},
    }
    kind = Image.registered_extensions()[suffix]
    buffer = io.BytesIO()
    image.save(buffer, kind, icc_profile=icc, **options.get(kind, {}))
    return buffer.getvalue()
