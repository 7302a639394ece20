"""Conversions with 16 bits against the formulas of color spaces, and against those with 8 bits."""

from __future__ import annotations

import io
import logging
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from geostyle.io.colors import can_hold, from_srgb_16, srgb_profile, to_srgb_16

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 65536, (300, 20, 3), dtype=np.uint16)
RAMP = np.linspace(0, 65535, 4096).round().astype(np.uint16).reshape(64, 64)


def profile(curve: bytes, swap: bool = False, gray: bool = False) -> bytes:
    """sRGB's primaries (red and green exchanged with `swap`), or grays, under another curve."""
    source = srgb_profile()
    (count,) = struct.unpack_from(">I", source, 128)
    tags = {}
    for i in range(count):
        name, start, size = struct.unpack_from(">4sII", source, 132 + 12 * i)
        tags[name] = source[start : start + size]
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    if swap:
        tags[b"rXYZ"], tags[b"gXYZ"] = tags[b"gXYZ"], tags[b"rXYZ"]
    head = source[4:128]
    if gray:
        tags[b"kTRC"] = curve
        head = head[:12] + b"GRAY" + head[16:]
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    whole = head + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(whole) + 4) + whole


def fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


CURVES = {
    "identity": (b"curv" + bytes(8), lambda x: x),
    "gamma": (b"curv" + bytes(4) + struct.pack(">IH", 1, 563), lambda x: x ** (563 / 256)),
    "table": (
        b"curv" + bytes(4) + struct.pack(">I3H", 3, 0, 16384, 65535),
        lambda x: np.interp(x, [0, 0.5, 1], [0, 16384 / 65535, 1]),
    ),
    "power": (b"para" + bytes(8) + fixed(1.8), lambda x: x**1.8),
    "ProPhoto": (
        b"para" + bytes(4) + struct.pack(">HH", 3, 0) + fixed(1.8, 1, 0, 1 / 16, 1 / 32),
        lambda x: np.where(x >= 1 / 32, x**1.8, x / 16),
    ),
    "shifted": (
        b"para" + bytes(4) + struct.pack(">HH", 1, 0) + fixed(2, 1.25, -0.25),
        lambda x: np.maximum(1.25 * x - 0.25, 0) ** 2,
    ),
}


def encode(linear: np.ndarray) -> np.ndarray:
    """sRGB's own curve, from linear light."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("kind", list(CURVES))
def test_curves_follow_their_formulas(kind: str) -> None:
    data, formula = CURVES[kind]
    found = to_srgb_16(np.dstack([RAMP] * 3), profile(data), "content")
    expected = encode(formula(RAMP / 65535))
    # Steep near black, where the stored curve has few steps.
    assert np.abs(found / 65535 - expected[..., None]).max() < 6e-4
    assert np.abs(found / 65535 - expected[..., None])[expected > 0.02].max() < 3 / 65535


@pytest.mark.parametrize("kind", ["gamma", "ProPhoto", "table"])
def test_conversion_agrees_with_8_bits_and_goes_back(kind: str) -> None:
    icc = profile(CURVES[kind][0], swap=True)
    found = from_srgb_16(RGB, icc)
    transform = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(io.BytesIO(icc)), "RGB", "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )  # fmt: skip
    stored = Image.fromarray((RGB / 257).round().astype(np.uint8))
    expected = np.asarray(ImageCms.applyTransform(stored, transform)) / 255
    # Eight bits of sRGB are steps of several in the dark of another curve.
    assert np.abs(found / 65535 - expected).mean() < 1 / 255
    back = np.abs(to_srgb_16(found, icc, "content") / 65535 - RGB / 65535)
    assert back.max() < 1 / 65535 + 6e-4 and back.mean() < 1 / 65535


def test_srgb_to_itself_keeps_sixteen_bits() -> None:
    assert np.abs(from_srgb_16(RGB, srgb_profile()).astype(int) - RGB).max() <= 1


def test_alpha_is_not_converted() -> None:
    for array in (np.dstack([RGB, RGB[..., 0]]), RGB[..., :2]):
        icc = profile(CURVES["power"][0], gray=array.shape[2] == 2)
        found = to_srgb_16(array, icc, "content")
        assert found.shape == (300, 20, 4) and np.array_equal(found[..., 3], array[..., -1])
        assert not np.array_equal(found[..., 0], array[..., 0])


@pytest.mark.parametrize("array", [RGB, RGB[..., 0]], ids=["RGB", "gray"])
@pytest.mark.parametrize(
    "icc",
    [
        b"",
        b"rubbish" * 40,
        srgb_profile()[:200],
        ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
        profile(b"para" + bytes(4) + struct.pack(">HH", 9, 0) + fixed(1.8)),
        profile(b"sf32" + bytes(8)),
    ],
)
def test_unusable_profiles_are_said_and_left(
    icc: bytes, array: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert to_srgb_16(array, icc, "tex_style") is array
    assert caplog.messages == ["tex_style: its color profile does not fit its mode; taken as sRGB"]
    assert not can_hold(icc)
