"""warp a content picture after one style and repaint it with the texture of another

The run folder keeps everything the result was made from, so that the run can be repeated, and
resumed where it was cut short.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geostyle import config
from geostyle.cli._notices import say_mixed, say_unused
from geostyle.cli._output import AnimationSettings, OutputSettings
from geostyle.config import check, setting
from geostyle.errors import InputError
from geostyle.io.runs import RunFolder
from geostyle.io.sources import SUFFIXES
from geostyle.pipeline.settings import TransferSettings

VERB = "transfer"


@dataclass(frozen=True)
class Job:
    """Settings of one run; its YAML file is the run folder's settings.yaml."""

    content: Path | None = setting(None, help="picture to transform; default: a bundled one")
    geo_style: tuple[Path, ...] = setting(
        (), repeat=True, help="picture whose geometry the content takes on, or several to mix"
    )
    geo_weights: tuple[float, ...] | None = setting(
        None, min=0.0, repeat=True, help="one weight for each geometry style; default: equal"
    )
    geo_regions: tuple[Path, ...] = setting(
        (),
        repeat=True,
        help="gray picture for each geometry style instead, on the result's canvas, white where "
        "its warp holds; without one of its own, the last style takes the rest",
    )
    tex_style: tuple[Path, ...] = setting(
        (), repeat=True, help="picture whose texture it is repainted with, or several to mix"
    )
    tex_weights: tuple[float, ...] | None = setting(
        None, min=0.0, repeat=True, help="one weight for each texture style; default: equal"
    )
    tex_mask: tuple[Path, ...] = setting(
        (),
        repeat=True,
        help="gray picture for each texture style, white where it paints; without one of its own, "
        "the last style takes the rest",
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
        "without --geo-style, the second ones say where to move parts of the content",
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
        for name in ("geo_style", "points"):
            if getattr(self, name) not in (None, ()) and self.theta is not None:
                flag = name.replace("_", "-")
                raise InputError(f"theta: expected either --theta or --{flag}, got both")
        for name in ("content_mask", "geo_mask"):
            if getattr(self, name) is not None and not self.geo_style:
                raise InputError(f"{name}: expected --geo-style beside it, got none")
        if self.preview > 1 and len(self.geo_style) != 1:
            raise InputError(
                f"preview: expected one --geo-style beside a number, got {len(self.geo_style)}"
            )
        if self.preview > 1 and self.transfer.geometry.choose > 1:
            raise InputError("choose: expected either --choose or --preview with a number")
        if self.output.suffix.lower() in SUFFIXES:
            raise InputError(f"output: expected a folder for the run, got {str(self.output)!r}")
        from geostyle.matching import Guide
        from geostyle.pipeline import check_geo_styles, check_tex_styles

        given = (self.content_mask, self.geo_mask, self.points)
        guide = Guide(*given, self.geo_weights, self.geo_regions)  # type: ignore[arg-type]
        check_geo_styles(len(self.geo_style), guide, self.transfer.geometry)
        check_tex_styles(len(self.tex_style), self.tex_weights, len(self.tex_mask))

    @property
    def compares_pictures(self) -> bool:
        """Return whether pictures are compared, for a warp or to guide the painting."""
        guided = self.transfer.guided and bool(self.tex_style) and not self.preview
        return bool(self.geo_style) or guided


def main(argv: Sequence[str], prog: str = "geostyle transfer") -> int:
    """Run a transfer; 0 when done, 130 when Ctrl-C cut the painting short."""
    job, args = config.parse(
        Job,
        argv,
        prog=prog,
        description="Warp a content picture so that it takes on the geometry of one picture, then "
        "repaint it with the texture of another. Either style may be left out.",
        add_flags=add_resume,
        resumed=saved_settings,
    )
    from geostyle.cli import _unfinished as unfinished
    from geostyle.cli._transfer_run import Transfer

    resumed = RunFolder(args.resume) if args.resume else None
    with contextlib.ExitStack() as stack:
        if resumed is not None and not args.dry_run:
            stack.enter_context(resumed.lock())
            if unfinished.is_complete(resumed):
                print(f"nothing left to do: {resumed.path}")
                return 0
        transfer = Transfer(job, resumed, stack)
        print("settings:", *config.dump_yaml(job).splitlines(), sep="\n  ")
        if job.content is None:
            print("content: none given, taking the bundled one")
        say_mixed(job)
        say_unused(job)
        transfer.check()
        return 0 if args.dry_run else transfer.run()


def add_resume(parser: argparse.ArgumentParser) -> None:
    """Add the flag of a run to go on with."""
    parser.add_argument(
        "--resume",
        type=config.own_path,
        metavar="RUN",
        help="run folder to go on with from its last finished level, under its own settings",
    )


def saved_settings(args: argparse.Namespace, given: dict[str, Any]) -> Job | None:
    """The settings of the run to go on with; None without ``--resume``."""
    if args.resume is None:
        return None
    if given or args.config:
        raise InputError("resume: expected no settings beside the run's own, got some")
    from geostyle.io.originals import saved_job

    return saved_job(args.resume, VERB, Job, name="resume")
