"""warp a content picture after one style and repaint it with the texture of another

The main job, top to bottom: read the pictures, estimate and apply the warp, open a run folder,
paint, and leave in the folder everything the result was made from.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import yaml
from torch import Tensor
from tqdm import tqdm

from geostyle import config, pipeline
from geostyle.cli import EXIT_INTERRUPTED
from geostyle.cli import _unfinished as unfinished
from geostyle.cli._animation import Animation, AnimationSettings
from geostyle.cli._geometry import describe, save_choices, save_geometry
from geostyle.cli._output import OutputSettings
from geostyle.cli._painting import keeping_last_good, stopping_between_steps
from geostyle.config import check, setting
from geostyle.coords import resize, size_of
from geostyle.errors import InputError
from geostyle.io.images import SUFFIXES, as_mask, fit_size, load_picture, save_picture
from geostyle.io.originals import keep_originals, saved_job
from geostyle.io.runs import RunFolder
from geostyle.pipeline import TransferSettings
from geostyle.report.html import write_report
from geostyle.report.run_files import PREVIEW_FILE
from geostyle.texture import Finished, Progress
from geostyle.warps import WarpParameters

VERB = "transfer"


@dataclass(frozen=True)
class Job:
    """What one run is made of; its YAML file is the run folder's settings.yaml."""

    content: Path | None = setting(None, help="picture to transform; default: a bundled one")
    geo_style: Path | None = setting(None, help="picture whose geometry the content takes on")
    tex_style: tuple[Path, ...] = setting(
        (), repeat=True, help="picture whose texture it is repainted with, or several to mix"
    )
    tex_weights: tuple[float, ...] | None = setting(
        None, min=0.0, repeat=True, help="one weight for each texture style; default: equal"
    )
    tex_mask: tuple[Path, ...] = setting(
        (),
        repeat=True,
        help="gray picture for each texture style, white where it paints; the last style may go "
        "without and takes the rest",
    )
    theta: Path | None = setting(None, help="a theta.json to apply instead of estimating a warp")
    output: Path = setting(Path("runs"), help="folder that gets the numbered run folder")
    content_mask: Path | None = setting(
        None, help="gray picture, white on the content's subject: nothing else is matched"
    )
    geo_mask: Path | None = setting(None, help="the same for the geometry style")
    points: Path | None = setting(
        None,
        help="file of correspondences given by hand, JSON or CSV, in pixels of both pictures; "
        "without --geo-style, of where the content's parts shall be",
    )
    preview: int = setting(
        0,
        min=0,
        max=20,
        bare=1,
        help="stop after the warp; with a number, show that many warps for --choose",
    )
    transfer: TransferSettings = setting(TransferSettings())
    result: OutputSettings = setting(OutputSettings())
    animation: AnimationSettings = setting(AnimationSettings())

    def __post_init__(self) -> None:
        check(self)
        if not (self.geo_style or self.tex_style or self.theta or self.points):
            raise InputError("geo_style, tex_style: expected at least one of the two, got neither")
        if self.geo_style is not None and self.theta is not None:
            raise InputError("theta: expected either --theta or --geo-style, got both")
        if self.points is not None and self.theta is not None:
            raise InputError("theta: expected either --theta or --points, got both")
        for name in ("content_mask", "geo_mask"):
            if getattr(self, name) is not None and self.geo_style is None:
                raise InputError(f"{name}: expected --geo-style beside it, got none")
        if self.preview > 1 and self.geo_style is None:
            raise InputError("preview: expected --geo-style beside a number, got none")
        if self.preview > 1 and self.transfer.geometry.choose > 1:
            raise InputError("choose: expected either --choose or --preview with a number")
        pipeline.check_tex_styles(len(self.tex_style), self.tex_weights, len(self.tex_mask))
        if self.output.suffix.lower() in SUFFIXES:
            raise InputError(f"output: expected a folder for the run, got {str(self.output)!r}")


