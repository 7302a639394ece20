"""Matrix profiles against the formulas of their color spaces, and against LittleCMS."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from geostyle.io.icc import SAMPLES, parse_profile
from geostyle.io.images import srgb_profile

RGB = np.random.default_rng(0).random((300, 20, 3))


def profile(curve: bytes, swap: bool = False) -> bytes:
    """sRGB's primaries (red and green exchanged with `swap`) under another curve."""
    source = srgb_profile()
    (count,) = struct.unpack_from(">I", source, 128)
    tags = {}
    for i in range(count):
        name, start, size = struct.unpack_from(">4sII", source, 132 + 12 * i)
        tags[name] = source[start : start + size]
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    if swap:
        tags[b"rXYZ"], tags[b"gXYZ"] = tags[b"gXYZ"], tags[b"rXYZ"]
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    whole = source[4:128] + struct.pack(">I", len(tags)) + table + body
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


@pytest.mark.parametrize("kind", list(CURVES))
def test_curves_follow_their_formulas(kind: str) -> None:
    data, formula = CURVES[kind]
    parsed = parse_profile(profile(data))
    assert parsed is not None
    for curve in parsed.curves:
        np.testing.assert_allclose(curve, formula(SAMPLES), atol=2e-5)


@pytest.mark.parametrize("kind", ["gamma", "ProPhoto", "table"])
def test_conversion_agrees_with_littlecms_and_goes_back(kind: str) -> None:
    icc = profile(CURVES[kind][0], swap=True)
    mine, srgb = parse_profile(icc), parse_profile(srgb_profile())
    assert mine is not None and srgb is not None
    found = srgb.to(mine, RGB)
    transform = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(io.BytesIO(icc)), "RGB", "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )  # fmt: skip
    stored = Image.fromarray((RGB * 255).round().astype(np.uint8))
    expected = np.asarray(ImageCms.applyTransform(stored, transform)) / 255
    # Eight bits of sRGB are steps of several in the dark of another curve.
    assert np.abs(found - expected).mean() < 1 / 255
    back = mine.to(srgb, found)
    assert np.abs(back - RGB).max() < 1 / 65535 + 2e-4
    assert np.abs(back - RGB).mean() < 1 / 65535


def test_srgb_to_itself_keeps_sixteen_bits() -> None:
    srgb = parse_profile(srgb_profile())
    assert srgb is not None
    assert np.abs(srgb.to(srgb, RGB) - RGB).max() < 0.5 / 65535


@pytest.mark.parametrize(
    "icc",
    [
        b"",
        b"rubbish" * 40,
        srgb_profile()[:200],
        ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
        profile(b"curv" + bytes(4) + struct.pack(">I3H", 3, 0, 60000, 50000)),  # not rising
        profile(b"para" + bytes(4) + struct.pack(">HH", 9, 0) + fixed(1.8)),
        profile(b"sf32" + bytes(8)),
    ],
)
def test_other_profiles_are_none(icc: bytes) -> None:
    assert parse_profile(icc) is None
