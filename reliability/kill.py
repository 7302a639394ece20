"""Kill the long commands at random moments, and at file operations; see what is left and go on.

    python reliability/kill.py [--kills 50] [--operations 25] [--only NAME]

After every kill, each file with a final name must be whole; the same command must then come to the
same bytes as a run that nobody killed. `make kill` runs it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch  # noqa: E402
from forked import Outcome, attempt  # noqa: E402
from tqdm import tqdm  # noqa: E402
from workloads import Workload, check_readable, workloads  # noqa: E402


@dataclass
class Tally:
    """What was counted for one command."""

    name: str
    kills: int = 0
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
        rng: what moments are drawn from.
    """

    def __init__(self, workload: Workload, work: Path, rng: random.Random) -> None:
        self.workload, self.rng = workload, rng
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
        self.fresh()

    def run(self, **when: float | int) -> Outcome:
        """One attempt; what it leaves is checked."""
        self.folder.mkdir(exist_ok=True)
        done = attempt(lambda: self.workload.call(self.folder), self.folder, **when)  # type: ignore[arg-type]
        self.tally.files += check_readable(self.folder)
        assert "Traceback" not in done.output, done.output
        if done.status is None:
            self.tally.kills += 1
        else:
            assert done.status == 0, done.output
        return done

    def finish(self, done: Outcome) -> None:
        """Go on to the end, compare, start afresh."""
        if done.status is None:
            self.run()
        result = self.workload.result(self.folder)
        different = [
            name
            for name in sorted(self.reference.keys() | result.keys())
            if self.reference.get(name) != result.get(name)
        ]
        assert not different, f"{self.workload.name}: not as without a kill: {different}"
        self.tally.finished += 1
        self.tally.compared += len(result)
        self.fresh()

    def fresh(self) -> None:
        """Forget what is there."""
        shutil.rmtree(self.folder)

    def random_moments(self, kills: int) -> None:
        """Kill it again and again until it comes through, until there were enough kills."""
        until = self.tally.kills + kills
        while self.tally.kills < until:
            done = self.run(kill_after_s=self.rng.uniform(0, self.seconds))
            if done.status == 0 or self.tally.kills == until:
                self.finish(done)

    def file_operations(self, count: int) -> None:
        """Kill it just before some of its file operations, then go on."""
        for number in self.rng.sample(range(self.operations), min(count, self.operations)):
            self.finish(self.run(kill_before=number))


def main() -> int:
    """Run all trials; print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="kills at random moments each")
    parser.add_argument("--operations", type=int, default=25, help="kills at file operations each")
    parser.add_argument("--only", help="one command")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    tqdm.monitor_interval = 0  # no thread that a fork would lose
    print(
        f"{'command':<18} {'kills':>6} {'finished':>9} {'files read':>11} {'compared':>9} {'s':>6}"
    )
    with tempfile.TemporaryDirectory(prefix="geostyle-kill-") as folder:
        work = Path(folder)
        with silence():
            commands = workloads(work / "inputs")
        for workload in commands:
            if args.only not in (None, workload.name):
                continue
            started = time.monotonic()
            trial = Trial(workload, work, random.Random(args.seed))
            trial.random_moments(args.kills)
            trial.file_operations(args.operations)
            t = trial.tally
            print(
                f"{t.name:<18} {t.kills:>6} {t.finished:>9} {t.files:>6} {t.compared:>9} "
                f"{time.monotonic() - started:>6.0f}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
