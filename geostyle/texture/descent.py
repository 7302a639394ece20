"""Painting from noise: the settings and the run that synthesis and reconstruction share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from geostyle.coords import Size, resize
from geostyle.texture.descent_settings import DescentSettings
from geostyle.texture.interrupts import hand_over
from geostyle.texture.pyramid import Level, Progress, TextureResult, paint_levels, white_noise

__all__ = ["DescentSettings", "Level", "descend", "resize_tile", "white_noise"]


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
            A Ctrl-C of the user is raised, with the result as its attribute `result`.

    Raises: NotFiniteError, naming the level, where the loss becomes NaN or infinite.
    """
    enlarge = resize_tile if tile else resize

    def enlarged(size: Size) -> Callable[[Tensor], Tensor]:
        return lambda image: enlarge(image, size).clamp(0, 1)

    ready = [replace(v, optimizer=settings, start=enlarged(v.size)) for v in levels]
    done = paint_levels(start, ready, time_budget_s=settings.time_budget_s, callback=callback)
    image = enlarged(levels[-1].size)(done.image)
    return hand_over(replace(done, image=image, ctrl_c=None), done.ctrl_c)


def resize_tile(image: Tensor, size: Size) -> Tensor:
    """Resize a picture (B, C, H, W) that repeats without end, so that it still does."""
    if tuple(image.shape[-2:]) == size:
        return image
    thrice = resize(image.repeat(1, 1, 3, 3), (3 * size[0], 3 * size[1]))
    return thrice[..., size[0] : 2 * size[0], size[1] : 2 * size[1]]
