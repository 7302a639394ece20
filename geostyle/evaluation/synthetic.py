"""The synthetic benchmark: grid error on held-out pairs whose true warp is known.

The pairs are the validation split of a generated set: photographs, paintings and warps that no
training sees, fixed by the set's seed. Predictions first, scores second: `predict` keeps theta,
`score_predictions` needs no network.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geostyle.config import check, setting
from geostyle.coords import inside_mask
from geostyle.data.pairs import PairSet, true_grids
from geostyle.errors import InputError
from geostyle.evaluation.metrics import Reliability, reliability
from geostyle.features.extractor import FeatureExtractor
from geostyle.matching import ESTIMATORS, GeometrySettings, estimate_warp
from geostyle.warps import WarpParameters
from geostyle.warps.folds import fold_mask
from geostyle.warps.inverse import invert_grid, round_trip_error

REFERENCE_PX = 240  # errors are stated in pixels of a picture of this side
RIGHT_PX = 12.0  # mean error up to which an estimate counts as right: a twentieth of the side
GRID = 48  # side of the grid on which true and estimated warps are compared
NAMES = {"stylized": "stylized", "warped": "plain"}  # targets as tables call them


@dataclass(frozen=True)
class SyntheticSettings:
    """What is compared, on what."""

    data: Path = setting(Path("data_gen/out/pairs"), help="set of pairs, as make.py writes it")
    estimators: tuple[str, ...] = setting(
        ("none", "ransac-affine", "robust", "refined"),
        choices=ESTIMATORS,
        help="estimators to compare",
    )
    limit: int = setting(0, min=0, help="pairs looked at; 0: all")
    calibration: bool = setting(False, help="also print confidence against correctness")
    # Nothing is held back: what is measured is the estimate, not the caution.
    geometry: GeometrySettings = setting(GeometrySettings(frame="geo", fade=False))

    def __post_init__(self) -> None:
        check(self)
        if not self.estimators:
            raise InputError("estimators: expected at least one, got none")


@dataclass(frozen=True)
class Prediction:
    """One estimator's answer for one pair.

    target: "stylized" or "plain". seconds: for the whole estimate, features included.
    """

    estimator: str
    target: str
    pair: int
    parameters: WarpParameters
    seconds: float


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        estimator, target, family: what was estimated; family "all" is over all true warps.
        pairs: their number.
        error_px: mean end-point error of the grid, pixels at 240, where the true content point
            lies inside the picture.
        share: `error_px` over that of doing nothing on the same pairs.
        folded: share of cells that fold.
        round_trip_px: mean distance from where a content pixel starts to where it ends after the
            inverse map and the map, pixels at 240, where the inverse stays in frame.
        seconds: median for an estimate.
    """

    estimator: str
    target: str
    family: str
    pairs: int
    error_px: float
    share: float
    folded: float
    round_trip_px: float
    seconds: float


def predict(
    pairs: PairSet,
    extractor: FeatureExtractor,
    settings: SyntheticSettings,
    on_pair: Callable[[], object] = lambda: None,
) -> list[Prediction]:
    """Every estimator's answer for every pair, stylized and plain."""
    found = []
    for index in range(min(len(pairs), settings.limit or len(pairs))):
        content = pairs.picture(index, "content")
        for kind in pairs.targets:
            target = pairs.picture(index, kind)
            for name in settings.estimators:
                geonet = settings.geometry.geonet if name in ("regression", "refined") else ()
                geometry = _with(settings.geometry, estimator=name, geonet=geonet, frame="geo")
                started = time.perf_counter()
                estimate = estimate_warp(content, target, extractor, geometry)
                seconds = time.perf_counter() - started
                found.append(Prediction(name, NAMES[kind], index, estimate.parameters, seconds))
        on_pair()
    return found


