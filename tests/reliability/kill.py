"""Kill the long commands at random moments, and at file operations; see what is left and go on.

    python tests/reliability/kill.py [--kills 50] [--operations 25] [--only NAME]

After every kill, each file with a final name must be whole; the same command must then come to the
same bytes as a run that nobody killed. `make kill` runs it.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent))

from trial import Trial, each  # noqa: E402


def random_moments(trial: Trial, kills: int, rng: random.Random) -> None:
    """Kill it again and again until it comes through, until there were enough kills."""
    until = trial.tally.disturbed + kills
    while trial.tally.disturbed < until:
        done = trial.run(kill_after_s=rng.uniform(0, trial.seconds))
        if done.status == 0 or trial.tally.disturbed == until:
            trial.finish(done)


def file_operations(trial: Trial, count: int, rng: random.Random) -> None:
    """Kill it just before some of its file operations, then go on."""
    for number in rng.sample(range(trial.operations), min(count, trial.operations)):
        trial.finish(trial.run(kill_before=number))


def main() -> int:
    """Run all trials; print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="kills at random moments each")
    parser.add_argument("--operations", type=int, default=25, help="kills at file operations each")
    parser.add_argument("--only", help="one command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file for the counts")
    args = parser.parse_args()

    def kill(trial: Trial) -> None:
        rng = random.Random(args.seed)
        random_moments(trial, args.kills, rng)
        file_operations(trial, args.operations, rng)

    each(kill, args.only, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
