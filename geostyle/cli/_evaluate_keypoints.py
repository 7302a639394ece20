"""``geostyle evaluate pf-willow``, ``pf-pascal`` and ``spair``: PCK of keypoints on real pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geostyle.cli._evaluate_network import Network, parse, report
from geostyle.config import check, setting
from geostyle.errors import InputError
from geostyle.evaluation.settings import ORACLE
from geostyle.matching.settings import ESTIMATORS, GeometrySettings

if TYPE_CHECKING:
    from geostyle.evaluation.keypoints import KeypointPair

READERS = {"pf-willow": "read_pf_willow", "pf-pascal": "read_pf_pascal", "spair": "read_spair"}
ABOUT = {
    "pf-willow": "a folder that holds pairs.csv; errors in units of the keypoint box",
    "pf-pascal": "a folder that holds test_pairs_pf_pascal.csv; errors in units of the picture",
    "spair": "the folder SPair-71k; errors in units of the object box",
}


@dataclass(frozen=True)
class Keypoints:
    """Settings of the benchmark."""

    root: Path | None = setting(None, help="folder of the set, with its authors' layout")
    classes: tuple[str, ...] = setting((), help="classes to measure; default: all")
    limit: int = setting(0, min=0, help="pairs to measure, spread over all; 0: all")
    estimators: tuple[str, ...] = setting(
        ("none", "ransac-affine", "robust", "refined", ORACLE),
        choices=(*ESTIMATORS, ORACLE),
        help="estimators to compare; oracle is fitted to the true keypoints",
    )
    calibration: bool = setting(False, help="also print confidence against correctness")
    unrelated: int = setting(
        0, min=0, help="pairs across classes, where no match is right, added to the calibration"
    )
    network: Network = setting(Network())
    geometry: GeometrySettings = setting(GeometrySettings(frame="geo"))

    def __post_init__(self) -> None:
        check(self)


def run(benchmark: str, argv: Sequence[str]) -> int:
    """Measure the PCK of every estimator on the pairs of a folder."""
    settings, dry_run = parse(
        benchmark,
        Keypoints,
        argv,
        "PCK at 0.05, 0.1 and 0.15, mean over pairs, with 95 % intervals by a bootstrap over "
        f"pictures. Reads {ABOUT[benchmark]}.",
    )
    if dry_run:
        return 0
    if settings.root is None:
        raise InputError(f"root: expected --root with {ABOUT[benchmark]}, got nothing")
    from tqdm import tqdm

    from geostyle.evaluation import keypoints, pck

    read = getattr(keypoints, READERS[benchmark])
    pairs = chosen(read(settings.root), settings.classes, settings.limit, settings.unrelated)
    unrelated = pck.unrelated_pairs(pairs, settings.unrelated)
    everything = [*pairs, *unrelated]
    network = settings.network.load()
    with tqdm(total=len(everything), unit="pair", dynamic_ncols=True) as bar:
        found = pck.predict(everything, network, settings.geometry, settings.estimators, bar.update)
    name = f"{settings.network.features}/{'+'.join(settings.geometry.match_layers)}"
    rows = pck.score(pairs, [p for p in found if p.pair < len(pairs)], name)
    measured = settings.calibration or unrelated
    calibrated = pck.calibration(everything, found) if measured else {}
    figures = pck.as_json(rows, benchmark=benchmark, features=name)
    report(pck.table(rows), figures, settings.network.json, calibrated)
    return 0


def chosen(
    pairs: list[KeypointPair], classes: Sequence[str], limit: int, unrelated: int = 0
) -> list[KeypointPair]:
    """Return the pairs of the classes asked for, at most as many as the limit.

    Raises: InputError for an unknown class, or where unrelated pairs need more classes.
    """
    from geostyle.evaluation.pck import UNRELATED, unrelated_pairs

    kinds = list(dict.fromkeys(pair.kind for pair in pairs))
    missing = [name for name in classes if name not in kinds]
    if missing:
        raise InputError(f"classes: expected some of {', '.join(kinds)}, got {missing[0]!r}")
    if classes:
        pairs = [pair for pair in pairs if pair.kind in classes]
    if unrelated and not unrelated_pairs(pairs, 1):
        raise InputError(f"{UNRELATED}: expected pairs of two kinds of things or more, got one")
    if limit and limit < len(pairs):
        step = len(pairs) / limit
        pairs = [pairs[int(i * step)] for i in range(limit)]
    return pairs
