"""One command on trial: run it, disturb it, see what is left, go on, compare."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from forked import Outcome, attempt
from tqdm import tqdm
from workloads import Workload, check_readable, workloads


@dataclass
class Tally:
    """What was counted for one command.

    disturbed: attempts that were killed or refused. finished: times it came to its end in spite of
    that. files: read after every attempt. compared: of results, byte for byte.
    """

    name: str
    disturbed: int = 0
    finished: int = 0
    files: int = 0
    compared: int = 0


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep what commands print off the screen."""
    nothing = io.StringIO()
    with contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
        yield


class Trial:
    """One command under fire.

    Args:
        workload: the command.
        work: a folder for its outputs.

    `seconds` and `operations` are what it takes undisturbed; `reference` is what it ends with, in
    files of `sizes` bytes.
    """

    def __init__(self, workload: Workload, work: Path) -> None:
        self.workload = workload
        self.folder = work / "out"
        self.tally = Tally(workload.name)
        with silence():  # once in this process, for all that is imported on first use
            self.folder.mkdir()
            assert workload.call(self.folder) == 0
        self.fresh()
        done = self.run()
        assert done.status == 0, done.output
        self.seconds, self.operations = done.seconds, done.operations
        self.reference = workload.result(self.folder)
        self.sizes = [path.stat().st_size for path in self.folder.rglob("*") if path.is_file()]
        self.fresh()

    def run(self, **when: float | int) -> Outcome:
        """One attempt; what it leaves is checked."""
        self.folder.mkdir(exist_ok=True)
        done = attempt(lambda: self.workload.call(self.folder), self.folder, **when)  # type: ignore[arg-type]
        self.tally.files += check_readable(self.folder)
        assert "Traceback" not in done.output, done.output
        if done.status == 0:
            return done
        self.tally.disturbed += 1
        if done.status is not None:  # not killed: refused
            lines = done.output.replace("\r", "\n").strip().splitlines()
            assert done.status == 2 and ": error: " in lines[-1], done.output
        return done

    def finish(self, done: Outcome, *, keep: bool = False) -> None:
        """Go on to the end, compare; start afresh unless `keep`."""
        if done.status != 0:
            done = self.run()
            assert done.status == 0, done.output
        result = self.workload.result(self.folder)
        different = [
            name
            for name in sorted(self.reference.keys() | result.keys())
            if self.reference.get(name) != result.get(name)
        ]
        assert not different, f"{self.workload.name}: not as without a disturbance: {different}"
        self.tally.finished += 1
        self.tally.compared += len(result)
        if not keep:
            self.fresh()

    def fresh(self) -> None:
        """Forget what is there."""
        shutil.rmtree(self.folder)


def each(
    disturb: Callable[[Trial], None], only: str | None = None, file: Path | None = None
) -> None:
    """Put all commands on trial, or one; print what was counted, and write it where asked for."""
    rows: list[dict[str, object]] = []
    torch.set_num_threads(1)
    tqdm.monitor_interval = 0  # no thread that a fork would lose
    print(f"{'command':<18} {'disturbed':>9} {'finished':>9} {'read':>6} {'compared':>9} {'s':>6}")
    with tempfile.TemporaryDirectory(prefix="geostyle-trial-") as folder:
        work = Path(folder)
        with silence():
            commands = workloads(work / "inputs")
        for workload in commands:
            if only not in (None, workload.name):
                continue
            started = time.monotonic()
            trial = Trial(workload, work)
            disturb(trial)
            t = trial.tally
            print(
                f"{t.name:<18} {t.disturbed:>9} {t.finished:>9} {t.files:>6} {t.compared:>9} "
                f"{time.monotonic() - started:>6.0f}",
                flush=True,
            )
            rows.append(asdict(t))
            if file is not None:
                file.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
