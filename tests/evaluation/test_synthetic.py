"""The synthetic benchmark's figures against warps whose error is known."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from geostyle.data.pairs import PairSet
from geostyle.errors import InputError
from geostyle.evaluation.synthetic import (
    Prediction,
    SyntheticSettings,
    calibration,
    predict,
    score_predictions,
    table,
)
from geostyle.features.extractor import load_features
from geostyle.warps import WarpParameters


@pytest.fixture
def pairs(tiny_pairs: Path) -> PairSet:
    return PairSet(tiny_pairs, "val")


def answer(pairs: PairSet, index: int, change: torch.Tensor | float = 0.0) -> WarpParameters:
    """The true warp of a pair, with `change` added to theta."""
    pair = pairs.pairs[index]
    theta = torch.tensor(pair.theta) + change
    return WarpParameters(pair.family, pair.lattice, theta, (64, 64), (64, 64))


def test_the_truth_scores_zero_and_no_warp_one(pairs: PairSet) -> None:
    none = WarpParameters("none", 4, torch.zeros(0), (64, 64), (64, 64))
    predictions = [Prediction("right", "plain", i, answer(pairs, i), 0.5) for i in range(6)]
    predictions += [Prediction("none", "plain", i, none, 0.1 * i) for i in range(6)]
    rows = {(row.estimator, row.family): row for row in score_predictions(pairs, predictions)}
    assert set(family for _, family in rows) == {"all", "affine", "tps", "affine+tps"}
    right, nothing = rows["right", "all"], rows["none", "all"]
    assert (right.pairs, right.seconds) == (6, 0.5)
    assert right.error_px == pytest.approx(0, abs=1e-3) and right.folded == 0
    assert right.round_trip_px < 0.1
    assert nothing.share == pytest.approx(1) and nothing.error_px > 10
    assert nothing.seconds == pytest.approx(0.3)
    parts = [rows["none", family] for family in ("affine", "tps", "affine+tps")]
    assert sum(p.error_px * p.pairs for p in parts) / 6 == pytest.approx(nothing.error_px)


def test_a_shift_is_measured_in_pixels_at_240(pairs: PairSet) -> None:
    assert pairs.pairs[1].family == "affine"
    shift = torch.tensor([0, 0, 0.1, 0, 0, 0])
    rows = score_predictions(pairs, [Prediction("off", "plain", 1, answer(pairs, 1, shift), 0.0)])
    assert [row.family for row in rows] == ["all", "affine"]
    assert rows[0].error_px == pytest.approx(12, rel=1e-4)


def test_confidence_is_compared_with_being_right(pairs: PairSet) -> None:
    """One of two is right within 12 px at 240, and it is the surer one."""
    shift = torch.tensor([0, 0, 0.11, 0, 0, 0])
    found = []
    for index, sure in ((1, 0.35), (4, 0.85)):
        off = dataclasses.replace(answer(pairs, index, shift if sure < 0.5 else 0), confidence=sure)
        found.append(Prediction("x", "plain", index, off, 0.0))
    (reliability,) = calibration(pairs, found).values()
    assert [(low, right) for low, _, _, _, right in reliability.bins] == [(0.3, 0.0), (0.8, 1.0)]
    assert reliability.ranking == 1


def test_folds_are_counted(pairs: PairSet) -> None:
    mirrored = WarpParameters("affine", 4, torch.tensor([-2.0, 0, 0, 0, 0, 0]), (8, 8), (8, 8))
    (row, _) = score_predictions(pairs, [Prediction("mirror", "plain", 1, mirrored, 0.0)])
    assert row.folded == 1


def test_estimators_run_on_both_targets(tiny_pairs: Path, tiny_weights: Path) -> None:
    settings = SyntheticSettings(data=tiny_pairs, estimators=("none", "robust"), limit=2)
    pairs, extractor = PairSet(tiny_pairs, "val"), load_features(weights=tiny_weights)
    seen: list[int] = []
    predictions = predict(pairs, extractor, settings, lambda: seen.append(1))
    assert len(predictions) == 2 * 2 * 2 and len(seen) == 2
    rows = score_predictions(pairs, predictions)
    assert {row.target for row in rows} == {"stylized", "plain"}
    assert all(row.folded == 0 for row in rows)
    text = table(rows)
    assert len(text.splitlines()) == 1 + len(rows) and "robust" in text


def test_no_estimator_is_refused() -> None:
    with pytest.raises(InputError, match="estimators: expected at least one"):
        dataclasses.replace(SyntheticSettings(), estimators=())
