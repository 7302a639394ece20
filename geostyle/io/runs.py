"""Run folders and what a run needs to be repeated: seed, device, settings, environment, metrics."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import importlib.metadata
import json
import math
import os
import platform
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from geostyle import config
from geostyle.errors import GeostyleError, InputError

if TYPE_CHECKING:
    pass

PACKAGES = [
    *("geostyle", "torch", "torchvision", "numpy", "pillow", "opencv-python"),
    *("opencv-python-headless", "kornia", "safetensors", "pyyaml", "scikit-image"),
]
TEMPORARY = ".tmp-"
_FAILED_WRITES = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}


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
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise _unwritable(name, final, error) from error
    written = False
    try:
        yield temporary
        written = True
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, final)
        _sync_folder(final.parent)
    except OSError as error:
        if written or error.errno in _FAILED_WRITES:
            raise _unwritable(name, final, error) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, data: bytes, *, name: str = "output") -> None:
    """Write a file whole or not at all."""
    with atomic_path(path, name=name) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 file whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON whole or not at all; NaN and infinities become null, which every reader knows."""
    write_text(path, json.dumps(_plain(value), indent=2, ensure_ascii=False) + "\n")


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


class RunFolder:
    """A folder that holds everything one run reads, writes and needs to be repeated.

    `wandb` ("disabled", "offline", "online") mirrors the metrics to Weights & Biases; nothing is
    imported, and nothing leaves the machine, unless it is asked for.
    """

    def __init__(self, path: str | Path, *, wandb: str = "disabled") -> None:
        if wandb not in ("disabled", "offline", "online"):
            raise InputError(f"wandb: expected disabled, offline or online, got {wandb!r}")
        self.path = Path(path)
        self._metrics: IO[bytes] | None = None
        self._lock: IO[bytes] | None = None
        self._wandb = None if wandb == "disabled" else _start_wandb(self.path, wandb)

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
                number = 1 + max((int(n) for n in map(_number, os.listdir(parent)) if n), default=0)
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
            raise _unwritable("output", parent, error) from error

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
        """Write versions, platform, threads, devices, commit and command to environment.json."""
        write_json(self.file("environment.json"), {**environment(), **more})

    def load_environment(self) -> dict[str, Any]:
        """Read what `save_environment` wrote.

        Raises: InputError where it is missing or damaged.
        """
        path = self.file("environment.json")
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"run: expected JSON in {str(path)!r}, got: {error}") from error
        if not isinstance(found, dict):
            raise InputError(f"run: expected a mapping in {str(path)!r}, got {str(found)[:40]!r}")
        return found

    def keep_metrics(self, keep: Callable[[dict[str, Any]], bool]) -> None:
        """Drop from metrics.jsonl the lines that a resumed run will write again."""
        path = self.file("metrics.jsonl")
        if not path.is_file():
            return
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None
        lines = read_metrics(path)
        kept = [line for line in lines if keep(line)]
        if kept != lines or not path.read_bytes().endswith(b"\n"):
            write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept))

    def log(self, **metrics: Any) -> None:
        """Append one line to metrics.jsonl and hand it to the system at once."""
        line = (json.dumps(_plain(metrics), ensure_ascii=False) + "\n").encode("utf-8")
        path = self.file("metrics.jsonl")
        try:
            if self._metrics is None:
                self._metrics = _open_to_append(path)
            if self._metrics.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            if self._metrics is not None:  # opened again, it loses the line that was cut
                self._metrics.close()
                self._metrics = None
            raise _unwritable("output", path, error) from error
        if self._wandb is not None:
            self._wandb.log(_plain(metrics))

    def lock(self) -> contextlib.ExitStack:
        """Claim the folder for this process until it ends or the returned context closes.

        A killed process holds nothing back. Leftovers of interrupted writes are removed.

        Raises: InputError when another process holds it.
        """
        path = self.file(".lock")
        try:
            handle = path.open("a+b", buffering=0)
        except OSError as error:
            raise _unwritable("output", path, error) from error
        if not _try_lock(handle):
            handle.seek(0)
            holder = handle.read(100).decode("ascii", "replace").strip() or "unknown"
            handle.close()
            raise InputError(
                f"output: expected a folder no other process is using, got {str(self.path)!r} "
                f"(in use by process {holder})"
            )
        with contextlib.suppress(OSError):  # who holds it is a courtesy, not the lock
            handle.truncate(0)
            handle.write(str(os.getpid()).encode())
        if hasattr(os, "register_at_fork"):  # a worker that outlives us must not keep the lock
            os.register_at_fork(after_in_child=handle.close)
        self._lock = handle
        for leftover in self.path.rglob(f"{TEMPORARY}{'[0-9a-f]' * 12}*"):
            with contextlib.suppress(OSError):
                leftover.unlink()
        stack = contextlib.ExitStack()
        stack.callback(handle.close)
        return stack

    def close(self) -> None:
        """Release the lock, the metrics file and the wandb run."""
        for handle in (self._metrics, self._lock):
            if handle is not None:
                handle.close()
        if self._wandb is not None:
            self._wandb.finish()
        self._metrics = self._lock = self._wandb = None


def make_folder(path: str | Path) -> None:
    """Make a folder that results go to, and those above it, where they are missing.

    Raises: InputError when it cannot be made.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable("output", Path(path), error) from error


def environment() -> dict[str, Any]:
    """Describe what a result depends on beside the settings, as JSON types."""
    import torch

    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    cuda = None
    if torch.cuda.is_available():
        cuda = {"name": torch.cuda.get_device_name(), "version": torch.version.cuda}
    watched = ("OMP_", "MKL_", "CUDA_", "CUBLAS_", "PYTORCH_")
    return {
        "command": [sys.executable, *sys.argv],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": {"count": os.cpu_count(), "threads": torch.get_num_threads()},
        "cuda": cuda,
        "packages": versions,
        "variables": {k: v for k, v in sorted(os.environ.items()) if k.startswith(watched)},
        "commit": _commit(),
    }


def _unwritable(name: str, path: Path, error: Exception) -> GeostyleError:
    reason = getattr(error, "strerror", None) or str(error)
    if getattr(error, "errno", None) in _FAILED_WRITES - {errno.EROFS}:
        return GeostyleError(f"{name}: cannot write {str(path)!r}: {reason}")
    return InputError(f"{name}: expected a writable path, got {str(path)!r} ({reason})")


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every system can open a folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


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


def _try_lock(handle: IO[bytes]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


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


def _commit() -> str | None:
    """Return the commit of this checkout, "+" for local changes; None for an installed copy."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        call = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=40",
                "--exclude=*"]  # fmt: skip
        done = subprocess.run(call, capture_output=True, text=True, timeout=10)
        return done.stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None


def _start_wandb(path: Path, mode: str) -> Any:
    try:
        import wandb
    except ImportError as error:
        raise InputError(
            f"wandb: expected the wandb package for {mode!r}, got none (pip install wandb)"
        ) from error
    return wandb.init(project="geostyle", name=path.name, dir=str(path), mode=mode)
