"""Guidance of a match by the user: masks of the subject, and corresponding points."""

from __future__ import annotations

import csv
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geostyle.coords import Size, check_shape, pixel_to_normalized
from geostyle.errors import InputError, brief
from geostyle.io.files import path_of, unique_keys
from geostyle.matching.frame import Frame, square_units

_log = logging.getLogger(__name__)
LEAST_SUBJECT = 0.002  # mean of a mask below which it shows no subject
MAX_BYTES = 1 << 20
COLUMNS = ("content_x", "content_y", "geo_style_x", "geo_style_y")


@dataclass(frozen=True)
class PointPairs:
    """Output points (N, 2) and the content points (N, 2) they shall show, both normalized."""

    outputs: Tensor
    contents: Tensor

    def mirrored(self) -> PointPairs:
        """Return the same points for the content mirrored left for right."""
        return PointPairs(self.outputs, self.contents * self.contents.new_tensor([-1.0, 1.0]))

    def errors(self, mapped: Tensor, size: Size) -> Tensor:
        """Return the distances (N,) of the mapped outputs from the contents, in half long sides.

        Args:
            mapped: (N, 2), the outputs mapped by a warp.
            size: (H, W) of the content.
        """
        return square_units(mapped - self.contents, size).norm(dim=1)


@dataclass(frozen=True, eq=False)
class Correspondences:
    """Positions of the same parts in both pictures.

    Attributes:
        content, geo_style: (N, 2) pixels (x, y), 0 at the center of the first; row i of one belongs
            to row i of the other. Without a geometry style, `geo_style` is the wanted position in
            the content's own picture.

    Raises: InputError for other shapes or values that are not finite.
    """

    content: Tensor
    geo_style: Tensor

    def __post_init__(self) -> None:
        for name in ("content", "geo_style"):
            given = getattr(self, name)
            try:
                if not isinstance(given, Tensor):
                    table = np.asarray(given)  # tables of other libraries, too
                    if any(isinstance(value, str | bytes) for value in table.flat):
                        raise TypeError("texts are no numbers")
                    given = table.astype(np.float64)
                points = torch.as_tensor(given, dtype=torch.float64).detach()
            except (TypeError, ValueError, RuntimeError):
                raise InputError(
                    f"points: expected [x, y] pairs for {name}, got {brief(given)}"
                ) from None
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
        for name, other in (("geo_style", "content"), ("content", "geo_style")):
            seen: dict[tuple[float, ...], list[float]] = {}
            pairs = zip(getattr(self, name).tolist(), getattr(self, other).tolist(), strict=True)
            for point, partner in pairs:
                if seen.setdefault(tuple(point), partner) != partner:
                    raise InputError(
                        f"points: expected one partner for each point, got {seen[tuple(point)]} "
                        f"and {partner} in {other} for {point} in {name}"
                    )

        both = torch.cat([self.content, self.geo_style]).abs()
        if len(self.content) > 1 and bool((both <= 1).all()):
            _log.warning("points: all are within 1 px; expected pixels, not shares of the picture")

    @classmethod
    def of(cls, points: Any) -> Correspondences | None:
        """Return points given as an object, a file, or the mapping that such a file holds; or None.

        Raises: InputError for anything else.
        """
        if points is None or isinstance(points, cls):
            return points
        if isinstance(points, str | os.PathLike):
            return cls.load(points)
        if not isinstance(points, Mapping) or set(points) != {"content", "geo_style"}:
            got = f"the keys {list(points)}" if isinstance(points, Mapping) else brief(points)
            raise InputError(
                "points: expected a file or {'content': [[x, y], …], 'geo_style': [[x, y], …]}, "
                f"got {got}"
            )
        return cls(points["content"], points["geo_style"])

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Correspondences:
        """Read a JSON file ``{"content": [[x, y], ...], "geo_style": [[x, y], ...]}``, or a CSV
        file with the columns content_x, content_y, geo_style_x and geo_style_y.

        Raises: InputError, one line, for anything else.
        """
        path = path_of(path, "points")
        try:
            if path.is_dir():
                raise InputError("expected a file, got a folder")
            if path.stat().st_size > MAX_BYTES:
                raise InputError(f"expected a file of at most {MAX_BYTES} bytes")
            text = path.read_text("utf-8-sig")
            return cls(*(_read_csv if path.suffix.lower() == ".csv" else _read_json)(text))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            reason = " ".join(str(error).split()).removeprefix("points: ")
            raise InputError(f"points: file {str(path)!r}: {reason or 'unreadable'}") from None

    def within(self, frame: Frame, content: Size, geo_style: Size) -> PointPairs:
        """Return the points in the output frame and in the content, normalized.

        Args:
            frame: placement of the geometry style in the output.
            content, geo_style: sizes (H, W) of the pictures that the pixels refer to.

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
        return PointPairs(outputs, pixel_to_normalized(self.content, content))


@dataclass(frozen=True)
class Guide:
    """Masks (1, 1, h, w) in [0, 1], 1 on the subject to match, and correspondences; or None."""

    content_mask: Tensor | None = None
    geo_mask: Tensor | None = None
    points: Correspondences | None = None

    def check(self, content: Size, geo_style: Size) -> None:
        """Check the masks against pictures of sizes (H, W).

        Raises: InputError naming the mask that has another shape or shows no subject.
        """
        masks = (
            ("content_mask", self.content_mask, content),
            ("geo_mask", self.geo_mask, geo_style),
        )
        for name, mask, size in masks:
            if mask is not None:
                check_shape(mask, size, name)
                if float(mask.mean()) < LEAST_SUBJECT:
                    raise InputError(f"{name}: expected some white, on the subject, got black")


def _read_json(text: str) -> tuple[Any, Any]:
    document = json.loads(text, object_pairs_hook=unique_keys)
    if not isinstance(document, dict) or set(document) != {"content", "geo_style"}:
        raise InputError('expected the keys "content" and "geo_style", each a list of [x, y]')
    return document["content"], document["geo_style"]


def _read_csv(text: str) -> tuple[Any, Any]:
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    rows = list(csv.DictReader(text.splitlines(), delimiter=separator, skipinitialspace=True))
    rows = [{str(key).strip(): value for key, value in row.items()} for row in rows]
    if not rows or set(COLUMNS) - set(rows[0]):
        raise InputError(f"expected rows with the columns {', '.join(COLUMNS)}")
    # Where columns are set apart by semicolons, numbers may have decimal commas.
    point = str.maketrans(",", ".") if separator == ";" else {}
    values = [[float((row[name] or "").translate(point)) for name in COLUMNS] for row in rows]
    return [v[:2] for v in values], [v[2:] for v in values]
