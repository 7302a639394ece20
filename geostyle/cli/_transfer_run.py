"""A run of the verb `transfer`: from its settings to its run folder."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from geostyle.cli import EXIT_INTERRUPTED
from geostyle.cli import _unfinished as unfinished
from geostyle.cli._animation import Animation
from geostyle.cli._geometry import describe, save_choices, save_geometry
from geostyle.cli._painting_run import keeping_last_good
from geostyle.cli.transfer import VERB, Job
from geostyle.coords import resize, size_of
from geostyle.errors import accessory
from geostyle.io.files import check_folder
from geostyle.io.images import Picture, as_mask, fit_size, load_picture, save_picture
from geostyle.io.originals import keep_originals
from geostyle.io.runs import RunFolder
from geostyle.matching import Candidate, Correspondences
from geostyle.pipeline import (
    GeometryResult,
    Pipeline,
    TransferResult,
    TransferSettings,
    as_guide,
)
from geostyle.pipeline.settings import DEFAULT_TEXTURE_PX
from geostyle.report.html import write_report
from geostyle.report.run_files import PREVIEW_FILE, SOURCE_FILE, save_source
from geostyle.texture import Finished, PaintOptions, Progress
from geostyle.texture.interrupts import stopping_between_steps
from geostyle.warps import WarpParameters


class Transfer:
    """A run of the verb: reads the pictures and loads the networks; `run` does the rest.

    Args:
        job: its settings.
        resumed: the run folder to go on with, locked; None for a new one.
        stack: closes what the run opens.

    Raises: InputError for an unusable picture, network or saved state.
    """

    make_pipeline: Callable[[TransferSettings], Pipeline] = Pipeline

    def __init__(self, job: Job, resumed: RunFolder | None, stack: contextlib.ExitStack) -> None:
        self.job, self.resumed, self.stack = job, resumed, stack
        self.content = load_picture(
            job.content or bundled_content(), name="content", keeps_alpha=True
        )
        self.geo_styles = [load_picture(path, name="geo_style") for path in job.geo_style]
        self.tex_styles = [load_picture(path, name="tex_style") for path in job.tex_style]
        self.tex_masks = load_masks(job.tex_mask)
        self.guide: dict[str, Any] = {
            "geo_weights": job.geo_weights,
            "geo_regions": load_masks(job.geo_regions, "geo_regions"),
            "content_mask": load_optional(job.content_mask, "content_mask"),
            "geo_mask": load_optional(job.geo_mask, "geo_mask"),
            "points": Correspondences.load(job.points) if job.points else None,
        }
        self.theta = WarpParameters.load(job.theta) if job.theta else None
        self.resume = None if resumed is None else unfinished.load_canvas(resumed)
        self.pipe = self.make_pipeline(job.transfer)
        self.networks = self.pipe.networks(
            geometry=self.resume is None and job.compares_pictures,
            texture=bool(job.tex_style) and not job.preview,
        )
        self.choices: list[Candidate] = []
        self.started = time.monotonic()

    def check(self) -> None:
        """Check what a run needs before it computes: memory and the folder of its output.

        Raises: InputError where something is missing.
        """
        job = self.job
        n_painted = 0 if job.preview else len(job.tex_style)
        check_folder(job.output)
        own = max(self.content.size)
        if n_painted and job.transfer.size_px is None and own > DEFAULT_TEXTURE_PX:
            print(f"size: painted at {DEFAULT_TEXTURE_PX} px of {own}, as no --size is given")
        self.pipe.check_memory(self.content.size, n_painted, self.theta)

    def run(self) -> int:
        """Transfer, save, report; the exit status."""
        job, theta = self.job, self.theta
        if job.preview > 1:
            pictures = self.content.tensor, self.geo_styles[0].tensor
            guide = as_guide(**self.guide)
            self.choices = self.pipe.candidates(*pictures, guide, job.preview)
            theta = self.choices[0].estimate.parameters
            self.guide["geo_weights"] = None
        if self.resume is not None and self.resumed is not None:
            finished = unfinished.load_levels(self.resumed)
            self.resume = replace(self.resume, finished=finished)
        with contextlib.ExitStack() as self.painting:
            result = self.pipe(
                self.content,
                geo_style=None if self.choices else self.geo_styles,
                tex_style=self.tex_styles,
                tex_weights=job.tex_weights,
                tex_mask=self.tex_masks,
                theta=theta,
                paint=not job.preview,
                callback=lambda progress: self.on_step(progress),
                on_geometry=self.on_geometry,
                on_level=lambda finished: unfinished.save_levels(self.folder, finished),
                resume=self.resume,
                **({} if self.choices else self.guide),
            )
        return self.finish(result)

    def on_geometry(self, geometry: GeometryResult) -> None:
        """Save the geometry stage, to a new run folder where there is none, and set up painting."""
        assert geometry.settings is not None
        self.job = job = replace(self.job, transfer=geometry.settings)
        if self.resume is None:
            seconds = time.monotonic() - self.started
            print(f"geometry: {describe(geometry)} ({seconds:.1f} s)")
        self.folder = self.resumed or self.new_folder()
        if self.resume is None:
            self.save_inputs(geometry)
            save_geometry(self.folder, geometry, self.content.bit_depth)
            if self.choices:
                save_choices(self.folder, self.choices, self.content, geometry)
        self.animation = Animation(job.animation, geometry.tensor)
        if job.tex_style and not job.preview:
            unfinished.save_canvas(self.folder, geometry)
            finished = None if self.resume is None else self.resume.finished
            bar = progress_bar(self.folder, finished)
            self.on_step = self.animation.watching(self.painting.enter_context(bar))
            self.painting.enter_context(keeping_last_good(self.folder))

    def new_folder(self) -> RunFolder:
        """A run folder with everything that repeats the run."""
        job, run = self.job, RunFolder.create(self.job.output, VERB)
        self.stack.enter_context(run.lock())
        keep_originals(run, job, content=job.content or bundled_content())
        run.save_environment(verb=VERB, seed=job.transfer.seed, networks=self.networks.describe())
        run.save_settings(job)  # last: with it, the run can be resumed
        return run

    def save_inputs(self, geometry: GeometryResult) -> None:
        """Save each picture at no more than the scale of the result."""
        pictures = {"content": self.content.tensor}
        pictures |= numbered("geo_style", [style.tensor for style in self.geo_styles])
        regions = [as_mask(mask) for mask in self.guide["geo_regions"]]
        pictures |= numbered("geo_regions", regions)
        pictures |= numbered("tex_style", [style.tensor for style in self.tex_styles])
        pictures |= numbered("tex_mask", [as_mask(mask) for mask in self.tex_masks])
        for name, picture in pictures.items():
            size_px = min(max(size_of(picture)), max(size_of(geometry.tensor)))
            small = resize(picture, fit_size(size_of(picture), size_px))
            save_picture(small.expand(-1, 3, -1, -1), self.folder.file(f"inputs/{name}.png"))

    def finish(self, result: TransferResult) -> int:
        """Save the result and the report; the exit status."""
        job, run = self.job, self.folder
        if result.settings != job.transfer:  # what a clock or short memory decided
            run.save_settings(replace(job, transfer=result.settings))
        if job.preview:
            path = run.file(PREVIEW_FILE if job.preview > 1 else "warped.png")
        else:
            path = job.result.save(result.tensor, run.file("result"), self.content, result.alpha)
        if result.texture is not None and result.texture.source_map is not None:
            save_source(run.file(SOURCE_FILE), result.texture.source_map)
        if not result.interrupted and job.animation.animate:
            styles = [style.tensor for style in self.tex_styles]
            geometry = result.geometry
            inside = geometry.inside if self.resume is None else self.resume.inside
            options = PaintOptions(
                job.tex_weights, geometry.masks, inside=inside, guides=geometry.guides
            )
            moving = self.animation.save(
                run, self.pipe, self.content.tensor, result, styles, options
            )
            print(f"animation: {moving or 'none: nothing moved'}")
        report: Path | str = "none"
        with accessory("report"):
            report = write_report(run.path)
        if not result.interrupted:
            unfinished.clear(run)
        run.close()
        if result.interrupted:
            print(f"interrupted; the best so far: {path}\nreport: {report}")
            print(f"to finish it: geostyle transfer --resume {run.path}")
            return EXIT_INTERRUPTED
        print(f"result: {path}\nreport: {report}")
        return 0


def bundled_content() -> Path:
    """The picture that is taken where no content is given."""
    return Path(str(resources.files("geostyle") / "assets" / "pictures" / "content" / "coffee.jpg"))


def load_optional(path: Path | None, name: str) -> Picture | None:
    """The picture, or mask, of a setting that may be left out."""
    keeps_alpha = name.endswith("mask")  # which are black where they are transparent
    return None if path is None else load_picture(path, name=name, keeps_alpha=keeps_alpha)


def load_masks(paths: Sequence[Path], name: str = "tex_mask") -> list[Picture]:
    """The masks of several styles."""
    return [load_picture(path, name=name, keeps_alpha=True) for path in paths]


def numbered(name: str, pictures: Sequence[Tensor]) -> dict[str, Tensor]:
    """Names of one picture or several: "tex_style", or "tex_style-1", "tex_style-2", …"""
    if len(pictures) == 1:
        return {name: pictures[0]}
    return {f"{name}-{number}": picture for number, picture in enumerate(pictures, start=1)}


@contextlib.contextmanager
def progress_bar(
    run: RunFolder, finished: Finished | None = None
) -> Iterator[Callable[[Progress], None]]:
    """Show and log every step; Ctrl-C ends the painting after its step, a second one immediately.

    Yields: the callback for a step.
    """

    def show(p: Progress) -> None:
        losses = {"total": p.total, "style": p.style, "content": p.content}
        height, width = p.size
        bar.total = p.all_steps
        bar.set_description_str(
            f"level {p.level + 1}/{p.levels} {width}x{height} {p.network}", refresh=False
        )
        bar.set_postfix({key: f"{value:.4f}" for key, value in losses.items()}, refresh=False)
        bar.update()
        run.log(stage="texture", level=p.level, step=p.step, size=p.size, **losses)
        stop_if_asked()

    done = sum(len(level.steps) for level in finished.history) if finished else 0
    with (
        tqdm(initial=done, unit="step", dynamic_ncols=True) as bar,
        stopping_between_steps(bar.write) as stop_if_asked,
    ):
        yield show
