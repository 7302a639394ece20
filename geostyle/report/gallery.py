"""Galleries of warps to look at: content, geometry style, the lattice, the warped content."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from geostyle import pipeline
from geostyle.coords import resize, size_of
from geostyle.errors import InputError
from geostyle.io.images import fit_size, list_pictures, load_picture, to_uint8
from geostyle.pipeline import Networks, TransferSettings
from geostyle.report.plots import control_points_of, draw_grid
from geostyle.report.sheet import Panel
from geostyle.warps import WarpParameters

COLUMNS = ("content", "geo_style")


@dataclass(frozen=True)
class PicturePair:
    """A content and the picture whose geometry it shall take on."""

    content: Path
    geo_style: Path


@dataclass(frozen=True)
class Shown:
    """One row of a gallery: its panels, and the warp it shows."""

    pair: PicturePair
    panels: list[Panel]
    parameters: WarpParameters

    def record(self) -> dict[str, Any]:
        """What there is to say of it, in JSON types."""
        return {
            "content": str(self.pair.content),
            "geo_style": str(self.pair.geo_style),
            "confidence": self.parameters.confidence,
            "mirrored": self.parameters.mirrored,
            "message": self.parameters.meta.get("message", ""),
        }


def read_pairs(path: Path) -> list[PicturePair]:
    """The pairs of a CSV file with the columns content and geo_style, paths from its own folder.

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

    limit: of that many pairs, spread evenly over a random order; 0: all.

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
    pairs: Sequence[PicturePair],
    settings: TransferSettings,
    networks: Networks,
    on_pair: Callable[[], object] = lambda: None,
) -> Iterator[Shown]:
    """Estimate and apply each pair's warp at `settings.size_px`, without painting."""
    for pair in pairs:
        content = load_picture(pair.content, name="content").tensor
        geo_style = load_picture(pair.geo_style, name="geo_style").tensor
        bent = pipeline.bend(content, geo_style, settings, networks, painted=False)
        size_px = settings.size_px or max(content.shape[-2:])
        small, style = (
            to_uint8(resize(p, fit_size(size_of(p), size_px))) for p in (content, geo_style)
        )
        parameters = bent.parameters or WarpParameters(
            "none", 4, bent.image.new_zeros(0), size_of(content), size_of(content)
        )
        drawn = small
        if bent.warp is not None:
            read = small[:, ::-1].copy() if parameters.mirrored else small
            drawn = draw_grid(read, bent.warp.grid[0].numpy(), control_points_of(parameters))
        sure = parameters.confidence
        yield Shown(
            pair,
            [
                Panel("content", small, pair.content.stem),
                Panel("geometry style", style, pair.geo_style.stem),
                Panel("lattice", drawn, "" if sure is None else f"confidence {sure:.2f}"),
                Panel("warped", to_uint8(bent.image), _held(parameters)),
            ],
            replace(parameters, meta=dict(parameters.meta)),
        )
        on_pair()


def _held(parameters: WarpParameters) -> str:
    """What was held back, short enough for a caption."""
    return str(parameters.meta.get("message", "")).partition(": ")[2]
