"""The training loop of every network: geometry, distillation, fast style and texture networks.

A `Learner` decides what a step reads, its loss, how it is validated and which files it writes.
This file does what all have in common: run folder, lock, resuming, logging, validating, saving.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

from tqdm import tqdm

from geostyle import config
from geostyle.distributed import Processes, join_processes
from geostyle.errors import InputError, accessory
from geostyle.io.files import atomic_path, check_folder, make_folder, read_metrics
from geostyle.io.runs import RunFolder
from geostyle.texture.interrupts import stopping_between_steps
from geostyle.training.learner import Learner
from geostyle.training.settings import LoopSettings

STATE, METRICS, PLOT = "state.safetensors", "metrics.jsonl", "metrics.png"
PREVIEW = "preview.png"  # what `on_validation` may draw
FORMER_STATE = "state.pt"
LOG_EVERY = 10
OnValidation = Callable[[Any, RunFolder], None]


def run_training(
    make: Callable[[Any, Processes], Learner],
    settings: LoopSettings,
    verb: str,
    folder: Path | None = None,
    *,
    dry_run: bool = False,
    on_validation: OnValidation | None = None,
) -> None:
    """Train a network from new, or from the state in its run folder, to its last step.

    Under torchrun all processes train together, and the first one writes.

    Args:
        make: class of the learner, called with `settings` and the processes.
        verb: name that numbered run folders end in.
        folder: run folder to go on with or to start; None makes the next numbered one.
        dry_run: stop before anything is computed or written.
        on_validation: called with learner and run folder after the files of a validation.
    """
    with join_processes(settings.device) as processes, ExitStack() as stack:
        if processes.first:
            print("settings:", *config.dump_yaml(settings).splitlines(), sep="\n  ")
            check_folder(folder or settings.parent)  # before hours of work
        learner = make(settings, processes)
        if processes.first and learner.notes:
            print(*learner.notes, sep="\n")
        if dry_run:
            return
        learner.prepare()
        run = None
        if processes.first:
            if folder is not None:
                make_folder(folder)
            run = open_run(learner, verb, folder)
            stack.callback(run.close)
            folder = run.path
        processes.wait()  # until there is a state
        if folder is not None:
            learner.load(folder / STATE)
        if run is not None:
            run.keep_metrics(lambda line: 0 < learner.step >= line["step"])
        train(learner, run, on_validation)
        if run is not None:
            print(*learner.summary(run), f"run: {run.path}", sep="\n")


def open_run(learner: Learner, verb: str, folder: Path | None) -> RunFolder:
    """Return the run folder, locked, with a state in it.

    Raises: InputError where another process holds it, or its state is of an unknown version.
    """
    settings = learner.settings
    if folder is None:
        run = RunFolder.create(settings.parent, verb, wandb=settings.wandb)
    else:
        run = RunFolder(folder, wandb=settings.wandb)
    run.lock()
    if run.file(FORMER_STATE).is_file():
        raise InputError(f"run: expected a run of this version, got an older one in {run.path}")
    if not run.file(STATE).is_file():
        run.save_settings(settings)
        run.save_environment(verb=verb, seed=settings.seed)
        learner.save(run.file(STATE))
    run.mirror(settings)
    return run


def train(learner: Learner, run: RunFolder | None, on_validation: OnValidation | None) -> None:
    """Step, validate, log and save until done; `run` is None in all processes but the first."""
    settings = learner.settings

    def validate(figures: dict[str, float]) -> None:
        figures |= learner.validate()
        if run is not None:
            learner.save_files(run)
            if on_validation is not None:
                with accessory("preview"):
                    on_validation(learner, run)

    if learner.step == 0 and learner.validates_start:
        figures: dict[str, float] = {"step": 0}
        validate(figures)
        if run is not None:
            run.log(**figures)
    elif learner.done:  # a finished run: its files may be missing, or wanted elsewhere
        validate({})
    alone = learner.processes.world == 1  # several processes must stop at the same step
    with (
        tqdm(total=settings.steps, initial=learner.step, unit="step", disable=run is None) as bar,
        stopping_between_steps(bar.write) if alone else nullcontext(lambda: None) as stop_if_asked,
    ):
        while not learner.done:
            figures = learner.train_step()
            last = learner.step == settings.steps
            validated = last or learner.step % settings.validate_every == 0
            if validated:
                validate(figures)
            bar.update()
            if run is None:
                continue
            if validated or learner.step % LOG_EVERY == 0:
                run.log(**figures)
                shown = {k: f"{figures[k]:.3f}" for k in ("loss", "val") if k in figures}
                bar.set_postfix(shown, refresh=False)  # type: ignore[arg-type]
            if validated:
                with accessory("plot"):
                    plot(read_metrics(run.file(METRICS)), run.file(PLOT), learner.plotted)
                run.mirror_pictures(learner.step, PLOT, PREVIEW)
            # Last: a state of the last step means that everything is written.
            if learner.done or learner.step % settings.save_every == 0:
                learner.save(run.file(STATE))
            try:
                stop_if_asked()
            except KeyboardInterrupt:
                learner.save(run.file(STATE))
                bar.write(f"step {learner.step} is saved; to go on: --resume {run.path}")
                raise


def plot(metrics: list[dict[str, Any]], path: Path, names: tuple[str, ...]) -> None:
    """Draw the loss and the validated figures `names` over the steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True)
    top.set(ylabel="training loss", yscale="log")
    bottom.set(ylabel="validation", xlabel="step")
    for axes, shown in ((top, ("loss",)), (bottom, names)):
        for name in shown:
            points = [(m["step"], m[name]) for m in metrics if m.get(name) is not None]
            if points:
                axes.plot(*zip(*points, strict=True), label=name, linewidth=0.8)
        axes.grid(alpha=0.3)
    bottom.set_ylim(bottom=0)
    if bottom.has_data():
        bottom.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
