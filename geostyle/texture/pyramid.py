"""Coarse-to-fine texture transfer: each level starts from the one before, doubled."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geostyle.coords import Size, resize
from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.borders import cut_border
from geostyle.texture.memory import hungriest, settle_tiles, smaller_tiles
from geostyle.texture.objective import TextureObjective, mixture_shares
from geostyle.texture.optimizer import NotFiniteError, Optimized, Step, optimize
from geostyle.texture.schedule import MIN_SIDE_PX, Level, schedule, style_size
from geostyle.texture.settings import TextureSettings
from geostyle.texture.tiles import Tiling

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """Where a running transfer stands; handed to the callback after every step.

    Attributes:
        level, levels: number of this level (0 is the coarsest) and of all; where two networks
            take turns at one size, each has a level of its own.
        step, steps: step within the level, and the most it will take.
        size: (H, W) of the level.
        total, style, content: terms of the objective at this step.
        image: the picture at this step, (1, 3, H, W), unclamped; do not change it.
        network: name of the network that paints the level, in a transfer.
    """

    level: int
    levels: int
    step: int
    steps: int
    size: tuple[int, int]
    total: float
    style: float
    content: float
    image: Tensor
    network: str = ""


@dataclass(frozen=True)
class LevelHistory:
    """One level's size and steps."""

    size: tuple[int, int]
    steps: list[Step]


@dataclass(frozen=True)
class Finished:
    """The levels a transfer has behind it: all that it needs to go on from there.

    Attributes:
        image: (1, 3, H, W), the picture the last of them ended with.
        history: one entry a level.
        seconds: what they took, for a time budget.
    """

    image: Tensor
    history: list[LevelHistory]
    seconds: float


@dataclass(frozen=True)
class TextureResult:
    """Outcome of a transfer.

    Attributes:
        image: (B, 3, H, W), sRGB in [0, 1].
        history: one entry a level.
        interrupted: whether it was cut short.
        settings: what repeats it without its clock, in as many tiles; None where no level was cut
            or timed by itself (synthesis, reconstruction).
    """

    image: Tensor
    history: list[LevelHistory]
    interrupted: bool
    settings: TextureSettings | None = None


