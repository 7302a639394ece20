"""Galleries of warps to look at: content, geometry style, the lattice, the warped content."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from geostyle.coords import resize
from geostyle.errors import InputError
from geostyle.io.images import check_shape_kept, fit_size, list_pictures, load_picture, to_uint8
from geostyle.pipeline import Pipeline
from geostyle.report.plots import control_points_of, draw_grid
from geostyle.report.sheet import Panel
from geostyle.warps import WarpParameters

COLUMNS = ("content", "geo_style")


@dataclass(frozen=True)
class PicturePair:
    """A content and the picture whose geometry it takes on."""

    content: Path
    geo_style: Path


@dataclass(frozen=True)
class Shown:
    """One row of a gallery: its panels, and the warp it shows."""

    pair: PicturePair
    panels: list[Panel]
    parameters: WarpParameters

    def record(self) -> dict[str, Any]:
        """The row's entry in pairs.json."""
        return {
            "content": str(self.pair.content),
            "geo_style": str(self.pair.geo_style),
            "confidence": self.parameters.confidence,
            "mirrored": self.parameters.mirrored,
            "message": self.parameters.meta.get("message", ""),
        }


def read_pairs(path: Path) -> list[PicturePair]:
    """The pairs of a CSV file with the columns content and geo_style, paths relative to its folder.

    Raises: InputError where it is no such file, or names no pair.
    """
    try:
        rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"list: expected a CSV file, got {str(path)!r} ({error})") from error
    if not rows or not all(row.get(name) for row in rows for name in COLUMNS):
        raise InputError(f"list: expected rows with the columns content and geo_style in {path}")
    return [PicturePair(*(path.parent / row[name] for name in COLUMNS)) for row in rows]


def cross_pairs(content: Path, geo_style: Path, limit: int, seed: int = 0) -> list[PicturePair]:
    """Every picture of one folder with every one of another; a file stands for itself.

    Args: limit, the number of pairs, drawn at random from all combinations; 0: all.

    Raises: InputError where a folder holds no picture.
    """

    def pictures(path: Path, name: str) -> list[Path]:
        return list_pictures(path, name=name) if path.is_dir() else [path]

    every = itertools.product(pictures(content, "content"), pictures(geo_style, "geo_style"))
    pairs = [PicturePair(a, b) for a, b in every if a != b]
    if not pairs:
        raise InputError("content, geo_style: expected two different pictures, got one")
    if not limit or limit >= len(pairs):
        return pairs
    order = np.random.default_rng(seed).permutation(len(pairs))[:limit]
    return [pairs[i] for i in sorted(order)]


def show(
    pairs: Sequence[PicturePair], pipe: Pipeline, on_pair: Callable[[], object] = lambda: None
) -> Iterator[Shown]:
    """Estimate and apply each pair's warp with `pipe`, without painting."""
    for pair in pairs:
        content = load_picture(pair.content, name="content")
        geo_style = load_picture(pair.geo_style, name="geo_style")
        warped = pipe(content, geo_style=geo_style).geometry
        size_px = pipe.settings.size_px or max(content.size)
        check_shape_kept(geo_style.size, size_px)
        small, style = (
            to_uint8(resize(p.tensor, fit_size(p.size, size_px))) for p in (content, geo_style)
        )
        theta, drawn = warped.parameters, small
        if theta is None:
            theta = WarpParameters("none", 4, torch.zeros(0), content.size, content.size)
        if warped.grid is not None:
            read = small[:, ::-1].copy() if theta.mirrored else small
            drawn = draw_grid(read, warped.grid[0].numpy(), control_points_of(theta))
        note = "" if theta.confidence is None else f"confidence {theta.confidence:.2f}"
        # A message such as "weakened: …", short enough for a caption.
        message = str(theta.meta.get("message", "")).partition(": ")[2]
        panels = [
            Panel("content", small, pair.content.stem),
            Panel("geometry style", style, pair.geo_style.stem),
            Panel("lattice", drawn, note),
            Panel("warped", to_uint8(warped.tensor), message),
        ]
        yield Shown(pair, panels, theta)
        on_pair()
