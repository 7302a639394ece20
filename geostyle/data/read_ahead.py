"""Reading of the next training steps by threads while a GPU computes."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch

T = TypeVar("T")
MAX_THREADS = 8


class ReadAhead(Generic[T]):
    """Batches by step, read before their turn where training runs on a GPU.

    Args:
        read: step → batch; must not depend on what was read before.
        device: where training computes. On the CPU, which training keeps busy, nothing is read
            before its turn.
    """

    def __init__(self, read: Callable[[int], T], device: torch.device) -> None:
        self._read = read
        threads = min(MAX_THREADS, (os.cpu_count() or 2) // 2) if device.type == "cuda" else 0
        self._pool = ThreadPoolExecutor(threads) if threads else None
        self._depth = 2 * threads
        self._coming: dict[int, Future[T]] = {}

    def __call__(self, step: int) -> T:
        """Return the batch of a step."""
        if self._pool is None:
            return self._read(step)
        for number in range(step, step + self._depth):
            if number not in self._coming:
                self._coming[number] = self._pool.submit(self._read, number)
        return self._coming.pop(step).result()
