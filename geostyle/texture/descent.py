"""Painting from noise: the settings and the run that synthesis and reconstruction share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from geostyle.config import check, setting
from geostyle.coords import Size, resize
from geostyle.errors import InputError
from geostyle.texture.optimizer import Optimizer
from geostyle.texture.pyramid import Level, Progress, TextureResult, paint_levels, white_noise

__all__ = ["DescentSettings", "Level", "descend", "resize_tile", "white_noise"]


@dataclass(frozen=True)
class DescentSettings:
    """How the optimizer is run."""

    iterations: tuple[int, ...] = setting(
        (300,), help="steps at each level, coarse to fine; their number is the number of levels"
    )
    optimizer: str = setting("lbfgs", help="optimizer", choices=("lbfgs", "adam"))
    history: int = setting(30, help="vector pairs that L-BFGS stores", min=1, max=200)
    lr: float = setting(0.03, help="Adam's first step size", min=0.0)
    plateau: float = setting(
        0.0,
        help="stop a level when 10 steps gain less than this share (0: never)",
        min=0.0,
        max=0.5,
    )
    time_budget_s: float = setting(0.0, help="seconds it may take (0: no limit)", min=0.0)

    def __post_init__(self) -> None:
        check(self)
        if not self.iterations or min(self.iterations) < 0:
            raise InputError(
                "iterations: expected a non-negative number for each level, "
                f"got {list(self.iterations)}"
            )


def descend(
    start: Tensor,
    levels: Sequence[Level],
    settings: DescentSettings,
    *,
    tile: bool = False,
    callback: Callable[[Progress], None] | None = None,
) -> TextureResult:
    """Paint `levels` with the optimizer of `settings`, and bring the result to the last one's size.

    Args:
        start: (1, 3, H, W), the picture the first level begins from, any size.
        levels: coarse to fine; the last has the size of the result.
        tile: enlarge pictures as if they were repeated without end.
        callback: see `paint_levels`; an interrupted run returns the best picture at full size.

    Raises: NotFiniteError, naming the level, where the loss becomes NaN or infinite.
    """
    enlarge = resize_tile if tile else resize
    optimizer = Optimizer(settings.optimizer, settings.history, settings.lr, settings.plateau)

    def enlarged(size: Size) -> Callable[[Tensor], Tensor]:
        return lambda image: enlarge(image, size).clamp(0, 1)

    ready = [replace(v, optimizer=optimizer, start=enlarged(v.size)) for v in levels]
    done = paint_levels(start, ready, time_budget_s=settings.time_budget_s, callback=callback)
    return replace(done, image=enlarged(levels[-1].size)(done.image))


def resize_tile(image: Tensor, size: Size) -> Tensor:
    """Resize a picture (B, C, H, W) that repeats without end, so that it still does."""
    if tuple(image.shape[-2:]) == size:
        return image
    thrice = resize(image.repeat(1, 1, 3, 3), (3 * size[0], 3 * size[1]))
    return thrice[..., size[0] : 2 * size[0], size[1] : 2 * size[1]]
