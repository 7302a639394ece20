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
from geostyle.evaluation.keypoints import KeypointPair
from geostyle.evaluation.metrics import (
    Array,
    Reliability,
    bootstrap_over_pictures,
    keypoint_errors,
    pck,
    reliability,
)
from geostyle.features.extractor import FeatureExtractor
from geostyle.io.images import load_picture
from geostyle.matching import Description, GeometrySettings, describe, estimate_from
from geostyle.warps import WarpParameters, fold_guard, make_family

ALPHAS = (0.05, 0.1, 0.15)
ORACLE = "oracle"
UNRELATED = "unrelated"  # the class of pairs that share nothing


@dataclass(frozen=True)
class Prediction:
    """What one estimator says of one pair: kept, so that scores can change without estimating."""

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
    extractor: FeatureExtractor,
    settings: GeometrySettings,
    estimators: Sequence[str],
    on_pair: Callable[[], object] = lambda: None,
) -> list[Prediction]:
    """Every estimator's map for every pair, in the target's own frame.

    Features of a picture are computed once. The estimator ``oracle`` sees the true keypoints: the
    fold-free map of the family nearest to them bounds what any estimator can reach.
    """
    settings = replace(settings, frame="geo", estimator="robust")  # features for every estimator
    known: dict[Path, Description] = {}
    found = []
    for number, pair in enumerate(pairs):
        for path in (pair.source, pair.target):
            if path not in known:
                picture = load_picture(path, name="root")
                known[path] = describe(picture.tensor, extractor, settings)
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
    """The fold-free map of ``settings.geometry`` fitted to the true keypoints."""
    family = make_family(settings.geometry, settings.lattice)
    points = pixel_to_normalized(torch.from_numpy(pair.target_points), target_size)
    content = pixel_to_normalized(torch.from_numpy(pair.source_points), source_size)
    theta = torch.zeros(family.n_params, dtype=torch.float64)
    if family.n_params:
        theta = family.fit(points, content, None, 1e-5)
        theta = fold_guard(family, theta[None], (96, 96))[0]
    return WarpParameters(
        family=family.name,
        lattice=settings.lattice,
        theta=theta.float(),
        output_size=target_size,
        content_size=source_size,
    )


def score(
    pairs: Sequence[KeypointPair], predictions: Sequence[Prediction], features: str
) -> list[Row]:
    """PCK of every estimator, for each class and over all pairs, at every alpha."""
    rows = []
    for name in dict.fromkeys(p.estimator for p in predictions):
        chosen = [p for p in predictions if p.estimator == name]
        errors = {p.pair: errors_of(pairs[p.pair], p) for p in chosen}
        kinds = list(dict.fromkeys(pairs[p.pair].kind for p in chosen))
        for kind in [*kinds, "all"]:
            numbers = [n for n in errors if kind in ("all", pairs[n].kind)]
            pictures = [(str(pairs[n].source), str(pairs[n].target)) for n in numbers]
            for alpha in ALPHAS:
                shares = [100 * float((errors[n] <= alpha).mean()) for n in numbers]
                low, high = bootstrap_over_pictures(shares, pictures)
                value = pck([errors[n] for n in numbers], alpha)
                rows.append(Row(name, features, kind, alpha, value, low, high, len(numbers)))
    return rows


def errors_of(pair: KeypointPair, prediction: Prediction) -> Array:
    """The error (K,) of each keypoint; see `keypoint_errors`."""
    parameters = prediction.parameters
    points = pixel_to_normalized(torch.from_numpy(pair.target_points), prediction.target_size)
    if parameters.theta.numel():
        family = make_family(parameters.family, parameters.lattice)
        points = family.map(parameters.theta.double()[None], points[None])[0]
    if parameters.mirrored:
        points = points * points.new_tensor([-1.0, 1.0])
    found = normalized_to_pixel(points, prediction.source_size)
    return keypoint_errors(found.numpy(), pair.source_points, pair.unit_px(prediction.source_size))


def unrelated_pairs(pairs: Sequence[KeypointPair], count: int, seed: int = 0) -> list[KeypointPair]:
    """Up to `count` pairs of pictures of different things, drawn by `seed`: no map is right.

    Classes that differ in parentheses alone, such as duck(S) and duck(G), show one kind of thing.
    """
    rng = np.random.default_rng(seed)
    found: dict[tuple[Path, Path], KeypointPair] = {}
    for _ in range(20 * count):
        a, b = (pairs[int(i)] for i in rng.integers(len(pairs), size=2))
        if _thing(a) != _thing(b) and len(found) < count:
            found[a.source, b.target] = KeypointPair(
                a.source, b.target, UNRELATED, a.source_points, a.source_points
            )
    return list(found.values())


def _thing(pair: KeypointPair) -> str:
    return pair.kind.partition("(")[0]


def calibration(
    pairs: Sequence[KeypointPair], predictions: Sequence[Prediction], alpha: float = 0.1
) -> dict[str, Reliability]:
    """How far each estimator's confidence can be believed: right is a pair's own PCK at `alpha`.

    Of unrelated pairs nothing is right.
    """
    found = {}
    for name in dict.fromkeys(p.estimator for p in predictions):
        chosen = [p for p in predictions if p.estimator == name]
        sure = [p.parameters.confidence for p in chosen]
        if name in (ORACLE, "none") or None in sure:
            continue
        right = [
            0.0
            if pairs[p.pair].kind == UNRELATED
            else float((errors_of(pairs[p.pair], p) <= alpha).mean())
            for p in chosen
        ]
        found[name] = reliability([float(c or 0) for c in sure], right)
    return found


def table(rows: Sequence[Row], alpha: float = 0.1) -> str:
    """The rows at one alpha as text: a line an estimator, a column a class."""
    at = [r for r in rows if r.alpha == alpha]
    kinds = list(dict.fromkeys(r.class_name for r in at))
    head = f"PCK@{alpha:g} (%)".ljust(16) + "".join(k.rjust(max(18, len(k) + 2)) for k in kinds)
    lines = [head]
    for name in dict.fromkeys(r.estimator for r in at):
        cells = {
            r.class_name: f"{r.pck:.1f} [{r.low:.1f}, {r.high:.1f}]"
            for r in at
            if r.estimator == name
        }
        lines.append(name.ljust(16) + "".join(cells[k].rjust(max(18, len(k) + 2)) for k in kinds))
    return "\n".join(lines)


def as_json(rows: Sequence[Row], **about: Any) -> dict[str, Any]:
    """The rows under plain names, with what they were measured on."""
    plain = [
        {
            ("class" if k == "class_name" else k): v
            for k, v in asdict(r).items()
            if k not in ("low", "high")
        }
        | {"ci95": [r.low, r.high]}
        for r in rows
    ]
    return {**about, "metric": "PCK, mean over pairs, per cent", "rows": plain}
