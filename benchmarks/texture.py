"""Texture transfer against the recipe everybody knows, side by side in one run.

    python benchmarks/texture.py --weights vgg19.safetensors --size 256 512 --json bench.json

The yardstick: single scale, float32, contiguous, L-BFGS from the content, 300 evaluations, with the
scorer's own layers and weights; and the same with Adam. Against it our defaults under VGG-19 and
under `lite`. Everything is scored under VGG-19 in float32; figures are ratios and medians over
pairs, as absolute times mean little from machine to machine.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

import torch
from torch import Tensor

from geostyle.coords import resize
from geostyle.features import FeatureExtractor, load_features
from geostyle.images import fit_size, list_pictures, load_picture
from geostyle.texture import Progress, TextureSettings, score, transfer_texture
from geostyle.texture.objective import TextureObjective
from geostyle.texture.pyramid import style_size

BUNDLED = Path(__file__).parent.parent / "geostyle/assets/pictures"


@dataclass(frozen=True)
class Curve:
    """One run: scores under VGG-19 after so many seconds, and what it took.

    total, style, content: of the final picture. curve: (seconds, total) of the best so far, scored
    at full size. step_s: seconds of one step at full size.
    """

    method: str
    pair: str
    size_px: int
    seconds: float
    step_s: float
    total: float
    style: float
    content: float
    curve: list[tuple[float, float]]


def yardstick(
    content: Tensor, style: Tensor, vgg: FeatureExtractor, method: str, evaluations: int
) -> tuple[Tensor, list[tuple[float, float]]]:
    """The plain recipe on torch's own optimisers: the picture, and (seconds, total) a step."""
    objective = TextureObjective(vgg, [style], content)
    image = content.clone().requires_grad_(True)
    curve: list[tuple[float, float]] = []
    best = [float("inf"), content]
    started = time.monotonic()

    def closure() -> Tensor:
        optimiser.zero_grad()
        total, _, _ = objective(image)
        total.backward()
        value = float(total.detach())
        if value < best[0]:
            best[:] = [value, image.detach().clone()]
        curve.append((time.monotonic() - started, best[0]))
        return total

    if method == "lbfgs":
        optimiser: torch.optim.Optimizer = torch.optim.LBFGS(
            [image],
            max_iter=evaluations,
            max_eval=evaluations,
            tolerance_change=0,
            tolerance_grad=0,
        )
        optimiser.step(closure)
    else:
        optimiser = torch.optim.Adam([image], lr=0.02)
        for _ in range(evaluations):
            optimiser.step(closure)
    return best[1].clamp(0, 1), curve  # type: ignore[union-attr]


def ours(
    content: Tensor,
    style: Tensor,
    extractor: FeatureExtractor,
    settings: TextureSettings,
    scorer: FeatureExtractor,
    every: int,
) -> tuple[Tensor, list[tuple[float, float]]]:
    """Our coarse-to-fine run; its own seconds only, scored under VGG-19 now and then."""
    curve: list[tuple[float, float]] = []
    scoring = 0.0
    started = time.monotonic()

    def watch(p: Progress) -> None:
        nonlocal scoring
        if p.level == p.levels - 1 and p.step % every == 0:
            now = time.monotonic()
            curve.append((now - started - scoring, score(p.image, content, style, scorer).total))
            scoring += time.monotonic() - now

    result = transfer_texture(content, style, extractor, settings, callback=watch)
    seconds = time.monotonic() - started - scoring
    curve.append((seconds, score(result.image, content, style, scorer).total))
    return result.image, curve


def time_to(curve: list[tuple[float, float]], total: float) -> float | None:
    """Seconds until `curve` first reached `total`, None if it never did."""
    return next((seconds for seconds, value in curve if value <= total), None)


