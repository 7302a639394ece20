"""make a run again from its folder, and compare the results

The exit status is 0 where every file came out identical, 1 where one did not.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from geostyle import config
from geostyle.cli import EXIT_DIFFERENT, verbs
from geostyle.config import Parser
from geostyle.errors import InputError
from geostyle.io.files import write_text
from geostyle.io.runs import RunFolder

COMPARED = ("python", "platform", "cpu", "cuda", "packages", "commit", "variables")


def main(argv: Sequence[str]) -> int:
    """Run again in a folder of its own, compare, print one line per file."""
    parser = Parser(prog="geostyle rerun", description="Make a run again and compare the results.")
    parser.add_argument("run", type=config.own_path, help="run folder, such as runs/00001-transfer")
    parser.add_argument(
        "--output",
        type=config.own_path,
        metavar="DIR",
        help="keep the new run below DIR; default: no",
    )
    args = parser.parse_args(argv)
    from geostyle.io.compare import compare_runs

    job, environment = repeatable(args.run)
    with contextlib.ExitStack() as stack:
        folder = (
            RunFolder.create(args.output, f"rerun-{args.run.name}").path
            if args.output
            else Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="geostyle-rerun-")))
        )
        again = run_again(environment, job, folder)
        compared = compare_runs(args.run, again)
        width = max(len(row.file) for row in compared)
        for row in compared:
            print(f"{row.file:<{width}}  {row.note}")
        if all(row.identical for row in compared):
            print(f"identical: all {len(compared)} files of {args.run}")
            return 0
        changes = changed(environment, RunFolder(again).load_environment())
        print(f"different; of what a run depends on, {', '.join(changes) or 'nothing'} changed")
        return EXIT_DIFFERENT


def repeatable(folder: Path) -> tuple[Any, dict[str, Any]]:
    """The settings and the environment of a finished run that no clock influenced.

    Raises: InputError for any other folder.
    """
    from geostyle.cli import _unfinished
    from geostyle.io.originals import saved_job

    run = RunFolder(folder)
    if not run.file("settings.yaml").is_file():
        raise InputError(f"run: expected a run folder, got {str(folder)!r} (no settings.yaml)")
    environment = run.load_environment()
    verb = str(environment.get("verb"))
    job_class = getattr(_module(verb), "Job", None) if verb in verbs() else None
    if job_class is None:
        raise InputError(
            f"run: expected a run of a verb that paints, got {str(folder)!r}; repeat a training "
            "with its own command and --config RUN/settings.yaml"
        )
    if run.file(_unfinished.FOLDER).exists():
        raise InputError(
            f"run: expected a finished run, got {str(folder)!r}; finish it with: "
            f"geostyle transfer --resume {folder}"
        )
    job = saved_job(folder, verb, job_class)
    flat = {
        key.rpartition(".")[2]: value for key, value in config.flatten(config.to_dict(job)).items()
    }
    # A transfer records the steps its time budget allowed.
    if flat.get("time_budget_s"):
        raise InputError("run: expected one without a time budget, which no other run can repeat")
    return job, environment


def run_again(environment: dict[str, Any], job: Any, folder: Path) -> Path:
    """Run the verb of `environment` on `job`, on as many threads as then; the new run's folder."""
    import torch

    settings = folder / "rerun.yaml"
    write_text(settings, config.dump_yaml(job))
    threads = environment.get("cpu", {}).get("threads")
    if isinstance(threads, int) and threads > 0:
        torch.set_num_threads(threads)  # sums depend on how many threads share them
    with contextlib.redirect_stdout(io.StringIO()):
        status = _module(str(environment["verb"])).main(
            ["--config", str(settings), "--output", str(folder)]
        )
    if status:
        raise KeyboardInterrupt
    return next(path for path in folder.iterdir() if path.is_dir())


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Entries of a run's environment that differ."""
    old, new = ({k: v for k, v in e.items() if k in COMPARED} for e in (before, after))
    a, b = config.flatten(old), config.flatten(new)
    return [
        f"{k} ({a.get(k)} → {b.get(k)})"
        for k in sorted(a.keys() | b.keys())
        if a.get(k) != b.get(k)
    ]


def _module(verb: str) -> Any:
    return import_module(f"geostyle.cli.{verb.replace('-', '_')}")
