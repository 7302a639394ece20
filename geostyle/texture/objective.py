"""What is minimised over the picture: style, content and smoothness under one feature extractor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from geostyle.errors import InputError
from geostyle.features import FeatureExtractor
from geostyle.texture.losses import ContentLoss, GramLoss, MomentLoss, gram, total_variation
from geostyle.texture.score import CONTENT_LAYER, STYLE_LAYERS


class TextureObjective(nn.Module):
    """Style + content loss of a picture, targets computed once.

    Args:
        extractor: a frozen feature extractor.
        tex_styles: exemplars (1, 3, h, w); their statistics are averaged with `mixture`.
        content: (1, 3, H, W) whose content layer is kept, or None (texture synthesis).
        mixture: one non-negative weight an exemplar, default equal; normalised to sum 1.
        style_weight, content_weight, moment_weight, tv_weight: weights of the terms; a term of
            weight 0 costs nothing.
        style_layers: layers whose Gram matrices count, equally.
        content_layer: layer whose features are kept, or several that count equally.
        reader: network that reads the exemplars, where it is not `extractor` (another padding).

    Source: Gatys, Ecker, Bethge, "A Neural Algorithm of Artistic Style", equation 7.
    Differs: all terms relative (see `losses`); styles mix through the average of their Gram
        matrices.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        tex_styles: Sequence[Tensor],
        content: Tensor | None,
        *,
        mixture: Sequence[float] | None = None,
        style_weight: float = 1.0,
        content_weight: float = 0.1,
        moment_weight: float = 0.0,
        tv_weight: float = 0.0,
        style_layers: Sequence[str] = STYLE_LAYERS,
        content_layer: str | Sequence[str] = CONTENT_LAYER,
        reader: FeatureExtractor | None = None,
    ) -> None:
        super().__init__()
        self.extractor = extractor
        self.style_weight, self.moment_weight = style_weight, moment_weight
        self.content_weight = content_weight
        self.tv_weight = tv_weight
        self.content_layers = (
            [content_layer] if isinstance(content_layer, str) else list(content_layer)
        )
        grams: dict[str, Tensor] = {}
        moments: dict[str, Tensor] = {}
        with torch.no_grad():
            if style_weight:
                shares = mixture_shares(mixture, len(tex_styles))
                for share, style in zip(shares, tex_styles, strict=True):
                    for layer, found in (reader or extractor)(style, style_layers).items():
                        grams[layer] = grams.get(layer, 0) + share * gram(found)
                        moments[layer] = moments.get(layer, 0) + share * MomentLoss.statistics(
                            found
                        )
            self.gram_losses = nn.ModuleDict({k: GramLoss(v) for k, v in grams.items()})
            self.moment_losses = nn.ModuleDict({k: MomentLoss(v) for k, v in moments.items()})
        self.content_losses = nn.ModuleDict()
        if content is not None:
            self.keep(content)

    @torch.no_grad()
    def keep(self, content: Tensor) -> None:
        """Make `content` (B, 3, H, W) what is kept from now on, instead of what was before."""
        if self.content_weight:
            for layer, found in self.extractor(content, self.content_layers).items():
                self.content_losses[layer] = ContentLoss(found.float())

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(total, style, content) of `image`, scalars; total carries the weights.

        Args: image, (B, 3, H, W); style and content are sums over its items.
        """
        layers = [*self.gram_losses, *self.content_losses]
        found = self.extractor(image, layers) if layers else {}
        zero = image.new_zeros(())
        style, content, total = zero, zero, zero
        for layer, loss in self.gram_losses.items():
            style = style + loss(found[layer]) / len(self.gram_losses)
        if self.gram_losses:
            total = total + self.style_weight * style
        if self.moment_weight and self.moment_losses:
            for layer, loss in self.moment_losses.items():
                total = total + self.moment_weight * loss(found[layer]) / len(self.moment_losses)
        for layer, loss in self.content_losses.items():
            content = content + loss(found[layer].float()) / len(self.content_losses)
        if self.content_losses:
            total = total + self.content_weight * content
        if self.tv_weight:
            total = total + self.tv_weight * total_variation(image)
        return total, style, content


def mixture_shares(mixture: Sequence[float] | None, n_styles: int) -> list[float]:
    """Weights of a mixture of `n_styles` textures, normalised to sum 1; None means equal ones.

    Raises: InputError for a wrong number of weights, negative ones, or none above 0.
    """
    weights = [1.0] * n_styles if mixture is None else list(mixture)
    if not weights or len(weights) != n_styles or min(weights) < 0 or sum(weights) <= 0:
        raise InputError(
            f"mixture: expected {n_styles} non-negative weights, one a texture style, got {weights}"
        )
    return [weight / sum(weights) for weight in weights]
