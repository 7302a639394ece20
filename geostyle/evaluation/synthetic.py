"""The synthetic benchmark: grid error on held-out pairs whose true warp is known.

The pairs are the validation split of a generated set: photographs, paintings and warps that no
training reads, fixed by the set's seed. Predictions first, scores second: `predict` returns theta,
`score_predictions` needs no network.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geostyle.coords import inside_mask
from geostyle.data.pairs import PairSet, true_grids
from geostyle.evaluation.metrics import Reliability, reliability_by_name
from geostyle.evaluation.settings import SyntheticSettings
from geostyle.features.extractor import FeatureExtractor
from geostyle.matching import estimate_warp
from geostyle.warps import WarpParameters
from geostyle.warps.folds import fold_mask
from geostyle.warps.inverse import invert_grid, round_trip_error

REFERENCE_PX = 240  # errors are stated in pixels of a picture of this side
RIGHT_PX = 12.0  # largest mean error of an estimate that counts as right: a twentieth of the side
GRID = 48  # side of the grid on which true and estimated warps are compared
NAMES = {"stylized": "stylized", "warped": "plain"}  # names of the targets in tables


@dataclass(frozen=True)
class Prediction:
    """One estimator's warp for one pair.

    Attributes:
        target: "stylized" or "plain".
        seconds: for the whole estimate, features included.
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
        estimator, target: of the predictions.
        family: of the true warp; "all" is over all of them.
        pairs: their number.
        error_px: mean end-point error of the grid, pixels at 240, where the true content point
            lies inside the picture.
        share: `error_px` over that of no warp on the same pairs.
        folded: share of cells that fold.
        round_trip_px: mean distance between a content pixel and its image under the inverse map,
            then the map, pixels at 240, where the inverse stays in frame.
        seconds: median per estimate.
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
    network: FeatureExtractor,
    settings: SyntheticSettings,
    on_pair: Callable[[], object] = lambda: None,
) -> list[Prediction]:
    """Estimate the warp of every pair, stylized and plain, by every estimator."""
    found = []
    for index in range(min(len(pairs), settings.limit or len(pairs))):
        content = pairs.picture(index, "content")
        for kind in pairs.targets:
            target = pairs.picture(index, kind)
            for name in settings.estimators:
                geonet = settings.geometry.geonet if name in ("regression", "refined") else ()
                geometry = replace(settings.geometry, estimator=name, geonet=geonet, frame="geo")
                started = time.perf_counter()
                estimate = estimate_warp(content, target, network, geometry)
                seconds = time.perf_counter() - started
                found.append(Prediction(name, NAMES[kind], index, estimate.parameters, seconds))
        on_pair()
    return found


def score_predictions(pairs: PairSet, predictions: Sequence[Prediction]) -> list[Row]:
    """Return a row per estimator and target over all pairs, then per family of the true warp."""
    truth = true_grids(pairs.pairs, GRID)
    nothing = WarpParameters("none", 4, torch.zeros(0), (2, 2), (2, 2))
    idle = {index: _error(nothing, truth[index]) for index in {p.pair for p in predictions}}
    families = sorted({pairs.pairs[index].family for index in idle})
    rows = []
    for (name, target), group in _groups(predictions).items():
        measured = [(p, _measure(p.parameters, truth[p.pair])) for p in group]
        for family in ["all", *families]:
            chosen = [(p, m) for p, m in measured if family in ("all", pairs.pairs[p.pair].family)]
            error, folded, trip = (_mean(m[k] for _, m in chosen) for k in range(3))
            share = error / _mean(idle[p.pair] for p, _ in chosen)
            seconds = sorted(p.seconds for p, _ in chosen)[len(chosen) // 2]
            rows.append(Row(name, target, family, len(chosen), error, share, folded, trip, seconds))
    return rows


def calibration(pairs: PairSet, predictions: Sequence[Prediction]) -> dict[str, Reliability]:
    """Compare confidences with errors; an estimate is right up to a mean error of `RIGHT_PX`."""
    truth = true_grids(pairs.pairs, GRID)
    return reliability_by_name(
        (
            f"{p.estimator}, {p.target}",
            p.parameters.confidence or 0.0,
            float(_error(p.parameters, truth[p.pair]) <= RIGHT_PX),
        )
        for p in predictions
        if p.estimator != "none"
    )


def table(rows: Sequence[Row]) -> str:
    """Return the rows as text."""
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


def _groups(predictions: Sequence[Prediction]) -> dict[tuple[str, str], list[Prediction]]:
    """Group predictions by estimator and target."""
    groups: dict[tuple[str, str], list[Prediction]] = {}
    for prediction in predictions:
        groups.setdefault((prediction.estimator, prediction.target), []).append(prediction)
    return groups


def _measure(parameters: WarpParameters, truth: Tensor) -> tuple[float, float, float]:
    """Return error in px, share of folded cells and round trip in px of one estimate."""
    dense = parameters.warp_family.grid(parameters.theta[None], (REFERENCE_PX, REFERENCE_PX))
    inverse = invert_grid(dense)
    trip = round_trip_error(dense, inverse)[inside_mask(inverse)] * REFERENCE_PX / 2
    folded = float(fold_mask(dense).float().mean())
    return _error(parameters, truth), folded, float(trip.mean()) if len(trip) else math.nan


def _error(parameters: WarpParameters, truth: Tensor) -> float:
    """Return the mean end-point error in px where `truth` (GRID, GRID, 2) lies inside."""
    grid = parameters.warp_family.grid(parameters.theta[None], (GRID, GRID))[0]
    inside = inside_mask(truth[None])[0]
    return float((grid - truth).norm(dim=-1)[inside].mean()) * REFERENCE_PX / 2


def _mean(values: Iterable[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan
