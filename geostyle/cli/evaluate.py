"""measure: pf-willow, pf-pascal, spair (keypoints), synthetic, features; show: pairs"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from geostyle import config
from geostyle.cli import _evaluate_keypoints, _evaluate_pairs
from geostyle.cli._evaluate_network import Network
from geostyle.config import check, setting
from geostyle.data.pairs import PairSet
from geostyle.evaluation import features as evaluate_features
from geostyle.evaluation import synthetic as evaluate_synthetic
from geostyle.evaluation.features import PaintedPair
from geostyle.evaluation.metrics import reliability_table
from geostyle.evaluation.synthetic import SyntheticSettings
from geostyle.io.files import write_json
from geostyle.io.images import to_uint8
from geostyle.report.sheet import Panel, save_sheet
from geostyle.texture import TextureSettings


@dataclass(frozen=True)
class Synthetic:
    """Grid error on generated pairs."""

    synthetic: SyntheticSettings = setting(SyntheticSettings())
    network: Network = setting(Network())

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Features:
    """A small feature network beside VGG-19."""

    weights: Path | None = setting(None, help="file of the small network; default: the bundled one")
    reference: str = setting("vgg19", choices=("vgg19", "lite"), help="network it stands in for")
    reference_weights: Path | None = setting(None, help="local file with its weights")
    images: Path | None = setting(None, help="folder of photographs; default: bundled ones")
    styles: Path | None = setting(None, help="folder of paintings; default: bundled ones")
    pf_willow: Path | None = setting(None, help="folder with pairs.csv; geometry is measured on it")
    pairs: int = setting(12, min=1, help="pairs that are painted under both networks")
    size_px: int = setting(256, min=32, help="long side of the painted pictures", flag="--size")
    step_px: int = setting(512, min=32, help="side of the pictures that steps are timed on")
    device: str = setting("auto", help="auto, cpu, cuda, cuda:N or mps")
    sheet: Path | None = setting(None, help="picture the pairs are drawn on, side by side")
    json: Path | None = setting(None, help="file the figures are written to")
    texture: TextureSettings = setting(TextureSettings())

    def __post_init__(self) -> None:
        check(self)


def main(argv: Sequence[str]) -> int:
    """Run one benchmark and print its table."""
    benchmarks: dict[str, Callable[[Sequence[str]], int]] = {
        **{name: partial(_evaluate_keypoints.run, name) for name in _evaluate_keypoints.READERS},
        "pairs": _evaluate_pairs.run,
        "synthetic": synthetic,
        "features": features,
    }
    parser = config.Parser(prog="geostyle evaluate", description=__doc__)
    parser.add_argument("benchmark", choices=benchmarks)
    args = parser.parse_args(argv[:1])
    return benchmarks[args.benchmark](argv[1:])


def synthetic(argv: Sequence[str]) -> int:
    """Grid error of every estimator on the validation pairs of a generated set."""
    parser = config.Parser(
        prog="geostyle evaluate synthetic",
        description="End-point error of the grid in pixels at 240, and as a share of none.",
    )
    config.add_arguments(parser, Synthetic)
    settings = config.resolve(Synthetic, None, config.overrides(parser.parse_args(argv), Synthetic))
    network, benchmark = settings.network, settings.synthetic
    pairs = PairSet(benchmark.data, "val")
    extractor = network.load()
    with tqdm(total=benchmark.limit or len(pairs), unit="pair", dynamic_ncols=True) as bar:
        found = evaluate_synthetic.predict(pairs, extractor, benchmark, bar.update)
    rows = evaluate_synthetic.score_predictions(pairs, found)
    print(evaluate_synthetic.table(rows))
    calibrated = {}
    if benchmark.calibration:
        for name, reliability in evaluate_synthetic.calibration(pairs, found).items():
            print(f"\nconfidence of {name}:\n{reliability_table(reliability)}")
            calibrated[name] = asdict(reliability)
    if network.json is not None:
        write_json(
            network.json,
            {
                "benchmark": "synthetic",
                "features": network.features,
                "rows": [asdict(row) for row in rows],
                "calibration": calibrated,
            },
        )
    return 0


def features(argv: Sequence[str]) -> int:
    """All figures of a small feature network beside the one it stands in for."""
    parser = config.Parser(
        prog="geostyle evaluate features",
        description="Texture, geometry, speed and size of a small network beside VGG-19, on "
        "pictures that no training saw.",
    )
    config.add_arguments(parser, Features)
    args = config.overrides(parser.parse_args(argv), Features)
    settings = config.resolve(Features, None, args)
    networks, file_figures = evaluate_features.load_networks(
        settings.weights, settings.reference, settings.reference_weights, settings.device
    )
    report = evaluate_features.measure(
        networks,
        evaluate_features.held_out_pairs(settings.images, settings.styles, settings.pairs),
        settings.texture,
        size_px=settings.size_px,
        step_px=settings.step_px,
        pf_willow=settings.pf_willow,
        say=lambda line: print(line, flush=True),
    )
    figures = {"file": file_figures, **report.figures}
    print(evaluate_features.table(figures))
    if settings.sheet is not None:
        write_sheet(settings.sheet, report.painted)
    if settings.json is not None:
        write_json(settings.json, figures)
    return 0


def write_sheet(path: Path, painted: Sequence[PaintedPair]) -> None:
    """Content, texture style and both results, a row a pair."""
    rows = []
    for pair in painted:
        pictures = {"content": pair.content, "texture": pair.tex_style, **pair.images}
        rows.append([Panel(name, to_uint8(picture)) for name, picture in pictures.items()])
    save_sheet(rows, path)
