"""What several benchmarks share: medians of times, peak memory, a few pictures of a folder."""

from __future__ import annotations

import contextlib
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path


def median_s(run: Callable[[], object], repeats: int) -> float:
    """Median seconds of `repeats` runs after one that does not count."""
    run()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def peak_memory_bytes() -> int:
    """The most memory that this process has held.

    On Linux not `ru_maxrss`, which a process has from the one that started it, if that was larger.
    """
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


def spread(paths: list[Path], count: int) -> list[Path]:
    """At most `count` of `paths`, evenly spread."""
    count = min(count, len(paths))
    return [paths[i * len(paths) // count] for i in range(count)]
