"""Painting by statistics: Gram matrices of the texture, features of the content."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from geostyle.coords import resize, size_of
from geostyle.device import own_world
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.borders import cut_border
from geostyle.texture.interrupts import hand_over
from geostyle.texture.objective import LossSettings, TextureObjective
from geostyle.texture.optimizer import Objective
from geostyle.texture.painting import Painting, PaintOptions
from geostyle.texture.pyramid import Finished, Level, Progress, TextureResult
from geostyle.texture.schedule import Entry, style_size
from geostyle.texture.settings import TextureSettings


class GramPainting(Painting):
    """A painting whose statistics under a network become those of the texture style.

    Args: as for `Painting`.

    Source: Gatys, Ecker, Bethge, "Image Style Transfer Using Convolutional Neural Networks".
    Strength: below 1, the content's own texture is mixed in with the missing weight, so that 0
        leaves the content as it is; above, the style's weight grows with the square.
    Differs: relative losses; L-BFGS; coarse levels weight the content more, and the content's own
        detail is added to the doubled picture, which would need most of its steps to recover it.
    """

    defaults = {"iterations": (40, 30, 20, 60), "content_weight": 0.1}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        strength = min(1.0, self.settings.tex_strength)
        self.detail = 1 - (1 - self.settings.detail) * strength
        if strength < 1:
            self.tex_weights = [*(strength * w for w in self.tex_weights), 1 - strength]
            if self.masks is not None:
                rest = torch.full_like(self.masks[:1], 1 - strength)
                self.masks = torch.cat([strength * self.masks, rest])

    def _level(self, entry: Entry, number: int) -> Level:
        before = self.schedule[number - 1] if number else entry
        return self._entry_level(
            entry,
            number,
            objective=partial(self._objective, entry),
            optimizer=self.settings,
            start=partial(self._enlarged, entry, before),
        )

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

    def _objective(self, entry: Entry) -> Objective:
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
        assert settings.content_weight is not None
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
            tex_weights=None if masks is not None else self.tex_weights,
            masks=masks,
            tiling=self.tiling,
        )


@own_world
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
    """Repaint `content` by statistics; arguments as for `GramPainting` and `Painting.run`."""
    painting = GramPainting(content, tex_style, network, settings, options)
    done = painting.run(callback, finished, on_level)
    return hand_over(replace(done, ctrl_c=None), done.ctrl_c)
