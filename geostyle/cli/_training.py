"""Shared parts of the commands that train: flags, and previews of feed-forward networks."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from geostyle import config
from geostyle.errors import InputError
from geostyle.io.runs import RunFolder
from geostyle.training.settings import LoopSettings

if TYPE_CHECKING:
    from torch import Tensor

    from geostyle.distributed import Processes
    from geostyle.report.sheet import Panel
    from geostyle.training.feedforward import FeedForwardLearner
    from geostyle.training.learner import Learner
    from geostyle.training.loop import OnValidation

S = TypeVar("S", bound=LoopSettings)
NEWEST = "newest"


def train_command(
    prog: str,
    description: str,
    settings_class: type[S],
    make: Callable[[S, Processes], Learner],
    argv: Sequence[str],
    *,
    on_validation: OnValidation | None = None,
) -> int:
    """Run a command that trains, from its flags to its last line; return the exit status.

    Args:
        prog: the command in its help; its last word names the numbered run folders.
        make: settings and processes → learner.
        on_validation: see `run_training`.
    """
    verb = prog.split()[-1].removesuffix(".py").replace("_", "-")
    settings, folder, dry_run = parse(prog, verb, description, settings_class, argv)
    from geostyle.training.loop import run_training

    run_training(make, settings, verb, folder, dry_run=dry_run, on_validation=on_validation)
    return 0


def parse(
    prog: str, verb: str, description: str, settings_class: type[S], argv: Sequence[str]
) -> tuple[S, Path | None, bool]:
    """Read settings: defaults < --config or the resumed run's < flags.

    Returns: the settings, the run folder where one is given, and whether it is a dry run.
    Raises: InputError where the run to resume has no saved state.
    """
    folder: Path | None = None

    def add_flags(parser: argparse.ArgumentParser) -> None:
        run = parser.add_mutually_exclusive_group()
        run.add_argument(
            "--resume", nargs="?", const=NEWEST, metavar="RUN", help="run to go on with"
        )
        run.add_argument("--run", type=Path, metavar="RUN", help="run to go on with, or to start")
        # Without a type, which would be applied to the default, too.
        parser.add_argument(
            "config",
            nargs="?",
            default=argparse.SUPPRESS,
            metavar="YAML",
            help="the same as --config",
        )

    def resumed(args: argparse.Namespace, given: dict[str, Any]) -> S | None:
        nonlocal folder
        folder = args.run
        if args.resume is None:
            return None
        from geostyle.training.loop import STATE

        parent = config.resolve(settings_class, args.config, given).parent
        newest = sorted(path.parent for path in parent.glob(f"*-{verb}/{STATE}"))[-1:]
        folder = Path(args.resume) if args.resume != NEWEST else (newest or [parent])[0]
        if not (folder / STATE).is_file():
            raise InputError(f"resume: expected a run with a saved state, got {str(folder)!r}")
        return config.resolve(settings_class, folder / "settings.yaml", given)

    settings, args = config.parse(
        settings_class,
        argv,
        prog=prog,
        description=description,
        add_flags=add_flags,
        resumed=resumed,
    )
    return settings, folder, args.dry_run


def save_preview(learner: FeedForwardLearner, run: RunFolder) -> None:
    """Write a sheet: the style, held-out pictures, and what the network paints."""

    from geostyle.io.images import to_uint8
    from geostyle.report.sheet import Panel, save_sheet
    from geostyle.training.loop import PREVIEW

    def row(title: str, pictures: Tensor) -> list[Panel]:
        return [Panel("" if i else title, to_uint8(picture)) for i, picture in enumerate(pictures)]

    rows = [row("style", learner.style)]
    if learner.validation.content is not None:
        rows.append(row("held out", learner.validation.content.cpu()))
    rows.append(row(f"step {learner.step}", learner.painted))
    save_sheet(rows, run.file(PREVIEW))
