"""Time the stages of the main job on the bundled pictures: `python benchmarks/stages.py`.

Every figure is the median of several runs after one to warm up; the texture stage is given per step
at full size, since the number of steps is a setting. Peak memory is that of the whole process.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path

import torch
from measuring import median_s, peak_memory_bytes

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from geostyle import pipeline  # noqa: E402
from geostyle.images import load_picture  # noqa: E402
from geostyle.pipeline import TransferSettings  # noqa: E402
from geostyle.texture import TextureSettings  # noqa: E402

PICTURES = ROOT / "geostyle" / "assets" / "pictures"
STEPS = 6


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
    networks = pipeline.load_networks(settings)
    bent = pipeline.bend(content, geo_style, settings, networks)
    assert bent.parameters is not None
    found = bent.parameters
    return {
        "load": median_s(lambda: pipeline.load_networks(settings), repeats),
        "estimate and warp": median_s(
            lambda: pipeline.bend(content, geo_style, settings, networks), repeats
        ),
        "warp": median_s(lambda: pipeline.bend(content, None, settings, networks, found), repeats),
        "texture step": median_s(
            lambda: pipeline.paint(bent.image, [tex_style], settings, networks), repeats
        )
        / STEPS,
    }


def main() -> None:
    """Print a table, and write JSON where asked to."""
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
