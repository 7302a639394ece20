"""Helpers of the benchmarks: medians of times, peak memory, evenly spread pictures."""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path


def median_s(
    run: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Median seconds of `repeats` runs, after one to warm up."""
    run()
    times = []
    for _ in range(repeats):
        started = clock()
        run()
        times.append(clock() - started)
    return statistics.median(times)


def peak_memory_bytes() -> int:
    """Peak memory of this process.

    On Linux not `ru_maxrss`, which a process inherits from its parent where that is larger.
    """
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


def spread(paths: list[Path], count: int) -> list[Path]:
    """At most `count` of `paths`, evenly spread."""
    count = min(count, len(paths))
    return [paths[i * len(paths) // count] for i in range(count)]
