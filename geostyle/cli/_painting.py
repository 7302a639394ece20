"""What the verbs that paint from noise share: the network, the run folder, the progress bar."""

from __future__ import annotations

import argparse
import contextlib
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor
from tqdm import tqdm

from geostyle import config
from geostyle.config import check, setting
from geostyle.coords import Size, resize
from geostyle.device import resolve_device, resolve_precision, seed_everything
from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor, load_features
from geostyle.io.images import fit_size, load_picture, save_picture, to_uint8
from geostyle.io.originals import keep_originals
from geostyle.io.runs import RunFolder
from geostyle.report.sheet import Panel
from geostyle.texture import Progress
from geostyle.texture.optimizer import NotFiniteError

J = TypeVar("J")
DEFAULT_PX = 512
SIDE_PX = (16, 32768)


@dataclass(frozen=True)
class NetworkSettings:
    """The network whose features are matched, and where it runs."""

    features: str = setting(
        "lite", choices=("lite", "vgg19", "vgg16"), help="network whose features are matched"
    )
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
        seed_everything(self.seed)
        device = resolve_device(self.device)
        return load_features(
            self.features,
            weights=self.weights,
            pooling=self.pooling,
            device=device,
            dtype=resolve_precision(self.precision, device),
        )


def parse(
    verb: str, description: str, job_class: type[J], argv: Sequence[str], **positional: str
) -> tuple[J, bool]:
    """Read defaults < --config < flags, and whether it is a dry run.

    `positional` names settings that may also be given without their flag, and how many of each
    (argparse's nargs).
    """
    parser = config.Parser(prog=f"geostyle {verb}", description=description)
    for name, nargs in positional.items():
        parser.add_argument(
            name,
            nargs=nargs,
            default=argparse.SUPPRESS,
            metavar="PICTURE",
            help=f"the same as --{name}",
        )
    parser.add_argument(
        "--config", type=Path, metavar="YAML", help="settings, such as a run's settings.yaml"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="check and print everything, then stop"
    )
    config.add_arguments(parser, job_class)
    args = parser.parse_args(argv)
    job = config.resolve(job_class, args.config, config.overrides(args, job_class))
    return job, args.dry_run


def read(path: Path | None, name: str, size_px: int | None) -> Tensor:
    """Read a picture (1, 3, H, W) with a long side of `size_px`, default its own, at most 512."""
    if path is None:
        raise InputError(f"{name}: expected a picture file, got none")
    picture = load_picture(path, name=name)
    target = size_px or min(DEFAULT_PX, max(picture.size))
    return resize(picture.tensor, fit_size(picture.size, target)).clamp(0, 1)


def parse_size(text: str | None) -> Size | None:
    """(H, W) from ``"WIDTHxHEIGHT"`` or one number for a square."""
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


@contextlib.contextmanager
def run_folder(
    verb: str, job: Any, output: Path, network: NetworkSettings, inputs: Mapping[str, Tensor]
) -> Iterator[RunFolder]:
    """Open a numbered run folder holding settings, environment and the pictures that come in."""
    run = RunFolder.create(output, verb)
    with run.lock():
        keep_originals(run, job)
        run.save_environment(verb=verb, seed=network.seed, network=config.to_dict(network))
        run.save_settings(job)
        for name, picture in inputs.items():
            save_picture(picture, run.file(f"inputs/{name}.png"))
        yield run
    run.close()


@contextlib.contextmanager
def keeping_last_good(run: RunFolder) -> Iterator[None]:
    """Where the loss stops being a number, save the last good picture and say where it is."""
    try:
        yield
    except NotFiniteError as error:
        path = run.file("last-good.png")
        save_picture(error.best, path)
        raise NotFiniteError(f"{error}; the last good picture: {path}", error.best) from error


@contextlib.contextmanager
def stopping_between_steps(bar: tqdm[Any]) -> Iterator[Callable[[], None]]:
    """Hold a first Ctrl-C back until what this gives is called, which raises KeyboardInterrupt."""
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, before)
        bar.write("stopping after this step; once more to stop at once")

    def stop_if_asked() -> None:
        if asked:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, ask)
    try:
        yield stop_if_asked
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def progress(
    run: RunFolder, n_pictures: int, iterations: Sequence[int]
) -> Iterator[Callable[[Progress], None]]:
    """Show and log every step; Ctrl-C ends after its step with what is there, again at once."""
    picture, last = 0, (-1, -1)

    def show(p: Progress) -> None:
        nonlocal picture, last
        if (p.level, p.step) <= last:
            picture += 1
        last = (p.level, p.step)
        height, width = p.size
        label = f"picture {picture + 1}/{n_pictures} " if n_pictures > 1 else ""
        level = f"level {p.level + 1}/{p.levels} " if p.levels > 1 else ""
        bar.set_description_str(f"{label}{level}{width}x{height}", refresh=False)
        bar.set_postfix_str(f"loss {p.total:.3g}", refresh=False)
        bar.update()
        run.log(
            stage="texture", picture=picture, level=p.level, step=p.step, size=p.size,
            total=p.total, style=p.style, content=p.content,
        )  # fmt: skip
        stop_if_asked()

    total = n_pictures * sum(iterations)
    with (
        tqdm(total=total, unit="step", dynamic_ncols=True) as bar,
        stopping_between_steps(bar) as stop_if_asked,
        keeping_last_good(run),
    ):
        yield show


def panel(path: Path, title: str, note: str = "") -> Panel:
    """A panel of a contact sheet from a picture of the run folder."""
    return Panel(title, to_uint8(load_picture(path, name=path.name).tensor), note)


def per_cent(value: float) -> str:
    """0.0123 → "1.2 %"."""
    return f"{100 * value:.2g} %"
