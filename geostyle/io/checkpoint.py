"""Checkpoints: safetensors files with kind, config and hash, which hold no code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from geostyle.config import current_names
from geostyle.errors import InputError
from geostyle.io.files import write_bytes

FORMAT = "geostyle-checkpoint-1"


def save_checkpoint(
    path: str | Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any], kind: str
) -> None:
    """Write tensors with their kind and config, whole or not at all.

    Args:
        tensors: any shapes, dtypes and devices, by name.
        config: JSON types, enough to build the network the tensors belong to.
        kind: the contents, such as "features" or "geonet"; `load_checkpoint` checks it.

    Raises: InputError when the path cannot be written, GeostyleError on a full disk.
    """
    # Clones: safetensors refuses tensors that share memory, as tied weights do.
    plain = {key: value.detach().cpu().clone().contiguous() for key, value in tensors.items()}
    metadata = {
        "format": FORMAT,
        "kind": kind,
        "config": json.dumps(config, sort_keys=True),
        "sha256": tensor_hash(plain),
    }
    write_bytes(path, _in_order(safetensors.torch.save(plain, metadata)), name="checkpoint")


def load_checkpoint(
    path: str | Path, kind: str, *, name: str = "checkpoint"
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file that `save_checkpoint` wrote.

    Args:
        kind: the contents that the file must have.
        name: the argument's name, for errors.

    Returns: the tensors on the CPU, and the config.
    Raises: InputError when the file is missing, damaged, of another kind or not a checkpoint.
    """
    path = Path(path)
    expected = f"{name}: expected a geostyle checkpoint of kind {kind!r}, got {str(path)!r}"
    if not path.is_file():
        raise InputError(f"{expected} ({'not a file' if path.exists() else 'no such file'})")
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                found = metadata.get("format")
                raise InputError(f"{expected} (format {str(found)[:40]!r}, not {FORMAT!r})")
            if metadata.get("kind") != kind:
                raise InputError(f"{expected} (kind {str(metadata.get('kind'))[:40]!r})")
            # Clones: the tensors must not change with the file.
            tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
        config = current_names(json.loads(metadata["config"]))
    except InputError:
        raise
    except (safetensors.SafetensorError, OSError, KeyError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{expected} (damaged: {reason})") from error
    if not isinstance(config, dict) or metadata.get("sha256") != tensor_hash(tensors):
        raise InputError(f"{expected} (damaged: its contents do not match their hash)")
    return tensors, config


def tensor_hash(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over names, dtypes, shapes and bytes of CPU tensors, in order of name."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        tensor = tensors[key].contiguous()
        digest.update(f"{key}\0{tensor.dtype}\0{list(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _in_order(data: bytes) -> bytes:
    """Sort the metadata, which safetensors writes in random order: equal contents, equal files."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors start at multiples of 8 bytes
    return len(text).to_bytes(8, "little") + text + data[8 + size :]
