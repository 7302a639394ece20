"""The files that a run reads, kept in its folder so that the run can be repeated.

    originals/files.json     for each file: its path, size, SHA-256, and its copy if there is one
    originals/content.jpg    a copy, byte for byte

Pictures and small files are copied. For others, such as a network's weights, the hash is noted, and
they must still be at their path.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from geostyle import config
from geostyle.errors import InputError
from geostyle.io.files import atomic_path, write_json
from geostyle.io.runs import RunFolder
from geostyle.io.sources import SUFFIXES

J = TypeVar("J")
FOLDER = "originals"
FILES = f"{FOLDER}/files.json"
SMALL_BYTES = 1 << 20


def keep_originals(run: RunFolder, job: Any, **more: Path) -> None:
    """Copy, or note the hash of, every file named in the settings `job`, and `more` files by name.

    Raises: InputError where one of them cannot be read, GeostyleError on a full disk.
    """
    kept: dict[str, Any] = {}
    for name, path in [*_files(job), *more.items()]:
        copy = None
        if path.suffix.lower() in SUFFIXES or path.stat().st_size <= SMALL_BYTES:
            copy = f"{FOLDER}/{name}{path.suffix.lower()}"
            with atomic_path(run.file(copy)) as temporary:
                shutil.copyfile(path, temporary)
        source = path if copy is None else run.file(copy)
        kept[name] = {
            "path": str(path.absolute()),
            "copy": copy,
            "bytes": source.stat().st_size,
            "sha256": _sha256(source),
        }
    write_json(run.file(FILES), kept)


def original_paths(folder: Path) -> dict[str, Path]:
    """Return where the files of a run are now, by name, checked against their hashes.

    Raises: InputError where one is missing or has changed.
    """
    run, listed = RunFolder(folder), folder / FILES
    found: dict[str, Path] = {}
    try:
        for name, entry in json.loads(listed.read_text(encoding="utf-8")).items():
            path = run.file(entry["copy"]) if entry["copy"] else Path(entry["path"])
            expected = f"{name}: expected the file of the run"
            if not path.is_file():
                raise InputError(f"{expected}, got none at {str(path)!r}")
            if _sha256(path) != entry["sha256"]:
                raise InputError(f"{expected}, got another at {str(path)!r} (its hash differs)")
            found[name] = path
    except InputError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        expected = f"expected the list of its files in {str(listed)!r}"
        raise InputError(f"run: {expected}, got: {error}") from error
    return found


def saved_job(folder: Path, verb: str, job_class: type[J], *, name: str = "run") -> J:
    """Return the settings of a run of `verb`, with the paths of its files as they are now.

    Raises: InputError where `folder` is no such run, or a file of it is missing or has changed.
    """
    if not (folder / "settings.yaml").is_file():
        raise InputError(f"{name}: expected a run folder, got {str(folder)!r} (no settings.yaml)")
    made_by = RunFolder(folder).load_environment().get("verb")
    if made_by != verb:
        raise InputError(f"{name}: expected a run of {verb}, got one of {made_by} in {folder}")
    paths: dict[str, Any] = {}
    for key, path in original_paths(folder).items():
        stem, _, number = key.rpartition("-")
        if number.isdigit():  # exemplars-1, exemplars-2, … are one setting
            paths[stem] = (*paths.get(stem, ()), path)
        else:
            paths[key] = path
    return config.resolve(job_class, folder / "settings.yaml", paths)


def _files(settings: Any) -> Iterator[tuple[str, Path]]:
    """Yield the files named in settings, nested ones included; those of a tuple numbered from 1."""
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            yield from _files(value)
        elif isinstance(value, tuple):
            paths = [path for path in value if isinstance(path, Path) and path.is_file()]
            yield from ((f"{field.name}-{i}", path) for i, path in enumerate(paths, 1))
        elif isinstance(value, Path) and value.is_file():
            yield field.name, value


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
