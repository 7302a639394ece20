"""Train the geometry network: correlation of two pictures → warp.

    python train_geo.py                                on the pairs that data_gen/make.py made
    python train_geo.py --config configs/train_geo.yaml --data PAIRS
    python train_geo.py --resume                       go on with the newest run
    torchrun --nproc_per_node 2 train_geo.py ...       several processes, one result

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
from geostyle.errors import GeostyleError, InputError
from geostyle.runs import RunFolder, read_metrics
from geostyle.training import Processes, Trainer, TrainSettings, join_processes, plot, rewind

NAME = "train-geo"
LOG_EVERY = 10


def main(argv: Sequence[str]) -> int:
    """Parse, build, loop, save."""
    settings, resumed, dry_run = parse(argv)
    with join_processes(settings.device) as processes:
        if processes.first:
            print("settings:", *config.dump_yaml(settings).splitlines(), sep="\n  ")
        if dry_run:
            return 0
        with tqdm(desc="correlations", unit="block", disable=not processes.first) as bar:
            trainer = Trainer(settings, processes, on_block=bar.update)
        if resumed:
            trainer.load(resumed / "state.safetensors")
        run = open_run(settings, resumed, trainer) if processes.first else None
        train(trainer, run, processes)
        if run is not None:
            print(f"best: {100 * trainer.best:.1f} % of doing nothing\nrun: {run.path}")
            run.close()
    return 0


def parse(argv: Sequence[str]) -> tuple[TrainSettings, Path | None, bool]:
    """Read defaults < --config or the resumed run's < flags; the run to resume; dry run or not."""
    parser = config.Parser(prog="train_geo.py", description="Train the geometry network.")
    parser.add_argument("--config", type=Path, metavar="YAML", help="settings")
    parser.add_argument(
        "--resume", nargs="?", const="newest", metavar="RUN", help="run to go on with"
    )
    parser.add_argument("--dry-run", action="store_true", help="check and print, then stop")
    config.add_arguments(parser, TrainSettings)
    args = parser.parse_args(argv)
    overrides = config.overrides(args, TrainSettings)
    if args.resume is None:
        return config.resolve(TrainSettings, args.config, overrides), None, args.dry_run
    folder = Path(args.resume)
    if args.resume == "newest":
        parent = Path(overrides.get("output", TrainSettings().output))
        runs = sorted(p.parent for p in parent.glob(f"*-{NAME}/state.safetensors"))
        if not runs:
            raise InputError(f"resume: expected a run with a saved state in {str(parent)!r}")
        folder = runs[-1]
    return config.resolve(TrainSettings, folder / "settings.yaml", overrides), folder, args.dry_run


def open_run(settings: TrainSettings, resumed: Path | None, trainer: Trainer) -> RunFolder:
    """Claim the run's folder, a new one or the resumed one's; drop metrics from after its state."""
    if resumed is None:
        run = RunFolder.create(settings.output, NAME, wandb=settings.wandb)
        run.lock()
        run.save_settings(settings)
        run.save_environment()
        trainer.save(run.file("state.safetensors"))
        return run
    run = RunFolder(resumed, wandb=settings.wandb)
    run.lock()
    rewind(run.file("metrics.jsonl"), trainer.step)
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
                trainer.save(run.file("state.safetensors"))
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
