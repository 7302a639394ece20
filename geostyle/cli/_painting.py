"""Settings and steps of the verbs that paint; `_painting_run` carries them out."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geostyle import config
from geostyle.config import check, setting
from geostyle.device import resolve_device, resolve_precision, seed_everything
from geostyle.errors import InputError
from geostyle.features.settings import NETWORKS

if TYPE_CHECKING:
    from torch import Tensor

    from geostyle.coords import Size
    from geostyle.features.extractor import FeatureExtractor

DEFAULT_PX = 512
SIDE_PX = (16, 32768)


@dataclass(frozen=True)
class NetworkSettings:
    """The network whose features are matched, and where it runs."""

    features: str = setting("lite", choices=NETWORKS, help="network whose features are matched")
    weights: Path | None = setting(None, help="local file with that network's weights")
    pooling: str = setting("max", choices=("max", "average"), help="pooling of the network")
    device: str = setting("auto", help="auto, cpu, cuda, cuda:N or mps")
    precision: str = setting(
        "float32",
        choices=("auto", "float32", "bfloat16"),
        help="of the convolutions; bfloat16 is faster and stops short of the last per cent",
    )
    seed: int = setting(0, min=0, max=2**32 - 1, help="seed of the noise")

    def __post_init__(self) -> None:
        check(self)

    def load(self) -> FeatureExtractor:
        """Load the network and seed everything random."""
        from geostyle.features.extractor import load_features

        seed_everything(self.seed)
        device = resolve_device(self.device)
        dtype = resolve_precision(self.precision, device)
        return load_features(
            self.features, weights=self.weights, pooling=self.pooling, device=device, dtype=dtype
        )


@dataclass(frozen=True)
class Painted:
    """A picture that a verb made.

    Attributes:
        name: of its file in the run folder.
        image: (1, 3, H, W), sRGB in [0, 1].
        title, note: of its panel on the contact sheet; it has none without a title.
        figures: its entry in result.json.
        row: pictures of the same row stand beside each other on the sheet.
        derived: another picture made of this one.
    """

    name: str
    image: Tensor
    title: str
    note: str = ""
    figures: Mapping[str, Any] | None = None
    row: str = ""
    derived: Painted | None = None


@dataclass(frozen=True)
class Tools:
    """Everything that a verb paints with.

    Attributes:
        inputs: the pictures that were read, on the network's device.
        network: as it was loaded.
        options: `seed` and `callback` of the functions that paint.
    """

    inputs: dict[str, Tensor]
    network: Any
    options: dict[str, Any]


class PaintingJob(ABC):
    """Settings of a verb that paints, and the steps in which these verbs differ.

    A subclass is a dataclass of settings, among them the folder `output` and either a section
    `network` or a `seed`.
    """

    def __post_init__(self) -> None:
        check(self)

    @abstractmethod
    def read(self) -> dict[str, Tensor]:
        """Return the pictures (1, 3, H, W) that the verb works on, by name."""

    def load(self) -> Any:
        """Return the network."""
        return vars(self)["network"].load()

    def canvas(self, inputs: Mapping[str, Tensor]) -> Size:
        """Return the (H, W) of the pictures that are painted; default the first input's."""
        from geostyle.coords import size_of

        return size_of(next(iter(inputs.values())))

    @abstractmethod
    def plan(self, network: Any) -> Sequence[Any]:
        """Return a description of each picture to paint, for `paint`.

        Raises: InputError for settings that the network cannot satisfy.
        """

    @abstractmethod
    def paint(self, one: Any, tools: Tools) -> Painted:
        """Paint one of the pictures that were planned."""


def run_job(
    verb: str,
    description: str | None,
    job_class: type[PaintingJob],
    argv: Sequence[str],
    **positional: str,
) -> int:
    """Run a verb that paints, from its flags to its report.

    Args:
        positional: settings that may also be given without their flag, and argparse's `nargs`.

    Returns: the exit status: 0 when done, 130 where Ctrl-C cut the painting short.
    """
    job, args = config.parse(
        job_class, argv, prog=f"geostyle {verb}", description=description, positional=positional
    )
    from geostyle.cli._painting_run import run

    return run(verb, job, dry_run=args.dry_run)


def long_side(flag: str, words: str) -> Any:
    """Declare the setting of the long side at which a picture is read."""
    text = f"long side {words}; default: its own, at most {DEFAULT_PX}"
    return setting(None, flag=flag, min=SIDE_PX[0], max=SIDE_PX[1], help=text)


def read(path: Path | None, name: str, size_px: int | None) -> Tensor:
    """Read a picture (1, 3, H, W) with a long side of `size_px`, default its own, at most 512."""
    from geostyle.cli._painting_run import at_size
    from geostyle.io.images import load_picture

    if path is None:
        raise InputError(f"{name}: expected a picture file, got none")
    picture = load_picture(path, name=name)
    if size_px is None and max(picture.size) > DEFAULT_PX:
        print(f"{name}: read at {DEFAULT_PX} px of {max(picture.size)}, as no size is given")
    return at_size(picture, size_px or min(DEFAULT_PX, max(picture.size)))


def parse_size(text: str | None) -> Size | None:
    """Return (H, W) from ``"WIDTHxHEIGHT"``, or from one number for a square."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,5})(?:[x×](\d{1,5}))?", str(text).lower())
    width, height = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not all(SIDE_PX[0] <= side <= SIDE_PX[1] for side in (width, height)):
        raise InputError(
            f"size: expected WIDTHxHEIGHT or one number, {SIDE_PX[0]} to {SIDE_PX[1]} px, "
            f"got {text!r}"
        )
    return height, width


def mean_per_cent(errors: dict[str, float]) -> str:
    """Return the mean of relative errors as text: 0.01 and 0.02 are ``"1.5 %"``."""
    return per_cent(sum(errors.values()) / len(errors))


def per_cent(value: float) -> str:
    """Return a share as text: 0.0123 is ``"1.2 %"``."""
    return f"{100 * value:.2g} %"
