"""Several processes that work together: ranks, barriers, and joining what torchrun started."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from geostyle.device import resolve_device


@dataclass(frozen=True)
class Processes:
    """This process among those that train together."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def wait(self) -> None:
        """Go on once all are here."""
        if self.world > 1:
            dist.barrier()

    def agree(self, value: float, device: torch.device) -> float:
        """The first process's value, in all of them."""
        if self.world == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=_float64_device(device))
        dist.broadcast(shared, 0)
        return float(shared)


@contextlib.contextmanager
def join_processes(device: str = "auto") -> Iterator[Processes]:
    """Join the processes that torchrun started, if it did; leave them in the end.

    device: where they compute; on CUDA each takes its own.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Processes()
        return
    cuda = resolve_device(device).type == "cuda"
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    # Correlations or pairs may take hours to compute while the others wait.
    patience = datetime.timedelta(days=2)
    dist.init_process_group("nccl" if cuda else "gloo", timeout=patience, **_fresh_store(patience))
    try:
        yield Processes(dist.get_rank(), world)
    finally:
        dist.destroy_process_group()


def _fresh_store(patience: datetime.timedelta) -> dict[str, Any]:
    """Where processes find one another, if torchrun has started them again.

    It keeps its store, and in it the addresses of those that died
    (github.com/pytorch/pytorch/issues/135712). On several machines counts of restarts may differ;
    there `TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1` for torchrun does the same.
    """
    restarts, world = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), os.environ["WORLD_SIZE"]
    if restarts == "0" or os.environ.get("LOCAL_WORLD_SIZE") != world:
        return {}
    store, rank, size = next(iter(rendezvous("env://", timeout=patience)))
    return {
        "store": dist.PrefixStore(f"restart {restarts}", store),
        "rank": rank,
        "world_size": size,
    }


def _float64_device(device: torch.device) -> torch.device:
    return device if device.type == "cuda" else torch.device("cpu")
