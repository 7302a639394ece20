"""Reconstruction of a picture's content or style, from noise, from the features of some layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geostyle.config import check, setting
from geostyle.device import own_world
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.descent import DescentSettings, descend
from geostyle.texture.losses import relative_error
from geostyle.texture.memory import check_descent_fits
from geostyle.texture.objective import LossSettings, TextureObjective
from geostyle.texture.pyramid import Level, Progress, TextureResult, white_noise
from geostyle.texture.synthesis import SynthesisSettings, synthesize


@dataclass(frozen=True)
class ReconstructionSettings:
    """Settings of a reconstruction."""

    what: str = setting("content", choices=("content", "style"), help="what to reconstruct")
    layer: str = setting("relu4_2", help="layer to reconstruct it from")
    up_to: bool | None = setting(
        None,
        help="use the same layer of the earlier blocks, too (default: for style, as in the paper)",
    )
    descent: DescentSettings = setting(DescentSettings(iterations=(400,)))

    def __post_init__(self) -> None:
        check(self)

    def layers(self, network: FeatureExtractor) -> list[str]:
        """Return the layers that are used under `network`.

        Raises: InputError for a layer that it does not have.
        """
        network.channels(self.layer)
        up_to = self.what == "style" if self.up_to is None else self.up_to
        return layers_up_to(network, self.layer) if up_to else [self.layer]

    def blocks(self, network: FeatureExtractor) -> list[ReconstructionSettings]:
        """Return settings for the layer of the same index in every block, shallow to deep."""
        return [replace(self, layer=layer) for layer in block_layers(network, self.layer)]


@own_world
def reconstruct(
    picture: Tensor,
    network: FeatureExtractor,
    settings: ReconstructionSettings | None = None,
    *,
    seed: int = 0,
    callback: Callable[[Progress], None] | None = None,
) -> TextureResult:
    """Optimize white noise until it agrees with `picture` at the layers of the settings.

    Args:
        picture: (1, 3, H, W), sRGB in [0, 1].
        network: gives the features.
        settings: see `ReconstructionSettings`; content has one level, whatever they say.
        seed: of the noise.
        callback: called after every step; raising KeyboardInterrupt in it ends the run with the
            best picture so far.

    Source: Gatys, Ecker, Bethge, "A Neural Algorithm of Artistic Style", figure 1.
    Differs: relative losses, which have the same minima.
    """
    settings = settings or ReconstructionSettings()
    layers = settings.layers(network)
    if settings.what == "style":
        own = SynthesisSettings(layers=tuple(layers), init="noise", descent=settings.descent)
        return synthesize(picture, network, own, seed=seed, callback=callback)
    size = (picture.shape[-2], picture.shape[-1])
    check_descent_fits(network, size, settings.descent)
    level = Level(
        size,
        # A start from coarser levels would hold more of the picture than the layer keeps.
        sum(settings.descent.iterations),
        lambda: TextureObjective(
            network,
            [],
            picture,
            LossSettings(style_weight=0.0, content_weight=1.0, content_layers=layers),
        ),
    )
    start = white_noise(size, seed, picture)
    return descend(start, [level], settings.descent, callback=callback)


def block_layers(network: FeatureExtractor, layer: str) -> list[str]:
    """Return the layers of the same index as `layer` in every block: relu1_2, relu2_2, …

    Raises: InputError for a layer that the network does not have.
    """
    network.channels(layer)
    wanted = [f"{layer[:4]}{block}{layer[5:]}" for block in range(1, 6)]  # or pool1, pool2, …
    return [name for name in wanted if name in network.layer_names]


def layers_up_to(network: FeatureExtractor, layer: str) -> list[str]:
    """Return the layers of the same index in every block up to that of `layer`."""
    return [name for name in block_layers(network, layer) if name <= layer]


@torch.no_grad()
def feature_errors(
    image: Tensor, picture: Tensor, network: FeatureExtractor, layers: Sequence[str]
) -> dict[str, float]:
    """Return ‖F − P‖ / ‖P‖ (not squared) at each layer, of F under `image` and P under `picture`.

    Args: image, picture, (1, 3, H, W); `image` is clamped to [0, 1], as a saved picture would be.
    """
    own, goal = network(image.clamp(0, 1), layers), network(picture, layers)
    return {k: float(relative_error(own[k].float(), goal[k].float()).sqrt()) for k in layers}
