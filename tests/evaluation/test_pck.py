"""PCK against counting by hand, and the PF-WILLOW benchmark on a pair drawn here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from geostyle.cli import main
from geostyle.errors import InputError
from geostyle.evaluation.keypoints import KeypointPair, read_pf_willow
from geostyle.evaluation.metrics import (
    bootstrap_over_pictures,
    keypoint_errors,
    pck,
    reliability,
    reliability_table,
)
from geostyle.evaluation.pck import Prediction, oracle, score
from geostyle.io.images import save_picture
from geostyle.matching import GeometrySettings
from geostyle.warps import WarpParameters


def test_errors_are_in_units_of_the_long_side_of_the_keypoint_box() -> None:
    truth = np.array([[10.0, 10.0], [30.0, 20.0], [10.0, 20.0]])  # a box of 20 × 10
    found = truth + np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 4.0]])
    assert keypoint_errors(found, truth) == pytest.approx([0.1, 0.05, 0.25])


def test_pck_is_the_mean_over_pairs_and_the_bound_counts() -> None:
    errors = [np.array([0.1, 0.2]), np.array([0.05, 0.05, 0.05, 0.3])]
    assert pck(errors, 0.1) == pytest.approx(100 * (0.5 + 0.75) / 2)
    assert pck(errors, 0.05) == pytest.approx(100 * (0 + 0.75) / 2)
    assert pck(errors, 0.3) == 100


def test_bootstrap_draws_pictures() -> None:
    rng = np.random.default_rng(0)
    pictures = [(f"{i}", f"{j}") for i in range(8) for j in range(8) if i != j]
    effect = rng.normal(size=8)  # each picture is easy or hard as a whole
    values = [50 + 10 * effect[int(a)] + 10 * effect[int(b)] for a, b in pictures]
    low, high = bootstrap_over_pictures(values, pictures)
    assert low < np.mean(values) < high
    independent = 2 * 1.96 * np.std(values) / np.sqrt(len(values))
    assert high - low > 1.3 * independent, "pairs were drawn as if they were independent"
    assert bootstrap_over_pictures(values, pictures) == (low, high)
    assert bootstrap_over_pictures([7.0] * len(pictures), pictures) == (7.0, 7.0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two pictures of 64×48 and 48×64, and keypoints that fill the frames alike."""
    torch.manual_seed(0)
    for name, size in (("a", (48, 64)), ("b", (64, 48))):
        small = torch.rand(1, 3, 5, 5)
        save_picture(
            torch.nn.functional.interpolate(small, size, mode="bilinear"), tmp_path / f"{name}.png"
        )
    share = np.array([[0.1, 0.2], [0.8, 0.3], [0.4, 0.9], [0.7, 0.7]])
    a, b = share * (64, 48) + 0.5, share * (48, 64) + 0.5  # pixels counted from 1
    lists = [";".join(map(str, points[:, k])) for points in (a, b) for k in (0, 1)]
    head = "source_image,target_image,class,XA,YA,XB,YB"
    (tmp_path / "pairs.csv").write_text("\n".join([head, "a.png,b.png,thing," + ",".join(lists)]))
    return tmp_path


def test_doing_nothing_maps_frames_onto_each_other(root: Path) -> None:
    (pair,) = read_pf_willow(root)
    nothing = WarpParameters("none", 4, torch.zeros(0), (64, 48), (48, 64))
    rows = score([pair], [Prediction("none", 0, nothing, (48, 64), (64, 48))], "-")
    assert {(r.class_name, r.pck) for r in rows} == {("thing", 100), ("all", 100)}


def test_a_known_shift_is_scored_in_the_right_direction(root: Path) -> None:
    """The backward map carries target points to the source: a positive shift moves them right."""
    (pair,) = read_pf_willow(root)
    moved = KeypointPair(
        pair.source, pair.target, "thing", pair.source_points + (16.0, 0.0), pair.target_points
    )
    for sign, expected in ((1, 100.0), (-1, 0.0)):
        theta = torch.tensor([0, 0, sign * 16 / 32, 0, 0, 0.0])  # 16 of 64 px is half a unit
        shift = WarpParameters("affine", 4, theta, (64, 48), (48, 64))
        rows = score([moved], [Prediction("x", 0, shift, (48, 64), (64, 48))], "-")
        assert {r.pck for r in rows} == {expected}


