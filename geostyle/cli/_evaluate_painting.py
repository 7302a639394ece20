"""``geostyle evaluate painting``: scores of paintings, whoever made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geostyle.cli._evaluate_network import parse, report
from geostyle.config import check, setting
from geostyle.device import resolve_device
from geostyle.errors import InputError

if TYPE_CHECKING:
    from geostyle.evaluation.painting import PaintingScore
    from geostyle.features.extractor import FeatureExtractor


@dataclass(frozen=True)
class PaintingSettings:
    """Settings of the benchmark."""

    list: Path | None = setting(
        None, help="CSV file of pictures with the columns content, tex_style and result"
    )
    runs: Path | None = setting(None, help="folder of transfers' run folders instead")
    baseline: Path | None = setting(
        None, help="CSV file or folder of runs that the scores are compared with, by name"
    )
    features: str = setting("vgg19", choices=("vgg19", "lite", "vgg16"), help="feature network")
    weights: Path | None = setting(None, help="local file with that network's weights")
    seed: int = setting(0, min=0, help="seed of the positions that are compared")
    device: str = setting("auto", help="auto, cpu, cuda, cuda:N or mps")
    json: Path | None = setting(None, help="file the scores are written to")

    def __post_init__(self) -> None:
        check(self)


def run(benchmark: str, argv: Sequence[str]) -> int:
    """Score paintings: statistics, use of the style, structure, color; lower is better."""
    settings, dry_run = parse(
        benchmark,
        PaintingSettings,
        argv,
        "Errors of paintings, lower is better: Gram matrices, relaxed earth mover's distance of "
        "hypercolumns (remd_floor: of the style from itself), self-similarity of the content, mean "
        "and spread of colors. Of a warped content, give the warped picture.",
    )
    if dry_run:
        return 0
    if (settings.list is None) == (settings.runs is None):
        got = "neither" if settings.list is None else "both"
        raise InputError(f"list: expected either --list or --runs, got {got}")
    from geostyle.evaluation import painting
    from geostyle.features.extractor import load_features

    device = resolve_device(settings.device)
    network = load_features(settings.features, weights=settings.weights, device=device)
    if settings.list is not None:
        scores = _scores(settings.list, "list", network, settings.seed)
    else:
        assert settings.runs is not None
        scores = _scores(settings.runs, "runs", network, settings.seed)
    figures: dict[str, Any] = {
        "benchmark": benchmark,
        "features": settings.features,
        "scores": {name: asdict(one) for name, one in scores.items()},
        "median": painting.medians(scores),
    }
    relative = None
    if settings.baseline is not None:
        baseline = _scores(settings.baseline, "baseline", network, settings.seed)
        relative = painting.ratios(scores, baseline)
        figures["ratio_to_baseline"] = relative
        figures["pairs_compared"] = len(set(scores) & set(baseline))
    report(painting.table(scores, relative), figures, settings.json)
    return 0


def _scores(
    path: Path, argument: str, network: FeatureExtractor, seed: int
) -> dict[str, PaintingScore]:
    from tqdm import tqdm

    from geostyle.evaluation import painting

    paintings = (
        painting.read_runs(path, argument)
        if argument == "runs"
        else painting.read_list(path, argument)
        if argument == "list"
        else painting.read_paintings(path, argument)
    )
    with tqdm(unit="painting", dynamic_ncols=True) as bar:
        return painting.score_all(paintings, network, seed=seed, on_painting=bar.update)
