"""Matched painting: the picture is optimized towards the parts of the texture that it matches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from geostyle.coords import Size, resize, size_of
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.borders import cut_border
from geostyle.texture.colors import within_palette
from geostyle.texture.hypercolumns import LAYERS, cell_size
from geostyle.texture.laplacian import PyramidSettings
from geostyle.texture.matched_level import MatchedLevel, Scene, paint_share
from geostyle.texture.optimizer import Objective
from geostyle.texture.painting import Painting, SourceGuide
from geostyle.texture.pyramid import Level, TextureResult
from geostyle.texture.schedule import Entry, check_stops, style_size
from geostyle.texture.settings import TextureSettings

# Seeds of neighboring levels lie this far apart.
SEEDS_PER_LEVEL = 1000
# Hypercolumns of the picture that live together beside those of the textures.
COLUMN_MAPS = 4
# What matching itself takes, measured at 256 to 1024 px: up to this much for so many cells.
MATCHING_BYTES, MATCHING_CELLS = 0.3e9, 16384
# Distance in sRGB from the palette at which a color begins to be taken back.
FAR_COLOR = 0.03


class MatchedPainting(Painting):
    """A painting in which every part is painted after the part of the texture that matches it.

    Args: as for `Painting`.

    At each level the hypercolumns of the content and of the picture so far are matched to those of
    the texture; the picture is optimized towards the matched features and colors, the texture's
    statistics, and the content's self-similarity and features, which weigh more where the content
    has fine structure and where nothing in the texture is similar. The last level ends with steps
    that match layer by layer.

    Source: Kolkin et al., "Neural Neighbor Style Transfer", section 3; Kolkin et al., "Style
        Transfer by Relaxed Optimal Transport and Self-Similarity", section 3.
    Strength: below 1, targets are mixed with the content's own; above, the content weighs less.
    """

    defaults = {"iterations": (80, 80, 60, 50), "content_weight": 1.0}
    keeps_border = True

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        inside = self.options.inside
        self._scene = Scene(
            self.content,
            self.tex_styles,
            self.tex_weights,
            self.masks,
            None if inside is None else self._placed(inside),
            [self._with_border(guide) for guide in self.options.guides],
        )
        # One level at a time: its features of the texture take much memory.
        self._made: tuple[tuple[Size, str], MatchedLevel] | None = None

    def _finished_colors(self, image: Tensor) -> Tensor:
        """Return the picture without colors far from all of the textures' own."""
        palette = [
            resize(style, style_size(style, size_of(image), 1.0)).clamp(0, 1)
            for style in self.tex_styles
        ]
        if paint_share(self.settings) < 1:  # the content's own show, too
            palette.append(self.content)
        return within_palette(image, palette, tolerance=FAR_COLOR)

    def _completed(self, result: TextureResult) -> TextureResult:
        """Add the source map of the last level, without border, and drop what was matched."""
        self._made = None
        source = result.history[-1].side_result
        if source is None:
            return result
        shown = self.schedule[len(result.history) - 1].size
        source = cut_border(source[None], cell_size(shown))[0].cpu().clone()
        if self.options.masks is not None:
            covered = resize(self.options.masks.sum(0, keepdim=True), size_of(source), "bilinear")
            source[0][covered[0, 0].to(source.device) < 1e-3] = -1
        return replace(result, source_map=source)

    def _schedule(
        self, networks: Sequence[FeatureExtractor], settings: TextureSettings
    ) -> list[Entry]:
        self.matched = self.options.matched
        if self.matched.quick:
            self.matched, fewer = self.matched.quickened(settings.iterations)
            settings = replace(settings, iterations=fewer)
        levels = super()._schedule(networks, replace(settings, stop_after=()))
        if self.matched.split:
            levels.append(replace(levels[-1], steps=self.matched.split))
        return check_stops(levels, settings)

    def _more_bytes(self, network: FeatureExtractor, size: Size) -> float:
        scale = self.schedule[-1].tex_scale
        sizes = [cell_size(style_size(style, size, scale)) for style in self.tex_styles]
        cells, styles = math.prod(cell_size(size)), sum(math.prod(own) for own in sizes)
        columns = 4.0 * sum(network.channels(layer) for layer in LAYERS)
        matching = MATCHING_BYTES * min(1, cells / MATCHING_CELLS)
        # Turned copies, their cells at twice, four times … the side, and one more in the making.
        copies = self.matched.turns * 4 / 3 + 1
        return columns * (COLUMN_MAPS * cells + copies * styles) + matching

    def _start(self) -> Tensor:
        start = self._given_start()
        if start is not None:
            return resize(start, self.schedule[0].painted)
        if self.settings.init == "content":
            return self._matched_level(self.schedule[0]).start()
        return super()._start()

    def _level(self, entry: Entry, number: int) -> Level:
        splitting = bool(self.matched.split) and number + 1 == len(self.schedule)
        pace = self.matched.split_step_size if splitting else 1.0
        image: list[Tensor] = []  # that the level begins from

        def start(before: Tensor) -> Tensor:
            if tuple(before.shape[-2:]) != entry.painted:
                before = self._matched_level(entry).enlarged(before)
            image[:] = [before]
            return before

        def objective() -> Objective:
            level = self._matched_level(entry)
            level.match(image[0])
            return level.objective(splitting=splitting)

        return self._entry_level(
            entry,
            number,
            objective=objective,
            optimizer=PyramidSettings(lr=pace * self.matched.step_size),
            start=start,
            side_result=lambda: self._matched_level(entry).source_map(),
        )

    def _matched_level(self, entry: Entry) -> MatchedLevel:
        """The matching of a level, made once for all levels of its size and network."""
        key = entry.painted, entry.network.name
        keys = [(other.painted, other.network.name) for other in self.schedule]
        if self._made is None or self._made[0] != key:
            self._made = None  # before the next one takes its memory
            made = MatchedLevel(
                self._scene,
                entry.network,
                entry.painted,
                self.matched,
                self.settings,
                tex_scale=entry.tex_scale,
                seed=self.options.seed + SEEDS_PER_LEVEL * keys.index(key),
                tiling=self.tiling,
            )
            self._made = key, made
        self._made[1].tiling = self.tiling
        return self._made[1]

    def _with_border(self, guide: SourceGuide | None) -> SourceGuide | None:
        if guide is None:
            return None
        positions = self._placed(guide.positions.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return SourceGuide(positions, self._placed(guide.confidence))
