"""Files written whole or not at all, JSON that every reader understands, and lines of metrics."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from geostyle import config
from geostyle.errors import GeostyleError, InputError

ASSETS = Path(str(resources.files("geostyle") / "assets"))  # what comes with the package
TEMPORARY = ".tmp-"
_FULL_OR_BROKEN = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


@contextlib.contextmanager
def atomic_path(final: str | Path, *, name: str = "output") -> Iterator[Path]:
    """Give a temporary path in the folder of `final`, renamed to it once the block succeeds.

    The data is on the disk before the rename, so a crash, a kill or a full disk at any moment
    leaves the old file or the new one, never a part. Missing parent folders are made.

    Raises: InputError when `final` cannot be written, GeostyleError when the disk fails or fills.
    """
    final = Path(final)
    temporary = final.parent / f"{TEMPORARY}{secrets.token_hex(6)}{final.suffix}"
    try:
        with contextlib.suppress(FileNotFoundError):
            final.lstat()  # a name that the system cannot hold fails here, before the work
            # Renaming onto a device such as /dev/null would replace the device itself.
            if not final.is_file():
                raise InputError(f"{name}: expected a path for a file, got {str(final)!r}")
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary.open("xb").close()
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise unwritable(final, error, name) from error
    written = False
    try:
        yield temporary
        written = True
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, final)
        _sync_folder(final.parent)
    except OSError as error:
        if written or error.errno in _FULL_OR_BROKEN | {errno.EROFS}:
            raise unwritable(final, error, name) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def path_of(path: Any, name: str = "output") -> Path:
    """Return the path that text or an `os.PathLike` names.

    Raises: InputError for anything else.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"{name}: expected a path, got {type(path).__name__}")
    return Path(os.fsdecode(path))


def write_bytes(path: str | Path, data: bytes, *, name: str = "output") -> None:
    """Write a file whole or not at all."""
    with atomic_path(path, name=name) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 file whole or not at all.

    What no text can hold, in names of files that are not UTF-8, is escaped as JSON has it.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON whole or not at all; see `to_json` for the values it takes."""
    write_text(path, to_json(value, indent=2) + "\n")


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Return strict JSON of mappings, sequences, dataclasses, tensors, arrays and paths.

    NaN and infinities become null, which every reader knows.
    """
    return json.dumps(_plain(value), indent=indent, ensure_ascii=False)


def read_json(path: Path, *, name: str = "run") -> dict[str, Any]:
    """Read a JSON file that holds a mapping.

    Raises: InputError where it is missing, damaged or holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{name}: expected JSON in {str(path)!r}, got: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{name}: expected a mapping in {str(path)!r}, got {str(found)[:40]!r}")
    return found


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a mapping of a JSON file, as `json.loads(object_pairs_hook=...)` wants it.

    Raises: InputError for a key that is given twice, of which JSON would keep the last.
    """
    if len(keys := {key for key, _ in pairs}) < len(pairs):
        raise InputError(f"file: expected every key once, got one of {sorted(keys)} twice")
    return dict(pairs)


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """Read a metrics.jsonl, leaving out a last line that a kill cut short.

    Raises: InputError where another line is no JSON mapping.
    """
    found = []
    for number, line in enumerate(Path(path).read_bytes().split(b"\n")[:-1], 1):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise InputError(f"metrics: expected a JSON mapping in line {number} of {str(path)!r}")
        found.append(value)
    return found


def make_folder(path: str | Path) -> None:
    """Make a folder for results, and its parents, where they are missing.

    Raises: InputError when it cannot be made.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(Path(path), error) from error


def check_folder(path: str | Path) -> None:
    """Check that a folder for results could be made, without making it.

    Raises: InputError where it could not.
    """
    try:
        folder = Path(path).absolute()  # fails where the working folder is gone
        for name in (folder, *folder.parents):
            with contextlib.suppress(FileNotFoundError):
                name.lstat()  # also finds names that the system cannot hold, and links to nowhere
                break
        if not name.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(name, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except (OSError, ValueError) as error:
        raise unwritable(Path(path), error) from error


def unwritable(path: Path, error: Exception, name: str = "output") -> GeostyleError:
    """Return the error to raise where writing `path` failed with `error`.

    A full or broken disk gives a GeostyleError, anything else an InputError about the path.
    """
    reason = getattr(error, "strerror", None) or str(error)
    if getattr(error, "errno", None) in _FULL_OR_BROKEN:
        return GeostyleError(f"{name}: cannot write {str(path)!r}: {reason}")
    return InputError(f"{name}: expected a writable path, got {str(path)!r} ({reason})")


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every system can open a folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(config.to_dict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # tensors and arrays
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
