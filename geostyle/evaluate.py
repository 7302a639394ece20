"""Benchmarks on real pairs with keypoints: predictions first, scores second.

PF-WILLOW (Ham et al., "Proposal Flow", CVPR 2016): pairs of pictures of one class with ten
keypoints each. The geometry style is a pair's target, the content its source; the estimated
backward map carries the target's keypoints to the source.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from geostyle.coords import Size, normalized_to_pixel, pixel_to_normalized
from geostyle.errors import InputError
from geostyle.estimate import Description, GeometrySettings, describe, estimate_from
from geostyle.features import FeatureExtractor
from geostyle.images import load_picture
from geostyle.metrics import Array, bootstrap_over_pictures, keypoint_errors, pck
from geostyle.warps import WarpParameters, fold_guard, make_family

ALPHAS = (0.05, 0.1, 0.15)
ORACLE = "oracle"


@dataclass(frozen=True)
class KeypointPair:
    """A pair of pictures and the same parts in both, in pixels, 0 at the first pixel's centre.

    source_points, target_points: (K, 2) as (x, y).
    """

    source: Path
    target: Path
    kind: str
    source_points: Array
    target_points: Array


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


def read_pf_willow(root: Path) -> list[KeypointPair]:
    """The pairs listed in ``root/pairs.csv``.

    Columns: source_image, target_image, class, XA, YA, XB, YB; the last four hold ";"-joined
    keypoints in pixels counted from 1 (A = source, B = target).

    Raises: InputError where the file is missing, or a line of it is not of that form.
    """
    table = root / "pairs.csv"
    if not table.is_file():
        raise InputError(f"root: expected a folder with pairs.csv, got {str(root)!r}")
    try:
        rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"root: expected CSV in {str(table)!r}, got: {error}") from error
    pairs = []
    for number, row in enumerate(rows, start=2):
        try:
            points = [
                np.stack([_numbers(row["X" + k]), _numbers(row["Y" + k])], axis=1) - 1 for k in "AB"
            ]
            pair = KeypointPair(
                root / row["source_image"], root / row["target_image"], row["class"], *points
            )
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise InputError(
                f"root: line {number} of {str(table)!r} is not a keypoint pair ({error})"
            ) from error
        if points[0].shape != points[1].shape or not np.isfinite(points).all():
            raise InputError(f"root: line {number} of {str(table)!r} has unequal keypoints")
        pairs.append(pair)
    if not pairs:
        raise InputError(f"root: expected pairs in {str(table)!r}, got none")
    return pairs


def _numbers(text: str) -> Array:
    return np.array([float(part) for part in text.split(";")])


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
        errors = {p.pair: _errors(pairs[p.pair], p) for p in chosen}
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


def _errors(pair: KeypointPair, prediction: Prediction) -> Array:
    parameters = prediction.parameters
    points = pixel_to_normalized(torch.from_numpy(pair.target_points), prediction.target_size)
    if parameters.theta.numel():
        family = make_family(parameters.family, parameters.lattice)
        points = family.map(parameters.theta.double()[None], points[None])[0]
    if parameters.mirrored:
        points = points * points.new_tensor([-1.0, 1.0])
    found = normalized_to_pixel(points, prediction.source_size)
    return keypoint_errors(found.numpy(), pair.source_points)


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
    return {**about, "metric": "PCK, keypoint box, mean over pairs, per cent", "rows": plain}
