"""``geostyle evaluate pf-willow``, ``pf-pascal`` and ``spair``: PCK of keypoints on real pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from geostyle import config
from geostyle.cli._evaluate_network import Network
from geostyle.config import check, setting
from geostyle.errors import InputError
from geostyle.evaluation import pck as evaluate
from geostyle.evaluation.keypoints import KeypointPair, read_pf_pascal, read_pf_willow, read_spair
from geostyle.evaluation.metrics import reliability_table
from geostyle.evaluation.pck import ORACLE, UNRELATED
from geostyle.io.files import write_json
from geostyle.matching import ESTIMATORS, GeometrySettings

READERS: dict[str, Callable[[Path], list[KeypointPair]]] = {
    "pf-willow": read_pf_willow,
    "pf-pascal": read_pf_pascal,
    "spair": read_spair,
}
ABOUT = {
    "pf-willow": "a folder that holds pairs.csv; errors in units of the keypoint box",
    "pf-pascal": "a folder that holds test_pairs_pf_pascal.csv; errors in units of the picture",
    "spair": "the folder SPair-71k; errors in units of the object box",
}


@dataclass(frozen=True)
class Keypoints:
    """PCK of keypoints."""

    root: Path | None = setting(None, help="folder of the set, laid out as its authors do")
    classes: tuple[str, ...] = setting((), help="classes to look at; default: all")
    limit: int = setting(0, min=0, help="pairs looked at, spread over all; 0: all")
    estimators: tuple[str, ...] = setting(
        ("none", "ransac-affine", "robust", "refined", ORACLE),
        choices=(*ESTIMATORS, ORACLE),
        help="estimators to compare; oracle is fitted to the true keypoints",
    )
    calibration: bool = setting(False, help="also print confidence against correctness")
    unrelated: int = setting(
        0, min=0, help="pairs across classes, of which nothing is right, added to the calibration"
    )
    network: Network = setting(Network())
    geometry: GeometrySettings = setting(GeometrySettings(frame="geo"))

    def __post_init__(self) -> None:
        check(self)


def run(benchmark: str, argv: Sequence[str]) -> int:
    """PCK of every estimator on the pairs of a folder."""
    parser = config.Parser(
        prog=f"geostyle evaluate {benchmark}",
        description=f"PCK at 0.05, 0.1 and 0.15, mean over pairs, with 95 % intervals by a "
        f"bootstrap over pictures. Reads {ABOUT[benchmark]}.",
    )
    config.add_arguments(parser, Keypoints)
    settings = config.resolve(Keypoints, None, config.overrides(parser.parse_args(argv), Keypoints))
    if settings.root is None:
        raise InputError(f"root: expected --root with {ABOUT[benchmark]}, got nothing")
    pairs = chosen(READERS[benchmark](settings.root), settings)
    strangers = evaluate.unrelated_pairs(pairs, settings.unrelated)
    network, extractor = settings.network, settings.network.load()
    with tqdm(total=len(pairs) + len(strangers), unit="pair", dynamic_ncols=True) as bar:
        found = evaluate.predict(
            [*pairs, *strangers], extractor, settings.geometry, settings.estimators, bar.update
        )
    name = f"{network.features}/{'+'.join(settings.geometry.match_layers)}"
    rows = evaluate.score(pairs, [p for p in found if p.pair < len(pairs)], name)
    print(evaluate.table(rows))
    calibrated: dict[str, Any] = {}
    if settings.calibration or strangers:
        for estimator, reliability in evaluate.calibration([*pairs, *strangers], found).items():
            print(f"\nconfidence of {estimator}:\n{reliability_table(reliability)}")
            calibrated[estimator] = asdict(reliability)
    if network.json is not None:
        about = {"benchmark": benchmark, "features": name, "calibration": calibrated}
        write_json(network.json, evaluate.as_json(rows, **about))
    return 0


def chosen(pairs: list[KeypointPair], settings: Keypoints) -> list[KeypointPair]:
    """The pairs of the classes asked for, thinned to the limit.

    Raises: InputError for a class that is not there, or too few of them for unrelated pairs.
    """
    kinds = list(dict.fromkeys(pair.kind for pair in pairs))
    missing = [name for name in settings.classes if name not in kinds]
    if missing:
        raise InputError(f"classes: expected some of {', '.join(kinds)}, got {missing[0]!r}")
    if settings.classes:
        pairs = [pair for pair in pairs if pair.kind in settings.classes]
    if settings.unrelated and not evaluate.unrelated_pairs(pairs, 1):
        raise InputError(f"{UNRELATED}: expected pairs of two kinds of things or more, got one")
    if settings.limit and settings.limit < len(pairs):
        step = len(pairs) / settings.limit
        pairs = [pairs[int(i * step)] for i in range(settings.limit)]
    return pairs