def transfer_texture(
    content: Tensor,
    tex_style: Tensor | Sequence[Tensor],
    extractor: FeatureExtractor | Sequence[FeatureExtractor],
    settings: TextureSettings | None = None,
    *,
    mixture: Sequence[float] | None = None,
    shares: Tensor | None = None,
    seed: int = 0,
    start: Tensor | None = None,
    border: Size = (0, 0),
    callback: Callable[[Progress], None] | None = None,
    finished: Finished | None = None,
    on_level: Callable[[Finished], None] | None = None,
) -> TextureResult:
    """Repaint `content` with the texture of `tex_style`, coarse to fine.

    Args:
        content: (1, 3, H, W), the warped content, sRGB in [0, 1].
        tex_style: one exemplar (1, 3, h, w) or several, sRGB in [0, 1].
        extractor: the network whose features are matched; or two, a fast one and one that takes the
            last steps of each size (`settings.finish`).
        settings: see `TextureSettings`.
        mixture: one weight an exemplar; default equal.
        shares: (n, 1, H, W), the share of each exemplar in every pixel instead of a common
            mixture; see `mask_shares`.
        seed: of the noise start.
        start: picture the coarsest level begins from instead of ``settings.init``, any size.
        border: rows above and below, columns left and right of `content` that are painted at the
            coarse sizes alone, where a rim of one pixel becomes one of many; the result is without.
        callback: called after every step; raising KeyboardInterrupt in it (or pressing Ctrl-C) ends
            the run with the best picture so far, at full size.
        finished: levels that need not be computed again, as `on_level` received them.
        on_level: called after every level but the last; what `finished` takes.

    Raises:
        InputError: for unusable arguments, or a picture too large for memory even in tiles.
        NotFiniteError: naming the level, where the loss stops being a number.

    Source: Liu et al., "Geometric Style Transfer", section 3.3 (levels 1/8, 1/4, 1/2, 1, each
        doubled to start the next).
    Strength: below 1, the content's own texture joins the mixture with what is missing, so that 0
        leaves the content as it is; above, the style's weight grows with the square.
    Differs: relative losses; L-BFGS; coarse levels hold to the content more, and its own detail is
        added to the doubled picture, which otherwise spends most of its steps winning it back.
    """
    settings = settings or TextureSettings()
    styles = [tex_style] if isinstance(tex_style, Tensor) else list(tex_style)
    extractors = [extractor] if isinstance(extractor, FeatureExtractor) else list(extractor)
    if settings.tex_strength == 0:
        return TextureResult(content.clamp(0, 1), [], False, settings)
    given = settings
    settings, mixture, masks = _dialled(settings, len(styles), mixture, shares)
    full = (content.shape[-2], content.shape[-1])
    regions = 1 if masks is None else len(masks)
    levels = schedule(full, extractors, settings)
    canvas = full[0] - 2 * border[0], full[1] - 2 * border[1]
    cut = min(canvas) >= MIN_SIDE_PX
    finest = [cut and level.size == full != levels[0].size for level in levels]
    levels = [
        replace(level, size=canvas) if last else level
        for level, last in zip(levels, finest, strict=True)
    ]
    largest = hungriest(extractors, full)
    settings = settle_tiles(settings, largest, full, batch=content.shape[0], regions=regions)
    sizes = [level.size for level in levels]
    image = _start(content, settings, seed, sizes[0]) if start is None else resize(start, sizes[0])
    history: list[LevelHistory] = []
    began = time.monotonic()
    if finished is not None:
        image, history = finished.image.to(content), list(finished.history)
        sizes_done = [level.size for level in history]
        if not history or sizes_done != sizes[: len(history)] or image.shape[-2:] != sizes_done[-1]:
            raise InputError(f"finished: expected levels of sizes {sizes}, got {sizes_done}")
        began -= finished.seconds
    job = _Job(content, styles, mixture, masks, levels, finest, began, callback)
    interrupted = False
    for level in range(len(history), len(sizes)):
        if finest[level] and not finest[level - 1]:
            image = cut_border(_doubled(image, content, settings), canvas)
        else:
            image = _doubled(image, job.at(level, content), settings)
        done, settings = _until_it_fits(job, level, image, settings)
        image = done.image
        history.append(LevelHistory(sizes[level], done.steps))
        if done.interrupted:
            interrupted = True
            break
        if on_level is not None and level + 1 < len(sizes):
            on_level(Finished(image, list(history), time.monotonic() - began))
    done_as = replace(given, tile_px=settings.tile_px, tile_blocks=settings.tile_blocks)
    if given.time_budget_s and not interrupted:
        taken = tuple(len(level.steps) for level in history)
        done_as = replace(done_as, stop_after=taken, time_budget_s=0.0)
    if not finest[len(history) - 1]:
        image = cut_border(resize(image, full), canvas)
    return TextureResult(image.clamp(0, 1), history, interrupted, done_as)


@dataclass(frozen=True)
class _Job:
    """What all levels of a transfer share: arguments of `transfer_texture`, at its strength."""

    content: Tensor
    styles: list[Tensor]
    mixture: Sequence[float] | None
    masks: Tensor | None
    levels: list[Level]
    finest: list[bool]  # which levels have the size of the result, after coarser ones
    began: float
    callback: Callable[[Progress], None] | None

    def at(self, number: int, picture: Tensor, mode: str = "bicubic") -> Tensor:
        """`picture`, of the content's size, as a level sees it."""
        size = self.levels[number].size
        return cut_border(picture, size) if self.finest[number] else resize(picture, size, mode)

    def paint(self, number: int, image: Tensor, settings: TextureSettings) -> Optimized:
        """Optimize one level from `image`, of its size."""
        level, masks, covered = self.levels[number], None, 1.0
        size = level.size
        if self.masks is not None:
            masks = self.at(number, self.masks, "bilinear").split(1)
            # Statistics of a part of the picture pull at its pixels harder than those of the whole.
            covered = float(self.masks.sum(0).mean())
        reference = self.at(number, self.content)
        # Where the border is gone, the texture's features stay as large as they were beside it.
        scale = settings.tex_scale
        if self.finest[number]:
            scale *= max(self.content.shape[-2:]) / max(size)
        exemplars = [
            resize(style, style_size(style, size, scale)).clamp(0, 1) for style in self.styles
        ]
        if settings.tex_strength < 1:
            exemplars.append(reference)
        coarse = size != self.levels[-1].size or self.finest[number] != self.finest[-1]
        objective = TextureObjective(
            level.extractor,
            exemplars,
            reference,
            mixture=self.mixture,
            masks=masks,
            style_weight=max(1.0, settings.tex_strength) ** 2 * covered,
            content_weight=settings.content_weight * (settings.coarse_content if coarse else 1),
            gram_weight=settings.gram_weight,
            wasserstein_weight=settings.wasserstein_weight,
            moment_weight=settings.moment_weight,
            tv_weight=settings.tv_weight,
            tiling=Tiling(settings.tile_px, settings.tile_blocks),
        )
        try:
            return optimize(
                image,
                objective,
                level.steps,
                method=settings.optimizer,
                history=settings.history,
                smooth=True,
                lr=settings.lr,
                plateau=settings.plateau,
                stop=settings.stop_after[number] if settings.stop_after else None,
                deadline=_deadline(self.began, settings, self.levels, number),
                on_step=_reporter(self.callback, self.levels, number),
            )
        except NotFiniteError as error:
            raise NotFiniteError(
                f"texture: level {number + 1} of {len(self.levels)} ({size[1]}x{size[0]} px): "
                f"{error}",
                error.best,
            ) from error