def test_the_oracle_follows_the_keypoints(root: Path) -> None:
    (pair,) = read_pf_willow(root)
    bent = KeypointPair(
        pair.source,
        pair.target,
        "thing",
        pair.source_points * 0.9 + np.array([[4, 1], [2, 6], [0, 2], [3, 3]]),
        pair.target_points,
    )
    found = oracle(bent, (48, 64), (64, 48), GeometrySettings(frame="geo"))
    rows = score([bent], [Prediction("oracle", 0, found, (48, 64), (64, 48))], "-")
    assert {r.pck for r in rows if r.alpha == 0.05} == {100.0}


def test_the_command_prints_and_writes_plain_names(
    root: Path, tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    args = ["--root", str(root), "--weights", str(tiny_weights), "--json", str(out)]
    args += ["--match-sizes-px", "64", "--device", "cpu"]
    assert main(["evaluate", "pf-willow", *args]) == 0
    shown = capsys.readouterr().out
    figures = json.loads(out.read_text())
    assert {r["estimator"] for r in figures["rows"]} == {
        "none",
        "ransac-affine",
        "robust",
        "refined",
        "oracle",
    }
    assert {r["alpha"] for r in figures["rows"]} == {0.05, 0.1, 0.15}
    row = next(r for r in figures["rows"] if r["estimator"] == "none" and r["class"] == "all")
    assert row["pck"] == 100
    assert row["pairs"] == 1
    assert row["features"].startswith("lite/pool4")
    assert "oracle" in shown


@pytest.mark.parametrize("damage", ["missing", "empty", "columns", "uneven"])
def test_bad_lists_are_one_line(root: Path, damage: str) -> None:
    table = root / "pairs.csv"
    text = table.read_text()
    if damage == "missing":
        table.unlink()
    elif damage == "empty":
        table.write_text(text.splitlines()[0])
    elif damage == "columns":
        table.write_text(text.replace("XA", "QQ"))
    else:
        table.write_text(text.rsplit(";", 1)[0])
    with pytest.raises(InputError, match="^root: "):
        read_pf_willow(root)


@pytest.mark.parametrize("damage", [lambda row: row.rpartition(b",")[0], lambda row: b"\xff" + row])
def test_a_damaged_list_of_pairs_is_one_line(root: Path, damage: Callable[[bytes], bytes]) -> None:
    head, row = (root / "pairs.csv").read_bytes().split(b"\n")
    (root / "pairs.csv").write_bytes(head + b"\n" + damage(row))
    with pytest.raises(InputError, match="^root: ") as caught:
        read_pf_willow(root)
    assert "\n" not in str(caught.value)


def test_reliability_counts_and_ranks() -> None:
    found = reliability([0.05, 0.15, 0.15, 0.95, 1.0], [0.0, 0.2, 0.6, 1.0, 0.8])
    assert [(low, n) for low, _, n, _, _ in found.bins] == [(0.0, 1), (0.1, 2), (0.9, 2)]
    assert found.bins[1][3:] == pytest.approx((0.15, 0.4))
    above = {low: (n, right) for low, n, right in found.above}
    assert above[0.0] == (5, pytest.approx(0.52)) and above[0.5] == (2, pytest.approx(0.9))
    # Right: 0.15, 0.95, 1.0; wrong: 0.05, 0.15, of which one pair is tied.
    assert found.ranking == pytest.approx(5.5 / 6)
    assert np.isnan(reliability([0.5], [1.0]).ranking)
    shown = reliability_table(found)
    assert shown.splitlines()[2].split() == ["0.1", "to", "0.2", "2", "0.15", "40.0%", "4", "65.0%"]
