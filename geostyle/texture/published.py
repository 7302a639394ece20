"""The papers' own losses, absolute and with their closed-form gradients.

The other methods minimize relative losses (`losses.py`). These are the formulas of Gatys, Ecker and
Bethge, for reproducing their figures and for testing our losses against them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.losses import gram
from geostyle.texture.settings import CONTENT_LAYER, STYLE_LAYERS


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """Return ½ Σ (F − P)² of two feature maps (B, C, H, W), a scalar.

    Source: Gatys, Ecker, Bethge, "A Neural Algorithm of Artistic Style", equation 1.
    """
    return (features - target).pow(2).sum() / 2


def content_gradient(features: Tensor, target: Tensor) -> Tensor:
    """Return the gradient of `content_loss` before the ReLU: F − P where F > 0, else 0.

    Returns: (B, C, H, W).

    Source: as above, equation 2.
    """
    return (features - target) * (features > 0)


def style_loss(features: Tensor, target: Tensor) -> Tensor:
    """Return 1 / (4 N² M²) Σ (G − A)² of a layer with N channels and M positions, a scalar.

    Args:
        features: (B, N, H, W), M = H·W.
        target: (B, N, N), A / M' as `gram` returns it for the style, which has M' positions.

    Source: as above, equation 4.
    Differs: G and A are divided by their own M, which is the paper's value for two pictures of one
        size, and also compares pictures of different sizes.
    """
    return (gram(features) - target).pow(2).sum() / (4 * features.shape[1] ** 2)


def style_gradient(features: Tensor, target: Tensor) -> Tensor:
    """Return the gradient of `style_loss` before the ReLU: (G − A) F / (N² M²) where F > 0, else 0.

    Args: as for `style_loss`.
    Returns: (B, N, H, W).
    Source: as above, equation 6.
    """
    n, m = features.shape[1], features.shape[2] * features.shape[3]
    change = (gram(features) - target) @ features.flatten(2) / (n**2 * m)
    return change.view_as(features) * (features > 0)


class PublishedObjective(nn.Module):
    """The published objective: α · content + β · style.

    Args:
        network: gives the features; not trained.
        content: (1, 3, H, W), the photograph.
        tex_style: (1, 3, h, w), the artwork; the paper resizes it to the photograph's size.
        alpha, beta: weights of content and style.
        style_layers: layers whose losses count 1 / (their number) each, the paper's w_l.
        content_layer: layer of the content loss.

    Source: as above, equations 1 to 7.
    Differs: the paper scales each filter of its network to a mean activation of one over many
        pictures; we divide every layer by its mean (absolute) activation over these two, so that
        α/β means the same under weights of any scale. The total minimized is α · content +
        β · style divided by β · style of the content picture, which changes no minimum and keeps
        the optimizer's first step moderate.
    """

    def __init__(
        self,
        network: FeatureExtractor,
        content: Tensor,
        tex_style: Tensor,
        *,
        alpha: float = 1e-3,
        beta: float = 1.0,
        style_layers: Sequence[str] = STYLE_LAYERS,
        content_layer: str = CONTENT_LAYER,
    ) -> None:
        super().__init__()
        if alpha < 0 or beta < 0 or alpha + beta == 0:
            raise InputError(
                f"alpha, beta: expected non-negative weights, not both 0, got {alpha} and {beta}"
            )
        self.network, self.alpha, self.beta = network, alpha, beta
        self.style_layers, self.content_layer = list(style_layers), content_layer
        self.scales: dict[str, float] = {}
        self.grams: dict[str, Tensor] = {}
        with torch.no_grad():
            wanted = [*self.style_layers, content_layer]
            of_content, of_style = network(content, wanted), network(tex_style, wanted)
            for layer in wanted:
                means = [
                    float(found[layer].float().abs().mean()) for found in (of_content, of_style)
                ]
                self.scales[layer] = 2 / max(sum(means), 1e-12)
            self.content = of_content[content_layer].float() * self.scales[content_layer]
            self.grams = {k: gram(of_style[k].float() * self.scales[k]) for k in self.style_layers}
            _, style, _ = self._terms(of_content)
            # Content and style may be the same picture, or β zero: then content sets the scale.
            energy = max(float(beta * style), float(alpha * self.content.pow(2).sum() / 2) * 1e-3)
        self.scale = 1 / max(energy, 1e-12)

    def _terms(self, found: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        layers = {layer: found[layer].float() * self.scales[layer] for layer in self.scales}
        content = content_loss(layers[self.content_layer], self.content)
        losses = [style_loss(layers[layer], target) for layer, target in self.grams.items()]
        style = torch.stack(losses).mean()
        return self.alpha * content + self.beta * style, style, content

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (scaled total, style, content) of `image` (1, 3, H, W), the last two unscaled."""
        total, style, content = self._terms(self.network(image, list(self.scales)))
        return total * self.scale, style, content
