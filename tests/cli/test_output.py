"""The file a result is written to: format, depth, quality, color profile."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from geostyle.cli._output import SUFFIXES, OutputSettings
from geostyle.errors import InputError
from geostyle.io.colors import srgb_profile
from geostyle.io.images import Picture, load_picture
from geostyle.report.run_files import RESULT_FILES

IMAGE = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(0))


def swapped_profile() -> bytes:
    """A profile in which red and green have changed places."""
    profile = srgb_profile().replace("sRGB".encode("utf-16-be"), "test".encode("utf-16-be"))
    return profile.replace(b"rXYZ", b"none").replace(b"gXYZ", b"rXYZ").replace(b"none", b"gXYZ")


@pytest.mark.parametrize("kind", list(SUFFIXES))
def test_every_format_is_written_and_tagged(tmp_path: Path, kind: str) -> None:
    path = OutputSettings(format=kind).save(IMAGE, tmp_path / "result", Picture(IMAGE))
    assert path.name in RESULT_FILES  # where the report looks
    with Image.open(path) as image:
        assert image.info["icc_profile"] == srgb_profile()
    error = (load_picture(path).tensor - IMAGE).abs()
    assert error.max() <= (1.001 / 510 if kind != "jpg" else 0.2)


def test_the_profile_is_the_same_every_time() -> None:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile()))
    assert "sRGB" in ImageCms.getProfileDescription(profile)
    assert srgb_profile()[24:36] == bytes([7, 208, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0])


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_sixteen_bits_are_kept_and_tagged(tmp_path: Path, kind: str) -> None:
    deep = Picture(IMAGE, bit_depth=16)
    path = OutputSettings(format=kind).save(IMAGE, tmp_path / "result", deep)
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16
    expected = (IMAGE[0].permute(1, 2, 0).numpy() * 65535).round().astype(np.uint16)
    np.testing.assert_array_equal(stored[..., ::-1], expected)
    again = load_picture(path)
    assert again.icc == srgb_profile() and again.bit_depth == 16
    shallow = OutputSettings(format=kind, bit_depth=8).save(IMAGE, tmp_path / "shallow", deep)
    assert load_picture(shallow).bit_depth == 8
    jpeg = OutputSettings(format="jpg").save(IMAGE, tmp_path / "small", deep)
    assert load_picture(jpeg).bit_depth == 8


def test_quality_shrinks_files(tmp_path: Path) -> None:
    for kind in ("jpg", "webp"):
        sizes = [
            OutputSettings(format=kind, quality=quality)
            .save(IMAGE, tmp_path / f"{quality}", Picture(IMAGE))
            .stat()
            .st_size
            for quality in (20, 80, None)
        ]
        assert sizes == sorted(sizes) and len(set(sizes)) == 3


def test_the_contents_profile_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    content = Picture(IMAGE, icc=swapped_profile())
    kept = OutputSettings().save(IMAGE, tmp_path / "kept", content)
    with Image.open(kept) as image:
        assert image.info["icc_profile"] == content.icc
        stored = np.asarray(image) / 255
    np.testing.assert_allclose(stored[..., [1, 0, 2]], IMAGE[0].permute(1, 2, 0), atol=1.5 / 255)
    assert (load_picture(kept).tensor - IMAGE).abs().max() < 2.5 / 255
    with Image.open(OutputSettings(icc="srgb").save(IMAGE, tmp_path / "srgb", content)) as image:
        assert image.info["icc_profile"] == srgb_profile()
    for kind in ("png", "tiff"):
        deep = OutputSettings(format=kind, bit_depth=16).save(IMAGE, tmp_path / "deep", content)
        picture = load_picture(deep)
        assert (picture.icc, picture.bit_depth) == (content.icc, 16)
        assert (picture.tensor - IMAGE).abs().max() < 2 / 65535


def test_a_profile_that_cannot_hold_rgb_gives_way_to_srgb(tmp_path: Path) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for icc in (lab, b"rubbish"):
        path = OutputSettings().save(IMAGE, tmp_path / "result", Picture(IMAGE, icc=icc))
        assert load_picture(path).icc == srgb_profile()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "png", "quality": 90}, "quality: expected none for lossless png"),
        ({"format": "jpg", "bit_depth": 16}, "bit_depth: expected 8 for jpg, got 16"),
        ({"format": "webp", "quality": 0}, "quality: expected 1 to 100"),
        ({"bit_depth": 12}, "bit_depth: expected one of 8, 16"),
        ({"format": "jpeg"}, "did you mean 'jpg'"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        OutputSettings(**settings)
