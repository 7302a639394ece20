"""The texture stage: repaint a canvas, the warped content, with the texture of one or more styles.

Everything that concerns painting is decided here, once: preserved colors, the border, the texture's
scale, masks, tiles and the schedule of levels.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from geostyle.coords import Size, resize, size_of
from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.borders import add_border, bordered_size, cut_border
from geostyle.texture.colors import after_transfer, before_transfer
from geostyle.texture.masks import keep_unmasked
from geostyle.texture.memory import settle_tiles, smaller_tiles
from geostyle.texture.objective import LossSettings, TextureObjective, normalized_weights
from geostyle.texture.pyramid import (
    Finished,
    Level,
    Progress,
    TextureResult,
    paint_levels,
    white_noise,
)
from geostyle.texture.schedule import Entry, pixel_cost, schedule, style_size
from geostyle.texture.settings import TextureSettings
from geostyle.texture.tiles import Tiling

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PaintOptions:
    """Options of a painting beside `TextureSettings`.

    Attributes:
        tex_weights: one non-negative weight per style, default equal; unused with `masks`.
        masks: (n, 1, H, W), the weight of each style in each pixel; see `normalized_masks`.
        start: (1, 3, h, w), picture the coarsest level begins from instead of ``settings.init``.
        seed: of the noise start.
        border_px: pixels of mirrored content painted around the canvas at the coarse sizes, where a
            rim of one pixel becomes one of many.
        preserve_color: "off", "lab" or "histogram"; see `before_transfer`.
    """

    tex_weights: Sequence[float] | None = None
    masks: Tensor | None = None
    start: Tensor | None = None
    seed: int = 0
    border_px: int = 0
    preserve_color: str = "off"


class Painting:
    """A painting that is set up: `run` makes it.

    Args:
        canvas: (B, 3, H, W), the warped content, sRGB in [0, 1].
        tex_styles: one exemplar (B or 1, 3, h, w) or several, sRGB in [0, 1].
        networks: the network whose features are matched; or two, a fast one and one that takes the
            last steps of each size (`settings.finish`).
        settings: see `TextureSettings`; the attribute of that name has the tiles that are used.
        options: see `PaintOptions`.

    Raises: InputError for unusable arguments, or a picture too large for memory even in tiles.

    Source: Liu et al., "Geometric Style Transfer", section 3.3 (levels 1/8, 1/4, 1/2, 1, each
        doubled to start the next).
    Strength: below 1, the content's own texture is mixed in with the missing weight, so that 0
        leaves the content as it is; above, the style's weight grows with the square.
    Differs: relative losses; L-BFGS; coarse levels weight the content more, and the content's own
        detail is added to the doubled picture, which would need most of its steps to recover it.
    """

    def __init__(
        self,
        canvas: Tensor,
        tex_styles: Tensor | Sequence[Tensor],
        networks: FeatureExtractor | Sequence[FeatureExtractor],
        settings: TextureSettings | None = None,
        options: PaintOptions | None = None,
    ) -> None:
        settings, self.options = settings or TextureSettings(), options or PaintOptions()
        styles = [tex_styles] if isinstance(tex_styles, Tensor) else list(tex_styles)
        networks = [networks] if isinstance(networks, FeatureExtractor) else list(networks)
        border_px, how, masks = self.options.border_px, self.options.preserve_color, None
        self.canvas, self.device = canvas, networks[0].mean.device
        self.schedule = schedule(size_of(canvas), networks, settings, border_px)
        content, styles = before_transfer(canvas, styles, how, self.options.masks)
        self.content = self._placed(content)
        self.tex_styles = [style.to(self.device) for style in styles]
        # Below strength 1 the content is one more style, the last one.
        strength = min(1.0, settings.tex_strength)
        self.detail = 1 - (1 - settings.detail) * strength
        weights = normalized_weights(self.options.tex_weights, len(styles))
        if strength < 1:
            weights = [*(strength * weight for weight in weights), 1 - strength]
        if self.options.masks is not None:
            masks = self._placed(self.options.masks)
            if strength < 1:
                rest = torch.full_like(masks[:1], 1 - strength)
                masks = torch.cat([strength * masks, rest])
        self.masks, self.tex_weights = masks, weights if masks is None else None
        regions = 1 if masks is None else len(masks)
        full = bordered_size(size_of(canvas), border_px)
        self.settings = settle_tiles(settings, networks, full, batch=len(canvas), regions=regions)

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
        image = after_transfer(image.clamp(0, 1).to(self.canvas.device), self.canvas, how)
        if self.options.masks is not None:
            image = keep_unmasked(image, self.canvas, self.options.masks)
        if settings.time_budget_s and not done.interrupted:
            taken = tuple(len(level.steps) for level in done.history)
            settings = replace(settings, stop_after=taken, time_budget_s=0.0)
        return replace(done, image=image, settings=settings)

    def _placed(self, image: Tensor) -> Tensor:
        """`image`, of the canvas's size, with its border and on the networks' device."""
        return add_border(image, self.options.border_px).to(self.device)

    def _start(self) -> Tensor:
        first, start = self.schedule[0].painted, self.options.start
        if start is not None:
            start, _ = before_transfer(start, [], self.options.preserve_color)
            return resize(self._placed(start), first)
        if self.settings.init == "content":
            return resize(self.content, first)
        return white_noise(first, self.options.seed, self.content)

    def _level(self, entry: Entry, number: int) -> Level:
        settings = self.settings
        return Level(
            entry.painted,
            entry.steps,
            partial(self._objective, entry),
            settings,
            partial(self._enlarged, entry, self.schedule[number - 1] if number else entry),
            stop=settings.stop_after[number] if settings.stop_after else None,
            network=entry.network.name,
            pixel_cost=pixel_cost(entry.network),
        )

    def _seen(self, entry: Entry, picture: Tensor, mode: str = "bicubic") -> Tensor:
        """`picture`, of the content's size, at the size of a level."""
        if not entry.bordered:
            return cut_border(picture, entry.painted)
        return resize(picture, entry.painted, mode)

    def _enlarged(self, entry: Entry, before: Entry, image: Tensor) -> Tensor:
        """The picture of the level before at the size of this one, with the content's detail."""
        loses_border = before.bordered and not entry.bordered
        reference = self.content if loses_border else self._seen(entry, self.content)
        size, old = size_of(reference), size_of(image)
        if size != old:
            image, detail = resize(image, size), self.detail
            if detail and self.settings.content_weight:
                image = image + detail * (reference - resize(resize(reference, old), size))
            image = image.clamp(0, 1)
        return cut_border(image, entry.painted) if loses_border else image

    def _objective(self, entry: Entry) -> TextureObjective:
        settings, masks, covered = self.settings, None, 1.0
        if self.masks is not None:
            masks = self._seen(entry, self.masks, "bilinear").split(1)
            # A region's statistics pull harder at its pixels than those of the whole picture.
            covered = float(self.masks.sum(0).mean())
        reference = self._seen(entry, self.content)
        exemplars = [
            resize(style, style_size(style, entry.painted, entry.tex_scale)).clamp(0, 1)
            for style in self.tex_styles
        ]
        if settings.tex_strength < 1:
            exemplars.append(reference)
        losses = LossSettings(
            style_weight=max(1.0, settings.tex_strength) ** 2 * covered,
            gram_weight=settings.gram_weight,
            wasserstein_weight=settings.wasserstein_weight,
            moment_weight=settings.moment_weight,
            content_weight=settings.content_weight
            * (settings.coarse_content if entry.coarse else 1),
            tv_weight=settings.tv_weight,
        )
        return TextureObjective(
            entry.network,
            exemplars,
            reference,
            losses,
            tex_weights=self.tex_weights,
            masks=masks,
            tiling=Tiling(settings.tile_px, settings.tile_blocks),
        )

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
        callback(replace(progress, size=size, image=image))


def transfer_texture(
    content: Tensor,
    tex_style: Tensor | Sequence[Tensor],
    network: FeatureExtractor | Sequence[FeatureExtractor],
    settings: TextureSettings | None = None,
    options: PaintOptions | None = None,
    *,
    callback: Callable[[Progress], None] | None = None,
    finished: Finished | None = None,
    on_level: Callable[[Finished], None] | None = None,
) -> TextureResult:
    """Repaint `content` with the texture of `tex_style`; arguments as for `Painting` and `run`."""
    painting = Painting(content, tex_style, network, settings, options)
    return painting.run(callback, finished, on_level)
