"""Pictures of every kind come out right, and whatever is wrong with a file is one line."""

from __future__ import annotations

import io
import logging
import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, features

from geostyle.errors import InputError
from geostyle.io.images import (
    Picture,
    as_tensor,
    fit_size,
    is_validation,
    list_pictures,
    load_picture,
    save_picture,
    to_uint8,
)

H, W = 18, 22
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (H, W, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (H, W), dtype=np.uint8)
ALPHA[0] = 0
DEEP = RNG.integers(0, 65536, (H, W, 4), dtype=np.uint16)


def array(tensor: torch.Tensor) -> np.ndarray:
    """(H, W, 3) float64 of a picture's tensor, after checking its form."""
    assert tensor.dtype == torch.float32 and tensor.is_contiguous()
    assert tensor.ndim == 4 and tensor.shape[:2] == (1, 3)
    return tensor[0].permute(1, 2, 0).double().numpy()


def smooth(height: int = H, width: int = W) -> np.ndarray:
    """A picture that lossy codecs keep within a few levels: ramps in each channel."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    return (255 * np.stack([x, y, 1 - (x + y) / 2], -1)).round().astype(np.uint8)


def png(
    pixels: np.ndarray,
    color_type: int,
    *chunks: tuple[bytes, bytes],
    size: tuple[int, int] | None = None,
) -> bytes:
    """A PNG written from the specification; `size` is what it claims to hold."""
    depth = 8 * pixels.dtype.itemsize
    rows = pixels.astype(pixels.dtype.newbyteorder(">"), copy=False)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    height, width = size or pixels.shape[:2]
    head = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def tiff(
    pixels: np.ndarray, photometric: int, order: Literal["<", ">"] = "<", **more: int
) -> bytes:
    """An uncompressed TIFF written from the specification; `more` adds tags as tN=value."""
    height, width = pixels.shape[:2]
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    bits = 8 * pixels.dtype.itemsize
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8}
    tags |= {277: samples, 278: height, 279: len(data)}
    tags |= {int(key[1:]): value for key, value in more.items()}
    extra = 8 + len(data) + 2 + 12 * len(tags) + 4
    ifd = b""
    for tag, value in sorted(tags.items()):
        if tag == 258 and samples > 2:  # too long for its entry: kept after the table
            ifd += struct.pack(order + "HHII", tag, 3, samples, extra)
        elif tag == 258 and samples == 2:
            ifd += struct.pack(order + "HHIHH", tag, 3, 2, value, value)
        else:
            ifd += struct.pack(order + "HHII", tag, 4, 1, value)
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8 + len(data))
    count = struct.pack(order + "H", len(tags))
    return (
        head
        + data
        + count
        + ifd
        + b"\0" * 4
        + struct.pack(order + f"{samples}H", *[bits] * samples)
    )


def icc(space: bytes, gamma: float, colorants: Any = ()) -> bytes:
    """A version 2 ICC display profile: one gamma, and three D50 colorants for RGB."""

    def fixed(values: Any) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    name = b"test profile\0"
    text = struct.pack(">4sII", b"desc", 0, len(name)) + name + bytes(78)
    curve = struct.pack(">4sIIH", b"curv", 0, 1, round(gamma * 256)) + b"\0\0"
    white = b"XYZ " + bytes(4) + fixed((0.9642, 1, 0.8249))
    tags = {b"desc": text, b"wtpt": white, b"cprt": b"text" + bytes(4) + b"none\0"}
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    for channel, colorant in zip(b"rgb", colorants, strict=False):
        tags[bytes([channel]) + b"XYZ"] = b"XYZ " + bytes(4) + fixed(colorant)
        tags[bytes([channel]) + b"TRC"] = curve
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for tag, data in tags.items():
        table += tag + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(
        ">I4sI4s4s4s", start + len(body), b"test", 0x02100000, b"mntr", space, b"XYZ "
    )
    head += bytes(12) + b"acsp" + bytes(28) + fixed((0.9642, 1, 0.8249)) + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + body


ADOBE_GAMMA = 563 / 256
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
XYZ_TO_SRGB = np.array([[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540],
                        [0.0719453, -0.2289914, 1.4052427]])  # fmt: skip


def encode_srgb(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def adobe_to_srgb(values: np.ndarray) -> np.ndarray:
    return encode_srgb(values**ADOBE_GAMMA @ np.array(ADOBE) @ XYZ_TO_SRGB.T)


def store(folder: Path, image: Image.Image | bytes, name: str, **options: Any) -> Path:
    path = folder / name
    if isinstance(image, bytes):
        path.write_bytes(image)
    else:
        image.save(path, **options)
    return path


def over_white(color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return color * alpha[..., None] + 1 - alpha[..., None]


# --- modes


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "a.ppm"])
def test_rgb_is_read_exactly(tmp_path: Path, name: str) -> None:
    path = store(tmp_path, Image.fromarray(RGB), name)
    picture = load_picture(path)
    assert np.array_equal(array(picture.tensor), (RGB / np.float32(255)).astype(np.float32))
    assert (picture.alpha, picture.icc, picture.bit_depth) == (None, None, 8)
    assert picture.size == (H, W) and picture.path == path


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.jp2", "a.avif"])
def test_lossy_formats_are_read(tmp_path: Path, name: str) -> None:
    needed = {"a.webp": "webp", "a.jp2": "jpg_2000", "a.avif": "avif"}.get(name)
    if needed and not features.check(needed):
        pytest.skip(f"this build of Pillow has no {needed}")
    pixels = smooth(64, 64)
    options = {"subsampling": 0} if name == "a.jpg" else {}
    path = (
        store(tmp_path, Image.fromarray(pixels), name, quality=95, **options)
        if (name != "a.jp2")
        else store(tmp_path, Image.fromarray(pixels), name)
    )
    assert np.abs(array(load_picture(path).tensor) - pixels / 255).max() < 0.04


def test_gray_bilevel_and_palette_become_rgb(tmp_path: Path) -> None:
    gray = store(tmp_path, Image.fromarray(ALPHA), "gray.png")
    assert np.allclose(array(load_picture(gray).tensor), ALPHA[..., None] / 255, atol=1e-7)
    bits = store(tmp_path, Image.fromarray(ALPHA > 99), "bits.png")
    assert np.array_equal(
        array(load_picture(bits).tensor), np.repeat((ALPHA > 99)[..., None], 3, 2)
    )
    indexed = Image.fromarray(ALPHA % 4, mode=None)
    indexed = indexed.convert("P")
    palette = [10, 20, 30, 40, 50, 60, 70, 80, 90, 255, 0, 128]
    indexed.putpalette(palette)
    indexed.putdata((ALPHA % 4).ravel().tolist())
    for name in ("p.png", "p.gif"):
        picture = load_picture(store(tmp_path, indexed, name))
        expected = np.array(palette).reshape(4, 3)[ALPHA % 4] / 255
        assert np.allclose(array(picture.tensor), expected, atol=1e-7) and picture.alpha is None


def test_alpha_is_kept_and_composited_over_white(tmp_path: Path) -> None:
    cases = {
        "rgba.png": (Image.fromarray(np.dstack([RGB, ALPHA])), RGB),
        "rgba.tif": (Image.fromarray(np.dstack([RGB, ALPHA])), RGB),
        "la.png": (
            Image.merge("LA", [Image.fromarray(p) for p in (RGB[..., 0], ALPHA)]),
            RGB[..., :1],
        ),
    }
    for name, (image, color) in cases.items():
        picture = load_picture(store(tmp_path, image, name))
        assert picture.alpha is not None and picture.alpha.shape == (1, 1, H, W)
        assert np.allclose(picture.alpha[0, 0].numpy(), ALPHA / 255, atol=1e-7), name
        expected = over_white(np.broadcast_to(color / 255, RGB.shape), ALPHA / 255)
        assert np.allclose(array(picture.tensor), expected, atol=1e-6), name
    opaque = np.dstack([RGB, np.full_like(ALPHA, 255)])
    picture = load_picture(store(tmp_path, Image.fromarray(opaque), "opaque.png"))
    assert picture.alpha is None and np.allclose(array(picture.tensor), RGB / 255, atol=1e-7)


def test_a_transparent_color_is_transparent(tmp_path: Path) -> None:
    hole = tuple(RGB[3, 4].tolist())
    indexed = Image.fromarray(np.uint8(ALPHA % 2), "L").convert("P")
    indexed.putpalette([9, 9, 9, 200, 100, 0])
    indexed.putdata((ALPHA % 2).ravel().tolist())
    cases = {
        "rgb.png": (Image.fromarray(RGB), hole, (RGB[3, 4] == RGB).all(-1)),
        "gray.png": (Image.fromarray(ALPHA), 0, ALPHA == 0),
        "p.png": (indexed, 1, ALPHA % 2 == 1),
        "p.gif": (indexed, 1, ALPHA % 2 == 1),
    }
    for name, (image, transparency, expected) in cases.items():
        picture = load_picture(store(tmp_path, image, name, transparency=transparency))
        assert picture.alpha is not None and expected.any(), name
        assert np.array_equal(picture.alpha[0, 0].numpy() == 0, expected), name
        assert (array(picture.tensor)[expected] == 1).all(), name


def test_cmyk_is_converted_the_right_way_round(tmp_path: Path) -> None:
    inks = np.zeros((H, W, 4), np.uint8)
    inks[:, : W // 2] = (0, 255, 255, 0)  # magenta and yellow print red
    image = Image.frombytes("CMYK", (W, H), inks.tobytes())
    for name, tolerance in (("a.tif", 0.005), ("a.jpg", 0.05)):
        found = array(load_picture(store(tmp_path, image, name)).tensor)
        assert np.allclose(found[5, 3], (1, 0, 0), atol=tolerance), name
        assert np.allclose(found[5, -3], (1, 1, 1), atol=tolerance), name


def test_lab_is_converted(tmp_path: Path) -> None:
    lab = np.zeros((H, W, 3), np.uint8)
    lab[...] = (136, 80, 67)  # L* 53.3, a* 80, b* 67, as a TIFF holds them: pure red
    path = store(tmp_path, Image.frombytes("LAB", (W, H), lab.tobytes()), "lab.tif")
    found = array(load_picture(path).tensor)
    assert np.allclose(found, (1, 0, 0), atol=0.06)


# --- 16 bits


def test_16_bit_gray_keeps_its_depth(tmp_path: Path) -> None:
    deep = DEEP[..., 0]
    files = {
        "a.png": png(deep, 0),
        "a.tif": tiff(deep, 1),
        "big.tif": tiff(deep, 1, ">"),
        "white-is-zero.tif": tiff(~deep, 0),
        "a.pgm": b"P5 %d %d 65535\n" % (W, H) + deep.astype(">u2").tobytes(),
    }
    for name, data in files.items():
        picture = load_picture(store(tmp_path, data, name))
        assert picture.bit_depth == 16, name
        assert np.allclose(array(picture.tensor), deep[..., None] / 65535, atol=1e-7), name


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_color_keeps_its_depth(tmp_path: Path, channels: int) -> None:
    deep = DEEP[..., :channels]
    extra: dict[str, Any] = {} if channels == 3 else {"t338": 2}
    bgr = np.ascontiguousarray(deep[..., [2, 1, 0, 3][:channels]])
    files = {
        "a.png": png(deep, 2 if channels == 3 else 6),
        "a.tif": tiff(deep, 2, **extra),
        "big.tif": tiff(deep, 2, ">", **extra),
        "cv.png": cv2.imencode(".png", bgr)[1].tobytes(),
    }
    alpha = deep[..., 3] / 65535 if channels == 4 else np.ones((H, W))
    for name, data in files.items():
        picture = load_picture(store(tmp_path, data, name))
        assert picture.bit_depth == 16, name
        expected = over_white(deep[..., :3] / 65535, alpha)
        assert np.allclose(array(picture.tensor), expected, atol=1e-6), name
        assert (picture.alpha is None) == (channels == 3)


def test_16_bit_gray_with_alpha_keeps_its_depth(tmp_path: Path) -> None:
    picture = load_picture(store(tmp_path, png(DEEP[..., :2], 4), "la.png"))
    assert picture.bit_depth == 16 and picture.alpha is not None
    gray, alpha = DEEP[..., 0] / 65535, DEEP[..., 1] / 65535
    expected = over_white(np.repeat(gray[..., None], 3, -1), alpha)
    assert np.allclose(array(picture.tensor), expected, atol=1e-6)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits", "zstd"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_16_bit_tiffs_of_every_layout_keep_their_depth(
    tmp_path: Path, compression: str | None, planar: Literal["contig", "separate"]
) -> None:
    if planar == "separate" and compression is None:
        pytest.skip("Pillow does not open it")
    deep = DEEP[..., :3]
    stored = np.moveaxis(deep, -1, 0) if planar == "separate" else deep
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar, compression=compression
    )
    picture = load_picture(tmp_path / "a.tif")
    assert picture.bit_depth == 16
    assert np.allclose(array(picture.tensor), deep / 65535, atol=1e-6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_16_bit_gray_with_a_profile_is_turned(tmp_path: Path, orientation: int) -> None:
    profile = b"test\0\0" + zlib.compress(icc(b"GRAY", 461 / 256))
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = smooth()[..., 0].astype(np.uint16) * 257
    chunks = (b"iCCP", profile), (b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    data = png(np.ascontiguousarray(STORED[orientation](upright)), 0, *chunks)
    found = array(load_picture(store(tmp_path, data, "a.png")).tensor)
    expected = encode_srgb((upright / 65535) ** (461 / 256))[..., None]
    assert found.shape == (H, W, 3) and np.abs(found - expected).max() < 3 / 65535


@pytest.mark.parametrize("orientation", range(1, 9))
def test_16_bit_tiff_is_turned_once(tmp_path: Path, orientation: int) -> None:
    deep = DEEP[..., :3]
    stored = np.ascontiguousarray(STORED[orientation](deep))
    picture = load_picture(store(tmp_path, tiff(stored, 2, t274=orientation), "a.tif"))
    assert picture.bit_depth == 16
    assert np.allclose(array(picture.tensor), deep / 65535, atol=1e-6)


def test_12_bit_gray_fills_the_range(tmp_path: Path) -> None:
    values = DEEP[:, :, 0] >> 4
    pairs = values.reshape(-1, 2).astype(np.uint32)
    packed = np.stack(
        [pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], -1
    )
    data = tiff(packed.astype(np.uint8).reshape(H, -1), 1, t256=W, t258=12)
    picture = load_picture(store(tmp_path, data, "a.tif"))
    assert picture.bit_depth == 16
    assert np.allclose(array(picture.tensor), values[..., None] / 4095, atol=1e-5)


def test_32_bits_are_read_within_range_and_refused_beyond(tmp_path: Path) -> None:
    beyond = Image.fromarray(RGB[..., 0].astype(np.float32))
    with pytest.raises(InputError, match=r"content: expected values in \[0, 1\] in a float TIFF"):
        load_picture(store(tmp_path, beyond, "beyond.tif"))
    integers = Image.fromarray(RGB[..., 0].astype(np.int32))
    with pytest.raises(InputError, match="content: expected"):
        load_picture(store(tmp_path, integers, "integers.tif"))
    within = RGB[..., 0].astype(np.float32) / 255
    found = load_picture(store(tmp_path, Image.fromarray(within), "within.tif")).tensor
    assert found.shape == (1, 3, *within.shape)
    assert abs(found[0, 0].numpy() - within).max() < 1e-4


# --- orientation

# What a camera stores for an upright picture under each EXIF orientation (EXIF 2.3, tag 274).
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_undone(tmp_path: Path, orientation: int) -> None:
    upright = smooth()
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ("a.png", "a.tif", "a.jpg", "a.webp"):
        image = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
        options = {"lossless": True} if name == "a.webp" else {}
        path = store(tmp_path, image, name, exif=exif, **options)
        found = array(load_picture(path).tensor)
        assert found.shape == upright.shape, name
        assert np.abs(found - upright / 255).max() < (0.06 if name == "a.jpg" else 1e-6), name
        with Image.open(path) as opened:
            assert np.array_equal(array(as_tensor(opened)), found), name


def test_alpha_turns_with_the_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.ascontiguousarray(np.rot90(np.dstack([RGB, ALPHA]), 1))
    picture = load_picture(store(tmp_path, Image.fromarray(stored), "a.png", exif=exif))
    assert picture.alpha is not None
    assert np.allclose(picture.alpha[0, 0].numpy(), ALPHA / 255, atol=1e-7)


def test_a_damaged_exif_block_is_ignored(tmp_path: Path) -> None:
    for exif in (b"Exif\0\0rubbish", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*"):
        path = store(tmp_path, Image.fromarray(RGB), "a.png", exif=exif)
        assert np.allclose(array(load_picture(path).tensor), RGB / 255, atol=1e-7)


# --- color profiles


@pytest.mark.parametrize("name", ["a.png", "a.tif", "deep.png"])
def test_adobe_rgb_becomes_srgb(tmp_path: Path, name: str) -> None:
    profile = icc(b"RGB ", ADOBE_GAMMA, ADOBE)
    pixels = smooth()
    if name == "deep.png":
        chunk = b"test\0\0" + zlib.compress(profile)
        path = store(tmp_path, png(pixels.astype(np.uint16) * 257, 2, (b"iCCP", chunk)), name)
    else:
        path = store(tmp_path, Image.fromarray(pixels), name, icc_profile=profile)
    picture = load_picture(path)
    deep = name == "deep.png"
    assert picture.icc == profile and picture.bit_depth == (16 if deep else 8)
    expected = adobe_to_srgb(pixels / 255)
    assert np.abs(expected - pixels / 255).max() > 0.1  # the profile matters
    # Written in five digits, the matrix of sRGB is not quite that of its profile.
    assert np.abs(array(picture.tensor) - expected).max() < (1.5 if deep else 2.5) / 255
    if deep:
        save_picture(picture.tensor, tmp_path / "again.tif", bit_depth=16, icc=profile)
        again = load_picture(tmp_path / "again.tif")
        assert (again.icc, again.bit_depth) == (profile, 16)
        assert (again.tensor - picture.tensor).abs().max() < 3e-4


@pytest.mark.parametrize("deep", [False, True])
def test_a_gray_profile_is_applied(tmp_path: Path, deep: bool) -> None:
    gray = ALPHA.astype(np.uint16) * 257 if deep else ALPHA
    chunk = (b"iCCP", b"test\0\0" + zlib.compress(icc(b"GRAY", 461 / 256)))
    picture = load_picture(store(tmp_path, png(gray, 0, chunk), "a.png"))
    expected = encode_srgb((ALPHA / 255) ** (461 / 256))[..., None]
    assert picture.bit_depth == (16 if deep else 8)
    assert np.abs(array(picture.tensor) - expected).max() < (3 / 65535 if deep else 2.5 / 255)


def test_alpha_stays_clear_of_the_profile(tmp_path: Path) -> None:
    image = Image.fromarray(np.dstack([smooth(), ALPHA]))
    profile = icc(b"RGB ", ADOBE_GAMMA, ADOBE)
    picture = load_picture(store(tmp_path, image, "a.png", icc_profile=profile))
    assert picture.alpha is not None
    assert np.allclose(picture.alpha[0, 0].numpy(), ALPHA / 255, atol=1e-7)
    expected = over_white(adobe_to_srgb(smooth() / 255), ALPHA / 255)
    assert np.abs(array(picture.tensor) - expected).max() < 2.5 / 255


def test_srgb_profiles_change_no_bit(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = load_picture(store(tmp_path, Image.fromarray(RGB), "a.png", icc_profile=profile))
    assert picture.icc == profile
    assert np.allclose(array(picture.tensor), RGB / 255, atol=1e-7)


@pytest.mark.parametrize("bad", ["damaged", "unfit"])
def test_an_unusable_profile_is_said_and_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, bad: str
) -> None:
    profile = b"rubbish" * 40 if bad == "damaged" else icc(b"GRAY", 1.0)
    path = store(tmp_path, Image.fromarray(RGB), "a.tif", icc_profile=profile)
    with caplog.at_level(logging.WARNING):
        found = array(load_picture(path, name="tex_style").tensor)
    assert np.allclose(found, RGB / 255, atol=1e-7)
    assert "tex_style: its color profile" in caplog.text


# --- files that are wrong


def jpeg_bytes(side: int = 64) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def compressed_tiff() -> bytes:
    """A TIFF whose damage libtiff itself would print."""
    buffer = io.BytesIO()
    noise = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "TIFF", compression="tiff_adobe_deflate")
    data = bytearray(buffer.getvalue())
    data[2000:4000] = bytes(2000)
    return bytes(data)


WRONG: dict[str, tuple[bytes, str]] = {
    "empty.jpg": (b"", "expected a picture file, got '{}' (0 bytes)"),
    "text.jpg": (b"hello\n" * 50, "(not a picture, or of an unknown format)"),
    "cut.jpg": (jpeg_bytes()[:1500], "(image file is truncated"),
    "head.jpg": (jpeg_bytes()[:60], "expected a picture file, got '{}' ("),
    "cut.png": (png(RGB, 2)[:500], "expected a picture file, got '{}' ("),
    "deep.png": (png(DEEP[..., :3], 2)[:1200], "expected a picture file, got '{}' ("),
    "lzw.tif": (compressed_tiff(), "expected a picture file, got '{}' ("),
    "cut.tif": (tiff(RGB, 2)[:900], "expected a picture file, got '{}' ("),
    "eps.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "(EPS; render it to PNG"),
    "svg.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "(SVG; render it to PNG"),
    "thin.png": (png(RGB[:15], 2), "expected sides of at least 16 px, got '{}' (22x15 px)"),
    "narrow.png": (png(RGB[:, :15], 2), "expected sides of at least 16 px, got '{}' (15x18 px)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_one_line(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    data, expected = WRONG[name]
    path = store(tmp_path, data, name)
    with pytest.raises(InputError) as caught:
        load_picture(path, name="geo_style")
    message = str(caught.value)
    assert message.startswith("geo_style: expected ") and "\n" not in message
    assert expected.format(path) in message
    assert capfd.readouterr() == ("", "")


def test_what_is_no_file_is_one_line(tmp_path: Path) -> None:
    expected = "content: expected a picture file, got '{}' ({})"
    os.mkfifo(tmp_path / "pipe")
    for path, why in (
        (tmp_path / "none.jpg", "no such file"),
        (tmp_path, "a folder"),
        (tmp_path / "pipe", "not a regular file"),
        (tmp_path / "none.jpg" / "x", "no such file"),
    ):
        with pytest.raises(InputError) as caught:
            load_picture(path)
        assert str(caught.value) == expected.format(path, why)
    with pytest.raises(InputError, match="File name too long"):
        load_picture("x" * 5000)
    with pytest.raises(InputError, match="null byte|null character"):
        load_picture("a\0b")


def test_a_name_with_a_line_break_stays_on_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_picture(store(tmp_path, b"x" * 30, "a\nb.png"))
    assert "\n" not in str(caught.value)


def test_bombs_are_refused_by_a_limit_that_can_be_raised(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Image.MAX_IMAGE_PIXELS
    path = store(tmp_path, png(RGB, 2), "a.png")
    with pytest.raises(InputError, match="a.png.*over 0.000395 million pixels; if you trust it"):
        load_picture(path, max_pixels=395)
    assert load_picture(path, max_pixels=396).size == (H, W)
    bomb = png(RGB, 2, size=(60_000, 60_000))
    with pytest.raises(InputError, match="over 200 million.*set GEOSTYLE_MAX_MEGAPIXELS above 200"):
        load_picture(store(tmp_path, bomb, "bomb.png"))
    monkeypatch.setenv("GEOSTYLE_MAX_MEGAPIXELS", "0.000395")
    with pytest.raises(InputError, match="a.png.*over 0.000395 million"):
        load_picture(path)
    monkeypatch.setenv("GEOSTYLE_MAX_MEGAPIXELS", "0.000396")
    assert load_picture(path).size == (H, W)
    for bad in ("many", "nan", "0", "-1", ""):
        monkeypatch.setenv("GEOSTYLE_MAX_MEGAPIXELS", bad)
        with pytest.raises(InputError, match=f"GEOSTYLE_MAX_MEGAPIXELS: expected .*got '{bad}'"):
            load_picture(path)
    assert before == Image.MAX_IMAGE_PIXELS and not recwarn.list


def test_pictures_above_pillows_own_limit_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    path = store(tmp_path, png(RGB, 2), "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_picture(path).size == (H, W)


def test_threads_leave_pillows_limit_alone(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    path = store(tmp_path, png(RGB, 2), "a.png")
    with ThreadPoolExecutor(8) as pool:
        sizes = pool.map(lambda n: load_picture(path, max_pixels=1e6 + n).size, range(64))
        assert set(sizes) == {(H, W)}
    assert before == Image.MAX_IMAGE_PIXELS


def seeds() -> list[bytes]:
    profile = icc(b"RGB ", ADOBE_GAMMA, ADOBE)
    exif = Image.Exif()
    exif[0x0112] = 6
    found = [png(DEEP, 6), tiff(DEEP[..., :3], 2, t274=6), tiff(RGB, 2)]
    for kind in ("PNG", "JPEG", "TIFF", "GIF", "BMP", "PPM", "WEBP"):
        buffer = io.BytesIO()
        Image.fromarray(RGB).save(buffer, kind, icc_profile=profile, exif=exif)
        found.append(buffer.getvalue())
    return found


SEEDS = seeds()
edits = st.lists(
    st.tuples(
        st.sampled_from(["set", "cut", "insert", "drop"]), st.floats(0, 1), st.binary(max_size=8)
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.sampled_from(range(len(SEEDS))), changes=edits)
def test_mutated_files_give_a_picture_or_one_line(
    tmp_path: Path, seed: int, changes: list[tuple[str, float, bytes]]
) -> None:
    data = bytearray(SEEDS[seed])
    for action, where, piece in changes:
        at = int(where * len(data))
        if action == "set":
            data[at : at + len(piece)] = piece
        elif action == "insert":
            data[at:at] = piece
        elif action == "drop":
            del data[at : at + len(piece)]
        else:
            del data[max(at, 8) :]
    path = store(tmp_path, bytes(data), "fuzz")
    try:
        picture = load_picture(path, max_pixels=1e6)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert array(picture.tensor).shape[2] == 3
        assert picture.tensor.min() >= 0 and picture.tensor.max() <= 1


# --- arrays and tensors


def test_every_kind_of_picture_becomes_the_same_tensor(tmp_path: Path) -> None:
    path = store(tmp_path, Image.fromarray(RGB), "a.png")
    expected = load_picture(path)
    chw = torch.from_numpy(RGB).permute(2, 0, 1)
    for image in (
        path,
        str(path),
        Image.fromarray(RGB),
        expected,
        RGB,
        RGB / 255,
        RGB.astype(np.uint16) * 257,
        np.dstack([RGB, np.full_like(ALPHA, 255)]),
        np.asfortranarray(RGB),
        chw,
        chw[None],
        chw[None].double() / 255,
        expected.tensor.requires_grad_(),
    ):
        found = as_tensor(image)
        assert np.allclose(array(found.detach()), RGB / 255, atol=1e-6)
        assert not found.requires_grad or isinstance(image, Picture)
    gray = as_tensor(ALPHA)
    assert torch.equal(gray, as_tensor(ALPHA[..., None]))
    assert torch.equal(gray, as_tensor(torch.from_numpy(ALPHA)[None, None]))
    assert np.allclose(array(gray), ALPHA[..., None] / 255, atol=1e-7)


def test_as_tensor_never_shares_memory() -> None:
    values = torch.rand(1, 3, 20, 20)
    copy = as_tensor(values)
    values.zero_()
    assert copy.max() > 0


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, "expected a path, PIL image, array or tensor, got NoneType"),
        (
            np.zeros((20, 20, 2)),
            r"expected an array \(H, W\) or \(H, W, 3\), got shape \(20, 20, 2\)",
        ),
        (np.zeros((1, 3, 20, 20)), "got shape"),
        (np.zeros((0, 20)), "got shape"),
        (np.zeros((20, 20), np.int64), "expected uint8, uint16, bool or floats, got int64"),
        (torch.zeros(2, 3, 20, 20), r"expected a tensor \(3, H, W\) or \(1, 3, H, W\), got \(2, 3"),
        (torch.zeros(20, 20, 3), r"got \(20, 20, 3\)"),
        (torch.zeros(3, 20, 20, dtype=torch.int64), "got torch.int64"),
        (torch.zeros(3, 15, 20), r"sides of at least 16 px, got one \(20x15 px\)"),
        (Image.new("RGB", (20, 15)), r"sides of at least 16 px, got a PIL image \(20x15 px\)"),
        (torch.full((3, 20, 20), 1.01), r"expected values in \[0, 1\], got 1.01 to 1.01"),
        (np.full((20, 20), np.nan), r"expected values in \[0, 1\], got nan to nan"),
        (RGB.astype(np.float32), r"expected values in \[0, 1\], got 0 to 255"),
        (Image.new("F", (20, 20)), "expected 8 or 16 bits per channel, got mode 'F'"),
    ],
)
def test_unusable_pictures_are_refused(image: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^tex_style: .*{message}"):
        as_tensor(image, "tex_style")


def test_a_lazy_pil_image_that_is_cut_is_refused(tmp_path: Path) -> None:
    with (
        Image.open(store(tmp_path, jpeg_bytes()[:1500], "a.jpg")) as image,
        pytest.raises(InputError, match="content: expected a readable PIL image.*truncated"),
    ):
        as_tensor(image)


# --- writing


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.TIFF", "a.bmp", "a.webp"])
def test_lossless_formats_return_every_level(tmp_path: Path, name: str) -> None:
    tensor = as_tensor(RGB)
    save_picture(tensor, tmp_path / name)
    assert torch.equal(load_picture(tmp_path / name).tensor, tensor)
    assert np.array_equal(to_uint8(tensor), RGB)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bits_return_every_level(tmp_path: Path, name: str) -> None:
    tensor = as_tensor(DEEP[..., :3])
    save_picture(tensor, tmp_path / name, bit_depth=16)
    picture = load_picture(tmp_path / name)
    assert picture.bit_depth == 16 and torch.equal(picture.tensor, tensor)
    with Image.open(tmp_path / name) as image:  # another reader sees the same colors
        assert np.abs(np.asarray(image).astype(int) - DEEP[..., :3] / 257).max() <= 1


def test_jpeg_keeps_color_edges(tmp_path: Path) -> None:
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:, 1::2] = (255, 0, 0)
    save_picture(as_tensor(pixels), tmp_path / "a.jpg")
    assert np.abs(array(load_picture(tmp_path / "a.jpg").tensor) - pixels / 255).max() < 0.1
    save_picture(as_tensor(pixels), tmp_path / "b.jpg", quality=10)
    assert (tmp_path / "b.jpg").stat().st_size < (tmp_path / "a.jpg").stat().st_size


def test_values_are_clamped_and_rounded() -> None:
    levels = torch.tensor([-1.0, 0.0, 0.4999 / 255, 0.5001 / 255, 1.0, 2.0])
    assert to_uint8(levels.expand(3, 1, 6))[0, :, 0].tolist() == [0, 0, 0, 1, 255, 255]
    with pytest.raises(InputError, match="expected finite values"):
        to_uint8(torch.full((1, 3, 2, 2), float("nan")))
    with pytest.raises(InputError, match="expected .1, 3, H, W., got"):
        to_uint8(torch.zeros(2, 3, 4, 4))


def test_a_profile_is_converted_to_and_embedded(tmp_path: Path) -> None:
    profile = icc(b"RGB ", ADOBE_GAMMA, ADOBE)
    srgb = as_tensor(adobe_to_srgb(np.full((20, 20, 3), (0.6, 0.5, 0.4))))
    save_picture(srgb, tmp_path / "a.png", icc=profile)
    with Image.open(tmp_path / "a.png") as image:
        assert image.info["icc_profile"] == profile
        assert np.abs(np.asarray(image) / 255 - (0.6, 0.5, 0.4)).max() < 2.5 / 255
    assert (load_picture(tmp_path / "a.png").tensor - srgb).abs().max() < 2.5 / 255


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.xyz", {}, "output: expected .png, .jpg, .tif, .webp or .bmp, got 'a.xyz'"),
        ("a", {}, "output: expected .png"),
        ("a.jpg", {"bit_depth": 16}, "bit_depth: expected 8, or 16 for PNG and TIFF, got 16"),
        ("a.png", {"bit_depth": 12}, "bit_depth: expected 8, or 16"),
        ("a.jpg", {"quality": 0}, "quality: expected 1 to 100, got 0"),
        ("a.png", {"icc": b"rubbish"}, "icc: expected an RGB color profile"),
        ("a.png", {"icc": icc(b"GRAY", 1.0)}, "icc: expected an RGB color profile"),
        ("a.png", {"icc": b"x", "bit_depth": 16}, "icc: expected an RGB color profile"),
        ("file/a.png", {}, "output: expected a writable path"),
    ],
)
def test_what_cannot_be_written_is_refused(
    tmp_path: Path, name: str, options: dict[str, Any], message: str
) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError) as caught:
        save_picture(torch.zeros(1, 3, 16, 16), tmp_path / name, **options)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_size_the_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a size that .webp can hold, got 17000x16"):
        save_picture(torch.zeros(1, 3, 16, 17000), tmp_path / "a.webp")
    assert list(tmp_path.iterdir()) == []


# --- sizes and folders


@pytest.mark.parametrize(
    ("size", "size_px", "expected"),
    [
        ((480, 640), 320, (240, 320)),
        ((640, 480), 320, (320, 240)),
        ((100, 100), 512, (512, 512)),
        ((100, 1600), 160, (16, 160)),
        ((3, 4), 1000, (750, 1000)),
        ((333, 500), 256, (170, 256)),
    ],
)
def test_fit_size(size: tuple[int, int], size_px: int, expected: tuple[int, int]) -> None:
    assert fit_size(size, size_px) == expected


def test_a_folders_pictures_are_listed_in_order(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "c.txt", ".tmp-0.png", "d.tif"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "e.png").write_bytes(b"x")
    assert [path.name for path in list_pictures(tmp_path)] == ["a.png", "b.JPG", "d.tif"]
    inner = tmp_path / "folder.png" / "f.gif"
    inner.write_bytes(b"x")
    assert list_pictures(tmp_path, recursive=True) == [*list_pictures(tmp_path), inner]
    inner.unlink()
    with pytest.raises(InputError, match="photos: expected a folder with pictures.*none"):
        list_pictures(tmp_path / "folder.png", name="photos")
    for bad in (tmp_path / "none", tmp_path / "a.png"):
        with pytest.raises(InputError, match="folder: expected a folder, got"):
            list_pictures(bad)


def test_validation_pictures_are_a_fixed_tenth_by_name_alone() -> None:
    names = [f"{index}.jpg" for index in range(2000)]
    chosen = [name for name in names if is_validation(name)]
    assert 150 < len(chosen) < 250
    assert chosen == [name for name in names if is_validation(Path("some/folder") / name)]
    assert chosen[:3] == ["9.jpg", "51.jpg", "60.jpg"]  # pinned: a new split leaks old pictures


@pytest.mark.shared
def test_real_photographs_are_read(shared: Path) -> None:
    for path in list_pictures(shared / "data" / "photos", recursive=True)[::100]:
        with Image.open(path) as image:
            expected = np.asarray(image.convert("RGB")) / 255
        assert np.allclose(array(load_picture(path).tensor), expected, atol=1e-6)
