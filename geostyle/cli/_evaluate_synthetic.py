"""``geostyle evaluate synthetic``: error of the sampling grid on generated pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from geostyle.cli._evaluate_network import Network, parse, report
from geostyle.config import check, setting
from geostyle.evaluation.settings import SyntheticSettings


@dataclass(frozen=True)
class Synthetic:
    """Settings of the benchmark."""

    synthetic: SyntheticSettings = setting(SyntheticSettings())
    network: Network = setting(Network())

    def __post_init__(self) -> None:
        check(self)


def run(benchmark: str, argv: Sequence[str]) -> int:
    """Measure every estimator on the validation pairs of a generated set."""
    settings, dry_run = parse(
        benchmark,
        Synthetic,
        argv,
        "End-point error of the grid in pixels at 240, and as a share of that without a warp.",
    )
    if dry_run:
        return 0
    from tqdm import tqdm

    from geostyle.data.pairs import PairSet
    from geostyle.evaluation import synthetic

    own, network = settings.synthetic, settings.network
    pairs = PairSet(own.data, "val")
    with tqdm(total=own.limit or len(pairs), unit="pair", dynamic_ncols=True) as bar:
        found = synthetic.predict(pairs, network.load(), own, bar.update)
    rows = synthetic.score_predictions(pairs, found)
    calibrated = synthetic.calibration(pairs, found) if own.calibration else {}
    figures = {
        "benchmark": benchmark,
        "features": network.features,
        "rows": [asdict(row) for row in rows],
    }
    report(synthetic.table(rows), figures, network.json, calibrated)
    return 0
