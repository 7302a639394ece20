"""Seeds repeat every generator; devices and precisions are checked before they are used."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from geostyle import device
from geostyle.errors import InputError


def test_a_seed_repeats_every_generator() -> None:
    def draw() -> list[float]:
        return [random.random(), float(np.random.rand()), torch.rand(1).item()]

    device.seed_everything(3)
    first = draw()
    device.seed_everything(3)
    assert draw() == first
    device.seed_everything(4)
    assert not set(draw()) & set(first)
    for bad in (-1, 2**32):
        with pytest.raises(InputError, match="seed: expected 0 to 4294967295"):
            device.seed_everything(bad)


def test_devices_are_checked_before_they_are_used() -> None:
    assert device.resolve_device("cpu") == torch.device("cpu")
    best = "cuda" if torch.cuda.is_available() else None
    best = best or ("mps" if torch.backends.mps.is_available() else "cpu")
    assert device.resolve_device("auto").type == best
    for absent in ("cuda:99", "gpu", ""):
        with pytest.raises(InputError, match=f"device: expected one of auto.* got '{absent}'"):
            device.resolve_device(absent)


def test_precision_is_what_was_asked_for() -> None:
    cpu = torch.device("cpu")
    assert device.resolve_precision("float32", cpu) == torch.float32
    assert device.resolve_precision("bfloat16", cpu) == torch.bfloat16
    assert device.resolve_precision("auto", cpu) in (torch.float32, torch.bfloat16)
    assert device.resolve_precision("auto", torch.device("mps")) == torch.float32
    with pytest.raises(InputError, match="precision: expected auto, float32 or .* got 'half'"):
        device.resolve_precision("half", cpu)


GB = 1_000_000_000


@pytest.mark.parametrize(
    ("line", "files", "free"),
    [
        ("", {}, float("inf")),
        ("0::/", {"memory.max": "max", "memory.current": GB}, float("inf")),
        ("0::/", {"memory.max": 4 * GB, "memory.current": GB}, 3 * GB),
        (  # nested: the job's group has no limit, the slice above it has one
            "0::/slurm/job/step",
            {"slurm/memory.max": 2 * GB, "slurm/memory.current": GB,
             "slurm/job/step/memory.max": "max", "slurm/job/step/memory.current": 5},
            GB,
        ),
        (
            "5:cpu,memory:/docker/abc\n1:name=systemd:/x",
            {"memory/docker/abc/memory.limit_in_bytes": 3 * GB,
             "memory/docker/abc/memory.usage_in_bytes": GB,
             "memory/memory.limit_in_bytes": 9223372036854771712,
             "memory/memory.usage_in_bytes": 7 * GB},
            2 * GB,
        ),
        (  # a container that sees its own group as the top
            "5:memory:/docker/abc",
            {"memory/memory.limit_in_bytes": 3 * GB, "memory/memory.usage_in_bytes": 4 * GB},
            0,
        ),
    ],
)  # fmt: skip
def test_limits_of_control_groups_are_seen(
    tmp_path: Path, line: str, files: dict[str, Any], free: float
) -> None:
    contents = {"proc/self/cgroup": line} | {f"sys/fs/cgroup/{k}": v for k, v in files.items()}
    for name, text in contents.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert device.group_bytes(tmp_path) == free
