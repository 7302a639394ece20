"""The one runner of the verbs that paint: load, open a run folder, paint, save, report."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from geostyle import config
from geostyle.cli import EXIT_INTERRUPTED
from geostyle.cli._painting import Painted, PaintingJob, Tools
from geostyle.coords import Size, resize
from geostyle.device import available_bytes
from geostyle.errors import accessory
from geostyle.features.extractor import FeatureExtractor
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
from geostyle.texture.descent_settings import DescentSettings
from geostyle.texture.interrupts import stopping_between_steps
from geostyle.texture.memory import check_descent_fits, check_warp_fits, choose_tiling
from geostyle.texture.optimizer import NotFiniteError
from geostyle.texture.pyramid import Progress

Callback = Callable[[Progress], None]


def run(verb: str, job: PaintingJob, *, dry_run: bool) -> int:
    """Run a verb that paints, from its settings to its report; `dry_run` only checks.

    Returns: the exit status: 0 when done, 130 where Ctrl-C cut the painting short.
    """
    inputs = job.read()
    network = job.load()
    print("settings:", *config.dump_yaml(job).splitlines(), sep="\n  ")
    plan, settings = job.plan(network), vars(job)
    check_fits(network, job.canvas(inputs), job)
    check_folder(settings["output"])
    if dry_run:
        return 0
    seed = settings["seed"] if "seed" in settings else settings["network"].seed
    like = getattr(network, "mean", torch.zeros(1))
    placed = {name: picture.to(like) for name, picture in inputs.items()}
    folder = RunFolder.create(settings["output"], verb)
    figures, rows = dict[str, Any](), dict[str, list[Panel]]()
    seconds, interrupted = 0.0, False
    with folder.lock():
        keep_originals(folder, job)
        folder.save_environment(verb=verb, seed=seed)
        folder.save_settings(job)
        for name, picture in inputs.items():
            save_picture(picture, folder.file(f"inputs/{name}.png"))
        steps = sum(_descent(job).iterations) if isinstance(network, FeatureExtractor) else 0
        with progress(folder, len(plan), steps) as (callback, stop_if_asked):
            tools = Tools(placed, network, {"seed": seed, "callback": callback})
            for one in plan:
                started = time.monotonic()
                painted = job.paint(one, tools)
                seconds += time.monotonic() - started
                figures[painted.name] = painted.figures
                rows.setdefault(painted.row, []).extend(save(folder, painted))
                try:
                    stop_if_asked()
                except KeyboardInterrupt:
                    interrupted = True
                    break
        write_json(folder.file("result.json"), {"interrupted": interrupted, **figures})
        sources = [panel(folder.file(f"inputs/{name}.png"), name) for name in inputs]
        if len(plan) > 1 and len(sources) > 1:
            sheet = [sources, *rows.values()]
        else:
            sheet = [[*sources, *row] for row in rows.values() if row]
        with accessory("sheet"):
            save_sheet(sheet, folder.file("contact_sheet.png"), joined=len(plan) == 1)
    folder.close()
    result = folder.file(list(figures)[-1])
    print(f"{'interrupted; the best so far' if interrupted else 'result'}: {result}")
    print(f"sheet: {folder.file('contact_sheet.png')}")
    print(f"painted: {len(figures)} in {seconds / len(figures):.3f} s each")
    return EXIT_INTERRUPTED if interrupted else 0


def save(run: RunFolder, painted: Painted) -> list[Panel]:
    """Save a picture and what is derived from it; return their panels of the contact sheet."""
    path = run.file(painted.name)
    save_picture(painted.image, path)
    panels = [panel(path, painted.title, painted.note)] if painted.title else []
    return panels + (save(run, painted.derived) if painted.derived else [])


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
