"""Kill one process of several that torchrun started; see what is left, and go on.

    python tests/reliability/torchrun.py [--processes 2 4] [--kills 4] [--only NAME]

Every other time torchrun itself starts the processes again (--max-restarts); else it gives up, and
the same command is given once more. Either way every file with a final name must be whole, and the
end the very bytes of a run of as many processes that nobody killed; pairs also those of one.
`make torchrun` runs it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from trial import silence  # noqa: E402
from workloads import Workload, check_readable, workloads  # noqa: E402

LIMIT_S = 600


class Launch:
    """One call of torchrun.

    Args:
        words: a script and its flags.
        processes: how many.
        restarts: how often torchrun may start them again.
        log: gets what they print.
    """

    def __init__(self, words: list[str], processes: int, restarts: int, log: Path) -> None:
        self.started = time.monotonic()
        self.log = log
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc_per_node", str(processes), "--max-restarts", str(restarts)]
        command += ["--", *words]  # else torchrun takes --run for a flag of its own
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                command, stdout=file, stderr=file, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )

    def rank(self, number: int) -> int | None:
        """The process id of a rank; None while it has not started."""
        for status in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError, IndexError, ValueError):
                if int(status.read_text().rpartition(")")[2].split()[1]) == self.process.pid:
                    environment = (status.parent / "environ").read_bytes().split(b"\0")
                    if b"RANK=%d" % number in environment:
                        return int(status.parent.name)
        return None

    def kill_one(self, number: int, folder: Path, after_s: float) -> bool:
        """Kill a rank so long after the first file is there; False where all was over before."""
        while not any(path.is_file() for path in folder.rglob("*")):
            if self.process.poll() is not None:
                return False
            time.sleep(0.01)
        time.sleep(after_s)
        found = self.rank(number)
        if found is None or self.process.poll() is not None:
            return False
        try:
            os.kill(found, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def wait(self) -> int:
        """The exit status."""
        try:
            return self.process.wait(LIMIT_S)
        finally:
            if self.process.poll() is None:
                self.process.kill()

    def text(self) -> str:
        """What was printed, for an assertion that fails."""
        return self.log.read_text(errors="replace")[-3000:]


def undisturbed(workload: Workload, folder: Path, processes: int) -> tuple[dict[str, bytes], float]:
    """What it comes to, and the seconds from its first file to its last."""
    words = workload.words(folder)
    launch = Launch(words, processes, 0, folder.with_suffix(".log"))
    while launch.process.poll() is None and not any(p.is_file() for p in folder.rglob("*")):
        time.sleep(0.01)
    first = time.monotonic()
    assert launch.wait() == 0, launch.text()
    check_readable(folder)
    return workload.result(folder), time.monotonic() - first


def trial(
    workload: Workload, work: Path, processes: int, kills: int, rng: random.Random
) -> dict[str, str | int]:
    """Kill `kills` times, compare each time; print a line, and return what was counted."""
    started, killed, read, compared, restarted = time.monotonic(), 0, 0, 0, 0
    folder = work / "out"
    reference, seconds = undisturbed(workload, folder, processes)
    if workload.name == "data_gen/make.py":
        shutil.rmtree(folder)
        with silence():
            folder.mkdir()
            assert workload.call(folder) == 0
        assert workload.result(folder) == reference, "not as one process makes them"
        compared += len(reference)
    while killed < kills:
        shutil.rmtree(folder)
        restarts = killed % 2
        words, log = workload.words(folder), folder.with_suffix(".log")
        launch = Launch(words, processes, restarts, log)
        hit = launch.kill_one(rng.randrange(processes), folder, rng.uniform(0, 0.8 * seconds))
        status = launch.wait()
        read += check_readable(folder)
        if hit and status != 0:  # given up
            assert restarts == 0, launch.text()
            again = Launch(words, processes, 0, log)
            assert again.wait() == 0, again.text()
            read += check_readable(folder)
        else:
            assert status == 0, launch.text()
        killed += hit
        restarted += hit and restarts
        result = workload.result(folder)
        different = [
            n for n in reference.keys() | result.keys() if reference.get(n) != result.get(n)
        ]
        assert not different, f"{workload.name}: not as without a kill: {sorted(different)}"
        compared += len(result)
    shutil.rmtree(folder)
    print(
        f"{workload.name:<18} {processes:>9} {killed:>6} {restarted:>9} {read:>6} {compared:>9} "
        f"{time.monotonic() - started:>6.0f}",
        flush=True,
    )
    return {
        "name": workload.name, "processes": processes, "killed": killed, "restarted": restarted,
        "files": read, "compared": compared,
    }  # fmt: skip


def main() -> int:
    """Run all trials; print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--kills", type=int, default=4, help="for each command and number")
    parser.add_argument("--only", help="one command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file for the counts")
    args = parser.parse_args()
    print(f"{'command':<18} {'processes':>9} {'killed':>6} {'restarted':>9} {'read':>6} "
          f"{'compared':>9} {'s':>6}")  # fmt: skip
    rows = []
    with tempfile.TemporaryDirectory(prefix="geostyle-torchrun-") as folder:
        work = Path(folder)
        with silence():
            commands = workloads(work / "inputs")
        for workload in commands:
            if not workload.script or args.only not in (None, workload.name):
                continue
            for processes in args.processes:
                rng = random.Random(args.seed)
                rows.append(trial(workload, work, processes, args.kills, rng))
                if args.json:
                    args.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
