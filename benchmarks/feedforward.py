"""Measure feed-forward networks against the optimization they replace.

    python benchmarks/feedforward.py --weights VGG19 --photos DIR --json feedforward.json

Fast style networks: seconds per picture, its score, the score of the optimization by its default
settings, and the time the optimization takes to the network's score. Texture networks: seconds per
sample, its median relative Gram error, the time `texture` takes to the same error under the
features that the network was trained on, and peak memory of `texnet-sample`. Scores are under
VGG-19 in float32; errors of textures are under the training's features, and under VGG-19. Seconds
are processor time: run it with OMP_NUM_THREADS=1. The summary has medians over pictures.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

import torch
from measuring import median_s, spread
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from geostyle.cli.texnet_sample import sample  # noqa: E402
from geostyle.config import check, parse, setting  # noqa: E402
from geostyle.coords import resize  # noqa: E402
from geostyle.device import resolve_device, resolve_precision  # noqa: E402
from geostyle.errors import GeostyleError, InputError  # noqa: E402
from geostyle.features.extractor import FeatureExtractor, load_features  # noqa: E402
from geostyle.feedforward.fast_network import repaint  # noqa: E402
from geostyle.feedforward.files import (  # noqa: E402
    FAST,
    TEXTURE,
    bundled,
    load_network,
)
from geostyle.io.files import write_json  # noqa: E402
from geostyle.io.images import (  # noqa: E402
    fit_size,
    is_validation,
    list_pictures,
    load_picture,
    save_picture,
)
from geostyle.texture import (  # noqa: E402
    Progress,
    Score,
    SynthesisSettings,
    TextureSettings,
    score,
    synthesize,
    transfer_texture,
)
from geostyle.texture.schedule import style_size  # noqa: E402
from geostyle.texture.synthesis import gram_errors  # noqa: E402

PICTURES = ROOT / "geostyle" / "assets" / "pictures"
# Peak memory of a sample above that of a process that has imported torch, in MB.
MEMORY = f"""
import sys, torch
sys.path.append({str(ROOT / "benchmarks")!r})
from measuring import peak_memory_bytes
before = peak_memory_bytes()
from geostyle.cli import run
assert run("texnet-sample", sys.argv[1:]) == 0
print((peak_memory_bytes() - before) / 2**20)
"""


@dataclass(frozen=True)
class Settings:
    """Networks and pictures to measure."""

    weights: Path | None = setting(
        None, help="VGG-19 weights to score under; default: torchvision's"
    )
    fast: tuple[Path, ...] = setting((), help="fast style networks; default: the bundled ones")
    texture: tuple[Path, ...] = setting((), help="texture networks; default: the bundled ones")
    photos: Path = setting(PICTURES / "content", help="photographs that no training has read")
    styles: Path = setting(PICTURES / "styles", help="folder of the networks' style pictures")
    textures: Path = setting(PICTURES / "textures", help="folder of their textures")
    kinds: tuple[str, ...] = setting(
        ("fast", "texture"), choices=("fast", "texture"), help="kinds of networks to measure"
    )
    count: int = setting(12, min=1, help="photographs, evenly spread over the folder")
    held_out: bool = setting(False, help="take only photographs that trainings hold out")
    optimized: int = setting(
        12, min=0, help="photographs, and textures, that are also optimized; 0: only the networks"
    )
    samples: int = setting(4, min=1, help="samples of each texture network")
    size_px: int = setting(512, flag="--size", min=64, max=2048, help="long side of photographs")
    sample_px: int = setting(256, min=64, max=2048, help="side of samples")
    every: int = setting(5, min=1, help="steps of an optimization between two scorings")
    repeats: int = setting(5, min=1, help="runs of a network, of which the median time is taken")
    precision: str = setting(
        "auto", choices=("auto", "float32", "bfloat16"), help="precision of the fast networks"
    )
    sheets: Path | None = setting(None, help="folder for pictures of all results")
    output: Path = setting(Path("feedforward.json"), flag="--json", help="file of all figures")

    def __post_init__(self) -> None:
        check(self)


def main(argv: Sequence[str]) -> int:
    """Measure, print and write."""
    description = (__doc__ or "").partition("\n")[0]
    settings, args = parse(Settings, argv, prog="feedforward", description=description)
    if args.dry_run:
        return 0
    vgg, lite = load_features("vgg19", weights=settings.weights), load_features("lite")
    found: dict[str, Any] = {"size_px": settings.size_px, "sample_px": settings.sample_px}
    found |= {kind: [] for kind in settings.kinds}
    paths = list_pictures(settings.photos, recursive=True)
    if settings.held_out:
        paths = [path for path in paths if is_validation(path)]
    photos = spread(paths, settings.count)

    def keep(kind: str, row: dict[str, Any]) -> None:
        found[kind].append(row)
        found["summary"] = summarize(found)
        write_json(settings.output, found)
        print(row, flush=True)

    if "fast" in settings.kinds:
        for path in settings.fast or tuple(bundled(FAST).values()):
            for number, photo in enumerate(photos):
                judges = vgg, lite if number < settings.optimized else None
                keep("fast", measure_fast(path, photo, settings, *judges))
    if "texture" in settings.kinds:
        for number, path in enumerate(settings.texture or tuple(bundled(TEXTURE).values())):
            optimized = number < settings.optimized
            keep("texture", measure_texture(path, settings, vgg, optimized))
    print(json.dumps(found["summary"], indent=2))
    return 0


def measure_fast(
    path: Path,
    photo: Path,
    settings: Settings,
    vgg: FeatureExtractor,
    lite: FeatureExtractor | None,
) -> dict[str, Any]:
    """One network on one photograph, and with `lite` the optimization on the same."""
    net, about = load_network(path, FAST)
    device = resolve_device("cpu")
    net = net.compute_in(resolve_precision(settings.precision, device))
    full = load_picture(photo, name="photos")
    content = resize(full.tensor, fit_size(full.size, settings.size_px)).clamp(0, 1)
    own = load_picture(named(settings.styles, about), name="styles").tensor
    canvas = (content.shape[-2], content.shape[-1])
    style = resize(own, style_size(own, canvas, 1.0)).clamp(0, 1)

    painted = repaint(net, content)
    ours = score(painted, content, style, vgg)
    network_s = median_s(lambda: repaint(net, content), settings.repeats, process_time)
    found = {"network": path.stem, "photo": photo.name, "size": f"{canvas[1]}x{canvas[0]}",
             "network_s": network_s, **scores("network", ours)}  # fmt: skip
    row = [content, painted]
    if lite is not None:

        def total(image: Tensor) -> float:
            return score(resize(image, canvas), content, style, vgg).total

        def run(watch: Callable[[Progress], None]) -> Tensor:
            return transfer_texture(content, own, lite, TextureSettings(), callback=watch).image

        image, seconds, curve = timed_curve(run, total, settings.every)
        theirs = score(image, content, style, vgg)
        to_same = next((s for s, value in curve if value <= ours.total), None)
        row.append(image)
        found |= {
            "optimization_s": seconds,
            **scores("optimization", theirs),
            "total_ratio": ours.total / theirs.total,
            "optimization_to_same_total_s": to_same,
            "faster_to_same_total": to_same / network_s if to_same is not None else None,
        }
    if settings.sheets is not None:
        save_picture(torch.cat(row, 3), settings.sheets / f"{path.stem}-{photo.stem}.png")
    return found


def scores(name: str, found: Score) -> dict[str, float]:
    """The parts of a score under names that begin alike."""
    parts = {"total": found.total, "style": found.style, "content": found.content}
    return {f"{name}_{part}": value for part, value in parts.items()}


def measure_texture(
    path: Path, settings: Settings, vgg: FeatureExtractor, optimized: bool
) -> dict[str, Any]:
    """One texture network, and where it is asked for the synthesis of the same texture."""
    net, about = load_network(path, TEXTURE)
    full = load_picture(named(settings.textures, about), name="textures")
    exemplar_px = about["training"]["style_px"]
    exemplar = resize(full.tensor, fit_size(full.size, exemplar_px)).clamp(0, 1)
    size = (settings.sample_px, settings.sample_px)

    own = str(about["features"]["name"])
    weights = settings.weights if own == "vgg19" else None
    fast = resolve_precision(settings.precision, resolve_device("cpu"))
    painter, exact = (load_features(own, weights=weights, dtype=d) for d in (fast, torch.float32))

    def error(image: Tensor, judge: FeatureExtractor = exact) -> float:
        return statistics.median(gram_errors(image, exemplar, judge).values())

    samples = [sample(net, size, seed, None) for seed in range(settings.samples)]
    ours = statistics.median(error(image) for image in samples)
    network_s = median_s(lambda: sample(net, size, 0, None), settings.repeats, process_time)
    words = [str(path), "--size", str(settings.sample_px), "--output", str(settings.output.parent)]
    call = [sys.executable, "-c", MEMORY, *words]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
    found = {
        "network": path.stem,
        "network_s": network_s,
        "network_error": ours,
        "network_error_vgg19": statistics.median(error(image, vgg) for image in samples),
        "peak_memory_mb": float(done.stdout.split()[-1]),
        "between_seeds": float((samples[0] - samples[-1]).abs().mean()),
    }
    if optimized:

        def run(watch: Callable[[Progress], None]) -> Tensor:
            made = synthesize(exemplar, painter, SynthesisSettings(), size=size, callback=watch)
            return made.image

        image, seconds, curve = timed_curve(
            run, lambda image: error(resize(image, size)), settings.every
        )
        to_same = next((s for s, value in curve if value <= ours), None)
        samples.append(image)
        found |= {
            "synthesis_s": seconds,
            "synthesis_error": error(image),
            "synthesis_error_vgg19": error(image, vgg),
            "synthesis_to_same_error_s": to_same,
            "faster_to_same_error": to_same / network_s if to_same is not None else None,
        }
    if settings.sheets is not None:
        save_picture(torch.cat(samples, 3), settings.sheets / f"{path.stem}.png")
    return found


def timed_curve(
    run: Callable[[Callable[[Progress], None]], Tensor],
    judge: Callable[[Tensor], float],
    every: int,
) -> tuple[Tensor, float, list[tuple[float, float]]]:
    """Run an optimization and judge it every few steps, without counting the time of judging.

    Args:
        run: the optimization, given a callback.
        judge: figure of a picture; lower is better.
        every: steps between two judgments.

    Returns: its picture, its seconds, and (seconds, lowest figure so far) of every judgment.
    """
    curve: list[tuple[float, float]] = []
    best, off_the_clock = float("inf"), 0.0
    started = process_time()

    def look(image: Tensor) -> None:
        nonlocal best, off_the_clock
        now = process_time()
        best = min(best, judge(image.clamp(0, 1)))
        curve.append((now - started - off_the_clock, best))
        off_the_clock += process_time() - now

    def watch(progress: Progress) -> None:
        if progress.step % every == 0:
            look(progress.image)

    image = run(watch)
    seconds = process_time() - started - off_the_clock
    look(image)
    return image, seconds, curve


def summarize(found: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Per network the medians of its figures over pictures, and how often one is missing."""
    summary: dict[str, list[dict[str, Any]]] = {}
    for kind in ("fast", "texture"):
        rows = found.get(kind, [])
        summary[kind] = []
        for network in dict.fromkeys(row["network"] for row in rows):
            own = [row for row in rows if row["network"] == network]
            figures: dict[str, Any] = {"network": network, "count": len(own)}
            for name in dict.fromkeys(name for row in own for name in row):
                values = [row[name] for row in own if name in row]
                known = [value for value in values if value is not None]
                if all(isinstance(value, float) for value in known):
                    figures[name] = statistics.median(known) if known else None
                    figures[f"{name}_range"] = [min(known), max(known)] if known else None
                    figures[f"{name}_of"] = [len(known), len(values)]
            summary[kind].append(figures)
    return summary


def named(folder: Path, about: dict[str, Any]) -> Path:
    """The picture in `folder` that a network was trained on."""
    path = folder / str(about["tex_style"]["name"])
    if not path.is_file():
        raise InputError(f"styles: expected the network's own picture, got none at {str(path)!r}")
    return path


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except GeostyleError as error:
        print(f"feedforward: error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
