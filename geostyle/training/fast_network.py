"""Training of a fast style network on crops of photographs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from geostyle.config import setting
from geostyle.data.photographs import Photographs
from geostyle.feedforward.fast_network import FastNetwork, FastNetworkSettings, noise_place
from geostyle.training.feedforward import Drawn, PainterSettings, PainterTrainer
from geostyle.training.learner import schedule

VALIDATION_CROPS = 4
NOISE_SEED = 7  # apart from what draws the crops


@dataclass(frozen=True)
class FastTrainSettings(PainterSettings):
    """How a fast style network is trained."""

    images: Path | None = setting(None, help="folder of photographs; default: bundled pictures")
    warmup: int = setting(50, min=0, help="steps until the largest learning rate")
    network: FastNetworkSettings = setting(FastNetworkSettings())


class FastTrainer(PainterTrainer):
    """A fast style network in training.

    Args:
        settings: see `FastTrainSettings`.
    """

    state_kind, file_name = "fast-style-state", "fast.safetensors"
    settings: FastTrainSettings
    photographs: Photographs

    def __init__(self, settings: FastTrainSettings) -> None:
        self.photographs = Photographs(settings.images, settings.crop_px, settings.seed)
        super().__init__(settings)

    def make(self) -> nn.Module:
        return FastNetwork(self.settings.network)

    def draw(self, step: int) -> Drawn:
        crops = self.photographs.batch(step * self.settings.batch, self.settings.batch)
        return Drawn((crops, noise_place(self.settings.seed, NOISE_SEED, step)), crops)

    def draw_validation(self) -> Drawn:
        crops = self.photographs.validation(VALIDATION_CROPS)
        return Drawn((crops,), crops)

    def rate(self, step: int) -> float:
        return self.settings.lr * schedule(step, self.settings.steps, self.settings.warmup)
