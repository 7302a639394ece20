"""``geostyle evaluate features``: a small feature network beside VGG-19."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geostyle.cli._evaluate_network import parse, report
from geostyle.config import check, setting
from geostyle.texture.settings import TextureSettings


@dataclass(frozen=True)
class Features:
    """Settings of the benchmark."""

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


def run(benchmark: str, argv: Sequence[str]) -> int:
    """Measure a small feature network and the one it stands in for."""
    settings, dry_run = parse(
        benchmark,
        Features,
        argv,
        "Texture, geometry, speed and size of a small network beside VGG-19, on pictures that no "
        "training saw.",
    )
    if dry_run:
        return 0
    from geostyle.evaluation import features
    from geostyle.io.images import to_uint8
    from geostyle.report.sheet import Panel, save_sheet

    networks, file_figures = features.load_networks(
        settings.weights, settings.reference, settings.reference_weights, settings.device
    )
    found = features.measure(
        networks,
        features.held_out_pairs(settings.images, settings.styles, settings.pairs),
        settings.texture,
        size_px=settings.size_px,
        step_px=settings.step_px,
        pf_willow=settings.pf_willow,
        say=lambda line: print(line, flush=True),
    )
    if settings.sheet is not None:
        rows = [
            {"content": pair.content, "texture": pair.tex_style, **pair.images}
            for pair in found.painted
        ]
        panels = [[Panel(name, to_uint8(image)) for name, image in row.items()] for row in rows]
        save_sheet(panels, settings.sheet)
    figures = {"file": file_figures, **found.figures}
    report(features.table(figures), figures, settings.json)
    return 0
