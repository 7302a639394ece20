"""Parameters of a warp (family, theta, frames), and their JSON file, which can be edited."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from geostyle.coords import Size, check_size
from geostyle.device import own_world
from geostyle.errors import InputError
from geostyle.io.files import write_text
from geostyle.warps.base import WarpFamily, check_keys
from geostyle.warps.families import make_family
from geostyle.warps.folds import fold_guard
from geostyle.warps.grid import check_theta, sampling_grid

FORMAT = "geostyle-warp-1"
MAX_BYTES = 1 << 20
MAX_SIDE_PX = 1 << 20
# Keys of the file, the types of their values, and these types in words.
KEYS: dict[str, tuple[Any, str]] = {
    "format": (str, "text"),
    "family": (str, "the name of a family"),
    "lattice": (int, "an integer"),
    "output_size": (list, "[height, width] in pixels"),
    "content_size": (list, "[height, width] in pixels"),
    "mirrored": (bool, "true or false"),
    "confidence": (int | float | None, "a number or null"),
    "meta": (dict, "a mapping"),
    "theta": (dict, "a mapping"),
}


@dataclass(frozen=True)
class WarpParameters:
    """One warp, output frame → content frame, valid at any size.

    Theta maps normalized points (x, y), [-1, 1]² in both frames, half-pixel centers.

    Attributes:
        family: a name that `make_family` knows.
        lattice: k of the splines' k×k control points.
        theta: (P,), offsets from the identity; stored as float32 on the CPU.
        output_size, content_size: (H, W) in pixels of the pictures whose frames theta relates.
        confidence: in [0, 1], or None where nothing was estimated.
        meta: JSON types.
        mirrored: whether the content is mirrored left for right before it is warped; theta itself
            never mirrors.

    Raises: InputError where these do not fit together.
    """

    family: str
    lattice: int
    theta: Tensor
    output_size: Size
    content_size: Size
    confidence: float | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    mirrored: bool = False

    def __post_init__(self) -> None:
        theta = self.theta.detach().to("cpu", torch.float32)
        if theta.ndim != 1:
            raise InputError(f"theta: expected one dimension, got {tuple(theta.shape)}")
        check_theta(self.warp_family, theta[None])
        object.__setattr__(self, "theta", theta)
        for name in ("output_size", "content_size"):
            size = check_size(getattr(self, name), name)
            if max(size) > MAX_SIDE_PX:
                raise InputError(f"{name}: expected sides up to {MAX_SIDE_PX} pixels, got {size}")
            object.__setattr__(self, name, size)
        if self.confidence is not None and not 0 <= self.confidence <= 1:
            raise InputError(f"confidence: expected a number in [0, 1], got {self.confidence}")

    @property
    def warp_family(self) -> WarpFamily:
        """The family itself."""
        return make_family(self.family, self.lattice)

    @own_world
    def grid(self, size: Size | None = None, strength: float = 1.0) -> Tensor:
        """The sampling grid (1, H, W, 2) at `size` (H, W), by default the output's; never folds."""
        size = self.output_size if size is None else check_size(size)
        family = self.warp_family
        theta = fold_guard(family, family.scale(self.theta[None], strength), size)
        return sampling_grid(family, theta, size)

    def save(self, path: str | Path) -> None:
        """Write JSON, whole or not at all; reading it back gives the same theta bit for bit."""
        document = {"format": FORMAT} | {key: getattr(self, key) for key in list(KEYS)[1:]}
        document["theta"] = self.warp_family.describe(self.theta)
        write_text(path, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    @classmethod
    @own_world
    def load(cls, path: str | os.PathLike[str]) -> WarpParameters:
        """Read a file that `save` wrote, perhaps edited by hand.

        Raises: InputError, one line, for any other file.
        """
        path = Path(os.fsdecode(path))
        try:
            if not path.is_file():
                raise InputError(f"expected a file, got {'a folder' if path.is_dir() else 'none'}")
            if path.stat().st_size > MAX_BYTES:
                raise InputError(f"expected a file of at most {MAX_BYTES} bytes")
            text = path.read_text("utf-8-sig")
            document = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
            return cls._from(document)
        except (OSError, ValueError, RecursionError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"theta file {str(path)!r}: {reason}") from None

    @classmethod
    def _from(cls, document: Mapping[str, Any]) -> WarpParameters:
        if isinstance(document, Mapping):
            document = {"mirrored": False, **document}  # missing in files of earlier versions
        check_keys(document, set(KEYS), "file")
        values = dict(document)
        for key, (kind, words) in KEYS.items():
            value = values[key]
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                raise InputError(f"{key}: expected {words}, got {value!r:.40}")
        if values.pop("format") != FORMAT:
            raise InputError(f"format: expected {FORMAT!r}, got {document['format']!r:.40}")
        for key in ("output_size", "content_size"):
            if not all(type(side) is int for side in values[key]):
                raise InputError(f"{key}: expected integers, got {values[key]!r:.40}")
        family = make_family(values["family"], values["lattice"])
        return cls(**values | {"theta": torch.tensor(family.parse(values["theta"]))})


@dataclass(frozen=True)
class WarpResult:
    """A warped picture.

    Attributes:
        theta: (B, P) as applied.
        grid: (B, H, W, 2), normalized content points (x, y).
        image: (B, C, H, W).
        inside_mask: (B, H, W), True where the grid lies inside the content.
    """

    theta: Tensor
    grid: Tensor
    image: Tensor
    inside_mask: Tensor


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(keys := {key for key, _ in pairs}) < len(pairs):
        raise InputError(f"file: expected every key once, got one of {sorted(keys)} twice")
    return dict(pairs)


def _refuse_constant(name: str) -> NoReturn:
    raise InputError(f"file: expected finite numbers, got {name}")
