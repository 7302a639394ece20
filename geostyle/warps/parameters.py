"""Parameters of a warp (family, theta, frames), and their JSON file, which can be edited."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn

import torch
from torch import Tensor

from geostyle.config import check, setting
from geostyle.coords import Size, check_size
from geostyle.device import own_world
from geostyle.errors import InputError, brief, is_number, one_line
from geostyle.io.files import path_of, unique_keys, write_text
from geostyle.warps.affine import (
    Affine,
    affine_power,
    from_pixels,
    matrix_of,
    theta_of,
    to_pixels,
)
from geostyle.warps.base import WarpFamily, check_keys
from geostyle.warps.families import make_family
from geostyle.warps.folds import fold_guard
from geostyle.warps.grid import check_theta, sampling_grid

FORMAT = "geostyle-warp-1"
MAX_BYTES = 1 << 20
MAX_SIDE_PX = 1 << 20


@dataclass(frozen=True, eq=False)
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
    output_size: Size = setting(min=1, max=MAX_SIDE_PX)
    content_size: Size = setting(min=1, max=MAX_SIDE_PX)
    confidence: float | None = setting(None, min=0.0, max=1.0)
    meta: dict = field(default_factory=dict)
    mirrored: bool = False

    def __post_init__(self) -> None:
        check(self)
        theta = self.theta.detach().to("cpu", torch.float32)
        if theta.ndim != 1:
            raise InputError(f"theta: expected one dimension, got {tuple(theta.shape)}")
        check_theta(self.warp_family, theta[None])
        object.__setattr__(self, "theta", theta)

    @property
    def warp_family(self) -> WarpFamily:
        """The family that `family` and `lattice` name."""
        return make_family(self.family, self.lattice)

    @own_world
    def grid(self, size: Size | None = None, strength: float = 1.0) -> Tensor:
        """Return the sampling grid (1, H, W, 2), without folds.

        Args:
            size: (H, W); default the output's.
            strength: as for `scaled`.
        """
        size = self.output_size if size is None else check_size(size)
        if not is_number(strength):
            raise InputError(f"strength: expected a finite number, got {brief(strength)}")
        family = self.warp_family
        theta = fold_guard(family, self.scaled(strength), size)
        return sampling_grid(family, theta, size)

    def scaled(self, strength: float) -> Tensor:
        """Return theta (1, P) at another strength, which may fold.

        Args:
            strength: 0 is no warp, 1 the warp itself. Above 1 what differs from a similarity is
                exaggerated, shapes that is; the shift, rotation and zoom of the whole stay, and
                so does every part that is rigid.
        """
        family, theta = self.warp_family, self.theta[None]
        if strength <= 1:
            return family.scale(theta, strength)
        return torch.cat(
            [
                self._exaggerated(theta[:, columns], strength)
                if isinstance(part, Affine)
                else part.scale(theta[:, columns], strength)
                for part, columns in family.parts()
            ],
            1,
        )

    def _exaggerated(self, affine: Tensor, strength: float) -> Tensor:
        """Return affine theta (1, 6) whose stretch, about the center, has the power `strength`."""
        matrix = to_pixels(affine.double(), self.output_size, self.content_size)[0]
        linear = matrix[:, :2]
        a, b = (linear[0, 0] + linear[1, 1]) / 2, (linear[1, 0] - linear[0, 1]) / 2
        similar = torch.stack((torch.stack((a, -b)), torch.stack((b, a))))
        # Of the area of the whole, so that the stretch enlarges nothing.
        similar = similar * (torch.linalg.det(linear) / torch.linalg.det(similar)).sqrt()
        stretch = torch.nn.functional.pad(torch.linalg.solve(similar, linear), (0, 1))
        grown = matrix_of(affine_power(theta_of(stretch[None]), strength))[0, :, :2]
        matrix = torch.cat((similar @ grown, matrix[:, 2:]), 1)
        theta = from_pixels(matrix.numpy(), self.output_size, self.content_size)
        return torch.from_numpy(theta)[None].to(affine.dtype)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write JSON, whole or not at all; reading it back gives the same theta bit for bit.

        Raises: InputError for an unusable path, and where `meta` is not of JSON types.
        """
        document = {"format": FORMAT, **vars(self), "theta": self.warp_family.describe(self.theta)}
        try:
            text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"meta: expected finite JSON types, got: {one_line(error)}") from error
        write_text(path_of(path), f"{text}\n")

    @classmethod
    def of(cls, theta: Any) -> WarpParameters:
        """Return a warp given as parameters, as an estimate or result that holds them, or a file.

        Raises: InputError for anything else.
        """
        if isinstance(theta, str | os.PathLike):
            return cls.load(theta)
        found = getattr(theta, "parameters", theta)
        if not isinstance(found, cls):
            raise InputError(f"theta: expected a warp, an estimate or its file, got {brief(theta)}")
        return found

    @classmethod
    @own_world
    def load(cls, path: str | os.PathLike[str]) -> WarpParameters:
        """Read a file that `save` wrote, perhaps edited by hand.

        Raises: InputError, one line, for any other file.
        """
        path = path_of(path, "theta")
        try:
            if not path.is_file():
                raise InputError(f"expected a file, got {'a folder' if path.is_dir() else 'none'}")
            if path.stat().st_size > MAX_BYTES:
                raise InputError(f"expected a file of at most {MAX_BYTES} bytes")
            text = path.read_text("utf-8-sig")
            hooks: Any = {"object_pairs_hook": unique_keys, "parse_constant": _refuse_constant}
            return cls._from(json.loads(text, **hooks))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise InputError(f"theta file {str(path)!r}: {one_line(error)}") from None

    @classmethod
    def _from(cls, document: Mapping[str, Any]) -> WarpParameters:
        if isinstance(document, Mapping):
            document = {"mirrored": False, **document}  # missing in files of earlier versions
        check_keys(document, {"format", *(own.name for own in fields(cls))}, "file")
        values = dict(document)
        if values.pop("format") != FORMAT:
            raise InputError(f"format: expected {FORMAT!r}, got {document['format']!r:.40}")
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


def _refuse_constant(name: str) -> NoReturn:
    raise InputError(f"file: expected finite numbers, got {name}")
