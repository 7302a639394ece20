"""PCK on real pairs with keypoints: predictions first, scores second.

The geometry style is a pair's target, the content its source; the estimated backward map carries
the target's keypoints to the source.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from geostyle.coords import Size, normalized_to_pixel, pixel_to_normalized
from geostyle.evaluation import metrics
from geostyle.evaluation.keypoints import KeypointPair
from geostyle.evaluation.metrics import Array, Reliability
from geostyle.evaluation.settings import ORACLE
from geostyle.features.extractor import FeatureExtractor
from geostyle.io.images import load_picture
from geostyle.matching import Description, GeometrySettings, describe, estimate_from
from geostyle.warps import WarpParameters, fold_guard, make_family

ALPHAS = (0.05, 0.1, 0.15)
UNRELATED = "unrelated"  # the class of pairs that share nothing


@dataclass(frozen=True)
class Prediction:
    """One estimator's warp for one pair; sizes are (H, W) in pixels."""

    estimator: str
    pair: int
    parameters: WarpParameters
    source_size: Size
    target_size: Size


@dataclass(frozen=True)
class Row:
    """One figure: PCK in per cent with its 95 % interval over pictures."""

    estimator: str
    features: str
    class_name: str
    alpha: float
    pck: float
    low: float
    high: float
    pairs: int


def predict(
    pairs: Sequence[KeypointPair],
    network: FeatureExtractor,
    settings: GeometrySettings,
    estimators: Sequence[str],
    on_pair: Callable[[], object] = lambda: None,
) -> list[Prediction]:
    """Estimate the warp of every pair by every estimator, in the target's own frame.

    Features of a picture are computed once. The estimator ``oracle`` is given the true keypoints:
    the fold-free map of the family nearest to them bounds what any estimator can reach.
    """
    settings = replace(settings, frame="geo", estimator="robust")  # features for every estimator
    known: dict[Path, Description] = {}
    found = []
    for number, pair in enumerate(pairs):
        for path in (pair.source, pair.target):
            if path not in known:
                known[path] = describe(load_picture(path, name="root").tensor, network, settings)
        source, target = known[pair.source], known[pair.target]
        for name in estimators:
            if name == ORACLE:
                parameters = oracle(pair, source.size, target.size, settings)
            else:
                chosen = replace(settings, estimator=name)
                parameters = estimate_from(source, target, chosen).parameters
            found.append(Prediction(name, number, parameters, source.size, target.size))
        on_pair()
    return found


def oracle(
    pair: KeypointPair, source_size: Size, target_size: Size, settings: GeometrySettings
) -> WarpParameters:
    """Fit a fold-free map of ``settings.geometry`` to the true keypoints."""
    family = make_family(settings.geometry, settings.lattice)
    points = pixel_to_normalized(torch.from_numpy(pair.target_points), target_size)
    content = pixel_to_normalized(torch.from_numpy(pair.source_points), source_size)
    theta = torch.zeros(family.n_params, dtype=torch.float64)
    if family.n_params:
        theta = family.fit(points, content, None, 1e-5)
        theta = fold_guard(family, theta[None], (96, 96))[0]
    return WarpParameters(family.name, settings.lattice, theta.float(), target_size, source_size)


def score(
    pairs: Sequence[KeypointPair], predictions: Sequence[Prediction], features: str
) -> list[Row]:
    """Return the PCK of every estimator, for each class and over all pairs, at every alpha."""
    errors: dict[str, dict[int, Array]] = {}
    for p in predictions:
        errors.setdefault(p.estimator, {})[p.pair] = errors_of(pairs[p.pair], p)
    return rows_of(pairs, errors, features)


