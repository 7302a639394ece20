"""Train the geometry network: correlation of two pictures → warp.

    python train_geo.py                                on the pairs that data_gen/make.py made
    python train_geo.py --config configs/geometry/train_geo.yaml --data PAIRS
    python train_geo.py --resume [RUN]                 go on with a run, the newest by default
    python train_geo.py --run RUN ...                  go on with RUN, or start it: for scripts
    torchrun --nproc_per_node 2 -- train_geo.py ...    several processes, one result

Each run is a numbered folder with its settings, metrics.jsonl, a plot, the state to resume from
and geonet.safetensors, the best network so far, for `transfer.py --estimator regression`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from geostyle import config
from geostyle.cli import _resumable
from geostyle.cli._resumable import STATE, open_folder
from geostyle.distributed import Processes, join_processes
from geostyle.errors import GeostyleError
from geostyle.io.files import read_metrics
from geostyle.io.runs import RunFolder
from geostyle.training.geometry import Trainer, TrainSettings, plot

NAME = "train-geo"
LOG_EVERY = 10


def main(argv: Sequence[str]) -> int:
    """Parse, build, loop, save."""
    settings, folder, dry_run = parse(argv)
    with join_processes(settings.device) as processes:
        if processes.first:
            print("settings:", *config.dump_yaml(settings).splitlines(), sep="\n  ")
        if dry_run:
            return 0
        trainer = Trainer(settings, processes)
        with tqdm(total=trainer.blocks, desc="correlations", disable=not processes.first) as bar:
            trainer.prepare(on_block=bar.update)
        if folder and (folder / STATE).is_file():
            trainer.load(folder / STATE)
        processes.wait()
        run = open_run(settings, folder, trainer) if processes.first else None
        train(trainer, run, processes)
        if run is not None:
            print(f"best: {100 * trainer.best:.1f} % of doing nothing\nrun: {run.path}")
            run.close()
    return 0


def parse(argv: Sequence[str]) -> tuple[TrainSettings, Path | None, bool]:
    """The settings, the run's folder where one is given; dry run or not."""
    description = "Train the geometry network."
    return _resumable.parse("train_geo.py", NAME, description, TrainSettings, argv)


def open_run(settings: TrainSettings, folder: Path | None, trainer: Trainer) -> RunFolder:
    """Claim the run's folder, numbered where none is given; drop metrics from after its state."""
    run = open_folder(folder, settings, NAME)
    run.lock()
    if not run.file(STATE).is_file():
        run.save_settings(settings)
        run.save_environment()
        trainer.save(run.file(STATE))
    run.keep_metrics(lambda line: line["step"] <= trainer.step)
    return run


def train(trainer: Trainer, run: RunFolder | None, processes: Processes) -> None:
    """Step, validate, log and save until done."""
    settings = trainer.settings
    with tqdm(total=settings.steps, initial=trainer.step, unit="step", disable=run is None) as bar:
        while not trainer.done:
            figures: dict[str, Any] = trainer.train_step()
            last = trainer.step == settings.steps
            validate = last or trainer.step % settings.validate_every == 0
            if validate:
                figures |= trainer.validate()
            bar.update()
            if run is None:
                continue
            if figures.get("best"):
                trainer.save_net(run.file("geonet.safetensors"))
            if validate or trainer.step % LOG_EVERY == 0:
                run.log(**figures)
                shown: dict[str, object] = {
                    k: f"{figures[k]:.3f}" for k in ("loss", "val") if k in figures
                }
                bar.set_postfix(shown, refresh=False)
            if trainer.done or trainer.step % settings.save_every == 0:
                trainer.save(run.file(STATE))
            if validate:
                plot(read_metrics(run.file("metrics.jsonl")), run.file("metrics.png"))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except GeostyleError as error:
        print(f"train_geo.py: error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("train_geo.py: interrupted; --resume goes on from the saved state", file=sys.stderr)
        sys.exit(130)
