"""Several processes that make the pairs of a set."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache

import torch

from geostyle.data.generate import Generator, Unit
from geostyle.data.make_settings import MakeSettings
from geostyle.distributed import ALONE, Processes
from geostyle.errors import GeostyleError


def make_all(
    generator: Generator,
    processes: Processes = ALONE,
    on_unit: Callable[[], object] = lambda: None,
) -> None:
    """Make this process's share of the missing units, in workers where there are several cores.

    Args:
        processes: this process among those that make the set.
        on_unit: called after each unit.

    Raises: GeostyleError where a worker failed; another run makes its units.
    """
    todo = generator.missing(processes)
    count = min(worker_count(generator, processes), len(todo))
    if count <= 1:
        threads = torch.get_num_threads()
        if generator.device.type == "cpu":
            torch.set_num_threads(1)  # sums depend on the number of threads
        for unit in todo:
            generator.make(unit)
            on_unit()
        torch.set_num_threads(threads)
        return
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, context, initializer=_start_worker)
    try:
        futures = [pool.submit(_make, generator.settings, unit) for unit in todo]
        for future in as_completed(futures):
            future.result()
            on_unit()
    except BaseException as error:
        # No unit is waited for: what has no record is made again.
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise GeostyleError("workers: one was killed; run again to go on") from None
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def worker_count(generator: Generator, processes: Processes) -> int:
    """Return the number of workers to start here: one per core, or one on a GPU, by default."""
    if generator.settings.workers:
        return int(generator.settings.workers)
    if processes.world > 1 or generator.device.type != "cpu":
        return 1
    if hasattr(os, "sched_getaffinity"):  # cores that this process may use; not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    torch.set_num_threads(1)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """End this worker when its parent was killed; whoever resumes makes its units."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _make(settings: MakeSettings, unit: Unit) -> None:
    _generator(settings).make(unit)


@lru_cache(1)
def _generator(settings: MakeSettings) -> Generator:
    return Generator(settings)
