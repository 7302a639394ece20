"""Several processes that train or make data together, as torchrun starts them."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from geostyle.device import resolve_device
from geostyle.errors import InputError


@dataclass(frozen=True)
class Processes:
    """Rank of this process, from 0, and the number of processes (the world size)."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Return whether this process is the one that writes."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until all processes have come here."""
        if self.world > 1:
            dist.barrier()

    def agree(self, value: float, device: torch.device) -> float:
        """Return the first process's value in all processes."""
        if self.world == 1:
            return value
        # Not every other device has float64.
        where = device if device.type == "cuda" else "cpu"
        shared = torch.tensor([value], dtype=torch.float64, device=where)
        dist.broadcast(shared, 0)
        return float(shared)

    def share(self, network: nn.Module) -> nn.Module:
        """Return `network` as a module whose gradients are averaged over the processes."""
        if self.world == 1:
            return network
        shared = DistributedDataParallel(network)
        # A lambda: postponed annotations are strings, which torch's check of the hook refuses.
        shared.register_comm_hook(self.world, lambda world, bucket: _averaged(world, bucket))
        return shared


ALONE = Processes()


@contextlib.contextmanager
def join_processes(device: str = "auto") -> Iterator[Processes]:
    """Join the processes that torchrun started, if it did, and leave them at the end.

    device: where they compute; on CUDA each takes a GPU of its own.

    Raises: InputError where the variables of several processes are not all set.
    """
    numbers = {name: os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE", "MASTER_PORT")}
    if numbers["WORLD_SIZE"] in ("", "1"):
        yield ALONE
        return
    wrong = [f"{name}={value!r}" for name, value in numbers.items() if not value.isdecimal()]
    if wrong or not os.environ.get("MASTER_ADDR"):
        raise InputError(
            "processes: expected RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT as torchrun sets "
            f"them, got {', '.join(wrong) or 'no MASTER_ADDR'}; unset WORLD_SIZE for one process"
        )
    world = int(numbers["WORLD_SIZE"])
    cuda = resolve_device(device).type == "cuda"
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    # Correlations or pairs may take hours to compute while the others wait.
    timeout = datetime.timedelta(days=2)
    dist.init_process_group("nccl" if cuda else "gloo", timeout=timeout, **_fresh_store(timeout))
    try:
        yield Processes(dist.get_rank(), world)
    finally:
        dist.destroy_process_group()


def _averaged(world: int, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
    """Average gradients over the processes, in the order of their ranks.

    All-reduce adds in an order that depends on the position of a value in its bucket, and torch
    rearranges the buckets after the first step. With three processes or more, sums in a resumed
    training would therefore round differently.

    Args:
        world: number of processes.
        bucket: gradients of this process, (N,).

    Returns: their mean over the processes, (N,).
    """
    parts = [torch.empty_like(bucket.buffer()) for _ in range(world)]
    dist.all_gather(parts, bucket.buffer())
    total = parts[0]
    for part in parts[1:]:
        total += part
    averaged: torch.futures.Future[torch.Tensor] = torch.futures.Future()
    averaged.set_result(total.div_(world))
    return averaged


def _fresh_store(timeout: datetime.timedelta) -> dict[str, Any]:
    """Return arguments of `init_process_group` for processes that torchrun has started again.

    torchrun keeps its store, and in it the addresses of the processes that died
    (github.com/pytorch/pytorch/issues/135712), so each restart gets a prefix of its own. On
    several machines the counts of restarts may differ; there
    `TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1` for torchrun does the same.
    """
    restarts, world = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), os.environ["WORLD_SIZE"]
    if restarts == "0" or os.environ.get("LOCAL_WORLD_SIZE") != world:
        return {}
    store, rank, size = next(iter(rendezvous("env://", timeout=timeout)))
    return {
        "store": dist.PrefixStore(f"restart {restarts}", store),
        "rank": rank,
        "world_size": size,
    }
