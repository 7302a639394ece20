"""Settings of the benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from geostyle.config import check, setting
from geostyle.errors import InputError
from geostyle.matching.settings import ESTIMATORS, GeometrySettings

ORACLE = "oracle"  # the estimator that is fitted to the true keypoints


@dataclass(frozen=True)
class SyntheticSettings:
    """Estimators to compare, and the pairs they are compared on."""

    data: Path = setting(Path("data_gen/out/pairs"), help="set of pairs, as make-pairs writes it")
    estimators: tuple[str, ...] = setting(
        ("none", "ransac-affine", "robust", "refined"),
        choices=ESTIMATORS,
        help="estimators to compare",
    )
    limit: int = setting(0, min=0, help="number of pairs; 0: all")
    calibration: bool = setting(False, help="also print confidence against correctness")
    # Without fading: the estimate is measured, not how far it is held back.
    geometry: GeometrySettings = setting(GeometrySettings(frame="geo", fade=False))

    def __post_init__(self) -> None:
        check(self)
        if not self.estimators:
            raise InputError("estimators: expected at least one, got none")
