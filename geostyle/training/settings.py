"""Settings of all trainings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geostyle.config import check, setting
from geostyle.config.registry import Registry
from geostyle.device import PRECISIONS
from geostyle.features.settings import NETWORKS
from geostyle.feedforward.settings import FastNetworkSettings, TextureNetworkSettings
from geostyle.io.mirror import MODES
from geostyle.matching.settings import NetworkSettings

# A new loss on mapped points, (estimated, truth, weights) → scalar, is one file of this folder, and
# one line here.
LOSSES: Registry[Any] = Registry(
    {
        "distance": "geostyle.training.geometry_losses.distance_loss",
        "grid": "geostyle.training.geometry_losses.grid_loss",
        "image": "geostyle.training.geometry_losses.image_loss",
    }
)


@dataclass(frozen=True)
class LoopSettings:
    """Settings that every training has."""

    steps: int = setting(3000, min=1, help="optimizer steps")
    batch: int = setting(2, min=1, help="pictures per step")
    lr: float = setting(1e-3, min=0.0, max=1.0, help="peak learning rate of Adam")
    clip: float = setting(1.0, min=1e-6, help="largest norm of the gradient")
    ema: float = setting(0.995, min=0.0, max=0.99999, help="decay of the averaged weights")
    validate_every: int = setting(100, min=1, help="steps between validations")
    save_every: int = setting(100, min=1, help="steps between saved states")
    seed: int = setting(0, min=0, max=2**31 - 1, help="random seed of weights and batches")
    device: str = setting("auto", help="auto, cpu, cuda, cuda:N or mps")
    precision: str = setting("auto", choices=PRECISIONS, help="precision of the convolutions")
    wandb: str = setting(
        "disabled",
        choices=MODES,
        help="copy of metrics, settings and pictures in Weights & Biases; online sends them",
    )

    def __post_init__(self) -> None:
        check(self)

    @property
    def parent(self) -> Path:
        """Folder that gets the numbered run folders."""
        return Path(vars(self)["output"])


@dataclass(frozen=True)
class TrainSettings(LoopSettings):
    """Settings of the training of a geometry network."""

    data: Path = setting(Path("data_gen/out/pairs"), help="set of pairs, as make-pairs writes it")
    output: Path = setting(Path("runs"), help="folder that gets the numbered run folder")
    network: NetworkSettings = setting(NetworkSettings())
    features: str = setting("lite", choices=NETWORKS, help="network whose features are correlated")
    weights: Path | None = setting(None, help="file of its weights; default: the usual ones")
    feature_precision: str = setting("float32", choices=PRECISIONS, help="of its convolutions")
    stage: int = setting(
        1, min=1, max=2, help="place in a cascade; 2 learns what an affine first estimate leaves"
    )
    loss: str = setting(
        "distance",
        choices=tuple(LOSSES),
        help="of mapped points, its square, or the paper's on pictures",
    )
    outside_weight: float = setting(
        0.25, min=0.0, max=1.0, help="weight of points whose content lies outside the picture"
    )
    match_weight: float = setting(0.5, min=0.0, help="weight of the same loss on every match")
    fold_weight: float = setting(0.1, min=0.0, help="weight of the penalty on folds")
    bending_weight: float = setting(1e-5, min=0.0, help="weight of the spline's bending energy")
    image_px: int = setting(120, min=16, max=1024, help="side at which the image loss compares")
    batch: int = setting(32, min=1, help="pairs per step, of all processes together")
    warmup: int = setting(100, min=0, help="steps until the peak learning rate")
    weight_decay: float = setting(0.02, min=0.0, help="AdamW's weight decay")
    ema: float = setting(0.998, min=0.0, max=0.99999, help="decay of the averaged weights")
    plain: float = setting(0.4, min=0.0, max=1.0, help="share of pairs warped but not repainted")
    symmetries: bool = setting(True, help="flip and transpose the pairs at random")
    fresh: float = setting(0.0, min=0.0, max=1.0, help="share of pairs warped anew (slow)")
    patience: int = setting(0, min=0, help="validations without gain before it stops (0: never)")
    precision: str = setting("float32", choices=PRECISIONS, help="precision of the convolutions")


@dataclass(frozen=True)
class DistillSettings(LoopSettings):
    """Settings of a distillation."""

    images: tuple[str, ...] = setting((), help="folders of training pictures")
    teacher_weights: str | None = setting(None, help="VGG-19 weights file (default: torchvision's)")
    output: str = setting("lite.safetensors", help="file the student is written to")
    channels: tuple[int, ...] = setting(
        (16, 40, 80, 160, 192), help="width of the five blocks, or of all 13 convolutions"
    )
    crop_px: int = setting(128, help="side of a training crop", min=32)
    batch: int = setting(8, help="crops per step", min=1)
    on_policy: int = setting(2, help="crops of a batch taken from the optimized pool", min=0)
    pool: int = setting(48, help="pictures under optimization", min=1)
    steps: int = setting(2500, help="optimizer steps", min=0)
    lr: float = setting(5e-4, help="peak learning rate", min=0.0)
    gram_weight: float = setting(0.3, help="weight of the Gram error", min=0.0)
    match_weight: float = setting(
        0.0, help="weight of the matches between crops by hypercolumns", min=0.0
    )
    start: Path | None = setting(
        None, help="file of an earlier student of the same channels; otherwise the closed form"
    )
    init_crops: int = setting(48, help="crops the closed-form start is computed from", min=1)
    calibration_crops: int = setting(256, help="crops the taps are solved from at the end", min=8)

    @property
    def parent(self) -> Path:
        return Path("runs")

    @property
    def warmup(self) -> int:
        """Number of steps until the peak learning rate."""
        return max(1, self.steps // 25)


@dataclass(frozen=True)
class FeedForwardSettings(LoopSettings):
    """Settings of the training of a feed-forward network of any kind."""

    tex_style: Path | None = setting(None, help="picture of the style, or of the texture")
    images: Path | None = setting(
        None, help="folder of photographs to repaint; default: bundled pictures"
    )
    start: Path | None = setting(
        None, help="network whose weights training begins with: its file, or a bundled one's name"
    )
    output: Path = setting(Path("runs"), help="folder that gets the numbered run folder")
    features: str = setting("lite", choices=NETWORKS, help="network whose features are matched")
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
class FastTrainSettings(FeedForwardSettings):
    """Settings of the training of a fast style network."""

    warmup: int = setting(50, min=0, help="steps until the peak learning rate")
    network: FastNetworkSettings = setting(FastNetworkSettings())


@dataclass(frozen=True)
class TextureTrainSettings(FeedForwardSettings):
    """Settings of the training of a texture network; the schedule is the paper's."""

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
