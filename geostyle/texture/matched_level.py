"""One level of matched painting: pictures at its size, cells of the textures, targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from geostyle.coords import Size, resize
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.cells import Bank, make_bank
from geostyle.texture.colors import match_colors, within_palette
from geostyle.texture.hypercolumns import cell_size, hypercolumns, layer_scales, mean_of_cells
from geostyle.texture.keeping import blurred, structure
from geostyle.texture.matched import MatchedObjective, Targets, Weights
from geostyle.texture.matched_settings import MatchedSettings
from geostyle.texture.neighbors import Match, Matcher, Queries
from geostyle.texture.painting import SourceGuide
from geostyle.texture.schedule import style_size
from geostyle.texture.settings import TextureSettings
from geostyle.texture.splitting import Exemplars
from geostyle.texture.tiles import Tiling

# Similarity at which a match counts as good, and how far below it counts as none.
ALIKE, UNLIKE_RANGE = 0.65, 0.35
# Similarity lost per squared normalized distance at guidance 1 and confidence 1.
GUIDANCE_PULL = 48.0
# The edge of the content is blurred over about this part of the long side.
INSIDE_EDGE = 24


def paint_share(settings: TextureSettings) -> float:
    """Part of the way from the content to the matched paint, 0 to 1."""
    # Beyond its default, the content's weight takes paint off.
    held = max(1.0, settings.content_weight or 0.0) ** -0.25
    return min(1.0, settings.tex_strength) * held


@dataclass(frozen=True)
class Scene:
    """The pictures of a painting, the same for all of its levels, at full size.

    Attributes:
        content: (1, 3, H, W), the warped content.
        tex_styles: (1, 3, h, w) each.
        tex_weights: one per style, of sum 1: the part of the picture that it paints.
        masks: (n, 1, H, W), the weight of each style in each pixel, instead of `tex_weights`.
        inside: (1, 1, H, W), 1 where there is content, 0 where it is to be invented, or None.
        guides: per style, where the parts of the picture are expected in it, or None.
    """

    content: Tensor
    tex_styles: Sequence[Tensor]
    tex_weights: Sequence[float]
    masks: Tensor | None = None
    inside: Tensor | None = None
    guides: Sequence[SourceGuide | None] = ()


class MatchedLevel:
    """A level of matched painting: the cells of its textures, and the objectives of its stages.

    Args:
        scene: the pictures.
        network: the network whose features are matched.
        size: (H, W) of the level.
        settings, texture: of the painting.
        tex_scale: of the styles; see `style_size`.
        seed: of the sampled positions.
        tiling: how to cut pictures that are too large for memory.
    """

    def __init__(
        self,
        scene: Scene,
        network: FeatureExtractor,
        size: Size,
        settings: MatchedSettings,
        texture: TextureSettings,
        *,
        tex_scale: float = 1.0,
        seed: int = 0,
        tiling: Tiling | None = None,
    ) -> None:
        self.network, self.settings, self.size = network, settings, size
        self.content_weight = 1.0 if texture.content_weight is None else texture.content_weight
        self.tex_strength, self.seed, self.tiling = texture.tex_strength, seed, tiling
        self.strength = paint_share(texture)
        self.cells = cell_size(size)
        self.reference = resize(scene.content, size)
        self.styles = [
            resize(style, style_size(style, size, tex_scale)).clamp(0, 1)
            for style in scene.tex_styles
        ]
        self.masked, self.tex_parts = scene.masks is not None, list(scene.tex_weights)
        if scene.masks is None:
            even = self.reference.new_tensor(self.tex_parts).view(-1, 1, 1, 1)
            self.masks = even.expand(-1, 1, *size)
        else:
            self.masks = resize(scene.masks, size, "bilinear")
            self.tex_parts = (self.masks.mean((1, 2, 3)) + 1e-6).tolist()
        self.inside = self.reference.new_ones(1, 1, *self.cells)
        if scene.inside is not None:
            # Soft, so that no edge shows between what is kept and what is invented.
            radius = max(1, max(self.cells) // INSIDE_EDGE)
            self.inside = blurred(resize(scene.inside, self.cells, "bilinear"), radius)
        self.guides = list(scene.guides or [None] * len(self.styles))
        self.recolored = self._recolored()
        self.scales = layer_scales(self.styles, network, tiling=tiling)
        turns = tuple(range(settings.turns))
        self.banks: list[Bank] = [
            make_bank(style, network, self.scales, turns=turns, tiling=tiling)
            for style in self.styles
        ]
        self.matcher = Matcher(self.banks, spread=settings.spread)
        self.matched: Match | None = None

    def start(self) -> Tensor:
        """The picture the coarsest level begins from: matched colors, the content's detail."""
        targets = self._targets(self._match())
        smooth, own = (
            F.interpolate(maps, self.size, mode="bilinear", align_corners=False)
            for maps in (targets.colors, mean_of_cells(self.recolored, self.cells))
        )
        return (smooth + self.recolored - own).clamp(0, 1)

    def enlarged(self, image: Tensor) -> Tensor:
        """`image`, from a coarser level, at this one's size."""
        old = image.shape[-2], image.shape[-1]
        detail = self.reference - resize(resize(self.reference, old), self.size)
        return (resize(image, self.size) + (1 - self.strength) * detail).clamp(0, 1)

    def match(self, image: Tensor) -> None:
        """Match the content, together with the picture so far, for `objective` to be made of."""
        self.matched = self._match(image)

    def source_map(self) -> Tensor | None:
        """(4, h, w), where each cell takes its paint from; None before the first match.

        Rows are the number of the style, the normalized x and y in it, and the similarity of the
        match, a centered cosine in [-1, 1].
        """
        match = self.matched
        if match is None:
            return None
        positions = self._gather([bank.positions for bank in self.banks], match)[0]
        rows = match.style.view(1, *self.cells), match.similarity.view(1, *self.cells)
        return torch.cat([rows[0].to(positions), positions, rows[1]])

    def objective(self, *, splitting: bool = False) -> MatchedObjective:
        """The loss for the last `match`; `splitting` for the last stage's."""
        assert self.matched is not None
        settings = self.settings
        hold = self.content_weight / max(1.0, self.tex_strength) ** 2
        weights = Weights(
            1.0, settings.color_weight, settings.statistics_weight,
            settings.shape_weight * hold, settings.feature_weight * hold,
        )  # fmt: skip
        return MatchedObjective(
            self.network,
            self.scales,
            self._targets(self.matched),
            self._exemplars(),
            weights,
            splitting=splitting,
            seed=self.seed + splitting,
            tiling=self.tiling,
        )

    def _exemplars(self) -> Exemplars:
        """The textures; below strength 1 the content is one more, used everywhere."""
        pictures, parts, masks = list(self.styles), list(self.tex_parts), self.masks
        if self.strength < 1:
            pictures.append(self.reference)
            parts = [*(self.strength * part for part in parts), 1 - self.strength]
            own = torch.full_like(masks[:1], 1 - self.strength)
            masks = torch.cat([self.strength * masks, own])
        return Exemplars(
            pictures, parts, masks if self.masked else None, shared=len(pictures) - len(self.styles)
        )

    def _recolored(self) -> Tensor:
        """The content in the textures' palettes, so that like is compared with like."""
        parts = [
            within_palette(match_colors(self.reference, style), [style]) for style in self.styles
        ]
        parts_of = self.masks / self.masks.sum(0, keepdim=True).clamp_min(1e-4)
        return (torch.cat(parts) * parts_of).sum(0, keepdim=True)

    def _match(self, image: Tensor | None = None) -> Match:
        settings = self.settings
        dial = min(1.0, self.content_weight)
        like = self.recolored
        colors = mean_of_cells(like, self.cells)
        if image is not None:
            inside = F.interpolate(self.inside, self.size, mode="bilinear", align_corners=False)
            like = torch.lerp(image, like, settings.kept * dial * inside)
        columns = hypercolumns(like, self.network, self.scales, self.tiling)
        masks = F.interpolate(self.masks, self.cells, mode="area")
        tone = settings.tone * dial * self.inside
        return self.matcher.match(Queries(columns, colors, tone, masks, self._expected()))

    def _expected(self) -> list[Tensor | None]:
        found: list[Tensor | None] = []
        for guide in self.guides:
            if guide is None or not self.settings.guidance:
                found.append(None)
                continue
            # Squared: a doubtful warp must not lay the picture out like the texture.
            pull = GUIDANCE_PULL * self.settings.guidance * guide.confidence.square()
            maps = torch.cat([guide.positions.permute(0, 3, 1, 2), pull], 1)
            found.append(F.interpolate(maps.to(self.reference), self.cells, mode="area"))
        return found

    def _targets(self, match: Match) -> Targets:
        """Hypercolumns and colors of the matched cells, and how much the content is held."""
        settings = self.settings
        fine = structure(self.reference, self.cells)
        unlike = (ALIKE - match.similarity.view(1, 1, *self.cells)) / UNLIKE_RANGE
        unlike = unlike.clamp(0, 1)
        holding = 1 + settings.hold_structure * fine + settings.hold_unlike * unlike
        columns = self._gather([bank.columns for bank in self.banks], match)
        colors = self._gather([bank.colors for bank in self.banks], match)
        held = settings.tone_held * min(1.0, self.content_weight)
        colors = torch.lerp(
            colors,
            mean_of_cells(self.recolored, self.cells),
            held * torch.maximum(fine, unlike) * self.inside,
        )
        if settings.fine_held:
            held = settings.fine_held * min(1.0, self.content_weight)
            own = hypercolumns(self.recolored, self.network, self.scales, self.tiling)
            columns = torch.lerp(columns, own, held * fine * self.inside)
        if self.strength < 1:
            own = hypercolumns(self.reference, self.network, self.scales, self.tiling)
            columns = torch.lerp(own, columns, self.strength)
            colors = torch.lerp(mean_of_cells(self.reference, self.cells), colors, self.strength)
        style = match.style.view(1, 1, *self.cells).float()
        return Targets(self.reference, columns, colors, style, self.inside, holding)

    def _gather(self, parts: Sequence[Tensor], match: Match) -> Tensor:
        """(1, C, h, w) of what each bank's `parts` (M, C) hold for the matched cells."""
        rows = parts[0].new_empty(len(match.index), parts[0].shape[1])
        for number, part in enumerate(parts):
            own = match.style == number
            rows[own] = part[match.index[own]]
        return rows.T.view(1, -1, *self.cells)
