"""Shared parts of the benchmarks: the network under test, dry runs, and where the figures go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from geostyle import config
from geostyle.config import check, setting
from geostyle.device import resolve_device
from geostyle.features.settings import NETWORKS
from geostyle.io.files import check_folder, write_json

if TYPE_CHECKING:
    from geostyle.evaluation.metrics import Reliability
    from geostyle.features.extractor import FeatureExtractor

S = TypeVar("S")


@dataclass(frozen=True)
class Network:
    """The network whose features are compared, and the file of the figures."""

    features: str = setting("lite", choices=NETWORKS, help="feature network")
    weights: Path | None = setting(None, help="local file with that network's weights")
    device: str = setting("auto", help="auto, cpu, cuda, cuda:N or mps")
    json: Path | None = setting(None, help="file the figures are written to")

    def __post_init__(self) -> None:
        check(self)

    def load(self) -> FeatureExtractor:
        """Load the network."""
        from geostyle.features.extractor import load_features

        device = resolve_device(self.device)
        return load_features(self.features, weights=self.weights, device=device)


def parse(
    benchmark: str, settings_class: type[S], argv: Sequence[str], description: str
) -> tuple[S, bool]:
    """Return the settings of a benchmark, and whether to print them and stop."""
    settings, args = config.parse(
        settings_class, argv, prog=f"geostyle evaluate {benchmark}", description=description
    )
    for path, field, _, _ in config.leaves(settings_class):
        if field.name in ("json", "sheet"):
            owner: Any = settings
            for part in path.split("."):
                owner = getattr(owner, part)
            if owner is not None:
                check_folder(owner.parent)
    if args.dry_run:
        print("settings:", *config.dump_yaml(settings).splitlines(), sep="\n  ")
    return settings, args.dry_run


def report(
    table: str,
    figures: dict[str, Any],
    file: Path | None,
    calibrated: Mapping[str, Reliability] | None = None,
) -> None:
    """Print a table and the calibration of confidences, and write the figures where asked for.

    Args:
        figures: JSON types; the calibration is added.
        file: JSON file to write, if any.
        calibrated: confidence against correctness by estimator; None where there is none.
    """
    from geostyle.evaluation.metrics import reliability_table

    print(table)
    for name, reliability in (calibrated or {}).items():
        print(f"\nconfidence of {name}:\n{reliability_table(reliability)}")
    if calibrated is not None:
        figures["calibration"] = {name: asdict(found) for name, found in calibrated.items()}
    if file is not None:
        write_json(file, figures)