def measure(args: argparse.Namespace) -> list[Curve]:
    """Every method on every pair and size."""
    plain = load_features("vgg19", weights=args.weights, channels_last=False)
    fast = load_features("vgg19", weights=args.weights)
    lite = load_features("lite")
    contents, styles = list_pictures(args.contents), list_pictures(args.styles)
    pairs = list(product(contents, styles))
    pairs = pairs[:: max(1, len(pairs) // args.pairs)][: args.pairs]
    settings = TextureSettings()
    runs: list[Curve] = []
    for size_px, (content_path, style_path) in product(args.size, pairs):
        content = _read(content_path, size_px)
        full = load_picture(style_path, name="style").tensor
        style = resize(full, style_size(full, (content.shape[-2], content.shape[-1]), 1.0))
        style = style.clamp(0, 1)
        methods = {
            "yardstick lbfgs": lambda c=content, s=style: yardstick(
                c, s, plain, "lbfgs", args.evaluations
            ),
            "yardstick adam": lambda c=content, s=style: yardstick(
                c, s, plain, "adam", args.evaluations
            ),
            "vgg19": lambda c=content, s=style: ours(c, s, fast, settings, fast, 3),
            "lite": lambda c=content, s=style: ours(c, s, lite, settings, fast, 3),
        }
        for name in args.methods or methods:
            image, curve = methods[name]()
            steps = [b[0] - a[0] for a, b in zip(curve, curve[1:], strict=False)]
            final = score(image, content, style, fast)
            per_entry = 1 if name.startswith("yardstick") else 3
            runs.append(
                Curve(
                    name,
                    f"{content_path.stem} × {style_path.stem}",
                    size_px,
                    curve[-1][0],
                    statistics.median(steps) / per_entry if steps else curve[-1][0],
                    final.total,
                    final.style,
                    final.content,
                    curve,
                )
            )
            last = replace(runs[-1], curve=[])
            print(last, flush=True)
            if args.json:
                args.json.write_text(json.dumps([asdict(r) for r in runs]))
    return runs


def table(runs: list[Curve]) -> str:
    """Medians over pairs, each method against the L-BFGS yardstick on the same pair."""
    lines = [
        "| size | method | total / yardstick's | speed-up to its total | step, ratio | total |",
        "|---|---|---|---|---|---|",
    ]
    for size_px in sorted({r.size_px for r in runs}):
        base = {r.pair: r for r in runs if r.size_px == size_px and r.method == "yardstick lbfgs"}
        for method in dict.fromkeys(r.method for r in runs):
            rows = [
                r for r in runs if (r.size_px, r.method) == (size_px, method) and r.pair in base
            ]
            if not rows:
                continue
            reached = [time_to(r.curve, base[r.pair].total) for r in rows]
            ratios = [
                base[r.pair].seconds / t if t else 0.0 for r, t in zip(rows, reached, strict=True)
            ]
            lines.append(
                f"| {size_px} | {method} "
                f"| {statistics.median(r.total / base[r.pair].total for r in rows):.3f} "
                f"| {statistics.median(ratios):.1f} × ({sum(t is not None for t in reached)} of "
                f"{len(rows)}) "
                f"| {statistics.median(base[r.pair].step_s / r.step_s for r in rows):.2f} × "
                f"| {statistics.median(r.total for r in rows):.4f} |"
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return "\n".join([*lines, "", f"peak memory of all runs together: {peak:.2f} GB"])


def _read(path: Path, size_px: int) -> Tensor:
    picture = load_picture(path, name="content")
    return resize(picture.tensor, fit_size(picture.size, size_px)).clamp(0, 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="VGG-19 weights file")
    parser.add_argument("--contents", type=Path, default=BUNDLED / "content")
    parser.add_argument("--styles", type=Path, default=BUNDLED / "styles")
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--size", type=int, nargs="+", default=[256])
    parser.add_argument("--evaluations", type=int, default=300)
    parser.add_argument("--methods", nargs="*", help="default: all")
    parser.add_argument("--json", type=Path)
    print(table(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