def _until_it_fits(
    job: _Job, level: int, image: Tensor, settings: TextureSettings
) -> tuple[Optimized, TextureSettings]:
    """Paint a level, in smaller tiles as long as memory runs out; also the settings that fitted."""
    while True:
        try:
            return job.paint(level, image, settings), settings
        except (RuntimeError, MemoryError) as error:
            if not _out_of_memory(error):
                raise
        # Outside the handler, which would keep alive what was allocated.
        height, width = job.levels[level].size
        finer = smaller_tiles(settings, (height, width))
        if finer is None:
            raise InputError(
                "size_px: expected a size that fits into memory, got one that ran out of it at "
                f"{width}x{height} px even in tiles of {settings.tile_px} px"
            )
        settings = finer
        _log.warning("out of memory at %dx%d px; in tiles now", width, height)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        "can't allocate memory" in str(error)  # the CPU's allocator
    )


def _dialled(
    settings: TextureSettings, n_styles: int, mixture: Sequence[float] | None, shares: Tensor | None
) -> tuple[TextureSettings, list[float] | None, Tensor | None]:
    """Settings, mixture and masks at `settings.tex_strength`, the content last where it counts."""
    weights = mixture_shares(mixture, n_styles)
    strength = min(1.0, settings.tex_strength)
    settings = replace(settings, detail=1 - (1 - settings.detail) * strength)
    if strength < 1:
        weights = [*(strength * weight for weight in weights), 1 - strength]
        if shares is not None:
            content = torch.full_like(shares[:1], 1 - strength)
            shares = torch.cat([strength * shares, content])
    # Where there are masks, they hold the weights already.
    return settings, None if shares is not None else weights, shares


def _start(content: Tensor, settings: TextureSettings, seed: int, size: tuple[int, int]) -> Tensor:
    if settings.init == "content":
        return resize(content, size)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand((1, 3, *size), generator=generator)
    return noise.to(content)


def _doubled(image: Tensor, reference: Tensor, settings: TextureSettings) -> Tensor:
    """`image` at the size of `reference`, with a share of the detail only that has."""
    size, old = (reference.shape[-2], reference.shape[-1]), (image.shape[-2], image.shape[-1])
    if size == old:
        return image
    doubled = resize(image, size)
    if settings.detail and settings.content_weight:
        doubled = doubled + settings.detail * (reference - resize(resize(reference, old), size))
    return doubled.clamp(0, 1)


def _deadline(
    began: float, settings: TextureSettings, levels: Sequence[Level], number: int
) -> float | None:
    """When this level must end: the budget is shared like the work that the levels are."""
    if not settings.time_budget_s:
        return None
    work = [level.work for level in levels]
    share = sum(work[: number + 1]) / max(1, sum(work))
    return began + settings.time_budget_s * share


def _reporter(
    callback: Callable[[Progress], None] | None, levels: Sequence[Level], number: int
) -> Callable[[Step, Tensor], None]:
    level = levels[number]

    def report(step: Step, image: Tensor) -> None:
        if callback is not None:
            callback(
                Progress(
                    number,
                    len(levels),
                    step.step,
                    level.steps,
                    level.size,
                    step.total,
                    step.style,
                    step.content,
                    image,
                    level.extractor.name,
                )
            )

    return report
