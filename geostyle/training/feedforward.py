"""Training of feed-forward networks: what fast style networks and texture networks share."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geostyle.config import setting
from geostyle.coords import resize
from geostyle.data.photographs import Photographs
from geostyle.device import resolve_device, resolve_precision, seed_everything
from geostyle.distributed import Processes
from geostyle.errors import InputError
from geostyle.features.extractor import load_features
from geostyle.feedforward.fast_network import FastNetwork
from geostyle.feedforward.files import save_network
from geostyle.feedforward.texture_network import TextureNetwork
from geostyle.io.checkpoint import tensor_hash
from geostyle.io.files import write_json
from geostyle.io.images import check_shape_kept, fit_size, load_picture
from geostyle.io.runs import RunFolder
from geostyle.texture.losses import total_variation
from geostyle.texture.memory import check_descent_fits, check_warp_fits
from geostyle.texture.objective import LossSettings, TextureObjective
from geostyle.texture.optimizer import RANGE_PENALTY, OptimizerSettings
from geostyle.training.learner import FEATURES, Learner, LoopSettings

SKIPPED = "skipped.json"


@dataclass(frozen=True)
class FeedForwardSettings(LoopSettings):
    """Settings of the training of a feed-forward network of any kind."""

    tex_style: Path | None = setting(None, help="picture of the style, or of the texture")
    output: Path = setting(Path("runs"), help="folder that gets the numbered run folder")
    features: str = setting("lite", choices=FEATURES, help="network whose features are matched")
    weights: Path | None = setting(None, help="local file with that network's weights")
    style_px: int = setting(
        512, flag="--style-size", min=32, max=4096, help="long side at which the style is read"
    )
    crop_px: int = setting(
        256, flag="--crop-size", min=32, max=2048, help="side of the pictures of a step"
    )
    steps: int = setting(4000, min=1, help="optimizer steps")
    style_weight: float = setting(1.0, min=0.0, help="weight of the style loss")
    content_weight: float = setting(0.1, min=0.0, help="weight of the content loss beside it")
    tv_weight: float = setting(0.1, min=0.0, help="weight of total variation (smooths)")
    lr: float = setting(2e-3, min=0.0, max=1.0, help="peak learning rate of Adam")
    validate_every: int = setting(200, min=1, help="steps between validations")


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
        photographs: pictures that it learns to repaint, if any.

    Raises: InputError where there is no style.

    Source: Johnson, Alahi, Fei-Fei, "Perceptual Losses", section 3; Ulyanov, Lebedev, Vedaldi,
        Lempitsky, "Texture Networks", section 3.1.
    Differs: relative losses; a penalty on values outside [0, 1].
    """

    plotted = ("val_style", "val_content")
    free = (*Learner.free, "validate_every", "images", "tex_style", "weights")
    apply: str  # verb that uses the network

    def __init__(
        self, settings: Any, processes: Processes, photographs: Photographs | None = None
    ) -> None:
        if settings.tex_style is None:
            raise InputError("tex_style: expected a picture file, got none")
        picture = load_picture(settings.tex_style, name="tex_style")
        self.photographs = photographs
        self.notes = tuple(photographs.notes) if photographs else ()
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
        network = self.make(settings).to(self.device)
        adam = torch.optim.Adam(network.parameters(), lr=settings.lr)
        super().__init__(settings, network, adam, processes)
        self.validation = self.read_validation().to(self.device)
        self.painted = torch.empty(0)

    @abstractmethod
    def make(self, settings: Any) -> nn.Module:
        """Return a new network."""

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

    def averaged(self) -> nn.Module:
        """Return the network with its averaged weights, for use."""
        network = copy.deepcopy(self.network)
        network.load_state_dict(self.average)
        return network.eval().requires_grad_(False)

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
        return {**super().identity(), **own, "images": {"names": names}}

    def save_network(self, path: Path) -> None:
        """Write the averaged network, and how it was made."""
        network = self.averaged()
        assert isinstance(network, (FastNetwork, TextureNetwork))
        kept = ("style_px", "crop_px", "batch", "style_weight", "content_weight", "seed")
        training = {"steps": self.step, **{k: getattr(self.settings, k) for k in kept}}
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


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Sequence):
        return type(value)(_moved(item, device) for item in value)  # type: ignore[call-arg]
    return value
