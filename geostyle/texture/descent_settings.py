"""Settings of the methods that paint from noise: synthesis, reconstruction, neural style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from geostyle.config import check, setting
from geostyle.errors import InputError
from geostyle.features.settings import PADDINGS
from geostyle.texture.settings import CONTENT_LAYER, STYLE_LAYERS, OptimizerSettings

if TYPE_CHECKING:
    from geostyle.features.extractor import FeatureExtractor

# Figure 3 of the paper, left to right.
PAPER_RATIOS = (1e-5, 1e-4, 1e-3, 1e-2)


@dataclass(frozen=True)
class DescentSettings(OptimizerSettings):
    """Settings of the optimizer of one picture."""

    history: int = setting(30, help="vector pairs that L-BFGS stores", min=1, max=200)


@dataclass(frozen=True)
class SynthesisSettings:
    """Settings of a texture synthesis; the defaults are those of the benchmark."""

    layers: tuple[str, ...] = setting(
        STYLE_LAYERS, help="layers whose Gram matrices are matched, equally"
    )
    init: str = setting(
        "pixels",
        choices=("pixels", "noise"),
        help="white noise to start from: of the exemplar's own pixels in random order, or uniform",
    )
    tile: bool = setting(False, help="make a picture that repeats without a seam")
    padding: str = setting(
        "zeros", choices=PADDINGS[:3], help="what convolutions see beyond the border"
    )
    descent: DescentSettings = setting(DescentSettings(iterations=(100, 100, 150, 300)))

    def __post_init__(self) -> None:
        check(self)
        if not self.layers:
            raise InputError("layers: expected at least one layer, got none")

    def depths(self) -> list[SynthesisSettings]:
        """Return settings for every depth, from the first layer alone to all of them.

        Source: Gatys, Ecker, Bethge, "Texture Synthesis Using Convolutional Neural Networks",
            figure 2.
        Differs: all in a single scale, with the steps of all levels: coarse to fine, even relu1_1
            would keep structure of the coarser levels that is wider than the layer sees.
        """
        descent = replace(self.descent, iterations=(sum(self.descent.iterations),))
        cuts = range(1, len(self.layers) + 1)
        return [replace(self, layers=self.layers[:cut], descent=descent) for cut in cuts]


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


@dataclass(frozen=True)
class NeuralStyleSettings:
    """Settings of style transfer as published; the defaults are the paper's."""

    alpha_over_beta: float = setting(
        1e-3, min=0.0, max=1e6, help="content weight over style weight"
    )
    style_layers: tuple[str, ...] = setting(
        STYLE_LAYERS, help="layers of the style loss, 1 / their number each"
    )
    content_layer: str = setting(CONTENT_LAYER, help="layer of the content loss")
    init: str = setting("noise", choices=("noise", "content"), help="picture to start from")
    descent: DescentSettings = setting(DescentSettings(iterations=(500,)))

    def __post_init__(self) -> None:
        check(self)
        if not self.style_layers:
            raise InputError("style_layers: expected at least one layer, got none")
        if len(self.descent.iterations) != 1:
            raise InputError(
                "iterations: expected one number, for the paper's single scale, "
                f"got {list(self.descent.iterations)}"
            )

    def sheet(self, ratios: Sequence[float] = PAPER_RATIOS) -> list[NeuralStyleSettings]:
        """Return settings for the paper's figure 3: every depth of style layers with every α/β."""
        return [
            replace(self, style_layers=self.style_layers[:depth], alpha_over_beta=ratio)
            for depth in range(1, len(self.style_layers) + 1)
            for ratio in ratios
        ]


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
