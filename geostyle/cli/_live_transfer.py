"""A transfer that is watched: its pictures are shown as they grow, and it can be stopped."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from geostyle import config
from geostyle.cli import _unfinished as unfinished
from geostyle.cli._transfer_run import Transfer
from geostyle.cli.transfer import VERB, Job
from geostyle.errors import InputError
from geostyle.io.originals import saved_job
from geostyle.io.runs import RunFolder
from geostyle.pipeline import GeometryResult, Pipeline, TransferResult, TransferSettings, as_guide
from geostyle.texture import Progress
from geostyle.texture.interrupts import StopPainting


class Watcher:
    """Base of the watchers of a transfer; every method may be overridden.

    Attributes: stop, asked after every step: whether to end with the best picture so far.
    """

    stop: Callable[[], bool] = staticmethod(lambda: False)

    def geometry(self, geometry: GeometryResult, run: Path) -> None:
        """The warp is done, and its run folder made."""

    def step(self, progress: Progress) -> None:
        """A step of the painting is done."""

    def result(self, result: TransferResult) -> None:
        """The painting is done or was stopped; its files follow."""


class LiveTransfer(Transfer):
    """A run of the verb `transfer` with a watcher; its run folder is like any other.

    Args: as for `Transfer`, and the watcher.
    """

    def __init__(
        self,
        job: Job,
        resumed: RunFolder | None,
        stack: contextlib.ExitStack,
        watcher: Watcher,
        make_pipeline: Callable[[TransferSettings], Pipeline],
    ) -> None:
        self.make_pipeline = make_pipeline
        super().__init__(job, resumed, stack)
        self.watcher = watcher

    def on_geometry(self, geometry: GeometryResult) -> None:
        super().on_geometry(geometry)
        self.watcher.geometry(geometry, self.folder.path)
        inner = getattr(self, "on_step", None)

        def step(progress: Progress) -> None:
            if inner is not None:
                inner(progress)
            self.watcher.step(progress)
            if self.watcher.stop():
                raise StopPainting

        self.on_step = step

    def finish(self, result: TransferResult) -> int:
        self.watcher.result(result)
        return super().finish(result)

    def prepare(self) -> None:
        """Compute what comes before the first step, for a pipeline that remembers it."""
        geo_styles = [style.tensor for style in self.geo_styles]
        styles = [style.tensor for style in self.tex_styles]
        guide = as_guide(**self.guide)
        content = self.content.tensor
        geometry = self.pipe.warp(content, geo_styles, self.theta, guide, painted=bool(styles))
        only = geo_styles[0] if len(geo_styles) == 1 else None
        self.pipe.source_guides(content, only, styles, geometry, guide)


def job_of(given: Mapping[str, Any]) -> Job:
    """The job of flat settings by name.

    Raises: InputError for unknown names and values out of range.
    """
    return config.resolve(Job, None, dict(given))


def transfer_live(
    given: Mapping[str, Any] | Path,
    watcher: Watcher,
    make_pipeline: Callable[[TransferSettings], Pipeline],
    *,
    prepare: bool = False,
) -> Path | None:
    """Run a transfer, or go on with one, and tell the watcher.

    Args:
        given: settings by name, or the run folder of a stopped transfer.
        make_pipeline: makes the pipeline from its settings.
        prepare: compute only what comes before the first step, and keep no files.

    Returns: the run folder.
    Raises: InputError for unusable settings and pictures.
    """
    with contextlib.ExitStack() as stack:
        resumed = None
        if isinstance(given, Path):
            resumed = RunFolder(given)
            stack.enter_context(resumed.lock())
            if unfinished.is_complete(resumed):
                raise InputError("run: expected one that was stopped, got a finished one")
            job = saved_job(given, VERB, Job)
        else:
            job = job_of(given)
        transfer = LiveTransfer(job, resumed, stack, watcher, make_pipeline)
        if prepare:
            transfer.prepare()
            return None
        transfer.run()
        return transfer.folder.path
