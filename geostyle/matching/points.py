"""Correspondences given by hand: a file of points in both pictures, and the warp they ask for."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geostyle.coords import Size, base_grid, pixel_to_normalized
from geostyle.errors import InputError
from geostyle.matching.frames import Frame, square
from geostyle.matching.result import Found
from geostyle.matching.settings import GeometrySettings
from geostyle.warps import make_family

MAX_BYTES = 1 << 20
COLUMNS = ("content_x", "content_y", "geo_style_x", "geo_style_y")
STIFFNESS = 1e-5  # of the spline through the points alone
PULL = 0.02  # of all that holds the rest of the picture, against one point's weight of 1
MISSED = 0.05  # how far from a point the map may pass it, in half long sides


@dataclass(frozen=True)
class Correspondences:
    """The same parts in both pictures.

    content, geo_style: (N, 2) pixels (x, y), 0 at the center of the first; row i of one is row i of
    the other. Where there is no geometry style, `geo_style` is where in the content's own picture
    the part shall be.
    """

    content: Tensor
    geo_style: Tensor

    def __post_init__(self) -> None:
        for name in ("content", "geo_style"):
            points = torch.as_tensor(getattr(self, name), dtype=torch.float64)
            if points.ndim != 2 or points.shape[1] != 2 or not len(points):
                raise InputError(f"points: expected [x, y] pairs, got {tuple(points.shape)}")
            if not bool(points.isfinite().all()):
                raise InputError("points: expected finite numbers, got NaN or infinity")
            object.__setattr__(self, name, points)
        if len(self.content) != len(self.geo_style):
            raise InputError(
                "points: expected as many in both pictures, "
                f"got {len(self.content)} and {len(self.geo_style)}"
            )

    @classmethod
    def load(cls, path: str | Path) -> Correspondences:
        """Read a JSON file ``{"content": [[x, y], ...], "geo_style": [[x, y], ...]}``, or a CSV
        file with the columns content_x, content_y, geo_style_x and geo_style_y.

        Raises: InputError, one line, for anything else.
        """
        path = Path(path)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise InputError(f"expected a file of at most {MAX_BYTES} bytes")
            text = path.read_text("utf-8-sig")
            pairs = _read_csv(text) if path.suffix.lower() == ".csv" else _read_json(text)
            return cls(*pairs)
        except (OSError, ValueError, TypeError, RecursionError) as error:
            reason = " ".join(str(error).split()).removeprefix("points: ")
            raise InputError(f"points: file {str(path)!r}: {reason or 'unreadable'}") from None

    def within(self, frame: Frame, content: Size, geo_style: Size) -> Hand:
        """The points in the output frame and in the content, normalized.

        content, geo_style: sizes (H, W) of the pictures the points were read off.

        Raises: InputError where a point lies outside its picture.
        """
        for name, points, size in (
            ("content", self.content, content),
            ("geo_style", self.geo_style, geo_style),
        ):
            limit = points.new_tensor([size[1], size[0]])
            if bool(((points < -0.5) | (points > limit - 0.5)).any()):
                raise InputError(
                    f"points: expected {name} points within {size[1]}x{size[0]} pixels, "
                    f"got {points.amin(0).tolist()} to {points.amax(0).tolist()}"
                )
        outputs = pixel_to_normalized(self.geo_style, geo_style) * frame.to_output
        return Hand(outputs, pixel_to_normalized(self.content, content))


@dataclass(frozen=True)
class Hand:
    """Points (N, 2) of the output frame and the content points that belong there, normalized."""

    outputs: Tensor
    contents: Tensor

    def mirrored(self) -> Hand:
        """The same for the content seen in a mirror."""
        return Hand(self.outputs, self.contents * self.contents.new_tensor([-1.0, 1.0]))

    def errors(self, mapped: Tensor, size: Size) -> Tensor:
        """Distance (N,) of where the outputs are mapped to from their contents, half long sides."""
        return square(mapped - self.contents, size).norm(dim=1)


def through_points(
    hand: Hand, frame: Frame, settings: GeometrySettings, *, pinned: bool = False
) -> Found:
    """The warp through points given by hand, and nothing else.

    pinned: whether the rest of the picture stays where it is; else it follows the similarity
        (move, turn, zoom) nearest to the points.
    """
    family = make_family(settings.geometry, settings.lattice)
    spread = base_grid((8, 8), dtype=torch.float64).flatten(0, 1)
    rest = spread * frame.neutral
    if not pinned:
        rest = _similar(hand, frame, spread)
    weights = torch.cat(
        (torch.ones(len(hand.outputs)).double(), torch.full((len(spread),), PULL / len(spread)))
    )
    theta = family.fit(
        torch.cat((hand.outputs, spread)),
        torch.cat((hand.contents, rest)),
        weights,
        STIFFNESS,
    )
    errors = hand.errors(family.map(theta[None], hand.outputs[None])[0], frame.content_size)
    hit = (errors <= MISSED).double()
    return Found(family, theta, hand.outputs, hand.contents, hit, float(hit.mean()), settings)


def _similar(hand: Hand, frame: Frame, spread: Tensor) -> Tensor:
    """Where the spread points (M, 2) go under the similarity nearest to the points given.

    Source: Umeyama, "Least-squares estimation of transformation parameters between two point
    patterns", without mirroring; one point alone gives a shift.
    """
    # In content pixels, where shapes keep their proportions.
    half = torch.tensor([frame.content_size[1], frame.content_size[0]]).double() / 2
    unit = frame.neutral * half
    p, q = hand.outputs * unit, hand.contents * half
    p0, q0 = p.mean(0), q.mean(0)
    (px, py), (qx, qy) = (p - p0).T, (q - q0).T
    size = float((px.square() + py.square()).sum())
    a, b = 1.0, 0.0
    if size > 1e-6:
        a, b = float((px * qx + py * qy).sum()) / size, float((px * qy - py * qx).sum()) / size
    if math.hypot(a, b) < 0.05:  # points that fall together in the content say nothing of scale
        a, b = 1.0, 0.0
    turn = torch.tensor([[a, -b], [b, a]], dtype=torch.float64)
    return ((spread * unit - p0) @ turn.mT + q0) / half


def _read_json(text: str) -> tuple[Any, Any]:
    document = json.loads(text)
    if not isinstance(document, dict) or set(document) != {"content", "geo_style"}:
        raise InputError('expected the keys "content" and "geo_style", each a list of [x, y]')
    return _numbers(document["content"]), _numbers(document["geo_style"])


def _read_csv(text: str) -> tuple[Any, Any]:
    rows = list(csv.DictReader(text.splitlines()))
    if not rows or set(COLUMNS) - set(rows[0]):
        raise InputError(f"expected rows with the columns {', '.join(COLUMNS)}")
    values = [[float(row[name]) for name in COLUMNS] for row in rows]
    return [v[:2] for v in values], [v[2:] for v in values]


def _numbers(points: object) -> Sequence[Sequence[float]]:
    if not isinstance(points, list) or not all(isinstance(p, list) and len(p) == 2 for p in points):
        raise InputError("expected lists of [x, y]")
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for p in points for v in p):
        raise InputError("expected numbers")
    return points
