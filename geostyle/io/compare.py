"""Comparison of two run folders: which files are the same, and how far apart the others are."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from geostyle.errors import InputError
from geostyle.io.images import load_picture
from geostyle.io.sources import SUFFIXES

# They hold when and where a run was made, or are made from its other files.
OMITTED = (
    "settings.yaml", "environment.json", "report.html", "contact_sheet.png", "source.png",
    "originals",
)  # fmt: skip


@dataclass(frozen=True)
class Compared:
    """A file of two runs: its name, whether both are the same, and a note on the difference."""

    file: str
    identical: bool
    note: str


def compare_runs(first: Path, second: Path) -> list[Compared]:
    """Compare the results of two run folders file by file, byte by byte, by name.

    Raises: InputError where a file that differs is damaged.
    """
    compared = []
    for name in sorted(set(_results(first)) | set(_results(second))):
        paths = first / name, second / name
        if not all(path.is_file() for path in paths):
            there = first if paths[0].is_file() else second
            compared.append(Compared(name, False, f"only in {there}"))
        elif paths[0].read_bytes() == paths[1].read_bytes():
            compared.append(Compared(name, True, "identical"))
        else:
            compared.append(Compared(name, False, difference(*paths)))
    return compared


def difference(first: Path, second: Path) -> str:
    """Say how far apart two files are, by their kind: pictures, tensors, JSON."""
    try:
        if first.suffix in SUFFIXES:
            return _of_pictures(first, second)
        if first.suffix == ".safetensors":
            return _of_tensors(first, second)
        if first.suffix in (".json", ".jsonl"):
            return _of_json(first, second)
    except InputError:
        raise
    except Exception as error:  # whatever a damaged file makes its reader raise
        raise InputError(f"run: expected two whole files {first.name}, got: {error}") from error
    return "differs"


def _results(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts)
        if path.is_file() and not hidden and parts[0] not in OMITTED:
            yield "/".join(parts)


def _of_pictures(first: Path, second: Path) -> str:
    a, b = (load_picture(path, name=path.name, keeps_alpha=True).tensor for path in (first, second))
    if a.shape != b.shape:
        sizes = (f"{picture.shape[-1]}x{picture.shape[-2]}" for picture in (a, b))
        return f"sizes differ: {' and '.join(sizes)} px"
    apart = (a - b).abs() * 255
    return f"differs by at most {apart.max():.3g} of 255, {apart.mean():.2g} on average"


def _of_tensors(first: Path, second: Path) -> str:
    a, b = load_file(first), load_file(second)
    shapes = [{name: tensor.shape for name, tensor in tensors.items()} for tensors in (a, b)]
    if shapes[0] != shapes[1]:
        return "its tensors differ in name or shape"
    worst = max((float((a[name].double() - b[name].double()).abs().max()) for name in a), default=0)
    return f"differs by at most {worst:.2g}"


def _of_json(first: Path, second: Path) -> str:
    texts = [path.read_text(encoding="utf-8") for path in (first, second)]
    if first.suffix == ".jsonl":
        texts = ["[" + ",".join(text.splitlines()) + "]" for text in texts]
    a, b = (dict(_leaves(json.loads(text))) for text in texts)
    if a.keys() != b.keys():
        return f"its entries differ: {len(a)} and {len(b)}"
    worst = 0.0
    for key, value in a.items():
        if value != b[key]:
            if not all(isinstance(v, int | float) for v in (value, b[key])):
                return f"{key} differs"
            worst = max(worst, abs(value - b[key]) / max(abs(value), abs(b[key])))
    return f"its numbers differ by at most {100 * worst:.2g} %"


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested JSON by dotted name, NaN and infinities as None."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _leaves(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, value if not isinstance(value, float) or math.isfinite(value) else None
