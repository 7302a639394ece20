"""Time the stages of the main job on the bundled pictures: `python benchmarks/stages.py`.

Every figure is the median of several runs after one to warm up. The texture stage is given per step
at full size, since the number of steps is a setting; so is the part of a step outside loss and
gradient. Peak memory is that of the whole process.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from measuring import median_s, peak_memory_bytes

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from geostyle.io.images import load_picture  # noqa: E402
from geostyle.pipeline import Pipeline, TransferSettings  # noqa: E402
from geostyle.texture import TextureSettings, optimizer  # noqa: E402

PICTURES = ROOT / "geostyle" / "assets" / "pictures"
STEPS, FIRST_STEPS = 24, 10  # L-BFGS has not stored all its pairs of vectors in the first ones


def measure(features: str, weights: Path | None, size_px: int, repeats: int) -> dict[str, float]:
    """Seconds of each stage at one size."""
    settings = TransferSettings(
        features=features,
        weights=weights,
        size_px=size_px,
        texture=TextureSettings(iterations=(STEPS,)),
    )
    content, geo_style, tex_style = (
        load_picture(PICTURES / name).tensor
        for name in ("content/coffee.jpg", "geo/coffee.jpg", "styles/night.jpg")
    )
    pipe = Pipeline(settings)
    warped = pipe.warp(content, geo_style)
    assert warped.parameters is not None
    theta, painting = warped.parameters, pipe.painting(warped.tensor, [tex_style])
    step_s, own_s = step_seconds(painting.run, repeats)
    return {
        "load": median_s(lambda: Pipeline(settings).networks(), repeats),
        "estimate and warp": median_s(lambda: pipe.warp(content, geo_style), repeats),
        "warp": median_s(lambda: pipe.warp(content, None, theta), repeats),
        "texture step": step_s,
        "of it the optimizer": own_s,
    }


def step_seconds(paint: Any, repeats: int) -> tuple[float, float]:
    """Median seconds of a step, and of its part outside loss and gradient, over `repeats` runs."""
    evaluate, stamps, steps, own = optimizer._evaluate, [], [], []

    def timed(*args: Any) -> Any:
        started = time.perf_counter()
        found = evaluate(*args)
        stamps.append((started, time.perf_counter()))
        return found

    optimizer._evaluate = timed  # type: ignore[assignment]
    try:
        for _ in range(repeats):
            stamps.clear()
            paint()
            for (start, end), (following, _) in zip(
                stamps[FIRST_STEPS:], stamps[FIRST_STEPS + 1 :], strict=False
            ):
                steps.append(following - start)
                own.append(following - end)
    finally:
        optimizer._evaluate = evaluate
    return statistics.median(steps), statistics.median(own)


def main() -> None:
    """Print a table, and write JSON if requested."""
    parser = argparse.ArgumentParser(description="Time the stages of the main job.")
    parser.add_argument("--features", default="lite", choices=("lite", "vgg19", "vgg16"))
    parser.add_argument("--weights", type=Path, help="local file with the network's weights")
    parser.add_argument("--size", type=int, nargs="+", default=[256, 512], metavar="PX")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    threads = torch.get_num_threads()
    print(f"{options.features}, {threads} threads, torch {torch.__version__}, {platform.machine()}")
    table = {}
    for size_px in options.size:
        table[size_px] = measure(options.features, options.weights, size_px, options.repeats)
        for stage, seconds in table[size_px].items():
            print(f"  {size_px:5d} px  {stage:18s} {seconds:8.3f} s")
    peak_gb = peak_memory_bytes() / 1e9
    print(f"  peak memory {peak_gb:.2f} GB")
    if options.json:
        figures = {"features": options.features, "threads": threads, "seconds": table}
        options.json.write_text(json.dumps(figures | {"peak_gb": peak_gb}, indent=1) + "\n")


if __name__ == "__main__":
    main()
