"""Training of a texture network, for textures or for paintings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from geostyle.config import setting
from geostyle.data.photographs import VALIDATION_SEED, Photographs
from geostyle.distributed import ALONE, Processes
from geostyle.feedforward.texture_network import (
    TextureNetwork,
    TextureNetworkSettings,
    noise_pyramid,
)
from geostyle.training.feedforward import FeedForwardLearner, FeedForwardSettings, PaintBatch

VALIDATION_PICTURES = 4
CALIBRATION_BATCHES, CALIBRATION_STEP = 8, 10**9  # a step that training never comes to


@dataclass(frozen=True)
class TextureTrainSettings(FeedForwardSettings):
    """Settings of the training of a texture network; the schedule is the paper's."""

    images: Path | None = setting(
        None, help="folder of photographs to repaint (stylize); default: bundled pictures"
    )
    style_px: int = setting(
        256, flag="--style-size", min=32, max=4096, help="long side at which the texture is read"
    )
    batch: int = setting(16, min=1, help="pictures per step")
    steps: int = setting(2000, min=1, help="optimizer steps")
    tv_weight: float = setting(0.0, min=0.0, help="weight of total variation (smooths)")
    lr: float = setting(0.1, min=0.0, max=1.0, help="first learning rate of Adam")
    decay: float = setting(0.7, min=0.0, max=1.0, help="factor by which the rate falls")
    decay_from: int = setting(1000, min=0, help="step of its first fall")
    decay_every: int = setting(200, min=1, help="steps between its falls")
    network: TextureNetworkSettings = setting(TextureNetworkSettings())


class TextureLearner(FeedForwardLearner):
    """A texture network in training.

    Args:
        settings: see `TextureTrainSettings`.

    Differs: the network that is written has averaged weights, with batch statistics taken anew.
    """

    state_kind, file_name, apply = "texture-network-state", "texnet.safetensors", "texnet-sample"

    def __init__(self, settings: TextureTrainSettings, processes: Processes = ALONE) -> None:
        photographs = None
        if settings.network.mode == "stylize":
            photographs = Photographs(settings.images, settings.crop_px, settings.seed)
        super().__init__(settings, processes, photographs)

    def make(self, settings: TextureTrainSettings) -> nn.Module:
        return TextureNetwork(settings.network)

    def read(self, step: int) -> PaintBatch:
        count = self.settings.batch
        content = self.photographs.batch(step * count, count) if self.photographs else None
        return self._with_noise(self.settings.seed, step * count, count, content)

    def read_validation(self) -> PaintBatch:
        count = VALIDATION_PICTURES
        content = self.photographs.validation(count) if self.photographs else None
        return self._with_noise(VALIDATION_SEED, 0, count, content)

    def _with_noise(self, seed: int, first: int, count: int, content: Tensor | None) -> PaintBatch:
        """Return noise number `first` and after, each from (seed, number), and `content`."""
        size = (self.settings.crop_px,) * 2
        numbers = range(first, first + count)
        seeds = [int(np.random.default_rng((seed, n)).integers(2**63)) for n in numbers]
        noise = noise_pyramid(size, self.settings.network, seeds)
        return PaintBatch((noise, content), content)

    def rate(self, step: int) -> float:
        settings = self.settings
        falls = max(0, (step - settings.decay_from) // settings.decay_every + 1)
        return float(settings.lr * settings.decay**falls)

    def averaged(self) -> nn.Module:
        network = super().averaged()
        assert isinstance(network, TextureNetwork)
        if self.settings.network.norm == "batch":
            batches = [self.read(CALIBRATION_STEP + i) for i in range(CALIBRATION_BATCHES)]
            network.calibrate([batch.to(self.device).inputs for batch in batches])
        return network
