"""Training of feed-forward networks: fast style networks and texture networks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from geostyle.config import to_dict
from geostyle.coords import resize
from geostyle.data.crops import VALIDATION_SEED, Photographs
from geostyle.device import resolve_device, resolve_precision, seed_everything
from geostyle.distributed import ALONE, Processes
from geostyle.errors import InputError
from geostyle.features.extractor import load_features
from geostyle.feedforward.fast_network import FastNetwork, noise_place
from geostyle.feedforward.files import (
    FAST,
    TEXTURE,
    Kind,
    find_network,
    load_network,
    save_network,
)
from geostyle.feedforward.texture_network import TextureNetwork, noise_pyramid
from geostyle.io.checkpoint import tensor_hash
from geostyle.io.files import write_json
from geostyle.io.images import check_shape_kept, fit_size, load_picture
from geostyle.io.runs import RunFolder
from geostyle.texture.losses import total_variation
from geostyle.texture.memory import check_descent_fits, check_warp_fits
from geostyle.texture.objective import LossSettings, TextureObjective
from geostyle.texture.optimizer import RANGE_PENALTY
from geostyle.texture.settings import OptimizerSettings
from geostyle.training.learner import Learner
from geostyle.training.settings import TextureTrainSettings

SKIPPED = "skipped.json"
VALIDATION_PICTURES = 4
PLACE_SEED = 7  # apart from what draws the crops
CALIBRATION_BATCHES, CALIBRATION_STEP = 8, 10**9  # a step that training never comes to


@dataclass(frozen=True)
class PaintBatch:
    """Batch of a step.

    Attributes:
        inputs: arguments of the network.
        content: (B, 3, H, W) in [0, 1], pictures whose content is kept; None for textures.
    """

    inputs: tuple[Any, ...]
    content: Tensor | None

    def to(self, device: torch.device) -> PaintBatch:
        """Return the batch on another device."""
        return PaintBatch(_moved(self.inputs, device), _moved(self.content, device))


class FeedForwardLearner(Learner):
    """A feed-forward network in training on the loss that texture transfer minimizes.

    Args:
        settings: see `FeedForwardSettings`; `network` holds the shape of the network.

    Raises: InputError where there is no style, no photograph to repaint, or `start` has another
        shape than the network.

    Source: Johnson, Alahi, Fei-Fei, "Perceptual Losses", section 3; Ulyanov, Lebedev, Vedaldi,
        Lempitsky, "Texture Networks", section 3.1.
    Differs: relative losses; a penalty on values outside [0, 1].
    """

    plotted = ("val_style", "val_content")
    free = (*Learner.free, "validate_every", "images", "tex_style", "weights", "start")
    network_class: type[FastNetwork] | type[TextureNetwork]
    apply: str  # verb that uses the network

    def __init__(self, settings: Any, processes: Processes = ALONE) -> None:
        if settings.tex_style is None:
            raise InputError("tex_style: expected a picture file, got none")
        picture = load_picture(settings.tex_style, name="tex_style")
        self.photographs: Photographs | None = None
        if self.repaints(settings):
            self.photographs = Photographs(settings.images, settings.crop_px, settings.seed)
            self.notes = tuple(self.photographs.notes)
        check_shape_kept(picture.size, settings.style_px, "style_px")
        check_warp_fits(fit_size(picture.size, settings.style_px))
        self.style = resize(picture.tensor, fit_size(picture.size, settings.style_px)).clamp(0, 1)
        self.device = resolve_device(settings.device)
        self.dtype = resolve_precision(settings.precision, self.device)
        extractor = load_features(
            settings.features, weights=settings.weights, device=self.device, dtype=self.dtype
        )
        crop = (settings.crop_px, settings.crop_px)
        check_descent_fits(extractor, crop, OptimizerSettings(optimizer="adam"), settings.batch)
        self.objective = TextureObjective(
            extractor,
            [self.style.to(self.device)],
            None,
            LossSettings(settings.style_weight, content_weight=settings.content_weight),
        )
        self.features = {"name": extractor.name, "hash": extractor.weights_hash}
        self.style_hash = tensor_hash({"style": self.style})[:16]
        seed_everything(settings.seed)
        network = self.network_class(settings.network)
        self.start_hash = begin_from(settings.start, network)
        network = network.to(self.device)
        adam = torch.optim.Adam(network.parameters(), lr=settings.lr)
        super().__init__(settings, network, adam, processes)
        self.validation = self.read_validation().to(self.device)
        self.painted = torch.empty(0)

    def repaints(self, settings: Any) -> bool:
        """Return True where the network repaints photographs, False where it makes textures."""
        return True

    @abstractmethod
    def read_validation(self) -> PaintBatch:
        """Return the batch of every validation."""

    def loss(self, batch: PaintBatch) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of what the network paints, and its parts."""
        batch = batch.to(self.device)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            painted = self.network(*batch.inputs)
        return self.paint_loss(painted, batch.content)

    def paint_loss(
        self, painted: Tensor, content: Tensor | None
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of pictures (B, 3, H, W), a mean over them, and its parts."""
        if content is not None:
            self.objective.keep(content)
        total, style, kept = (value / len(painted) for value in self.objective(painted))
        outside = (painted - painted.clamp(0, 1)).pow(2).mean()
        loss = total + self.settings.tv_weight * total_variation(painted) + RANGE_PENALTY * outside
        parts = {"style": style, "content": kept, "outside": outside}
        return loss, {name: float(value.detach()) for name, value in parts.items()}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Validate the averaged network, and keep what it paints in `painted`.

        Returns: "val_style", "val_content" and "val" (style + weighted content) of pictures as
            they would be saved.
        """
        painted = self.averaged()(*self.validation.inputs).clamp(0, 1)
        self.painted = painted.cpu()
        _, figures = self.paint_loss(painted, self.validation.content)
        total = self.settings.style_weight * figures["style"]
        total += self.settings.content_weight * figures["content"]
        return {"val": total, "val_style": figures["style"], "val_content": figures["content"]}

    def identity(self) -> dict[str, dict[str, Any]]:
        names = [path.name for path in self.photographs.known] if self.photographs else []
        own = {"features": self.features, "tex_style": {"hash": self.style_hash}}
        start = {"hash": self.start_hash}
        return {**super().identity(), **own, "images": {"names": names}, "start": start}

    def save_network(self, path: Path) -> None:
        """Write the averaged network, and how it was made."""
        network = self.averaged()
        assert isinstance(network, (FastNetwork, TextureNetwork))
        kept = ("style_px", "crop_px", "batch", "style_weight", "content_weight", "seed")
        training = {"steps": self.step, **{k: getattr(self.settings, k) for k in kept}}
        if self.settings.start is not None:
            training["start"] = {"name": self.settings.start.name, "hash": self.start_hash}
        style = {"name": self.settings.tex_style.name, "hash": self.style_hash}
        save_network(path, network, tex_style=style, features=self.features, training=training)

    def save_files(self, run: RunFolder) -> None:
        """Write the averaged network, and the list of unreadable pictures."""
        self.save_network(run.file(self.file_name))
        if self.photographs and self.photographs.skipped:
            listed = {str(path): why for path, why in self.photographs.skipped.items()}
            write_json(run.file(SKIPPED), listed)

    def summary(self, run: RunFolder) -> list[str]:
        network = run.file(self.file_name)
        lines = [f"network: {network} ({network.stat().st_size / 1e6:.2f} MB)"]
        if self.photographs and self.photographs.skipped:
            count = len(self.photographs.skipped)
            lines.append(f"skipped: {count} pictures, listed in {run.file(SKIPPED)}")
        return [*lines, f"use it: geostyle {self.apply} {network} …"]


class FastLearner(FeedForwardLearner):
    """A fast style network in training; see `FastTrainSettings`."""

    state_kind, file_name, apply = "fast-style-state", "fast.safetensors", "fast-apply"
    network_class = FastNetwork
    photographs: Photographs

    def read(self, step: int) -> PaintBatch:
        crops = self.photographs.batch(step * self.settings.batch, self.settings.batch)
        return PaintBatch((crops, noise_place(self.settings.seed, PLACE_SEED, step)), crops)

    def read_validation(self) -> PaintBatch:
        crops = self.photographs.validation(VALIDATION_PICTURES)
        return PaintBatch((crops,), crops)


class TextureLearner(FeedForwardLearner):
    """A texture network in training; see `TextureTrainSettings`.

    Differs: the network that is written has averaged weights, with batch statistics taken anew.
    """

    state_kind, file_name, apply = "texture-network-state", "texnet.safetensors", "texnet-sample"
    network_class = TextureNetwork

    def repaints(self, settings: TextureTrainSettings) -> bool:
        return settings.network.mode == "stylize"

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


def begin_from(start: Path | None, network: FastNetwork | TextureNetwork) -> str | None:
    """Copy the weights of a trained network, a file or a bundled one's name, into `network`.

    Returns: their hash; None without `start`.
    Raises: InputError where there is no such network, or it has another shape.
    """
    if start is None:
        return None
    kind: Kind[Any] = FAST if isinstance(network, FastNetwork) else TEXTURE
    found, _ = load_network(find_network(start, kind, name="start"), kind, name="start")
    has, expected = to_dict(found.settings), to_dict(network.settings)
    if differing := [key for key in expected if has[key] != expected[key]]:
        key = differing[0]
        raise InputError(f"start: expected a network of {key} {expected[key]}, got {has[key]}")
    network.load_state_dict(found.state_dict())
    return tensor_hash(found.state_dict())[:16]


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Sequence):
        return type(value)(_moved(item, device) for item in value)  # type: ignore[call-arg]
    return value
