"""The files a result is written to: format, quality, colors; the moving picture beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geostyle.config import check, setting
from geostyle.errors import InputError
from geostyle.report.settings import FORMATS

if TYPE_CHECKING:
    from torch import Tensor

    from geostyle.io.images import Picture

SUFFIXES = {"png": ".png", "tiff": ".tif", "jpg": ".jpg", "webp": ".webp"}
DEEP = ("png", "tiff")
PARTS = ("geometry", "texture", "painting")


@dataclass(frozen=True)
class OutputSettings:
    """Settings of the files that results are written to."""

    format: str = setting("png", choices=tuple(SUFFIXES), help="file format of the result")
    quality: int | None = setting(
        None, min=1, max=100, help="of jpg (default 95) and webp (default lossless)"
    )
    bit_depth: int | None = setting(
        None, choices=(8, 16), help="16 for png and tiff; default: the content's"
    )
    icc: str = setting(
        "keep",
        choices=("keep", "srgb"),
        help="color profile of the result: the content's own, or sRGB",
    )
    alpha: str = setting(
        "keep",
        choices=("keep", "white"),
        help="the content's transparency: kept where the format can hold it, or laid on white",
    )

    def __post_init__(self) -> None:
        check(self)
        if self.quality is not None and self.format in DEEP:
            raise InputError(f"quality: expected none for lossless {self.format}, got one")
        if self.bit_depth == 16 and self.format not in DEEP:
            raise InputError(f"bit_depth: expected 8 for {self.format}, got 16")

    def save(
        self, image: Tensor, stem: Path, content: Picture, alpha: Tensor | None = None
    ) -> Path:
        """Write a picture made of `content` to `stem` with the format's suffix; return its path.

        Args: image, (1, 3, H, W), sRGB in [0, 1]; alpha, (1, 1, H, W) in [0, 1], or None.
        """
        from geostyle.io.colors import can_hold, srgb_profile
        from geostyle.io.images import save_picture

        path = stem.with_name(stem.name + SUFFIXES[self.format])
        bit_depth = self.bit_depth or (content.bit_depth if self.format in DEEP else 8)
        own = content.icc if self.icc == "keep" else None
        icc = own if own is not None and can_hold(own) else srgb_profile()
        alpha = alpha if self.alpha == "keep" else None
        save_picture(image, path, bit_depth=bit_depth, quality=self.quality, icc=icc, alpha=alpha)
        return path


@dataclass(frozen=True)
class AnimationSettings:
    """A moving picture beside the result."""

    animate: tuple[str, ...] = setting(
        (),
        choices=PARTS,
        repeat=True,
        help="also write a moving picture: of the warp as its strength grows, of the texture as "
        "its strength grows (which paints every frame), of the painting as it is made; several are "
        "shown in turn",
    )
    animate_format: str = setting("gif", choices=FORMATS, help="its format")
    animate_px: int = setting(
        320, flag="--animate-size", min=32, max=2048, help="its long side in pixels"
    )
    animate_frames: int = setting(32, min=4, max=500, help="frames for each part")

    def __post_init__(self) -> None:
        check(self)
