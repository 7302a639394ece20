"""Devices, precisions and random seeds."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from geostyle.errors import InputError

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "float32", "bfloat16")


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and torch (every device).

    Args: seed, 0 to 2**32 - 1.
    """
    import numpy
    import torch

    if not 0 <= seed < 2**32:
        raise InputError(f"seed: expected 0 to {2**32 - 1}, got {seed}")
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)


def resolve_device(device: str) -> torch.device:
    """Return the device for "auto", "cpu", "cuda", "cuda:N" or "mps".

    "auto" takes CUDA, then MPS, then the CPU, whichever is present.

    Raises: InputError when the device is unknown or absent.
    """
    import torch

    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    present = (["cuda"] if gpus else []) + mps + ["cpu"]
    if device == "auto":
        return torch.device(present[0])
    if device not in present + gpus:
        expected = ", ".join(["auto", *present])
        raise InputError(f"device: expected one of {expected} on this machine, got {device!r}")
    return torch.device(device)


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """Return the type that convolutions run in, for "auto", "float32" or "bfloat16".

    "auto" takes bfloat16 where the hardware computes in it: there it is about twice as fast and
    costs a texture transfer about 1 % of its score. Elsewhere, and on MPS, it takes float32.

    Raises: InputError when the precision is unknown.
    """
    import torch

    if precision not in PRECISIONS:
        raise InputError(f"precision: expected auto, float32 or bfloat16, got {precision!r}")
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        native = device.type == "cpu" and any(getattr(torch.cpu, a, bool)() for a in asked)
    return torch.bfloat16 if native else torch.float32
