"""The one runner of the verbs that paint: parse, load, open a run folder, paint, save, report."""

from __future__ import annotations

import contextlib
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from geostyle import config
from geostyle.cli import EXIT_INTERRUPTED
from geostyle.config import check, setting
from geostyle.coords import Size, resize, size_of
from geostyle.device import available_bytes, resolve_device, resolve_precision, seed_everything
from geostyle.errors import InputError, accessory
from geostyle.features.extractor import FeatureExtractor, load_features
from geostyle.io.files import check_folder, write_json
from geostyle.io.images import (
    Picture,
    check_shape_kept,
    fit_size,
    load_picture,
    save_picture,
    to_uint8,
)
from geostyle.io.originals import keep_originals
from geostyle.io.runs import RunFolder
from geostyle.report.sheet import Panel, save_sheet
from geostyle.texture import Progress
from geostyle.texture.descent import DescentSettings
from geostyle.texture.interrupts import stopping_between_steps
from geostyle.texture.memory import check_descent_fits, check_warp_fits, choose_tiling
from geostyle.texture.optimizer import NotFiniteError

Callback = Callable[[Progress], None]
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
    inputs = job.read()
    network = job.load()
    print("settings:", *config.dump_yaml(job).splitlines(), sep="\n  ")
    plan, settings = job.plan(network), vars(job)
    check_fits(network, job.canvas(inputs), job)
    check_folder(settings["output"])
    if args.dry_run:
        return 0
    seed = settings["seed"] if "seed" in settings else settings["network"].seed
    like = getattr(network, "mean", torch.zeros(1))
    placed = {name: picture.to(like) for name, picture in inputs.items()}
    run = RunFolder.create(settings["output"], verb)
    figures, rows = dict[str, Any](), dict[str, list[Panel]]()
    seconds, interrupted = 0.0, False
    with run.lock():
        keep_originals(run, job)
        run.save_environment(verb=verb, seed=seed)
        run.save_settings(job)
        for name, picture in inputs.items():
            save_picture(picture, run.file(f"inputs/{name}.png"))
        steps = sum(_descent(job).iterations) if isinstance(network, FeatureExtractor) else 0
        with progress(run, len(plan), steps) as (callback, stop_if_asked):
            tools = Tools(placed, network, {"seed": seed, "callback": callback})
            for one in plan:
                started = time.monotonic()
                painted = job.paint(one, tools)
                seconds += time.monotonic() - started
                figures[painted.name] = painted.figures
                rows.setdefault(painted.row, []).extend(save(run, painted))
                try:
                    stop_if_asked()
                except KeyboardInterrupt:
                    interrupted = True
                    break
        write_json(run.file("result.json"), {"interrupted": interrupted, **figures})
        sources = [panel(run.file(f"inputs/{name}.png"), name) for name in inputs]
        if len(plan) > 1 and len(sources) > 1:
            sheet = [sources, *rows.values()]
        else:
            sheet = [[*sources, *row] for row in rows.values() if row]
        with accessory("sheet"):
            save_sheet(sheet, run.file("contact_sheet.png"), joined=len(plan) == 1)
    run.close()
    result = run.file(list(figures)[-1])
    print(f"{'interrupted; the best so far' if interrupted else 'result'}: {result}")
    print(f"sheet: {run.file('contact_sheet.png')}")
    print(f"painted: {len(figures)} in {seconds / len(figures):.3f} s each")
    return EXIT_INTERRUPTED if interrupted else 0


def save(run: RunFolder, painted: Painted) -> list[Panel]:
    """Save a picture and what is derived from it; return their panels of the contact sheet."""
    path = run.file(painted.name)
    save_picture(painted.image, path)
    panels = [panel(path, painted.title, painted.note)] if painted.title else []
    return panels + (save(run, painted.derived) if painted.derived else [])


def long_side(flag: str, words: str) -> Any:
    """Declare the setting of the long side at which a picture is read."""
    text = f"long side {words}; default: its own, at most {DEFAULT_PX}"
    return setting(None, flag=flag, min=SIDE_PX[0], max=SIDE_PX[1], help=text)


def read(path: Path | None, name: str, size_px: int | None) -> Tensor:
    """Read a picture (1, 3, H, W) with a long side of `size_px`, default its own, at most 512."""
    if path is None:
        raise InputError(f"{name}: expected a picture file, got none")
    picture = load_picture(path, name=name)
    if size_px is None and max(picture.size) > DEFAULT_PX:
        print(f"{name}: read at {DEFAULT_PX} px of {max(picture.size)}, as no size is given")
    return at_size(picture, size_px or min(DEFAULT_PX, max(picture.size)))


def at_size(picture: Picture, size_px: int) -> Tensor:
    """Return a picture (1, 3, H, W) with a long side of `size_px`.

    Raises: InputError where that would squeeze it, or takes more memory than there is.
    """
    size = fit_size(picture.size, size_px)
    check_shape_kept(picture.size, size_px)
    check_warp_fits(size)
    return resize(picture.tensor, size).clamp(0, 1)


def check_fits(network: Any, size: Size, job: Any = None) -> None:
    """Check that a picture of `size` (H, W) can be painted, by an optimizer or in one pass.

    Args: job, settings with those of the optimizer somewhere among them.
    Raises: InputError naming the largest size that fits.
    """
    if isinstance(network, FeatureExtractor):
        check_descent_fits(network, size, _descent(job))
    else:
        weight = network.out.weight
        pixel_bytes = network.bytes_per_channel * weight.shape[1]
        available = available_bytes(weight.device)
        choose_tiling(lambda size, _: pixel_bytes * size[0] * size[1], size, available, ())


def _descent(job: Any) -> DescentSettings:
    """The settings of the optimizer, in a section of a section."""
    sections = [value for value in vars(job).values() if hasattr(value, "descent")]
    found: DescentSettings = sections[0].descent
    return found


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


@contextlib.contextmanager
def keeping_last_good(run: RunFolder) -> Iterator[None]:
    """Save the last good picture, and name its file, if the loss becomes NaN or infinite."""
    try:
        yield
    except NotFiniteError as error:
        path = run.file("last-good.png")
        save_picture(error.best, path)
        raise NotFiniteError(f"{error}; the last good picture: {path}", error.best) from error


@contextlib.contextmanager
def progress(
    run: RunFolder, n_pictures: int, steps: int
) -> Iterator[tuple[Callback, Callable[[], None]]]:
    """Show and log every step of the optimizer; Ctrl-C ends the painting after its step.

    Args: steps, of the optimizer for each picture; 0 without one.

    Yields: the callback for a step, and the function that raises a Ctrl-C that was pressed.
    """
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

    with (
        tqdm(total=n_pictures * steps, unit="step", dynamic_ncols=True, disable=not steps) as bar,
        stopping_between_steps(bar.write) as stop_if_asked,
        keeping_last_good(run),
    ):
        yield show, stop_if_asked


def panel(path: Path, title: str, note: str = "") -> Panel:
    """Return a panel of a contact sheet with a picture of the run folder."""
    return Panel(title, to_uint8(load_picture(path, name=path.name).tensor), note)


def mean_per_cent(errors: dict[str, float]) -> str:
    """Return the mean of relative errors as text: 0.01 and 0.02 are ``"1.5 %"``."""
    return per_cent(sum(errors.values()) / len(errors))


def per_cent(value: float) -> str:
    """Return a share as text: 0.0123 is ``"1.2 %"``."""
    return f"{100 * value:.2g} %"
