"""Run folders: everything one run reads, writes and needs to be repeated."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import filelock

from geostyle import config
from geostyle.errors import InputError
from geostyle.io.environment import environment
from geostyle.io.files import (
    TEMPORARY,
    read_json,
    read_metrics,
    to_json,
    unwritable,
    write_json,
    write_text,
)
from geostyle.io.mirror import MODES, Mirror

_held: list[filelock.FileLock] = []  # until the process ends: a collected lock is released


class RunFolder:
    """A folder that holds everything one run reads, writes and needs to be repeated.

    Args:
        path: the folder.
        wandb: "disabled", "offline" or "online": whether metrics, settings and pictures also go to
            Weights & Biases. Unless asked for, it is not imported and nothing leaves the machine.
    """

    def __init__(self, path: str | Path, *, wandb: str = "disabled") -> None:
        if wandb not in MODES:
            raise InputError(f"wandb: expected disabled, offline or online, got {wandb!r}")
        self.path = Path(path)
        self._metrics: IO[bytes] | None = None
        self._lock: filelock.FileLock | None = None
        self._mirror = None if wandb == "disabled" else Mirror(self.path, wandb)

    @classmethod
    def create(
        cls, parent: str | Path, name: str | None = None, *, wandb: str = "disabled"
    ) -> RunFolder:
        """Make the next numbered folder, `parent/00001-name`; safe against other processes.

        Raises: InputError when the folder cannot be made.
        """
        parent = Path(parent)
        label = re.sub(r"[^A-Za-z0-9._-]+", "-", name or "")[:60].strip("-.")
        try:
            parent.mkdir(parents=True, exist_ok=True)
            while True:
                number = 1 + max(
                    map(int, filter(None, map(_number, os.listdir(parent)))), default=0
                )
                bare = parent / f"{number:05d}"
                with contextlib.suppress(FileExistsError):
                    # The bare number is claimed first: folders with different names never clash.
                    bare.mkdir()
                    taken = [n for n in os.listdir(parent) if _number(n) == bare.name]
                    if taken == [bare.name]:
                        path = bare.rename(parent / f"{bare.name}-{label}") if label else bare
                        return cls(path, wandb=wandb)
                    bare.rmdir()
        except OSError as error:
            raise unwritable(parent, error) from error

    def file(self, name: str) -> Path:
        """Return the path of a file of this run.

        Raises: InputError when the name leads outside the folder.
        """
        path = Path(name)
        if path.is_absolute() or ".." in path.parts or not path.name:
            raise InputError(f"name: expected a file name inside the run folder, got {name!r}")
        return self.path / path

    def save_settings(self, settings: Any) -> None:
        """Write the resolved settings to settings.yaml."""
        write_text(self.file("settings.yaml"), config.dump_yaml(settings))

    def save_environment(self, **more: Any) -> None:
        """Write what `environment` returns, and `more`, to environment.json."""
        write_json(self.file("environment.json"), {**environment(), **more})

    def load_environment(self) -> dict[str, Any]:
        """Read what `save_environment` wrote.

        Raises: InputError where it is missing or damaged.
        """
        return read_json(self.file("environment.json"))

    def keep_metrics(self, keep: Callable[[dict[str, Any]], bool]) -> None:
        """Drop the lines of metrics.jsonl that a resumed run will write again."""
        path = self.file("metrics.jsonl")
        self._close_metrics()
        if path.is_file():
            lines = read_metrics(path)
            kept = [line for line in lines if keep(line)]
            if kept != lines or not path.read_bytes().endswith(b"\n"):
                write_text(path, "".join(to_json(line) + "\n" for line in kept))

    def log(self, **metrics: Any) -> None:
        """Append one line to metrics.jsonl, unbuffered."""
        line = (to_json(metrics) + "\n").encode("utf-8", "backslashreplace")
        path = self.file("metrics.jsonl")
        try:
            if self._metrics is None:
                self._metrics = _open_to_append(path)
            if self._metrics.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._close_metrics()  # opened again, it loses the line that was cut
            raise unwritable(path, error) from error
        if self._mirror is not None:
            self._mirror.log(line.decode())

    def mirror(self, settings: Any) -> None:
        """Hand the settings to Weights & Biases, where it is asked for.

        Raises: InputError where it cannot be started.
        """
        if self._mirror is not None:
            self._mirror.settings(config.to_dict(settings))

    def mirror_pictures(self, step: int, *names: str) -> None:
        """Hand those of the named files that exist to Weights & Biases, where it is asked for."""
        for path in map(self.file, names):
            if self._mirror is not None and path.is_file():
                self._mirror.picture(path, step)

    def lock(self) -> contextlib.ExitStack:
        """Claim the folder for this process until it ends or the returned context closes.

        The lock of a killed process does not block. Leftovers of interrupted writes are removed.

        Raises: InputError when another process holds the folder.
        """
        path = self.file(".lock")
        lock = filelock.FileLock(path, thread_local=False)
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            holder = "unknown"
            with contextlib.suppress(OSError):
                holder = path.read_text("ascii", "replace")[:100].strip() or holder
            got = f"got {str(self.path)!r} (in use by process {holder})"
            raise InputError(
                f"output: expected a folder no other process is using, {got}"
            ) from None
        except OSError as error:
            raise unwritable(path, error) from error
        with contextlib.suppress(OSError):  # the number serves the message above, not the lock
            path.write_text(str(os.getpid()))
        self._lock = lock
        _held.append(lock)
        for leftover in self.path.rglob(f"{TEMPORARY}{'[0-9a-f]' * 12}*"):
            with contextlib.suppress(OSError):
                leftover.unlink()
        stack = contextlib.ExitStack()
        stack.callback(lock.release)
        return stack

    def close(self) -> None:
        """Release the lock, the metrics file and the wandb run."""
        self._close_metrics()
        if self._lock is not None:
            self._lock.release()
        if self._mirror is not None:
            self._mirror.finish()
        self._lock = self._mirror = None

    def _close_metrics(self) -> None:
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None


def _number(folder_name: str) -> str | None:
    match = re.match(r"(\d{5,9})(-|$)", folder_name)
    return match[1] if match else None


def _open_to_append(path: Path) -> IO[bytes]:
    """Open a file of lines, cutting off a last line that was never finished."""
    handle = path.open("a+b", buffering=0)
    handle.seek(0)
    data = handle.read()
    if data and not data.endswith(b"\n"):
        handle.truncate(data.rfind(b"\n") + 1)
    return handle
