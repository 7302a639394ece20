"""Matched painting beside the Gram painter: scores under VGG-19, and processor time.

    python benchmarks/painting.py --photos DIR --art DIR --weights VGG19 --work DIR [--json FILE]

Photographs and paintings are those that no training of the project reads. Pictures are kept in the
folder of --work: the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import geostyle  # noqa: E402
from geostyle.evaluation import painting  # noqa: E402
from geostyle.evaluation.features import held_out_pairs  # noqa: E402
from geostyle.features.extractor import load_features  # noqa: E402
from geostyle.io.files import write_json  # noqa: E402
from geostyle.io.images import load_picture  # noqa: E402

PAINTERS = ("matched", "gram")


def paint_all(
    pairs: list[tuple[Path, Path]], painter: str, args: argparse.Namespace
) -> dict[str, Any]:
    """Paint all pairs: by name of the picture, its painting for the scorer and its CPU seconds."""
    pipe = geostyle.Pipeline(painter=painter, size_px=args.size, features=args.features)
    made = {}
    for number, (content, style) in enumerate(tqdm(pairs, desc=painter, file=sys.stderr)):
        result, timing = (args.work / f"{number:02d}-{painter}{end}" for end in (".png", ".json"))
        if not result.is_file():
            started = time.process_time()
            pipe(content, tex_style=style).save(result)
            write_json(timing, {"cpu_s": time.process_time() - started})
        seconds = json.loads(timing.read_text())["cpu_s"] if timing.is_file() else None
        made[f"{content.stem} x {style.stem}"] = (content, style, result, seconds)
    return made


def main() -> None:
    """Paint, score, print medians over pairs, and write JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("photos", "art", "weights", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--features", default="lite")
    parser.add_argument("--size", type=int, default=512, metavar="PX")
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    pairs = held_out_pairs(args.photos, args.art, args.count)
    made = {painter: paint_all(pairs, painter, args) for painter in PAINTERS}
    judge = load_features("vgg19", weights=args.weights)
    scores = {}
    for painter in PAINTERS:
        loaded = (
            painting.Painting(name, *(load_picture(path).tensor for path in row[:3]))
            for name, row in made[painter].items()
        )
        scores[painter] = painting.score_all(loaded, judge)
    times = [
        made["matched"][name][3] / made["gram"][name][3]
        for name in made["gram"]
        if made["matched"][name][3] and made["gram"][name][3]
    ]
    figures = {
        "size_px": args.size,
        "features": args.features,
        "pairs": len(pairs),
        "scores": {p: {k: asdict(v) for k, v in found.items()} for p, found in scores.items()},
        "ratio": painting.ratios(scores["matched"], scores["gram"]),
        "cpu_ratio": {
            "median": statistics.median(times), "least": min(times), "most": max(times),
            "pairs": len(times),
        } if times else None,
    }  # fmt: skip
    print(painting.table(scores["matched"], figures["ratio"]))
    if times:
        print(f"processor time: {statistics.median(times):.2f} x ({min(times):.2f} to "
              f"{max(times):.2f}, {len(times)} pairs)")  # fmt: skip
    if args.json:
        write_json(args.json, figures)


if __name__ == "__main__":
    main()
