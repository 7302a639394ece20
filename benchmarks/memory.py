"""Peak memory of a transfer, measured and as estimated beforehand.

    python benchmarks/memory.py --weights vgg19.safetensors [--size 256 512 1024] [--json FILE]

Every row is measured in a process of its own that takes a few steps at one size.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from pathlib import Path

import torch
from measuring import peak_memory_bytes

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from geostyle.features.extractor import load_features  # noqa: E402
from geostyle.texture import PAINTERS, MatchedSettings, PaintOptions, TextureSettings  # noqa: E402
from geostyle.texture.memory import peak_bytes, resident_bytes, vectors_held  # noqa: E402
from geostyle.texture.tiles import Tiling  # noqa: E402


def measure(args: argparse.Namespace) -> dict[str, object]:
    """Measure one row in this process."""
    painter, features, dtype, side, tile_px, blocks = json.loads(args.row)
    weights = args.weights if features == "vgg19" else None
    network = load_features(features, weights=weights, dtype=getattr(torch, dtype))
    settings = TextureSettings(
        iterations=(args.steps,) * args.levels, tile_px=tile_px or side, tile_blocks=blocks
    )
    options = PaintOptions(matched=MatchedSettings(split=args.steps))
    size = (side, side)
    pictures = [torch.rand(1, 3, *size) for _ in range(2)]
    before = resident_bytes()
    tiling = Tiling(tile_px, blocks) if tile_px else None
    painting = PAINTERS[painter](*pictures, network, settings, options)  # type: ignore[arg-type, call-arg]
    estimate = before + peak_bytes(network, size, tiling, vectors=vectors_held(settings))
    estimate += painting._more_bytes(network, size)
    painting.run()
    peak = peak_memory_bytes()
    return {
        "painter": painter,
        "features": features,
        "precision": dtype,
        "size_px": side,
        "tile_px": tile_px,
        "blocks": blocks,
        "peak_gb": peak / 1e9,
        "estimate_gb": estimate / 1e9,
        "error": estimate / peak - 1,
    }


def main() -> None:
    """Print one line per row, and write JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, help="VGG-19 weights file; without it only lite")
    parser.add_argument("--painter", nargs="+", choices=sorted(PAINTERS), default=sorted(PAINTERS))
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"], metavar="NAME")
    parser.add_argument("--levels", type=int, default=1, help="sizes, each half of the next")
    parser.add_argument("--size", type=int, nargs="+", default=[256, 512, 1024], metavar="PX")
    parser.add_argument("--tiles", nargs="+", default=["0:2", "256:2"], metavar="PX:BLOCKS")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.row:
        print(json.dumps(measure(args)))
        return
    names = ["lite", "vgg19"] if args.weights else ["lite"]
    tiles = [tuple(map(int, text.split(":"))) for text in args.tiles]
    rows = []
    for painter, name, dtype, side, (tile_px, blocks) in itertools.product(
        args.painter, names, args.precision, args.size, tiles
    ):
        command = [sys.executable, __file__, "--steps", str(args.steps)]
        command += ["--levels", str(args.levels)]
        command += ["--row", json.dumps([painter, name, dtype, side, tile_px, blocks])]
        command += ["--weights", str(args.weights)] if args.weights else []
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        row = json.loads(done.stdout.splitlines()[-1])
        rows.append(row)
        print(
            f"{painter:7s} {name:6s} {dtype:9s} {side:5d} px, "
            f"tiles {tile_px:4d} px of {blocks} blocks: "
            f"{row['peak_gb']:.2f} GB, estimated {row['estimate_gb']:.2f} ({row['error']:+.0%})",
            flush=True,
        )
        worst = max(abs(row["error"]) for row in rows)
        if args.json:
            figures = {"rows": rows, "worst": worst}
            args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(f"estimates within {worst:.0%} of the measured peaks")


if __name__ == "__main__":
    main()
