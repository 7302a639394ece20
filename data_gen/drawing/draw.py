"""Redraw every picture that geostyle ships: `python data_gen/drawing/draw.py --output DIR`.

All pictures come from the code beside this file and from four photographs bundled with
scikit-image. Every drawing has a fixed seed: the same versions of NumPy and OpenCV give the same
pictures.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import cv2
import geometry_styles
import media_styles
import numpy as np
import scenes
import texture_styles
import textures
from brush import Array

PHOTOGRAPHS = ("coffee", "chelsea", "astronaut", "rocket")
SIZE_PX = {"content": 512, "geo": 512, "styles": 512, "textures": 256, "scenes": 384}  # long sides
QUALITY = 92

Draw = Callable[[int], Array]


def resize(picture: Array, size_px: int) -> Array:
    """The picture with a long side of `size_px` pixels."""
    height, width = picture.shape[:2]
    scale = size_px / max(height, width)
    size = (round(width * scale), round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.clip(cv2.resize(picture, size, interpolation=method), 0, 1)


def photograph(name: str, size_px: int) -> Array:
    """A photograph bundled with scikit-image, as RGB in [0, 1]."""
    from skimage import data

    return resize(getattr(data, name)().astype(np.float32) / 255, size_px)


def content(name: str, size_px: int) -> Array:
    """A photograph, never larger than its original."""
    from skimage import data

    return photograph(name, min(size_px, max(getattr(data, name)().shape)))


def painting(name: str, size_px: int) -> Array:
    """The geometry style made after the photograph `name`."""
    return getattr(geometry_styles, name)(photograph(name, size_px))


def catalog() -> dict[str, Callable[[], Array]]:
    """Every shipped picture: 'folder/name' to the function that makes it."""
    made: dict[str, Callable[[], Array]] = {}
    for name in PHOTOGRAPHS:
        made[f"content/{name}"] = partial(content, name, SIZE_PX["content"])
        made[f"geo/{name}"] = partial(painting, name, SIZE_PX["geo"])
    works: dict[str, tuple[Draw, ...]] = {
        "styles": (*texture_styles.STYLES, *media_styles.STYLES),
        "textures": textures.TEXTURES,
        "scenes": scenes.SCENES,
    }
    for folder, draws in works.items():
        for draw in draws:
            made[f"{folder}/{draw.__name__}"] = partial(draw, SIZE_PX[folder])
    return made


def encode(picture: Array) -> bytes:
    """JPEG bytes of a picture in [0, 1], full chroma so that thin colored strokes stay clean."""
    pixels = np.rint(np.clip(picture, 0, 1)[..., ::-1] * 255).astype(np.uint8)
    flags = [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    flags += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(".jpg", pixels, flags)[1].tobytes()


def gallery(pictures: Iterable[Array], columns: int = 7, tile_px: int = 170) -> Array:
    """All pictures on one wall."""
    frames = []
    for picture in pictures:
        frame = np.full((tile_px, tile_px, 3), 0.965, np.float32)
        small = resize(picture, tile_px - 10)
        top, left = ((tile_px - side) // 2 for side in small.shape[:2])
        frame[top : top + small.shape[0], left : left + small.shape[1]] = small
        frames.append(frame)
    frames += [np.full_like(frames[0], 0.965)] * (-len(frames) % columns)
    rows = [np.hstack(frames[i : i + columns]) for i in range(0, len(frames), columns)]
    return np.vstack(rows)


def bends() -> dict[str, object]:
    """True warp of every painting: offsets of the 4x4 control points, painting to photograph."""
    knots = geometry_styles.lattice()
    return {
        "frame": "[-1, 1]^2 of the painting to [-1, 1]^2 of the photograph; x right, y down",
        "family": "thin-plate spline through a 4x4 lattice over the painting, rows first",
        "offsets": {
            name: np.round(geometry_styles.BENDS[name](knots) - knots, 6).tolist()
            for name in PHOTOGRAPHS
        },
    }


def main() -> None:
    """Write DIR/{content,geo,styles,textures,scenes}/*.jpg and geo/bends.json."""
    parser = argparse.ArgumentParser(description="Redraw the pictures that geostyle ships.")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--only", nargs="+", metavar="FOLDER/NAME", help="draw these alone")
    parser.add_argument("--gallery", type=Path, metavar="FILE", help="all of them on one sheet")
    options = parser.parse_args()
    works = catalog()
    names = options.only or list(works)
    unknown = [name for name in names if name not in works]
    if unknown:
        parser.error(f"--only: expected names out of {', '.join(works)}; got {unknown[0]!r}")
    cv2.setNumThreads(1)
    drawn = []
    for name in names:
        picture = works[name]()
        drawn.append(picture)
        path = options.output / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(picture))
        print(f"{path}  {picture.shape[1]}x{picture.shape[0]}  {path.stat().st_size // 1000} kB")
    if any(name.startswith("geo/") for name in names):
        (options.output / "geo" / "bends.json").write_text(json.dumps(bends(), indent=1) + "\n")
    if options.gallery:
        options.gallery.write_bytes(encode(gallery(drawn)))


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(f"draw.py: error: {error}")