def score_predictions(pairs: PairSet, predictions: Sequence[Prediction]) -> list[Row]:
    """The table: per estimator and target over all pairs, then per family of the true warp."""
    truth = true_grids(pairs.pairs, GRID)
    inside = inside_mask(truth)
    nothing = WarpParameters("none", 4, torch.zeros(0), (2, 2), (2, 2))
    scored = [(p, _measure(p.parameters, truth[p.pair], inside[p.pair])) for p in predictions]
    doing_nothing = {
        index: _error(nothing, truth[index], inside[index])
        for index in {p.pair for p in predictions}
    }
    rows = []
    for name, target in _unique((p.estimator, p.target) for p in predictions):
        for family in ["all", *sorted({pairs.pairs[p.pair].family for p in predictions})]:
            chosen = [
                (p, measures)
                for p, measures in scored
                if (p.estimator, p.target) == (name, target)
                and family in ("all", pairs.pairs[p.pair].family)
            ]
            errors, folded, trips = (_mean(m[k] for _, m in chosen) for k in range(3))
            idle = _mean(doing_nothing[p.pair] for p, _ in chosen)
            seconds = sorted(p.seconds for p, _ in chosen)[len(chosen) // 2]
            rows.append(
                Row(
                    name, target, family, len(chosen), errors, errors / idle, folded, trips, seconds
                )
            )
    return rows


def calibration(pairs: PairSet, predictions: Sequence[Prediction]) -> dict[str, Reliability]:
    """How far each confidence can be believed: right is a mean error of up to `RIGHT_PX`."""
    truth = true_grids(pairs.pairs, GRID)
    inside = inside_mask(truth)
    found = {}
    for name, target in _unique((p.estimator, p.target) for p in predictions):
        chosen = [p for p in predictions if (p.estimator, p.target) == (name, target)]
        if name == "none":
            continue
        sure = [float(p.parameters.confidence or 0) for p in chosen]
        errors = [_error(p.parameters, truth[p.pair], inside[p.pair]) for p in chosen]
        found[f"{name}, {target}"] = reliability(sure, [float(e <= RIGHT_PX) for e in errors])
    return found


def table(rows: Sequence[Row]) -> str:
    """The rows as text."""
    head = (
        f"{'estimator':<14} {'I_b':<9} {'warps':<11} {'pairs':>5} {'error px':>9} {'of none':>8} "
        f"{'folded':>8} {'round trip px':>13} {'seconds':>8}"
    )
    lines = [
        f"{r.estimator:<14} {r.target:<9} {r.family:<11} {r.pairs:>5} {r.error_px:>9.2f} "
        f"{100 * r.share:>6.1f} % {100 * r.folded:>6.2f} % {r.round_trip_px:>13.3f} "
        f"{r.seconds:>8.3f}"
        for r in rows
    ]
    return "\n".join([head, *lines])


def _measure(
    parameters: WarpParameters, truth: Tensor, inside: Tensor
) -> tuple[float, float, float]:
    """Error in px, share of folded cells, round trip in px, of one estimate."""
    size = (REFERENCE_PX, REFERENCE_PX)
    dense = parameters.warp_family.grid(parameters.theta[None], size)
    inverse = invert_grid(dense)
    seen = inside_mask(inverse)
    trip = round_trip_error(dense, inverse)[seen] * REFERENCE_PX / 2
    folded = float(fold_mask(dense).float().mean())
    trip_px = float(trip.mean()) if len(trip) else math.nan
    return _error(parameters, truth, inside), folded, trip_px


def _error(parameters: WarpParameters, truth: Tensor, inside: Tensor) -> float:
    grid = parameters.warp_family.grid(parameters.theta[None], (GRID, GRID))[0]
    return float((grid - truth).norm(dim=-1)[inside].mean()) * REFERENCE_PX / 2


def _with(settings: GeometrySettings, **changes: Any) -> GeometrySettings:
    return GeometrySettings(**{**vars(settings), **changes})


def _unique(items: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return list(dict.fromkeys(items))


def _mean(values: Iterable[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan
