"""Results of the stages and of a transfer."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch import Tensor

from geostyle.coords import inside_mask
from geostyle.io.images import save_picture, to_pil
from geostyle.matching import Estimate
from geostyle.pipeline.settings import TransferSettings
from geostyle.texture import Finished, SourceGuide, TextureResult
from geostyle.warps import WarpParameters


@dataclass(frozen=True, eq=False)
class PictureResult:
    """A picture as every stage returns it.

    Attributes:
        tensor: (1, 3, H, W), sRGB in [0, 1], on the CPU.
    """

    tensor: Tensor

    @property
    def image(self) -> Image.Image:
        """The picture as an 8-bit PIL image, RGBA where the content is transparent."""
        return to_pil(self.tensor, self._opacity)

    @property
    def _opacity(self) -> Tensor | None:
        """(1, 1, H, W), the picture's alpha; None where it is opaque."""
        return None

    def save(self, path: str | os.PathLike[str], **options: Any) -> None:
        """Write the picture; the suffix sets the format; options as for `save_picture`."""
        save_picture(self.tensor, path, **{"alpha": self._opacity, **options})


@dataclass(frozen=True, eq=False)
class GeometryResult(PictureResult):
    """Outcome of the geometry stage.

    Attributes:
        tensor: the content on the result's canvas; the very tensor that came in where neither the
            size nor the geometry changes.
        parameters: theta as applied, with strength and fold guard; None without a warp.
        grid: (1, H, W, 2), the sampling grid; None without a warp.
        estimate: the estimate before the strength; None where theta was given, or without a warp.
        masks: (n, 1, H, W), the weight of each texture style in each pixel; None without masks.
        guides: per texture style, where its parts are expected to be used; empty without guidance.
        settings: as resolved when painting begins; they repeat the result.
        alpha: (1, 1, H, W) in [0, 1], the content's transparency, warped; None for an opaque one.
    """

    parameters: WarpParameters | None = None
    grid: Tensor | None = None
    estimate: Estimate | None = None
    masks: Tensor | None = None
    guides: tuple[SourceGuide | None, ...] = ()
    settings: TransferSettings | None = None
    alpha: Tensor | None = None

    @property
    def _opacity(self) -> Tensor | None:
        return self.alpha

    @property
    def confidence(self) -> float | None:
        """Confidence of the warp in [0, 1]; None without an estimate."""
        return None if self.parameters is None else self.parameters.confidence

    @property
    def inside(self) -> Tensor | None:
        """(1, 1, H, W), 1 where a pixel shows the content, 0 beyond it; None without a warp."""
        return None if self.grid is None else inside_mask(self.grid)[None].float()


@dataclass(frozen=True, eq=False)
class TransferResult(PictureResult):
    """Outcome of a transfer.

    Attributes:
        tensor: the final picture.
        geometry: the geometry stage.
        texture: the texture stage; None where no texture style was given. After matched painting
            its `source_map` tells where each part of the picture took its paint from.
        settings: as resolved; they repeat the result.
    """

    geometry: GeometryResult
    texture: TextureResult | None
    settings: TransferSettings

    @property
    def alpha(self) -> Tensor | None:
        """(1, 1, H, W) in [0, 1], the content's transparency, warped; None for an opaque one."""
        return self.geometry.alpha

    @property
    def _opacity(self) -> Tensor | None:
        return self.alpha

    @property
    def interrupted(self) -> bool:
        """True where painting was cut short; the picture is the best until then."""
        return self.texture is not None and self.texture.interrupted

    @property
    def warp(self) -> WarpParameters | None:
        """The warp as applied; None without one."""
        return self.geometry.parameters

    @property
    def warped(self) -> Image.Image:
        """The content after the warp, before painting, as an 8-bit PIL image."""
        return self.geometry.image

    @property
    def confidence(self) -> float | None:
        """Confidence of the warp in [0, 1]; None where none was estimated."""
        return self.geometry.confidence


@dataclass(frozen=True, eq=False)
class Resume:
    """State of an interrupted transfer, from which `Pipeline` goes on.

    Attributes:
        canvas: (1, 3, H, W), the warped content.
        masks, guides, alpha: as in `GeometryResult`.
        inside: (1, 1, H, W), 1 where the canvas shows the content; None for everywhere.
        finished: the finished levels; None for none.
    """

    canvas: Tensor
    masks: Tensor | None = None
    inside: Tensor | None = None
    guides: tuple[SourceGuide | None, ...] = ()
    finished: Finished | None = None
    alpha: Tensor | None = None
