"""Measure textures and reconstructions against their exemplars and photographs.

    python benchmarks/founding_papers.py --features vgg19 --textures DIR --photos DIR

Every result is measured on the picture as saved (8 bits), under the network it was made with, in
float32. Errors are ratios of norms, ‖G − A‖ / ‖A‖ and ‖F − P‖ / ‖P‖; their squares, the project's
losses, are given as well. Results are saved one by one, so an interrupted run continues where it
stopped; other settings need another --output.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from measuring import spread
from torch import Tensor

from geostyle.cli._painting import NetworkSettings, per_cent
from geostyle.cli._painting_run import panel
from geostyle.config import check, parse, setting, to_dict
from geostyle.coords import resize
from geostyle.errors import GeostyleError, InputError
from geostyle.features.extractor import FeatureExtractor
from geostyle.io.environment import environment
from geostyle.io.files import write_json
from geostyle.io.images import list_pictures, load_picture, save_picture
from geostyle.report.sheet import Panel, save_sheet
from geostyle.texture.descent_settings import ReconstructionSettings, layers_up_to
from geostyle.texture.pyramid import Progress, TextureResult
from geostyle.texture.reconstruct import feature_errors, reconstruct
from geostyle.texture.synthesis import SynthesisSettings, gram_errors, synthesize

CONTENT_BARS = {"relu1_2": 0.01, "relu2_2": 0.01, "relu3_2": 0.02, "relu4_2": 0.05}
GRAM_BAR = 0.01
# Settings that results do not depend on.
UNSTAMPED = ("names", "count", "output", "json")


@dataclass(frozen=True)
class Settings:
    """Pictures to measure, and settings of the methods."""

    textures: Path | None = setting(None, help="folder of texture exemplars")
    photos: Path | None = setting(None, help="folder of photographs to reconstruct")
    names: tuple[str, ...] = setting(
        (), help="take only pictures whose file name has one of these parts"
    )
    count: int = setting(10, min=1, help="pictures of each folder, evenly spread over its names")
    size_px: int = setting(256, flag="--size", min=32, max=2048, help="side of the square center")
    content_iterations: int = setting(500, min=1, help="steps of a content reconstruction")
    output: Path = setting(Path("runs/founding_papers"), help="folder of results")
    json: Path | None = setting(None, help="file of the errors by layer")
    network: NetworkSettings = setting(NetworkSettings())
    synthesis: SynthesisSettings = setting(SynthesisSettings())

    def __post_init__(self) -> None:
        check(self)
        if self.textures is None and self.photos is None:
            raise InputError("textures, photos: expected at least one folder, got none")


def main(argv: Sequence[str]) -> None:
    """Measure what is missing, then write summary.json and the sheets."""
    description = (__doc__ or "").partition("\n")[0]
    settings, args = parse(Settings, argv, prog="founding_papers", description=description)
    if args.dry_run:
        return
    network = settings.network.load()
    # Measured in float32, whatever precision painted.
    judge = replace(settings.network, precision="float32").load()
    kept = {k: v for k, v in to_dict(settings).items() if k not in UNSTAMPED}
    stamp = settings.output / "settings.json"
    if stamp.exists() and json.loads(stamp.read_text()) != json.loads(json.dumps(kept)):
        raise InputError(f"output: {settings.output} was made with other settings")
    write_json(stamp, kept)
    summary: dict[str, Any] = {"environment": environment(), "settings": to_dict(settings)}
    if settings.textures is not None:
        found = list(each(settings, settings.textures, "texture", network, judge, texture))
        summary["texture"] = summarize(found, dict.fromkeys(settings.synthesis.layers, GRAM_BAR))
    if settings.photos is not None:
        found = list(each(settings, settings.photos, "content", network, judge, content))
        bars = {k: v for k, v in CONTENT_BARS.items() if k in network.layer_names}
        summary["content"] = summarize(found, bars)
    write_json(settings.output / "summary.json", summary)
    if settings.json is not None:
        kinds = {kind: summary[kind] for kind in ("texture", "content") if kind in summary}
        figures: dict[str, Any] = {"size_px": settings.size_px, "features": network.name}
        for kind, own in kinds.items():
            figures[kind] = {key: value for key, value in own.items() if key != "each"}
        write_json(settings.json, figures)
    for kind in ("texture", "content"):
        for layer, row in summary.get(kind, {}).get("layers", {}).items():
            print(
                f"{kind:8} {layer:8} median {per_cent(row['median']):>8} (squared "
                f"{per_cent(row['median_squared']):>8}), worst {per_cent(row['worst']):>8}, "
                f"bar {per_cent(row['bar'])}"
            )
    print(settings.output / "summary.json")


def each(
    settings: Settings,
    folder: Path,
    kind: str,
    network: FeatureExtractor,
    judge: FeatureExtractor,
    work: Callable[..., dict[str, Any]],
) -> Iterator[dict[str, Any]]:
    """Yield the results of all pictures, measuring those without a file; rewrite the sheet."""
    rows: list[list[Panel]] = []
    for path in chosen(settings, folder):
        place = settings.output / kind / path.stem
        record = place / "result.json"
        if not record.exists():
            picture = square(path, settings.size_px)
            save_picture(picture, place / "source.png")
            began = time.monotonic()
            found = work(settings, picture.to(network.mean), network, judge, place)
            write_json(record, {"name": path.name, "seconds": time.monotonic() - began, **found})
        result = json.loads(record.read_text())
        row = [panel(place / "source.png", path.stem[:22])]
        for name, errors in result["pictures"].items():
            note = f"{per_cent(max(errors['saved'].values()))} at worst"
            row.append(panel(place / name, name.removesuffix(".png"), note))
        rows.append(row)
        save_sheet(rows, settings.output / f"{kind}_sheet.png", 256)
        print(f"{kind} {path.stem}: " + ", ".join(p.note for p in row[1:]), flush=True)
        yield result


def texture(
    settings: Settings,
    picture: Tensor,
    network: FeatureExtractor,
    judge: FeatureExtractor,
    place: Path,
) -> dict[str, Any]:
    """Synthesize `picture` and compare Gram matrices and colors."""
    own, layers = settings.synthesis, settings.synthesis.layers
    done = synthesize(picture, network, own, seed=settings.network.seed, callback=reporter())
    entry = save(
        done, place / "texture.png", lambda image: gram_errors(image, picture, judge, layers)
    )
    image = done.image
    entry["color_drift"] = {
        "mean": (image.mean((0, 2, 3)) - picture.mean((0, 2, 3))).tolist(),
        "std": (image.std((0, 2, 3)) - picture.std((0, 2, 3))).tolist(),
    }
    return {"pictures": {"texture.png": entry}}


def content(
    settings: Settings,
    picture: Tensor,
    network: FeatureExtractor,
    judge: FeatureExtractor,
    place: Path,
) -> dict[str, Any]:
    """Reconstruct `picture` from each layer and compare that layer's features."""
    pictures = {}
    descent = replace(settings.synthesis.descent, iterations=(settings.content_iterations,))
    for layer in layers_up_to(network, "relu4_2"):
        own = ReconstructionSettings(layer=layer, descent=descent)
        done = reconstruct(picture, network, own, seed=settings.network.seed, callback=reporter())

        def measure(image: Tensor, layer: str = layer) -> dict[str, float]:
            return feature_errors(image, picture, judge, [layer])

        pictures[f"{layer}.png"] = save(done, place / f"{layer}.png", measure)
    return {"pictures": pictures}