def main(argv: Sequence[str]) -> int:
    """Run the main job; 0 when done, 130 when Ctrl-C cut the painting short."""
    job, resumed, dry_run = parse(argv)
    with contextlib.ExitStack() as stack:
        if resumed is not None and not dry_run:
            stack.enter_context(resumed.lock())
            if unfinished.is_complete(resumed):
                print(f"nothing left to do: {resumed.path}")
                return 0
        settings = job.transfer
        content_path = job.content or bundled_content()
        content = load_picture(content_path, name="content")
        geo_style = load_picture(job.geo_style, name="geo_style") if job.geo_style else None
        tex_styles = [load_picture(path, name="tex_style").tensor for path in job.tex_style]
        masks = [as_mask(path) for path in job.tex_mask]
        guide = pipeline.as_guide(job.content_mask, job.geo_mask, job.points)
        parameters = WarpParameters.load(job.theta) if job.theta else None
        canvas, shares = unfinished.load_canvas(resumed) if resumed is not None else (None, None)
        networks = pipeline.load_networks(
            settings,
            geometry=geo_style is not None and canvas is None,
            texture=bool(tex_styles) and not job.preview,
        )
        show_settings(job)
        if dry_run:
            return 0

        bent, choices = None, []
        if canvas is None:
            started = time.monotonic()
            if job.preview > 1 and geo_style is not None:
                choices = pipeline.preview(
                    content.tensor, geo_style.tensor, settings, networks, guide, job.preview
                )
                parameters = choices[0].estimate.parameters
            bent = pipeline.bend(
                content.tensor,
                geo_style.tensor if geo_style else None,
                settings,
                networks,
                parameters,
                guide,
                painted=bool(tex_styles),
            )
            shares = pipeline.place_masks(masks, bent, settings, len(tex_styles), job.tex_weights)
            canvas = bent.image
            print(f"geometry: {describe(bent)} ({time.monotonic() - started:.1f} s)")
        if networks.texture:
            settings = pipeline.settle(settings, networks, canvas, regions=len(masks) or 1)
            job = replace(job, transfer=settings)

        run = resumed
        if run is None:
            run = RunFolder.create(job.output, VERB)
            stack.enter_context(run.lock())
            keep_originals(run, job, content=content_path)
            run.save_environment(verb=VERB, seed=settings.seed, networks=networks.describe())
            run.save_settings(job)  # last: with it, the run can be resumed
        if bent is not None:
            inputs = {"content": content.tensor}
            if geo_style is not None:
                inputs["geo_style"] = geo_style.tensor
            inputs |= numbered("tex_style", tex_styles) | numbered("tex_mask", masks)
            save_inputs(run, canvas, inputs)
            save_geometry(run, bent, content.bit_depth)
            if choices:
                save_choices(run, choices, content.tensor, bent, settings)
        interrupted, image = False, canvas
        animation = Animation(job.animation, settings, canvas)
        if job.preview:
            result = run.file(PREVIEW_FILE if job.preview > 1 else "warped.png")
        else:
            if tex_styles:
                unfinished.save_canvas(run, canvas, shares)
                finished = unfinished.load_levels(run)
                with progress_bar(settings, run, finished) as callback, keeping_last_good(run):
                    painted = pipeline.paint(
                        canvas,
                        tex_styles,
                        settings,
                        networks,
                        animation.watching(callback),
                        finished,
                        on_level=lambda levels: unfinished.save_levels(run, levels),
                        tex_weights=job.tex_weights,
                        shares=shares,
                    )
                image, interrupted = painted.image, painted.interrupted
                if painted.settings not in (None, settings.texture):
                    settings = replace(settings, texture=painted.settings)
                    run.save_settings(replace(job, transfer=settings))
            result = job.result.save(image, run.file("result"), content)
        if not interrupted and job.animation.animate:
            moving = animation.save(
                run, content.tensor, image, networks, tex_styles, job.tex_weights, shares
            )
            print(f"animation: {moving or 'none: nothing moved'}")
        report = write_report(run.path)
        if not interrupted:
            unfinished.clear(run)
        run.close()
    if interrupted:
        print(f"interrupted; the best so far: {result}\nreport: {report}")
        print(f"to finish it: transfer.py --resume {run.path}")
        return EXIT_INTERRUPTED
    print(f"result: {result}\nreport: {report}")
    return 0


