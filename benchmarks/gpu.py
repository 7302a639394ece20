"""Every figure of a GPU, in one run: `python benchmarks/gpu.py --json FILE`.

Whole jobs on the bundled pictures, from tensors to the result's tensor: estimation, warp, painting
by both painters at several sizes, the fast styles, and a training step of distillation where
`--weights` names VGG-19's. Each is the median of `--repeats` runs after one to warm up, with the
largest memory that torch held. Cheap ones come first; what `--limit` leaves no time for is told.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from geostyle.feedforward.files import FAST, find_network, load_network  # noqa: E402
from geostyle.io.images import load_picture  # noqa: E402
from geostyle.pipeline import Pipeline  # noqa: E402

PICTURES = ROOT / "geostyle" / "assets" / "pictures"
NAMES = ("content/coffee.jpg", "geo/coffee.jpg", "styles/night.jpg")


def jobs(device: str, weights: Path | None) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the name of each job and a function that runs it once."""
    content, geo_style, tex_style = (load_picture(PICTURES / name).tensor for name in NAMES)

    def pipeline(features: str, size_px: int, painter: str = "matched") -> Pipeline:
        own = weights if features == "vgg19" else None
        return Pipeline(
            features=features, weights=own, size_px=size_px, device=device, painter=painter
        )

    pipe = pipeline("lite", 512)
    yield "estimate and warp, lite, 512 px", lambda: pipe.warp(content, geo_style)
    network, _ = load_network(find_network("night", FAST), FAST)
    network.to(device)
    picture = torch.nn.functional.interpolate(content, (512, 512), mode="bilinear").to(device)
    yield "fast style, 512 px", torch.inference_mode()(lambda: network(picture))
    networks = ("lite",) if weights is None else ("lite", "vgg19")
    for size_px in (512, 1024, 2048):
        for features in networks:
            for painter in ("matched", "gram"):
                one = pipeline(features, size_px, painter)
                job = partial(one, content, geo_style=geo_style, tex_style=tex_style)
                yield f"whole job, {painter}, {features}, {size_px} px", job


def measure(run: Callable[[], object], repeats: int, device: torch.device) -> dict[str, float]:
    """Return the median seconds of a job, the spread of its runs, and its peak memory in GB."""
    cuda = device.type == "cuda"
    times = []
    for repeat in range(repeats + 1):
        if cuda:
            torch.cuda.reset_peak_memory_stats(device)
            torch.cuda.synchronize(device)
        started = time.perf_counter()
        run()
        if cuda:
            torch.cuda.synchronize(device)
        if repeat:
            times.append(time.perf_counter() - started)
    peak = torch.cuda.max_memory_allocated(device) / 1e9 if cuda else 0.0
    return {
        "seconds": statistics.median(times),
        "fastest": min(times),
        "slowest": max(times),
        "peak_gb": peak,
    }


def main() -> int:
    """Print a line for each job, and write JSON if requested."""
    parser = argparse.ArgumentParser(description="Measure the jobs of the documents on a GPU.")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--weights", type=Path, help="file of VGG-19's weights; default: lite only")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=480.0, help="seconds for all (480)")
    parser.add_argument("--only", default="", help="jobs whose names hold this text")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("device: expected a GPU, got none; --device cpu tries the script itself")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}", flush=True)
    began, found, left = time.perf_counter(), {}, []
    for job, run in jobs(options.device, options.weights):
        if options.only not in job:
            continue
        if time.perf_counter() - began > options.limit:
            left.append(job)
            continue
        found[job] = measure(run, options.repeats, device)
        print(
            f"{job:44s} {found[job]['seconds']:8.3f} s {found[job]['peak_gb']:6.2f} GB", flush=True
        )
        if options.json:
            rows = [{"name": job, **values} for job, values in found.items()]
            options.json.write_text(json.dumps({"gpu": name, "jobs": rows}, indent=1) + "\n")
    if left:
        print(f"limit: not measured for want of time: {'; '.join(left)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