def rows_of(
    pairs: Sequence[KeypointPair], errors_by_name: dict[str, dict[int, Array]], features: str
) -> list[Row]:
    """Return the rows of `score` for errors (K,) by name of an estimator and number of the pair."""
    rows = []
    for name, errors in errors_by_name.items():
        for kind in [*dict.fromkeys(pairs[n].kind for n in errors), "all"]:
            numbers = [n for n in errors if kind in ("all", pairs[n].kind)]
            pictures = [(str(pairs[n].source), str(pairs[n].target)) for n in numbers]
            for alpha in ALPHAS:
                shares = [100 * float((errors[n] <= alpha).mean()) for n in numbers]
                low, high = metrics.bootstrap_over_pictures(shares, pictures)
                value = metrics.pck([errors[n] for n in numbers], alpha)
                rows.append(Row(name, features, kind, alpha, value, low, high, len(numbers)))
    return rows


def errors_of(pair: KeypointPair, prediction: Prediction) -> Array:
    """Return the error (K,) of each keypoint; see `keypoint_errors`."""
    parameters, size = prediction.parameters, prediction.source_size
    points = pixel_to_normalized(torch.from_numpy(pair.target_points), prediction.target_size)
    if parameters.theta.numel():
        points = parameters.warp_family.map_points(parameters.theta.double(), points)
    if parameters.mirrored:
        points = points * points.new_tensor([-1.0, 1.0])
    found = normalized_to_pixel(points, size).numpy()
    return metrics.keypoint_errors(found, pair.source_points, pair.unit_px(size))


def unrelated_pairs(pairs: Sequence[KeypointPair], count: int, seed: int = 0) -> list[KeypointPair]:
    """Draw up to `count` pairs of pictures of different things, by `seed`: no map is right.

    Classes that differ in parentheses alone, such as duck(S) and duck(G), show one kind of thing.
    """
    rng = np.random.default_rng(seed)
    found: dict[tuple[Path, Path], KeypointPair] = {}
    for _ in range(20 * count):
        a, b = (pairs[int(i)] for i in rng.integers(len(pairs), size=2))
        different = a.kind.partition("(")[0] != b.kind.partition("(")[0]
        if different and len(found) < count:
            points = a.source_points
            found[a.source, b.target] = KeypointPair(a.source, b.target, UNRELATED, points, points)
    return list(found.values())


def calibration(
    pairs: Sequence[KeypointPair], predictions: Sequence[Prediction], alpha: float = 0.1
) -> dict[str, Reliability]:
    """Compare each estimator's confidence with the pair's own PCK at `alpha`.

    For unrelated pairs the truth is 0.
    """

    def share_right(p: Prediction) -> float:
        pair = pairs[p.pair]
        return 0.0 if pair.kind == UNRELATED else float((errors_of(pair, p) <= alpha).mean())

    return metrics.reliability_by_name(
        (p.estimator, p.parameters.confidence, share_right(p))
        for p in predictions
        if p.estimator not in (ORACLE, "none") and p.parameters.confidence is not None
    )


def table(rows: Sequence[Row], alpha: float = 0.1) -> str:
    """Return the rows at one alpha as text: one line per estimator, one column per class."""
    cells = {
        (r.estimator, r.class_name): f"{r.pck:.1f} [{r.low:.1f}, {r.high:.1f}]"
        for r in rows
        if r.alpha == alpha
    }
    kinds = dict.fromkeys(kind for _, kind in cells)
    widths = {kind: max(18, len(kind) + 2) for kind in kinds}
    lines = [f"PCK@{alpha:g} (%)".ljust(16) + "".join(k.rjust(widths[k]) for k in kinds)]
    for name in dict.fromkeys(name for name, _ in cells):
        lines.append(name.ljust(16) + "".join(cells[name, k].rjust(widths[k]) for k in kinds))
    return "\n".join(lines)


def as_json(rows: Sequence[Row], **about: Any) -> dict[str, Any]:
    """Return the rows as JSON types under plain names, after `about`, a description of the data."""
    plain = []
    for row in map(asdict, rows):
        interval = [row.pop("low"), row.pop("high")]
        plain.append({"class" if k == "class_name" else k: v for k, v in row.items()})
        plain[-1]["ci95"] = interval
    return {**about, "metric": "PCK, mean over pairs, per cent", "rows": plain}