def parse(argv: Sequence[str]) -> tuple[Job, RunFolder | None, bool]:
    """Read defaults < --config < flags, or a run to go on with; the latter; dry run or not."""
    parser = config.Parser(
        prog="geostyle transfer",
        description="Warp a content picture so that its geometry takes after one picture, then "
        "repaint it with the texture of another. Either style may be left out.",
    )
    parser.add_argument(
        "--config", type=Path, metavar="YAML", help="settings, such as a run's settings.yaml"
    )
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="RUN",
        help="run folder to go on with from its last finished level, under its own settings",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="check and print everything, then stop"
    )
    config.add_arguments(parser, Job)
    args = parser.parse_args(argv)
    flags = config.overrides(args, Job)
    if args.resume is None:
        return config.resolve(Job, args.config, flags), None, args.dry_run
    if flags or args.config:
        raise InputError("resume: expected no settings beside the run's own, got some")
    return saved_job(args.resume, VERB, Job, name="resume"), RunFolder(args.resume), args.dry_run


def show_settings(job: Job) -> None:
    """Print what is about to be done."""
    shown = {"settings": config.to_dict(job)}
    print(yaml.safe_dump(shown, sort_keys=False, default_flow_style=None))
    if job.content is None:
        print("content: none given, taking the bundled one")


def bundled_content() -> Path:
    """The picture that stands in where no content is given."""
    return Path(str(resources.files("geostyle") / "assets" / "pictures" / "content" / "coffee.jpg"))


def numbered(name: str, pictures: Sequence[Tensor]) -> dict[str, Tensor]:
    """Names of one picture or several: "tex_style", or "tex_style-1", "tex_style-2", …"""
    if len(pictures) == 1:
        return {name: pictures[0]}
    return {f"{name}-{number}": picture for number, picture in enumerate(pictures, start=1)}


def save_inputs(run: RunFolder, canvas: Tensor, pictures: Mapping[str, Tensor]) -> None:
    """Save each picture at no more than the scale of the result."""
    for name, picture in pictures.items():
        size = size_of(picture)
        small = resize(picture, fit_size(size, min(max(size), max(canvas.shape[-2:]))))
        save_picture(small.expand(-1, 3, -1, -1), run.file(f"inputs/{name}.png"))


@contextlib.contextmanager
def progress_bar(
    settings: TransferSettings, run: RunFolder, finished: Finished | None = None
) -> Iterator[Callable[[Progress], None]]:
    """Show and log every step; Ctrl-C ends the painting after its step, a second one at once."""

    def show(p: Progress) -> None:
        losses = {"total": p.total, "style": p.style, "content": p.content}
        height, width = p.size
        network = p.network if "+" in settings.features else ""
        bar.set_description_str(
            f"level {p.level + 1}/{p.levels} {width}x{height} {network}".rstrip(), refresh=False
        )
        bar.set_postfix({key: f"{value:.4f}" for key, value in losses.items()}, refresh=False)
        bar.update()
        run.log(stage="texture", level=p.level, step=p.step, size=p.size, **losses)
        stop_if_asked()

    total = sum(settings.texture.iterations)
    behind = sum(len(level.steps) for level in finished.history) if finished else 0
    with (
        tqdm(total=total, initial=behind, unit="step", dynamic_ncols=True) as bar,
        stopping_between_steps(bar) as stop_if_asked,
    ):
        yield show
