"""Measure the cost of pairs for the geometry network: processor seconds and bytes.

    python benchmarks/pairs.py --images DIR --styles DIR --weights VGG19 [--count 12] [--json FILE]

Run it with OMP_NUM_THREADS=1. The pairs are repainted under `lite`; correlations are of VGG-19 with
--weights, and of `lite` without.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from time import process_time
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from geostyle.data.generate import Generator  # noqa: E402
from geostyle.data.make_settings import MakeSettings  # noqa: E402
from geostyle.data.manifest import MANIFEST, record_path  # noqa: E402
from geostyle.training.geometry import GeometryLearner, TrainSettings  # noqa: E402

MILLION, HOUR_S = 1e6, 3600.0
STEPS = 6


def make(settings: MakeSettings) -> tuple[float, dict[str, float]]:
    """Make a set: seconds of each pair, and its bytes."""
    generator = Generator(settings)
    folder = generator.claim()
    generator.open()
    taken = []
    for unit in generator.missing():
        started = process_time()
        generator.make(unit)
        taken.append(process_time() - started)
    pairs = generator.finish()
    folder.close()
    pictures = sum(path.stat().st_size for path in settings.output.rglob("*.jpg")
                   if path.parent != settings.output)  # fmt: skip
    records = sum(
        record_path(settings.output, pair.split, pair.index).stat().st_size for pair in pairs
    )
    sizes = {"pictures": pictures, "record": records,
             "line of the manifest": (settings.output / MANIFEST).stat().st_size}  # fmt: skip
    return statistics.median(taken), {name: size / len(pairs) for name, size in sizes.items()}


def train(settings: TrainSettings) -> tuple[float, float, float]:
    """Seconds and bytes of a pair's correlations, and seconds of a step."""
    learner = GeometryLearner(settings)
    pairs = len(learner.train_set) + len(learner.val_set)
    started = process_time()
    learner.prepare()
    seconds = (process_time() - started) / pairs
    size = sum(path.stat().st_size for path in settings.data.rglob("*.npy")) / pairs
    steps = []
    for _ in range(STEPS):
        started = process_time()
        learner.train_step()
        steps.append(process_time() - started)
    return seconds, size, statistics.median(steps[1:])


def main() -> None:
    """Measure, print, and write JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="photographs; default: bundled ones")
    parser.add_argument("--styles", type=Path, help="paintings; default: bundled ones")
    parser.add_argument("--weights", type=Path, help="file of VGG-19; without it lite correlates")
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "pairs"
        repaint_s, sizes = make(
            MakeSettings(
                output=data, images=args.images, styles=args.styles, count=args.count,
                val_count=3, workers=1, device="cpu",
            )
        )  # fmt: skip
        features = "vgg19" if args.weights else "lite"
        settings = TrainSettings(
            data=data, features=features, weights=args.weights, device="cpu", warmup=1
        )
        correlate_s, sizes["correlations"], step_s = train(settings)
    figures: dict[str, Any] = {
        "features": features,
        "batch": settings.batch,
        "repaint_s": repaint_s,
        "correlate_s": correlate_s,
        "step_s": step_s,
        "bytes": sizes,
        "million": {
            "repaint_h": repaint_s * MILLION / HOUR_S,
            "correlate_h": correlate_s * MILLION / HOUR_S,
            "epoch_h": step_s / settings.batch * MILLION / HOUR_S,
            "gb": {name: size * MILLION / 1e9 for name, size in sizes.items()},
        },
    }
    print(json.dumps(figures, indent=1))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
