"""Figures of a small feature network: closed forms, and the command on a network beside itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from geostyle.cli import main
from geostyle.errors import InputError
from geostyle.evaluation.features import (
    held_out_pairs,
    multiply_adds,
    product_similarity,
)
from geostyle.features.extractor import FeatureExtractor
from geostyle.io.images import is_validation

IMAGE = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))


def lite(seed: int) -> FeatureExtractor:
    torch.manual_seed(seed)
    widths = (4, 5, 6, 7, 8)
    return FeatureExtractor("lite", channels=widths, taps=True).requires_grad_(False)


def test_similarity_is_that_of_the_tables_of_inner_products() -> None:
    first, second = lite(0), lite(1)
    found = product_similarity(IMAGE, first, second)
    layers = ["relu2_1", "pool4"]
    for layer in layers:
        a, b = (
            network(IMAGE, [layer])[layer][0].double().flatten(1) for network in (first, second)
        )
        if layer == "pool4":  # cosines of centered features
            a, b = (x - x.mean(1, keepdim=True) for x in (a, b))
            a, b = (x / x.norm(dim=0, keepdim=True) for x in (a, b))
        left, right = a.T @ a, b.T @ b
        want = (left * right).sum() / (left.norm() * right.norm())
        assert found[layer] == pytest.approx(float(want), rel=1e-6)
        assert found[layer] < 0.99


def test_similarity_ignores_scale_and_rotation_of_the_channels() -> None:
    first, second = lite(0), lite(0)
    rotation, _ = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)))
    tap = second.taps["relu3_1"]
    tap.weight.copy_(3 * (rotation @ tap.weight[:, :, 0, 0])[:, :, None, None])
    assert product_similarity(IMAGE, first, second)["relu3_1"] == pytest.approx(1, abs=1e-5)


def test_multiply_adds_of_vgg_are_those_of_its_table() -> None:
    # 9 · width in · width out of every convolution, at 1, 1/4 … 1/256 of the pixels.
    blocks = [
        9 * (3 * 64 + 64 * 64),
        9 * (64 * 128 + 128 * 128) / 4,
        9 * (128 * 256 + 3 * 256 * 256) / 16,
        9 * (256 * 512 + 3 * 512 * 512) / 64,
        9 * 512 * 512 / 256,
    ]
    assert multiply_adds(FeatureExtractor("vgg19")) == sum(blocks)
    small = lite(0)
    without = multiply_adds(small, ["relu1_1"]) - 4 * 4
    assert multiply_adds(small, ["relu1_1", "pool4"]) == without + 16 + 7 * 7 / 256


def test_only_held_out_pictures_are_paired(tmp_path: Path) -> None:
    for number in range(40):
        Image.new("RGB", (20, 20)).save(tmp_path / f"{number}.png")
    kept = {path for path in tmp_path.iterdir() if is_validation(path)}
    assert 0 < len(kept) < 40
    pairs = held_out_pairs(tmp_path, tmp_path, 12)
    assert len(pairs) == 12
    assert {path for pair in pairs for path in pair} == kept
    for path in kept:
        path.unlink()
    with pytest.raises(InputError, match="styles: expected held-out pictures"):
        held_out_pairs(None, tmp_path, 2)


def test_a_network_beside_itself_is_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--reference", "lite", "--pairs", "2", "--iterations", "2", "2", "--device", "cpu"]
    flags += ["--size", "48", "--step-px", "32"]
    files = ["--json", str(tmp_path / "f.json"), "--sheet", str(tmp_path / "sheet.png")]
    assert main(["evaluate", "features", *flags, *files]) == 0
    figures = json.loads((tmp_path / "f.json").read_text())
    assert figures["texture"]["fall_share"] == 1
    assert figures["texture"]["style_ratio"] == 1
    assert figures["file"]["multiply_adds_ratio"] == 1
    assert figures["product_similarity"]["relu5_1"] == pytest.approx(1)
    assert figures["matches"] == {"near": 1.0, "lost": pytest.approx(0, abs=1e-6)}
    assert "texture.fall_share" in capsys.readouterr().out
    assert Image.open(tmp_path / "sheet.png").width > 4 * 100
