"""Shapes of the feed-forward networks, and the suffix of their files."""

from __future__ import annotations

from dataclasses import dataclass

from geostyle.config import check, setting
from geostyle.errors import InputError

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class FastNetworkSettings:
    """Shape of a fast style network."""

    widths: tuple[int, ...] = setting(
        (16, 32, 64), min=4, max=512, help="channels at full size, at half, and so on"
    )
    blocks: tuple[int, ...] = setting(
        (0, 0, 5), min=0, max=32, help="residual blocks at each size, on the way up"
    )
    kernel: int = setting(3, choices=(3, 5, 7, 9), help="side of the first and last convolution")
    stem: str = setting(
        "half", choices=("half", "full"), help="size of the first convolution's maps"
    )
    skips: bool = setting(
        True,
        help="add the maps on the way down, and the picture, to those on the way up",
    )
    noise: bool = setting(
        True, help="add noise to the smallest maps, so that plain areas get varied strokes"
    )

    def __post_init__(self) -> None:
        check(self)
        if len(self.widths) < 2:
            raise InputError(f"widths: expected two sizes or more, got {list(self.widths)}")
        count = len(self.widths)
        if len(self.blocks) != count:
            raise InputError(
                f"blocks: expected {count} numbers, one for each width, got {list(self.blocks)}"
            )


@dataclass(frozen=True)
class TextureNetworkSettings:
    """Shape of a texture network; the defaults are the paper's for textures."""

    mode: str = setting(
        "texture",
        choices=("texture", "stylize"),
        help="make textures from noise alone, or paintings of pictures",
    )
    scales: int = setting(
        5, min=1, max=8, help="sizes of noise, each half of the one before; the paper takes 6 for "
        "stylization"
    )  # fmt: skip
    width: int = setting(8, min=1, max=128, help="channels that each size adds")
    noise: int = setting(3, min=1, max=64, help="channels of noise at each size")
    norm: str = setting("batch", choices=("batch", "instance"), help="normalization")
    padding: str = setting(
        "circular",
        choices=("circular", "reflect", "replicate", "zeros"),
        help="what convolutions see beyond the border; circular makes textures that tile",
    )

    def __post_init__(self) -> None:
        check(self)
