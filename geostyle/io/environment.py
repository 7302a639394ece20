"""The machine, the versions and the command that a result depends on beside its settings."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

PACKAGES = ("geostyle", "torch", "torchvision", "numpy", "pillow", "opencv-python",
            "opencv-python-headless", "kornia", "safetensors", "pyyaml", "scikit-image",
            "imagecodecs")  # fmt: skip
VARIABLES = ("OMP_", "MKL_", "CUDA_", "CUBLAS_", "PYTORCH_")
ROOT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, Any]:
    """Return versions, platform, threads, devices, commit and command, as JSON types."""
    import torch

    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    cuda = None
    if torch.cuda.is_available():
        cuda = {"name": torch.cuda.get_device_name(), "version": torch.version.cuda}
    return {
        "command": [sys.executable, *sys.argv],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": {"count": os.cpu_count(), "threads": torch.get_num_threads()},
        "cuda": cuda,
        "packages": versions,
        "variables": {k: v for k, v in sorted(os.environ.items()) if k.startswith(VARIABLES)},
        "commit": _commit(),
    }


def _commit() -> str | None:
    """Return the commit of this checkout, "+" for local changes; None for an installed copy."""
    if not (ROOT / ".git").exists():
        return None
    call = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--abbrev=40",
            "--exclude=*"]  # fmt: skip
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return (
            subprocess.run(call, capture_output=True, text=True, timeout=10).stdout.strip() or None
        )
    return None
