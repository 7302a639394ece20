"""Places that keypoints take their paint from, where the guide is the truth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from geostyle.cli import main
from geostyle.coords import base_grid, resize
from geostyle.evaluation.texture_source import (
    MATCHED,
    NEIGHBORS,
    SOURCES,
    WARP,
    share_of_warp,
    sources,
)
from geostyle.features.extractor import load_features
from geostyle.io.images import save_picture
from geostyle.texture import MatchedSettings, SourceGuide
from tests.pictures import noise, picture_file

CELL = 2 * 4 / 64  # side of a cell of a picture of 64 px, in normalized coordinates
POINTS = torch.tensor([[-0.55, -0.3], [0.4, 0.6], [-0.3, 0.5], [0.6, -0.4]])


def swapped_halves() -> Tensor:
    """A guide (1, 64, 64, 2) that points into the other half, right or left."""
    grid = base_grid((64, 64))[None].clone()
    grid[..., 0] += torch.where(grid[..., 0] < 0, 1.0, -1.0)
    return grid


def test_matches_follow_a_guide_where_features_cannot_tell(tiny_weights: Path) -> None:
    network = load_features("lite", weights=tiny_weights)
    content = noise(1, 64, 32).repeat(1, 1, 1, 2)  # both halves are alike
    settings = MatchedSettings(guidance=1.0, spread=0.0, turns=1)
    guide = SourceGuide(swapped_halves(), torch.ones(1, 1, 64, 64))
    found = sources(content, content, POINTS, guide, network, settings)
    there = POINTS + torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    torch.testing.assert_close(found[WARP], there, atol=1e-5, rtol=0)
    # Half a cell from a point to its cell's center, and one to the most similar cell nearby.
    assert (found[MATCHED] - there).abs().max() <= 1.5 * CELL + 1e-5
    assert (found[NEIGHBORS] - there)[:, 0].abs().max() > 0.9
    unsure = replace(guide, confidence=torch.zeros(1, 1, 64, 64))
    content = noise(2, 64, 64)
    found = sources(content, content, POINTS, unsure, network, settings)
    for name in (MATCHED, NEIGHBORS):
        assert (found[name] - POINTS).abs().max() <= CELL / 2 + 1e-5, name


def test_the_share_is_that_of_the_means_over_pairs() -> None:
    right, wrong = np.zeros(2), np.ones(2)
    half = np.array([0.05, 0.3])
    errors = {MATCHED: {0: half, 1: wrong}, WARP: {0: right, 1: half}, NEIGHBORS: {0: wrong}}
    assert share_of_warp(errors) == pytest.approx((0.5 + 0) / (1 + 0.5))
    assert np.isnan(share_of_warp(errors | {WARP: {0: wrong}}))


def test_the_command_finds_a_picture_in_itself(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_picture(resize(noise(1, 24, 24), (64, 64)).clamp(0, 1), tmp_path / "duck" / "1.png")
    picture_file(tmp_path / "swan" / "1.png", (48, 64), 2)
    Image.open(tmp_path / "duck" / "1.png").resize((96, 96)).save(tmp_path / "duck" / "2.png")
    points = np.array([[5.0, 10.0], [60.0, 14.0], [20.0, 44.0]])

    def joined(at: np.ndarray) -> str:
        return ",".join(";".join(map(str, at[:, k])) for k in (0, 1))

    larger = (points - 0.5) * 1.5 + 0.5  # pixels counted from 1
    rows = [f"duck/1.png,duck/2.png,duck,{joined(points)},{joined(larger)}"]
    rows += [f"swan/1.png,duck/2.png,swan,{joined(points)},{joined(larger)}"]
    head = "source_image,target_image,class,XA,YA,XB,YB"
    (tmp_path / "pairs.csv").write_text("\n".join([head, *rows]))
    flags = ["--root", str(tmp_path), "--weights", str(tiny_weights), "--device", "cpu"]
    flags += ["--match-sizes-px", "64", "--size", "64", "--turns", "1", "--spread", "0"]
    file = tmp_path / "f.json"
    flags += ["--classes", "duck", "--json", str(file)]
    assert main(["evaluate", "texture-source", *flags]) == 0
    figures = json.loads(file.read_text())
    shown = capsys.readouterr().out
    assert "warp alone" in shown and "duck" in shown and "swan" not in shown
    values = {
        row["estimator"]: row["pck"]
        for row in figures["rows"]
        if row["alpha"] == 0.1 and row["class"] == "all"
    }
    assert set(values) == set(SOURCES) and values[NEIGHBORS] == 100
    if values[WARP]:
        assert figures["share_of_warp"] == pytest.approx(values[MATCHED] / values[WARP])
    assert figures["guidance"] == MatchedSettings().guidance
    assert main(["evaluate", "texture-source"]) == 2
    assert "root: expected --root" in capsys.readouterr().err
