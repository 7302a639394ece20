"""The texture stage: repaint a canvas, the warped content, with the texture of one or more styles.

Everything that all painters share is decided here, once: preserved colors, the border, masks,
tiles, the schedule of levels and what comes after the last one.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

from torch import Tensor

from geostyle.coords import Size, resize, size_of
from geostyle.device import own_world
from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.borders import add_border, bordered_size, cut_border
from geostyle.texture.colors import after_transfer, before_transfer, is_gray, without_chroma
from geostyle.texture.interrupts import StopPainting
from geostyle.texture.masks import keep_unmasked
from geostyle.texture.matched_settings import MatchedSettings
from geostyle.texture.memory import settle_tiles, smaller_tiles
from geostyle.texture.objective import normalized_weights
from geostyle.texture.pyramid import (
    Finished,
    Level,
    Progress,
    TextureResult,
    paint_levels,
    white_noise,
)
from geostyle.texture.schedule import Entry, pixel_cost, schedule
from geostyle.texture.settings import TextureSettings
from geostyle.texture.tiles import Tiling

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SourceGuide:
    """Expected places in one texture style.

    Attributes:
        positions: (1, H, W, 2), normalized (x, y) in the style for every pixel of the canvas.
        confidence: (1, 1, H, W) in [0, 1].
    """

    positions: Tensor
    confidence: Tensor


@dataclass(frozen=True)
class PaintOptions:
    """Options of a painting beside `TextureSettings`.

    Attributes:
        tex_weights: one non-negative weight per style, default equal; unused with `masks`.
        masks: (n, 1, H, W), the weight of each style in each pixel; see `normalized_masks`.
        start: (1, 3, h, w), picture the coarsest level begins from instead of ``settings.init``.
        seed: of the noise start and of sampled positions.
        border_px: pixels of mirrored content painted around the canvas, where a rim of one pixel at
            a coarse size becomes one of many.
        preserve_color: "off", "lab" or "histogram"; see `before_transfer`.
        matched: settings of matched painting.
        inside: (1, 1, H, W), 1 where the canvas shows the content, 0 where it is to be invented;
            None for content everywhere.
        guides: per style, where its parts are expected to be used, or None.
    """

    tex_weights: Sequence[float] | None = None
    masks: Tensor | None = None
    start: Tensor | None = None
    seed: int = 0
    border_px: int = 0
    preserve_color: str = "off"
    matched: MatchedSettings = field(default_factory=MatchedSettings)
    inside: Tensor | None = None
    guides: Sequence[SourceGuide | None] = ()


class Painting(ABC):
    """A painting that is set up: `run` makes it. A painter is a subclass that makes its levels.

    Args:
        canvas: (B, 3, H, W), the warped content, sRGB in [0, 1].
        tex_styles: one exemplar (B or 1, 3, h, w) or several, sRGB in [0, 1].
        networks: the network whose features are matched; or two, a fast one and one that takes the
            last steps of each size (`settings.finish`).
        settings: see `TextureSettings`; the attribute of that name has the painter's defaults and
            the tiles that are used.
        options: see `PaintOptions`.

    Raises: InputError for unusable arguments, or a picture too large for memory even in tiles.

    Source: Liu et al., "Geometric Style Transfer", section 3.3 (levels 1/8, 1/4, 1/2, 1, each
        doubled to start the next).
    """

    # Values of the settings that are left to the painter.
    defaults: ClassVar[dict[str, Any]]
    # Whether the border is painted at the last size, too.
    keeps_border: ClassVar[bool] = False

    def __init__(
        self,
        canvas: Tensor,
        tex_styles: Tensor | Sequence[Tensor],
        networks: FeatureExtractor | Sequence[FeatureExtractor],
        settings: TextureSettings | None = None,
        options: PaintOptions | None = None,
    ) -> None:
        self.options = options or PaintOptions()
        settings = (settings or TextureSettings()).with_defaults(**self.defaults)
        styles = [tex_styles] if isinstance(tex_styles, Tensor) else list(tex_styles)
        networks = [networks] if isinstance(networks, FeatureExtractor) else list(networks)
        border_px, how = self.options.border_px, self.options.preserve_color
        # Optimizers tint what has no colors: none of the losses sees much of it.
        self.gray = all(is_gray(picture) for picture in (canvas, *styles))
        self.canvas, self.device = canvas, networks[0].mean.device
        self.schedule = self._schedule(networks, settings)
        content, styles = before_transfer(canvas, styles, how, self.options.masks)
        self.content = self._placed(content)
        self.tex_styles = [style.to(self.device) for style in styles]
        self.tex_weights = normalized_weights(self.options.tex_weights, len(styles))
        masks = self.options.masks
        self.masks = None if masks is None else self._placed(masks)
        # Below strength 1 the content is one more style.
        regions = 1 if masks is None else len(masks) + (settings.tex_strength < 1)
        full = bordered_size(size_of(canvas), border_px)
        self.settings = settle_tiles(
            settings, networks, full, batch=len(canvas), regions=regions, more=self._more_bytes
        )

    @abstractmethod
    def _level(self, entry: Entry, number: int) -> Level:
        """The level of an entry of the schedule, and of its number in it."""

    @own_world
    def run(
        self,
        callback: Callable[[Progress], None] | None = None,
        finished: Finished | None = None,
        on_level: Callable[[Finished], None] | None = None,
    ) -> TextureResult:
        """Paint.

        Args:
            callback: called after every step; raising KeyboardInterrupt in it (or pressing Ctrl-C)
                ends the run with the best picture so far, at full size.
            finished, on_level: levels to go on from, and their receiver; see `paint_levels`.

        Returns: the picture, of the canvas's size and on its device.
        Raises: InputError where memory ran out even in the smallest tiles; NotFiniteError naming
            the level, where the loss becomes NaN or infinite.
        """
        settings, how = self.settings, self.options.preserve_color
        if settings.tex_strength == 0:
            return TextureResult(self.canvas, [], False, settings)
        done = paint_levels(
            self._start(),
            [self._level(entry, number) for number, entry in enumerate(self.schedule)],
            time_budget_s=settings.time_budget_s,
            callback=None if callback is None else partial(self._report, callback),
            finished=finished,
            on_level=on_level,
            on_out_of_memory=self._cut_smaller,
        )
        image, settings = done.image, self.settings
        if self.schedule[len(done.history) - 1].bordered:
            image = cut_border(resize(image, size_of(self.content)), size_of(self.canvas))
        image = self._finished_colors(image.clamp(0, 1)).to(self.canvas.device)
        image = after_transfer(image, self.canvas, how)
        if self.gray:
            image = without_chroma(image)
        if self.options.masks is not None:
            image = keep_unmasked(image, self.canvas, self.options.masks)
        if settings.time_budget_s and not done.interrupted:
            taken = tuple(len(level.steps) for level in done.history)
            settings = replace(settings, stop_after=taken, time_budget_s=0.0)
        return self._completed(replace(done, image=image, settings=settings))

    def run_or_stop(
        self,
        callback: Callable[[Progress], None] | None,
        finished: Finished | None,
        on_level: Callable[[Finished], None] | None,
    ) -> TextureResult:
        """Paint as `run` does; cut short before its first step, return the canvas as it is."""
        try:
            return self.run(callback, finished, on_level)
        except KeyboardInterrupt as error:
            ctrl_c = None if isinstance(error, StopPainting) else error
            return TextureResult(self.canvas, [], True, ctrl_c=ctrl_c)

    def _finished_colors(self, image: Tensor) -> Tensor:
        """Return the picture with what the painter mends in its colors at the end."""
        return image

    def _completed(self, result: TextureResult) -> TextureResult:
        """Return the result with what the painter adds to it."""
        return result

    def _schedule(
        self, networks: Sequence[FeatureExtractor], settings: TextureSettings
    ) -> list[Entry]:
        return schedule(
            size_of(self.canvas),
            networks,
            settings,
            self.options.border_px,
            keep_border=self.keeps_border,
        )

    def _more_bytes(self, network: FeatureExtractor, size: Size) -> float:
        """Memory that the painter takes beside an evaluation and the optimizer, in bytes."""
        return 0.0

    def _placed(self, image: Tensor) -> Tensor:
        """`image`, of the canvas's size, with its border and on the networks' device."""
        return add_border(image, self.options.border_px).to(self.device)

    def _given_start(self) -> Tensor | None:
        """The start of the options with its border, in the colors that are painted in."""
        if self.options.start is None:
            return None
        start, _ = before_transfer(self.options.start, [], self.options.preserve_color)
        return self._placed(start)

    def _start(self) -> Tensor:
        """The picture that the coarsest level begins from."""
        first, start = self.schedule[0].painted, self._given_start()
        if start is not None:
            return resize(start, first)
        if self.settings.init == "content":
            return resize(self.content, first)
        return white_noise(first, self.options.seed, self.content)

    def _entry_level(self, entry: Entry, number: int, **parts: Any) -> Level:
        """A level with the parts that every painter takes from the schedule."""
        stop_after = self.settings.stop_after
        return Level(
            entry.painted,
            entry.steps,
            stop=stop_after[number] if stop_after else None,
            network=entry.network.name,
            pixel_cost=pixel_cost(entry.network),
            **parts,
        )

    @property
    def tiling(self) -> Tiling:
        """The tiles of pictures now; memory may run short between levels."""
        return Tiling(self.settings.tile_px, self.settings.tile_blocks)

    def _seen(self, entry: Entry, picture: Tensor, mode: str = "bicubic") -> Tensor:
        """`picture`, of the content's size, at the size of a level."""
        if not entry.bordered:
            return cut_border(picture, entry.painted)
        return resize(picture, entry.painted, mode)

    def _cut_smaller(self, size: Size) -> None:
        """Take smaller tiles after a level of `size` (H, W) ran out of memory."""
        (height, width), finer = size, smaller_tiles(self.settings, size)
        if finer is None:
            raise InputError(
                "size_px: expected a size that fits into memory, got one that ran out of it at "
                f"{width}x{height} px even in tiles of {self.settings.tile_px} px"
            )
        self.settings = finer
        _log.warning("out of memory at %dx%d px; in tiles now", width, height)

    def _report(self, callback: Callable[[Progress], None], progress: Progress) -> None:
        """Hand `progress` on as it looks in the end: without border, in the content's colors."""
        size = self.schedule[progress.level].size
        image = cut_border(progress.image, size)
        if self.options.preserve_color == "lab":
            image = after_transfer(image.to(self.canvas.device), self.canvas, "lab")
        if self.gray:
            image = without_chroma(image)
        callback(replace(progress, size=size, image=image))
