"""Make the pictures of the gallery, each by its command in gallery.yaml: `make gallery`.

Started again, it makes what is missing or whose command or size changed. Every result is made from
bundled pictures alone.
"""

from __future__ import annotations

import argparse
import hashlib
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from geostyle import as_tensor, cli, config, load_picture, save_picture
from geostyle.cli.pictures import PICTURES
from geostyle.io.files import read_json, write_json

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).with_suffix(".yaml")
OUTPUT = ROOT / "docs" / "gallery"
MADE = "made.json"  # by name, a hash of what the picture was made by


def main(argv: Sequence[str] | None = None) -> int:
    """Make the pictures; 0 when all are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", metavar="NAME", help="names; default: all")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--size", help="another --size for every command, for a test")
    args = parser.parse_args(argv)
    entries = config.read_yaml(TABLE)
    unknown = set(args.only or ()) - set(entries)
    if unknown:
        parser.error(f"only: expected names of {TABLE.name}, got {', '.join(sorted(unknown))}")
    args.output.mkdir(parents=True, exist_ok=True)
    file = args.output / MADE
    made = read_json(file) if file.is_file() else {}
    chosen = [name for name in entries if not args.only or name in args.only]
    for number, name in enumerate(chosen, 1):
        words = words_of(entries[name]["command"], args.size)
        target = args.output / f"{name}.jpg"
        key = hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]
        if made.get(name) == key and target.is_file():
            continue
        started = time.monotonic()
        print(f"[{number}/{len(chosen)}] {name}: {shlex.join(words)}", flush=True)
        if status := make(words, target):
            return status
        made[name] = key
        write_json(file, made)
        print(f"{target}: {time.monotonic() - started:.0f} s", flush=True)
    print(f"gallery: {len(chosen)} pictures in {args.output}")
    return 0


def words_of(command: str, size: str | None) -> list[str]:
    """The words of a command after `geostyle`, at another size where one is given."""
    words = shlex.split(command)[1:]
    if size is None:
        return words
    if "--size" in words:
        words[words.index("--size") + 1] = size
        return words
    return [*words, "--size", size]


def make(words: Sequence[str], target: Path) -> int:
    """Run a command in a temporary folder and keep its picture as a JPEG; its exit status."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw_masks(folder / "masks")
        own = {"pictures/": f"{PICTURES}/", "masks/": f"{folder / 'masks'}/"}
        placed = [next((w.replace(k, v) for k, v in own.items() if k in w), w) for w in words]
        if words[0] == "fast-apply":
            placed[3] = str(folder / words[3])
        else:
            placed += ["--output", str(folder / "runs")]
        status = cli.run(placed[0], placed[1:])
        if status:
            return status
        found = [*folder.glob("*.png"), *folder.glob("runs/*/result.png")]
        found += folder.glob("runs/*/sample-*.png")
        if not found:  # a run of the warp alone
            found = list(folder.glob("runs/*/warped.png"))
        save_picture(load_picture(found[0]).tensor, target, quality=88)
    return 0


def draw_masks(folder: Path) -> None:
    """Draw the mask that a command names, of the cat's shape: `left.png`."""
    height, width = load_picture(PICTURES / "content" / "chelsea.jpg").size
    left = np.clip(0.5 - np.linspace(-1, 1, width, dtype=np.float32) / 0.2, 0, 1)
    mask = torch.from_numpy(left).expand(1, 3, height, width)
    save_picture(as_tensor(mask), folder / "left.png")


if __name__ == "__main__":
    sys.exit(main())
