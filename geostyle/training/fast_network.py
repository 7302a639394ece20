"""Training of a fast style network on crops of photographs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from geostyle.config import setting
from geostyle.data.photographs import Photographs
from geostyle.distributed import ALONE, Processes
from geostyle.feedforward.fast_network import FastNetwork, FastNetworkSettings, noise_place
from geostyle.training.feedforward import (
    FeedForwardLearner,
    FeedForwardSettings,
    PaintBatch,
)

VALIDATION_CROPS = 4
NOISE_SEED = 7  # apart from what draws the crops


@dataclass(frozen=True)
class FastTrainSettings(FeedForwardSettings):
    """Settings of the training of a fast style network."""

    images: Path | None = setting(None, help="folder of photographs; default: bundled pictures")
    warmup: int = setting(50, min=0, help="steps until the peak learning rate")
    network: FastNetworkSettings = setting(FastNetworkSettings())


class FastLearner(FeedForwardLearner):
    """A fast style network in training.

    Args:
        settings: see `FastTrainSettings`.
    """

    state_kind, file_name, apply = "fast-style-state", "fast.safetensors", "fast-apply"
    photographs: Photographs

    def __init__(self, settings: FastTrainSettings, processes: Processes = ALONE) -> None:
        photographs = Photographs(settings.images, settings.crop_px, settings.seed)
        super().__init__(settings, processes, photographs)

    def make(self, settings: FastTrainSettings) -> nn.Module:
        return FastNetwork(settings.network)

    def read(self, step: int) -> PaintBatch:
        crops = self.photographs.batch(step * self.settings.batch, self.settings.batch)
        return PaintBatch((crops, noise_place(self.settings.seed, NOISE_SEED, step)), crops)

    def read_validation(self) -> PaintBatch:
        crops = self.photographs.validation(VALIDATION_CROPS)
        return PaintBatch((crops,), crops)
