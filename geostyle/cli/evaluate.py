"""measure: pf-willow (keypoints), synthetic (pairs with a known warp), features (a network)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from geostyle import config, evaluate, evaluate_features, evaluate_synthetic
from geostyle.config import check, setting
from geostyle.datasets import PairSet
from geostyle.errors import InputError
from geostyle.estimate import ESTIMATORS, GeometrySettings
from geostyle.evaluate import ORACLE
from geostyle.evaluate_features import Painted
from geostyle.evaluate_synthetic import SyntheticSettings
from geostyle.features import load_features
from geostyle.images import to_uint8
from geostyle.report import Panel, save_sheet
from geostyle.runs import resolve_device, write_json
from geostyle.texture import TextureSettings


@dataclass(frozen=True)
class Network:
    """Whose features are compared, and where the figures go."""

    features: str = setting("lite", choices=("lite", "vgg19", "vgg16"), help="feature network")
    weights: Path | None = setting(None, help="local file with that network's weights")
    device: str = setting("auto", help="auto, cpu, cuda, cuda:N or mps")
    json: Path | None = setting(None, help="file the figures are written to")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class PfWillow:
    """PF-WILLOW: PCK of keypoints."""

    root: Path | None = setting(None, help="folder with pairs.csv and the pictures it names")
    estimators: tuple[str, ...] = setting(
        ("none", "ransac-affine", "robust", "refined", ORACLE),
        choices=(*ESTIMATORS, ORACLE),
        help="estimators to compare; oracle is fitted to the true keypoints",
    )
    network: Network = setting(Network())
    geometry: GeometrySettings = setting(GeometrySettings(frame="geo"))

    def __post_init__(self) -> None:
        check(self)


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
    benchmarks = {"pf-willow": pf_willow, "synthetic": synthetic, "features": features}
    parser = config.Parser(prog="geostyle evaluate", description=__doc__)
    parser.add_argument("benchmark", choices=benchmarks)
    args = parser.parse_args(argv[:1])
    return benchmarks[args.benchmark](argv[1:])


def pf_willow(argv: Sequence[str]) -> int:
    """PCK of every estimator on the pairs of a folder."""
    parser = config.Parser(
        prog="geostyle evaluate pf-willow",
        description="PCK at 0.05, 0.1 and 0.15 of the keypoint box, mean over pairs, with 95 % "
        "intervals by a bootstrap over pictures.",
    )
    config.add_arguments(parser, PfWillow)
    settings = config.resolve(PfWillow, None, config.overrides(parser.parse_args(argv), PfWillow))
    if settings.root is None:
        raise InputError("root: expected --root with a folder that holds pairs.csv, got nothing")
    pairs = evaluate.read_pf_willow(settings.root)
    network = settings.network
    extractor = load_features(
        network.features, weights=network.weights, device=resolve_device(network.device)
    )
    with tqdm(total=len(pairs), unit="pair", dynamic_ncols=True) as bar:
        found = evaluate.predict(
            pairs, extractor, settings.geometry, settings.estimators, bar.update
        )
    name = f"{network.features}/{'+'.join(settings.geometry.match_layers)}"
    rows = evaluate.score(pairs, found, name)
    print(evaluate.table(rows))
    if network.json is not None:
        write_json(network.json, evaluate.as_json(rows, benchmark="pf-willow", features=name))
    return 0


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
    extractor = load_features(
        network.features, weights=network.weights, device=resolve_device(network.device)
    )
    with tqdm(total=benchmark.limit or len(pairs), unit="pair", dynamic_ncols=True) as bar:
        found = evaluate_synthetic.predict(pairs, extractor, benchmark, bar.update)
    rows = evaluate_synthetic.score_predictions(pairs, found)
    print(evaluate_synthetic.table(rows))
    if network.json is not None:
        write_json(
            network.json,
            {
                "benchmark": "synthetic",
                "features": network.features,
                "rows": [asdict(row) for row in rows],
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
    report = evaluate_features.measure(
        evaluate_features.Networks.load(
            settings.weights, settings.reference, settings.reference_weights, settings.device
        ),
        evaluate_features.held_out_pairs(settings.images, settings.styles, settings.pairs),
        settings.texture,
        size_px=settings.size_px,
        step_px=settings.step_px,
        pf_willow=settings.pf_willow,
        say=lambda line: print(line, flush=True),
    )
    print(evaluate_features.table(report.figures))
    if settings.sheet is not None:
        write_sheet(settings.sheet, report.painted)
    if settings.json is not None:
        write_json(settings.json, report.figures)
    return 0


def write_sheet(path: Path, painted: Sequence[Painted]) -> None:
    """Content, texture style and both results, a row a pair."""
    rows = []
    for pair in painted:
        pictures = {"content": pair.content, "texture": pair.tex_style, **pair.images}
        rows.append([Panel(name, to_uint8(picture)) for name, picture in pictures.items()])
    save_sheet(rows, path)
