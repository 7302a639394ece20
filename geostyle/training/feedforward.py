"""What the training of fast style networks and of texture networks shares."""

from __future__ import annotations

import copy
import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geostyle.config import check, setting, to_dict
from geostyle.coords import resize
from geostyle.data.crops import ReadAhead
from geostyle.data.photographs import Photographs
from geostyle.device import resolve_device, resolve_precision, seed_everything
from geostyle.errors import InputError
from geostyle.features.extractor import load_features
from geostyle.feedforward.fast_network import FastNetwork
from geostyle.feedforward.files import save_network
from geostyle.feedforward.texture_network import TextureNetwork
from geostyle.io.checkpoint import tensor_hash
from geostyle.io.images import fit_size, load_picture
from geostyle.texture.losses import total_variation
from geostyle.texture.objective import LossSettings, TextureObjective
from geostyle.texture.optimizer import RANGE_PENALTY
from geostyle.training.learner import Learner

# These may change when a run is resumed: no weight depends on them.
FREE = ("output", "wandb", "save_every", "validate_every", "images", "tex_style", "weights")


@dataclass(frozen=True)
class PainterSettings:
    """How a feed-forward network is trained, whatever its kind."""

    tex_style: Path | None = setting(None, help="picture of the style, or of the texture")
    output: Path = setting(Path("runs"), help="folder that gets the numbered run folder")
    features: str = setting(
        "lite", choices=("lite", "vgg19", "vgg16"), help="network whose features are matched"
    )
    weights: Path | None = setting(None, help="local file with that network's weights")
    style_px: int = setting(
        512, flag="--style-size", min=32, max=4096, help="long side at which the style is read"
    )
    crop_px: int = setting(
        256, flag="--crop-size", min=32, max=2048, help="side of the pictures of a step"
    )
    batch: int = setting(2, min=1, help="pictures a step")
    steps: int = setting(4000, min=1, help="optimizer steps")
    style_weight: float = setting(1.0, min=0.0, help="weight of the style loss")
    content_weight: float = setting(0.1, min=0.0, help="weight of the content loss beside it")
    tv_weight: float = setting(0.1, min=0.0, help="weight of total variation (smooths)")
    lr: float = setting(2e-3, min=0.0, max=1.0, help="largest learning rate of Adam")
    clip: float = setting(1.0, min=1e-6, help="largest norm of the gradient")
    ema: float = setting(0.995, min=0.0, max=0.99999, help="decay of the averaged weights")
    validate_every: int = setting(200, min=1, help="steps between validations")
    save_every: int = setting(100, min=1, help="steps between saved states")
    seed: int = setting(0, min=0, max=2**31 - 1, help="of the weights and of what a step reads")
    device: str = setting("auto", help="auto, cpu, cuda, cuda:N or mps")
    precision: str = setting(
        "auto", choices=("auto", "float32", "bfloat16"), help="of the convolutions"
    )
    wandb: str = setting(
        "disabled", choices=("disabled", "offline", "online"), help="mirror of the metrics"
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Drawn:
    """What a step reads: the network's inputs, and the picture whose content is kept, if any."""

    inputs: tuple[Any, ...]
    content: Tensor | None

    def to(self, device: torch.device) -> Drawn:
        """The same on another device."""
        return Drawn(_moved(self.inputs, device), _moved(self.content, device))


class PainterTrainer(Learner):
    """A feed-forward network in training on the loss that the optimizer of pictures minimizes.

    Args:
        settings: see `PainterSettings`.

    What a step reads follows from (seed, step) alone, so a run that was cut short and resumed ends
    with the same weights as one that was not.

    Source: Johnson, Alahi, Fei-Fei, "Perceptual Losses", section 3; Ulyanov, Lebedev, Vedaldi,
        Lempitsky, "Texture Networks", section 3.1.
    Differs: relative losses; a penalty on values outside [0, 1].
    """

    state_kind: str
    file_name: str  # of the network in a run folder
    photographs: Photographs | None = None  # what it learns to repaint, if anything

    def __init__(self, settings: PainterSettings) -> None:
        if settings.tex_style is None:
            raise InputError("tex_style: expected a picture file, got none")
        self.settings = settings
        picture = load_picture(settings.tex_style, name="tex_style")
        style = resize(picture.tensor, fit_size(picture.size, settings.style_px)).clamp(0, 1)
        self.device = resolve_device(settings.device)
        self.dtype = resolve_precision(settings.precision, self.device)
        extractor = load_features(
            settings.features, weights=settings.weights, device=self.device, dtype=self.dtype
        )
        self.style = style
        self.objective = TextureObjective(
            extractor,
            [style.to(self.device)],
            None,
            LossSettings(settings.style_weight, content_weight=settings.content_weight),
        )
        self.features = {"name": extractor.name, "hash": extractor.weights_hash}
        self.style_hash = tensor_hash({"style": style})[:16]
        seed_everything(settings.seed)
        net = self.make().to(self.device)
        super().__init__(net, torch.optim.Adam(net.parameters(), lr=settings.lr), settings.ema)
        self.validation = self.draw_validation().to(self.device)
        self._drawn = ReadAhead(self.draw, self.device)

    @abstractmethod
    def make(self) -> nn.Module:
        """A new network."""

    @abstractmethod
    def draw(self, step: int) -> Drawn:
        """What a step reads."""

    @abstractmethod
    def draw_validation(self) -> Drawn:
        """What every validation reads."""

    @abstractmethod
    def rate(self, step: int) -> float:
        """Learning rate of a step."""

    @property
    def done(self) -> bool:
        """Whether all steps are taken."""
        return self.step >= self.settings.steps

    def train_step(self) -> dict[str, float]:
        """Take one step; the figures of it."""
        started, rate = time.monotonic(), self.rate(self.step)
        drawn = self._drawn(self.step).to(self.device)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            painted = self.network(*drawn.inputs)
        loss, figures = self.loss(painted, drawn.content)
        norm = self.update(loss, rate, self.settings.clip)
        seconds = time.monotonic() - started
        return {"step": self.step, **figures, "lr": rate, "gradient_norm": norm, "seconds": seconds}

    def loss(self, painted: Tensor, content: Tensor | None) -> tuple[Tensor, dict[str, float]]:
        """The loss of pictures (B, 3, H, W), a mean over them, and its parts."""
        if content is not None:
            self.objective.keep(content)
        total, style, kept = (value / len(painted) for value in self.objective(painted))
        outside = (painted - painted.clamp(0, 1)).pow(2).mean()
        loss = total + self.settings.tv_weight * total_variation(painted) + RANGE_PENALTY * outside
        parts = {"loss": loss, "style": style, "content": kept, "outside": outside}
        return loss, {name: float(value.detach()) for name, value in parts.items()}

    def averaged(self) -> nn.Module:
        """The network with its averaged weights, for use."""
        net = copy.deepcopy(self.network)
        net.load_state_dict(self.average)
        return net.eval().requires_grad_(False)

    @torch.no_grad()
    def validate(self) -> tuple[dict[str, float], Tensor]:
        """Figures of the averaged network on pictures it does not learn from, and what it paints.

        Returns: "val_style", "val_content" and "val" (style + weighted content) of pictures as
            they would be saved; the pictures (B, 3, H, W) in [0, 1].
        """
        painted = self.averaged()(*self.validation.inputs).clamp(0, 1)
        _, figures = self.loss(painted, self.validation.content)
        settings = self.settings
        total = settings.style_weight * figures["style"]
        total += settings.content_weight * figures["content"]
        found = {"val": total, "val_style": figures["style"], "val_content": figures["content"]}
        return found, painted.cpu()

    def identity(self) -> dict[str, dict[str, Any]]:
        """What a resumed run must share."""
        return {
            "settings": to_dict(self.settings),
            "features": self.features,
            "tex_style": {"hash": self.style_hash},
            "images": {"names": [path.name for path in getattr(self.photographs, "known", [])]},
        }

    def about(self) -> dict[str, Any]:
        """What a network's file says of how it was made."""
        settings = self.settings
        assert settings.tex_style is not None
        kept = ("style_px", "crop_px", "batch", "style_weight", "content_weight", "seed")
        return {
            "tex_style": {"name": settings.tex_style.name, "hash": self.style_hash},
            "features": self.features,
            "training": {"steps": self.step, **{k: getattr(settings, k) for k in kept}},
        }

    def save_net(self, path: Path) -> None:
        """Write the averaged network."""
        net = self.averaged()
        assert isinstance(net, (FastNetwork, TextureNetwork))
        save_network(path, net, **self.about())

    def save(self, path: Path) -> None:
        """Write all that resuming needs."""
        self.save_state(path, self.state_kind, self.identity())

    def load(self, path: Path) -> None:
        """Go back to what `save` wrote.

        Raises: InputError where the state is damaged, or of a run with other settings.
        """
        self.load_state(path, self.state_kind, self.identity(), FREE)


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Sequence):
        return type(value)(_moved(item, device) for item in value)  # type: ignore[call-arg]
    return value
