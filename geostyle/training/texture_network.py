"""Training of a texture network, for textures or for paintings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from geostyle.config import setting
from geostyle.data.photographs import VALIDATION_SEED, Photographs
from geostyle.feedforward.texture_network import (
    TextureNetwork,
    TextureNetworkSettings,
    noise_pyramid,
)
from geostyle.training.feedforward import Drawn, PainterSettings, PainterTrainer

VALIDATION_PICTURES = 4
CALIBRATION_BATCHES, CALIBRATION_FROM = 8, 10**9  # a step that training never comes to


@dataclass(frozen=True)
class TextureTrainSettings(PainterSettings):
    """How a texture network is trained; the schedule is the paper's."""

    images: Path | None = setting(
        None, help="folder of photographs to repaint (stylize); default: bundled pictures"
    )
    style_px: int = setting(
        256, flag="--style-size", min=32, max=4096, help="long side at which the texture is read"
    )
    batch: int = setting(16, min=1, help="pictures a step")
    steps: int = setting(2000, min=1, help="optimizer steps")
    tv_weight: float = setting(0.0, min=0.0, help="weight of total variation (smooths)")
    lr: float = setting(0.1, min=0.0, max=1.0, help="first learning rate of Adam")
    decay: float = setting(0.7, min=0.0, max=1.0, help="factor by which the rate falls")
    decay_from: int = setting(1000, min=0, help="step of its first fall")
    decay_every: int = setting(200, min=1, help="steps between its falls")
    network: TextureNetworkSettings = setting(TextureNetworkSettings())


class TextureTrainer(PainterTrainer):
    """A texture network in training.

    Args:
        settings: see `TextureTrainSettings`.

    Differs: the network that is written has averaged weights, with batch statistics taken anew.
    """

    state_kind, file_name = "texture-network-state", "texnet.safetensors"
    settings: TextureTrainSettings

    def __init__(self, settings: TextureTrainSettings) -> None:
        if settings.network.mode == "stylize":
            self.photographs = Photographs(settings.images, settings.crop_px, settings.seed)
        super().__init__(settings)

    def make(self) -> nn.Module:
        return TextureNetwork(self.settings.network)

    def draw(self, step: int) -> Drawn:
        count = self.settings.batch
        content = self.photographs.batch(step * count, count) if self.photographs else None
        return self._with_noise(self.settings.seed, step * count, count, content)

    def draw_validation(self) -> Drawn:
        count = VALIDATION_PICTURES
        content = self.photographs.validation(count) if self.photographs else None
        return self._with_noise(VALIDATION_SEED, 0, count, content)

    def _with_noise(self, seed: int, first: int, count: int, content: Tensor | None) -> Drawn:
        """Noise number `first` and after, each from (seed, number), beside what is repainted."""
        side = self.settings.crop_px
        numbers = range(first, first + count)
        seeds = [int(np.random.default_rng((seed, n)).integers(2**63)) for n in numbers]
        return Drawn((noise_pyramid((side, side), self.settings.network, seeds), content), content)

    def rate(self, step: int) -> float:
        settings = self.settings
        falls = max(0, (step - settings.decay_from) // settings.decay_every + 1)
        return settings.lr * settings.decay**falls

    def averaged(self) -> nn.Module:
        net = super().averaged()
        assert isinstance(net, TextureNetwork)
        if self.settings.network.norm == "batch":
            drawn = [self.draw(CALIBRATION_FROM + i) for i in range(CALIBRATION_BATCHES)]
            net.calibrate([d.to(self.device).inputs for d in drawn])
        return net
