"""Whole commands, start-up included: seconds, processor time and peak memory.

    python benchmarks/jobs.py [--size 512] [--threads 1] [--only NAME …] [--json FILE]

Every command runs in a process of its own on bundled pictures. Processor time is the figure to
compare where other work shares the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "geostyle" / "assets" / "pictures"
CONTENT = ["--content", str(PICTURES / "content/coffee.jpg")]
GEO = ["--geo-style", str(PICTURES / "geo/coffee.jpg")]
TEX = ["--tex-style", str(PICTURES / "styles/night.jpg")]
JOBS = {
    "help": ["transfer", "--help"],
    "warp": ["transfer", *CONTENT, *GEO],
    "quick": ["transfer", *CONTENT, *GEO, *TEX, "--quick"],
    "matched": ["transfer", *CONTENT, *GEO, *TEX],
    "gram": ["transfer", *CONTENT, *GEO, *TEX, "--painter", "gram"],
}


def measure(words: list[str], threads: int) -> dict[str, float]:
    """Run one command."""
    with tempfile.TemporaryDirectory() as folder:
        if "--help" not in words:
            words = [*words, "--output", folder]
        command = [sys.executable, "-m", "geostyle", *words]
        limits = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
        quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)]
        started = time.monotonic()
        process = os.posix_spawn(
            sys.executable, command, {**os.environ, **limits}, file_actions=quiet
        )
        _, status, used = os.wait4(process, 0)
        seconds = time.monotonic() - started
    if status:
        raise SystemExit(f"{' '.join(words)}: status {os.waitstatus_to_exitcode(status)}")
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "wall_s": seconds,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_gb": used.ru_maxrss * unit / 1e9,
    }


def main() -> None:
    """Print one line per command, and write JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, metavar="PX")
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", 1)))
    parser.add_argument("--only", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    found = {}
    for name in args.only:
        size = [] if name == "help" else ["--size", str(args.size)]
        found[name] = measure(JOBS[name] + size, args.threads)
        row = found[name]
        print(f"{name:8s} {row['wall_s']:6.1f} s, processor {row['cpu_s']:6.1f} s, "
              f"{row['peak_gb']:.2f} GB", flush=True)  # fmt: skip
        if args.json:
            figures = {"size_px": args.size, "threads": args.threads, "jobs": found}
            args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