def save(
    done: TextureResult, path: Path, measure: Callable[[Tensor], dict[str, float]]
) -> dict[str, Any]:
    """Save a result; return its errors before and after saving, and its steps and seconds."""
    if done.interrupted:
        raise KeyboardInterrupt  # a half-made picture must not count as measured
    save_picture(done.image, path)
    saved = load_picture(path).tensor.to(done.image)
    steps = [step for level in done.history for step in level.steps]
    levels = [
        {"size": level.size, "steps": len(level.steps), "seconds": level.steps[-1].seconds,
         "first": level.steps[0].total, "last": level.steps[-1].total}
        for level in done.history if level.steps
    ]  # fmt: skip
    return {
        "saved": measure(saved), "exact": measure(done.image), "steps": len(steps),
        "levels": levels,
    }  # fmt: skip


def summarize(found: list[dict[str, Any]], bars: dict[str, float]) -> dict[str, Any]:
    """Median and worst error of every layer over all pictures, beside its bar."""
    layers = {}
    for layer, bar in bars.items():
        values = [
            entry["saved"][layer]
            for result in found
            for entry in result["pictures"].values()
            if layer in entry["saved"]
        ]
        if values:
            median = statistics.median(values)
            layers[layer] = {
                "median": median, "median_squared": median**2, "worst": max(values), "bar": bar,
                "met": median <= bar, "met_squared": median**2 <= bar,
            }  # fmt: skip
    seconds = statistics.median(result["seconds"] for result in found)
    return {"count": len(found), "median_seconds": seconds, "layers": layers, "each": found}


def chosen(settings: Settings, folder: Path) -> list[Path]:
    """Paths of the pictures to measure: those named, or evenly spread ones."""
    paths = sorted(list_pictures(folder, recursive=True), key=lambda path: path.name)
    if settings.names:
        paths = [path for path in paths if any(part in path.name for part in settings.names)]
    if not paths:
        raise InputError(f"names: expected pictures in {str(folder)!r}, got none")
    return spread(paths, settings.count)


def square(path: Path, size_px: int) -> Tensor:
    """The center of a picture as a square of `size_px`, (1, 3, size_px, size_px)."""
    picture = load_picture(path).tensor
    height, width = picture.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    center = picture[..., top : top + side, left : left + side]
    return resize(center, (size_px, size_px)).clamp(0, 1)


def reporter() -> Callable[[Progress], None]:
    """A callback that prints a line on stderr every 50 steps."""

    def report(p: Progress) -> None:
        if p.step % 50 == 0 or p.step == p.steps - 1:
            print(
                f"  level {p.level + 1}/{p.levels} {p.size[1]} px step {p.step}: {p.total:.3g}",
                file=sys.stderr,
                flush=True,
            )

    return report


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except GeostyleError as error:
        sys.exit(f"founding_papers: error: {error}")
