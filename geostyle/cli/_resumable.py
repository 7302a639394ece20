"""Commands that train and can go on: their flags, and the run folder they start or go on with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from geostyle import config
from geostyle.errors import InputError
from geostyle.io.files import make_folder
from geostyle.io.runs import RunFolder

S = TypeVar("S")
STATE = "state.safetensors"
NEWEST = "newest"


def parse(
    prog: str, verb: str, description: str, settings_class: type[S], argv: Sequence[str]
) -> tuple[S, Path | None, bool]:
    """Read defaults < --config or the resumed run's < flags; the run's folder; dry run or not.

    Args:
        prog: what the command is called in its help.
        verb: what its numbered run folders end in.
        settings_class: its settings, among them `output`, where those folders lie.
    """
    parser = config.Parser(prog=prog, description=description)
    parser.add_argument("--config", type=Path, metavar="YAML", help="settings")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--resume", nargs="?", const=NEWEST, metavar="RUN", help="run to go on with")
    where.add_argument("--run", type=Path, metavar="RUN", help="run to go on with, or to start")
    parser.add_argument("--dry-run", action="store_true", help="check and print, then stop")
    config.add_arguments(parser, settings_class)
    args = parser.parse_args(argv)
    overrides = config.overrides(args, settings_class)
    if args.resume is None:
        return config.resolve(settings_class, args.config, overrides), args.run, args.dry_run
    parent = Path(overrides.get("output", vars(settings_class())["output"]))
    newest = sorted(path.parent for path in parent.glob(f"*-{verb}/{STATE}"))[-1:]
    folder = Path(args.resume) if args.resume != NEWEST else (newest or [parent])[0]
    if not (folder / STATE).is_file():
        raise InputError(f"resume: expected a run with a saved state, got {str(folder)!r}")
    return config.resolve(settings_class, folder / "settings.yaml", overrides), folder, args.dry_run


def open_folder(folder: Path | None, settings: Any, verb: str) -> RunFolder:
    """The run's folder, made where it is missing, numbered where none is given; not yet locked."""
    if folder is None:
        return RunFolder.create(settings.output, verb, wandb=settings.wandb)
    make_folder(folder)
    return RunFolder(folder, wandb=settings.wandb)
