"""What a layer keeps of a picture: reconstructions from noise, of content or of style."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geostyle.config import check, setting
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.descent import DescentSettings, Level, descend, white_noise
from geostyle.texture.losses import relative_error
from geostyle.texture.objective import LossSettings, TextureObjective
from geostyle.texture.pyramid import Progress, TextureResult
from geostyle.texture.synthesis import SynthesisSettings, synthesize


@dataclass(frozen=True)
class ReconstructionSettings:
    """What is reconstructed, and how."""

    what: str = setting("content", choices=("content", "style"), help="what is reconstructed")
    layer: str = setting("relu4_2", help="the layer it is reconstructed from")
    up_to: bool | None = setting(
        None,
        help="from the same layer of the earlier blocks, too (default: for style, as in the paper)",
    )
    descent: DescentSettings = setting(DescentSettings(iterations=(400,)))

    def __post_init__(self) -> None:
        check(self)

    def layers(self, extractor: FeatureExtractor) -> list[str]:
        """The layers that count under `extractor`.

        Raises: InputError for a layer it has not.
        """
        extractor.channels(self.layer)
        up_to = self.what == "style" if self.up_to is None else self.up_to
        return layers_up_to(extractor, self.layer) if up_to else [self.layer]


def reconstruct(
    picture: Tensor,
    extractor: FeatureExtractor,
    settings: ReconstructionSettings | None = None,
    *,
    seed: int = 0,
    callback: Callable[[Progress], None] | None = None,
) -> TextureResult:
    """Find, from white noise, a picture that agrees with `picture` at the layers asked for.

    Args:
        picture: (1, 3, H, W), sRGB in [0, 1].
        extractor: the network whose layers are looked into.
        settings: see `ReconstructionSettings`; all in one scale, several levels only for style.
        seed: of the noise.
        callback: called after every step; raising KeyboardInterrupt in it ends the run with the
            best picture so far.

    Source: Gatys, Ecker, Bethge, "A Neural Algorithm of Artistic Style", figure 1.
    Differs: relative losses, which have the same minima.
    """
    settings = settings or ReconstructionSettings()
    layers = settings.layers(extractor)
    if settings.what == "style":
        own = SynthesisSettings(layers=tuple(layers), init="noise", descent=settings.descent)
        return synthesize(picture, extractor, own, seed=seed, callback=callback)
    size = (picture.shape[-2], picture.shape[-1])
    level = Level(
        size,
        # Coarser pictures would tell more of the picture than the layer keeps.
        sum(settings.descent.iterations),
        lambda: TextureObjective(
            extractor,
            [],
            picture,
            LossSettings(style_weight=0.0, content_weight=1.0, content_layers=layers),
        ),
    )
    start = white_noise(size, seed, picture)
    return descend(start, [level], settings.descent, callback=callback)


def reconstruct_layers(
    picture: Tensor,
    extractor: FeatureExtractor,
    settings: ReconstructionSettings,
    *,
    seed: int = 0,
    callback: Callable[[Progress], None] | None = None,
) -> Iterator[tuple[str, TextureResult]]:
    """Reconstruct from every block's layer of the index of ``settings.layer``, shallow to deep.

    Args: as for `reconstruct`; ``settings.layer`` need not be deep: ``"relu1_2"`` and
        ``"relu4_2"`` both ask for relu1_2, relu2_2, … as far as the network goes.
    Yields: each layer and its reconstruction; an interrupted one is the last.
    """
    for layer in block_layers(extractor, settings.layer):
        own = replace(settings, layer=layer)
        done = reconstruct(picture, extractor, own, seed=seed, callback=callback)
        yield layer, done
        if done.interrupted:
            break


def block_layers(extractor: FeatureExtractor, layer: str) -> list[str]:
    """The layers of the same index as `layer` in every block, such as relu1_2, relu2_2, …

    Raises: InputError for a layer the network has not.
    """
    extractor.channels(layer)
    prefix, index = _parts(layer)
    wanted = [f"{prefix}{block}{index}" for block in range(1, 6)]
    return [name for name in wanted if name in extractor.layer_names]


def layers_up_to(extractor: FeatureExtractor, layer: str) -> list[str]:
    """The layers of the same index in every block as far as `layer`: relu1_2, relu2_2, …"""
    return [name for name in block_layers(extractor, layer) if name <= layer]


@torch.no_grad()
def feature_errors(
    image: Tensor, picture: Tensor, extractor: FeatureExtractor, layers: Sequence[str]
) -> dict[str, float]:
    """‖F − P‖ / ‖P‖ (not squared) of two pictures (1, 3, H, W) at each layer.

    `image` is clamped to [0, 1] first, as a saved picture would be.
    """
    own, goal = extractor(image.clamp(0, 1), layers), extractor(picture, layers)
    return {k: float(relative_error(own[k].float(), goal[k].float()).sqrt()) for k in layers}


def _parts(layer: str) -> tuple[str, str]:
    """``"relu4_2"`` → ``("relu", "_2")``; ``"pool3"`` → ``("pool", "")``."""
    return layer[:4], layer[5:]
