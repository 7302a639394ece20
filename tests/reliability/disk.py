"""Run the long commands on disks that fill up; see what is left and go on.

    python tests/reliability/disk.py [--times 12] [--only NAME]

Either no file may grow beyond some size, or (where this process may mount one) the whole disk is
small. The command must end with one line and status 2, every file with a final name must be whole,
and with room again the same command must come to the same bytes. `make disk` runs it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent))

from trial import Trial, each  # noqa: E402


def file_limits(trial: Trial, times: int, rng: random.Random) -> None:
    """Let no file grow beyond some size, between nothing and the largest of its results."""
    largest = max(trial.sizes)
    for _ in range(times):
        trial.finish(trial.run(file_bytes=int(rng.uniform(0, largest))))


def small_disks(trial: Trial, times: int, rng: random.Random) -> None:
    """Run it on a disk too small for all of its results."""
    total = sum(trial.sizes)
    for _ in range(times):
        with small_disk(trial.folder, int(rng.uniform(0.05, 0.8) * total)) as enlarge:
            done = trial.run()
            assert done.status == 2 and "No space left on device" in done.output, done.output
            enlarge()
            trial.finish(done, keep=True)
        trial.fresh()


@contextlib.contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Callable[[], None]]:
    """Mount a disk of `size_bytes` at `folder`; what it gives makes the disk large."""

    def mount(*options: str) -> None:
        subprocess.run(["mount", *options, str(folder)], check=True)

    folder.mkdir(exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs")
    try:
        yield lambda: mount("-o", "remount,size=256m")
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def main() -> int:
    """Run all trials; print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=12, help="disks of each kind and command")
    parser.add_argument("--only", help="one command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file for the counts")
    args = parser.parse_args()
    may_mount = os.geteuid() == 0
    if not may_mount:
        print("small disks: left out, this user may not mount one")

    def fill(trial: Trial) -> None:
        rng = random.Random(args.seed)
        file_limits(trial, args.times, rng)
        if may_mount:
            small_disks(trial, args.times, rng)

    each(fill, args.only, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
