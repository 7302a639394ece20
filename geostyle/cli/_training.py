"""What the commands that train share: their flags, and the preview of a feed-forward network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from geostyle import config
from geostyle.distributed import Processes
from geostyle.errors import InputError
from geostyle.io.images import to_uint8
from geostyle.io.runs import RunFolder
from geostyle.report.sheet import Panel, save_sheet
from geostyle.training.feedforward import FeedForwardLearner
from geostyle.training.learner import Learner, LoopSettings
from geostyle.training.loop import STATE, OnValidation, run_training

S = TypeVar("S", bound=LoopSettings)
NEWEST = "newest"
PREVIEW = "preview.png"


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
    run_training(make, settings, verb, folder, dry_run=dry_run, on_validation=on_validation)
    return 0


def parse(
    prog: str, verb: str, description: str, settings_class: type[S], argv: Sequence[str]
) -> tuple[S, Path | None, bool]:
    """Read settings: defaults < --config or the resumed run's < flags.

    Returns: the settings, the run folder where one is given, and whether it is a dry run.
    Raises: InputError where the run to resume has no saved state.
    """
    parser = config.Parser(prog=prog, description=description)
    parser.add_argument("--config", type=Path, metavar="YAML", help="settings")
    parser.add_argument("file", type=Path, nargs="?", metavar="YAML", help="the same as --config")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--resume", nargs="?", const=NEWEST, metavar="RUN", help="run to go on with")
    where.add_argument("--run", type=Path, metavar="RUN", help="run to go on with, or to start")
    parser.add_argument("--dry-run", action="store_true", help="check and print, then stop")
    config.add_arguments(parser, settings_class)
    args = parser.parse_args(argv)
    overrides = config.overrides(args, settings_class)
    settings = config.resolve(settings_class, args.config or args.file, overrides)
    if args.resume is None:
        return settings, args.run, args.dry_run
    newest = sorted(path.parent for path in settings.parent.glob(f"*-{verb}/{STATE}"))[-1:]
    folder = Path(args.resume) if args.resume != NEWEST else (newest or [settings.parent])[0]
    if not (folder / STATE).is_file():
        raise InputError(f"resume: expected a run with a saved state, got {str(folder)!r}")
    return config.resolve(settings_class, folder / "settings.yaml", overrides), folder, args.dry_run


def save_preview(learner: FeedForwardLearner, run: RunFolder) -> None:
    """Write a sheet: the style, held-out pictures, and what the network paints."""

    def row(title: str, pictures: Tensor) -> list[Panel]:
        return [Panel("" if i else title, to_uint8(picture)) for i, picture in enumerate(pictures)]

    rows = [row("style", learner.style)]
    if learner.validation.content is not None:
        rows.append(row("held out", learner.validation.content.cpu()))
    rows.append(row(f"step {learner.step}", learner.painted))
    save_sheet(rows, run.file(PREVIEW))
