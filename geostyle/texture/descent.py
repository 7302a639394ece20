"""One descent through levels of growing size, for every method that paints from noise."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from geostyle.config import check, setting
from geostyle.coords import Size, resize
from geostyle.errors import InputError
from geostyle.texture.optimizer import NotFiniteError, Objective, Step, optimize
from geostyle.texture.pyramid import LevelHistory, Progress, TextureResult


@dataclass(frozen=True)
class DescentSettings:
    """How the optimizer is run."""

    iterations: tuple[int, ...] = setting(
        (300,), help="steps at each level, coarse to fine; their number is the number of levels"
    )
    optimizer: str = setting("lbfgs", help="optimizer", choices=("lbfgs", "adam"))
    history: int = setting(30, help="pairs of vectors L-BFGS remembers", min=1, max=200)
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
                f"iterations: expected a non-negative number a level, got {list(self.iterations)}"
            )


@dataclass(frozen=True)
class Level:
    """One level: its (H, W), its steps, and how its objective is made once its turn comes."""

    size: Size
    steps: int
    objective: Callable[[], Objective]


def descend(
    start: Tensor,
    levels: Sequence[Level],
    settings: DescentSettings,
    *,
    tile: bool = False,
    callback: Callable[[Progress], None] | None = None,
) -> TextureResult:
    """Minimize level after level, each begun from the one before at its own size.

    Args:
        start: (1, 3, H, W), the picture the first level begins from, any size.
        levels: coarse to fine; the last has the size of the result.
        tile: pictures are enlarged as if they repeated without end.
        callback: called after every step; raising KeyboardInterrupt in it (or pressing Ctrl-C)
            ends the run with the best picture so far, at full size.

    Raises: NotFiniteError, naming the level, where the loss stops being a number.
    """
    enlarge = resize_tile if tile else resize
    image, began, done = start, time.monotonic(), []
    work = [level.size[0] * level.size[1] * level.steps for level in levels]
    interrupted = False
    for number, level in enumerate(levels):
        image = enlarge(image, level.size).clamp(0, 1)
        if not level.steps:
            done.append(LevelHistory(level.size, []))
            continue

        def on_step(step: Step, seen: Tensor, number: int = number, level: Level = level) -> None:
            if callback is not None:
                callback(
                    Progress(
                        number, len(levels), step.step, level.steps, level.size,
                        step.total, step.style, step.content, seen,
                    )
                )  # fmt: skip

        share = sum(work[: number + 1]) / max(1, sum(work))
        try:
            found = optimize(
                image,
                level.objective(),
                level.steps,
                method=settings.optimizer,
                history=settings.history,
                lr=settings.lr,
                plateau=settings.plateau,
                # The budget is shared like the pixels that each level evaluates.
                deadline=began + settings.time_budget_s * share if settings.time_budget_s else None,
                on_step=on_step,
            )
        except NotFiniteError as error:
            height, width = level.size
            raise NotFiniteError(
                f"level {number + 1} of {len(levels)} ({width}x{height} px): {error}", error.best
            ) from error
        image = found.image
        done.append(LevelHistory(level.size, found.steps))
        if found.interrupted:
            interrupted = True
            break
    return TextureResult(enlarge(image, levels[-1].size).clamp(0, 1), done, interrupted)


def white_noise(size: Size, seed: int, like: Tensor) -> Tensor:
    """Uniform noise in [0, 1], (1, 3, *size); the same on every device for one seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((1, 3, *size), generator=generator).to(like)


def resize_tile(image: Tensor, size: Size) -> Tensor:
    """Resize a picture (B, C, H, W) that repeats without end, so that it still does."""
    if tuple(image.shape[-2:]) == size:
        return image
    thrice = resize(image.repeat(1, 1, 3, 3), (3 * size[0], 3 * size[1]))
    return thrice[..., size[0] : 2 * size[0], size[1] : 2 * size[1]]
