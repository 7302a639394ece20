"""What several benchmarks share: medians of times, and a few pictures for all of a folder."""

from __future__ import annotations

import statistics
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


def spread(paths: list[Path], count: int) -> list[Path]:
    """At most `count` of `paths`, evenly spread."""
    count = min(count, len(paths))
    return [paths[i * len(paths) // count] for i in range(count)]
