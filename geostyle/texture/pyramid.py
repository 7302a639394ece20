"""The coarse-to-fine loop: every method that paints a picture by optimization runs through it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor

from geostyle.coords import Size, resize, size_of
from geostyle.errors import InputError, out_of_memory
from geostyle.texture.interrupts import StopPainting, may_stop, noted_ctrl_c
from geostyle.texture.optimizer import NotFiniteError, Objective, Optimized, Step, optimize
from geostyle.texture.settings import OptimizerSettings, TextureSettings


@dataclass(frozen=True)
class Level:
    """One level of the pyramid, and how it is painted.

    Attributes:
        size: (H, W).
        steps: evaluations at most.
        objective: makes the objective, once the level begins.
        optimizer: how the picture is parametrized and moved.
        start: turns the picture of the level before (of the first one, the start picture) into the
            one this level begins from, (B, 3, *size); default: resizes it.
        stop: evaluations after which to stop all the same; see `optimize`.
        network: name of the network, for `Progress`.
        pixel_cost: cost of one pixel of an evaluation, relative to other levels.
        side_result: called after the level is painted; what it returns is kept in the history.
    """

    size: Size
    steps: int
    objective: Callable[[], Objective]
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    start: Callable[[Tensor], Tensor] | None = None
    stop: int | None = None
    network: str = ""
    pixel_cost: float = 1.0
    side_result: Callable[[], Tensor | None] = lambda: None


@dataclass(frozen=True, eq=False)
class Progress:
    """State of a running painting; handed to the callback after every step.

    Attributes:
        level, levels: index of this level (0 is the coarsest) and their number; where two networks
            take turns at one size, each has a level of its own.
        step, steps: step within the level, and the most it will take.
        size: (H, W) of the level.
        total, style, content: terms of the objective at this step.
        image: the picture at this step, (1, 3, H, W), unclamped; do not change it.
        network: name of the network that paints the level, in a transfer.
        all_steps: the most that all levels together will take.
    """

    level: int
    levels: int
    step: int
    steps: int
    size: Size
    total: float
    style: float
    content: float
    image: Tensor
    network: str = ""
    all_steps: int = 0


@dataclass(frozen=True)
class LevelHistory:
    """Size and steps of a painted level, and its side result, such as a map of sources."""

    size: Size
    steps: list[Step]
    side_result: Tensor | None = None


@dataclass(frozen=True)
class Finished:
    """The finished levels of a painting, from which it can be resumed.

    Attributes:
        image: (1, 3, H, W), the picture after the last of them.
        history: one entry per level.
        seconds: time they took, for a time budget.
    """

    image: Tensor
    history: list[LevelHistory]
    seconds: float


@dataclass(frozen=True, eq=False)
class TextureResult:
    """Outcome of a painting.

    Attributes:
        image: (B, 3, H, W), sRGB in [0, 1].
        history: one entry per level.
        interrupted: whether it was cut short.
        settings: what repeats it without its clock, in as many tiles; None where no level was cut
            into tiles or timed (synthesis, reconstruction).
        source_map: (4, h, w) from matched painting, for each cell of 4×4 pixels: the number of the
            style it took its paint from (-1 where masks leave it unpainted), the normalized x and y
            there, and the similarity of the match, a centered cosine in [-1, 1].
        ctrl_c: the user's Ctrl-C that cut it short, for `hand_over`; None for any other reason.
    """

    image: Tensor
    history: list[LevelHistory]
    interrupted: bool
    settings: TextureSettings | None = None
    source_map: Tensor | None = None
    ctrl_c: KeyboardInterrupt | None = field(default=None, repr=False, compare=False)


def paint_levels(
    start: Tensor,
    levels: Sequence[Level],
    *,
    time_budget_s: float = 0.0,
    callback: Callable[[Progress], None] | None = None,
    finished: Finished | None = None,
    on_level: Callable[[Finished], None] | None = None,
    on_out_of_memory: Callable[[Size], None] | None = None,
) -> TextureResult:
    """Paint level after level, coarse to fine, each from the picture of the one before.

    Args:
        start: (B, 3, H, W), the picture the first level begins from.
        levels: coarse to fine.
        time_budget_s: seconds that all levels may take together; 0 sets no limit.
        callback: called after every step; raising KeyboardInterrupt in it (or pressing Ctrl-C, see
            `TextureResult.ctrl_c`) ends the run with the best picture so far.
        finished: levels that need not be painted again, as `on_level` received them.
        on_level: called after every level but the last.
        on_out_of_memory: called with the size of a level that ran out of memory, which is then
            painted again; raises where it cannot take less. Default: the error is raised.

    Returns: the picture of the last painted level, at that level's size.
    Raises:
        InputError: where `finished` has levels of other sizes.
        NotFiniteError: naming the level, where the loss becomes NaN or infinite.
    """
    image, history, began = start, list[LevelHistory](), time.monotonic()
    if finished is not None:
        image, history = finished.image.to(start), list(finished.history)
        done, sizes = [level.size for level in history], [level.size for level in levels]
        if not done or done != sizes[: len(done)] or size_of(image) != done[-1]:
            raise InputError(f"finished: expected levels of sizes {sizes}, got {done}")
        began -= finished.seconds
    work = list(accumulate(v.size[0] * v.size[1] * v.steps * v.pixel_cost for v in levels))
    interrupted, ctrl_c = False, None
    with noted_ctrl_c() as pressed:
        told = None if callback is None else may_stop(callback, pressed)
        for number in range(len(history), len(levels)):
            level, deadline = levels[number], None
            if time_budget_s:  # shared among the levels in proportion to their work
                deadline = began + time_budget_s * work[number] / max(1, work[-1])
            try:
                painted = _paint_level(image, levels, number, deadline, told, on_out_of_memory)
                side_result = level.side_result()
                image, interrupted, ctrl_c = painted.image, painted.interrupted, painted.ctrl_c
                history.append(LevelHistory(level.size, painted.steps, side_result))
                if on_level is not None and not interrupted and number + 1 < len(levels):
                    on_level(Finished(image, list(history), time.monotonic() - began))
            except KeyboardInterrupt as error:  # between the steps
                if not history:
                    raise
                interrupted, ctrl_c = True, None if isinstance(error, StopPainting) else error
            if interrupted:
                break
    return TextureResult(image, history, interrupted, ctrl_c=ctrl_c)


def _paint_level(
    image: Tensor,
    levels: Sequence[Level],
    number: int,
    deadline: float | None,
    callback: Callable[[Progress], None] | None,
    on_out_of_memory: Callable[[Size], None] | None,
) -> Optimized:
    """Optimize one level from `image`, of the level before."""
    level, n_levels = levels[number], len(levels)
    all_steps = sum(one.steps for one in levels)

    def on_step(step: Step, seen: Tensor) -> None:
        if callback is not None:
            terms = step.total, step.style, step.content
            at = number, n_levels, step.step, level.steps
            callback(Progress(*at, level.size, *terms, seen, level.network, all_steps))

    while True:
        try:
            first = resize(image, level.size) if level.start is None else level.start(image)
            if not level.steps:
                return Optimized(first.clamp(0, 1), [], False)
            return optimize(
                first,
                level.objective(),
                level.steps,
                level.optimizer,
                stop=level.stop,
                deadline=deadline,
                on_step=on_step,
            )
        except NotFiniteError as error:
            height, width = level.size
            at_level = f"level {number + 1} of {n_levels} ({width}x{height} px)"
            raise NotFiniteError(f"texture: {at_level}: {error}", error.best) from error
        except (RuntimeError, MemoryError) as error:
            if on_out_of_memory is None or not out_of_memory(error):
                raise
        # Outside the handler, which would keep alive what was allocated.
        on_out_of_memory(level.size)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def white_noise(size: Size, seed: int, like: Tensor) -> Tensor:
    """Uniform noise in [0, 1], (1, 3, *size); the same on every device for one seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((1, 3, *size), generator=generator).to(like)
