"""Runs a command in a fork of this process, and kills it at a chosen moment.

Everything slow to start (torch above all) is imported once, by the parent; each attempt costs only
its own work.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link"}


@dataclass(frozen=True)
class Outcome:
    """Outcome of an attempt.

    status: the exit status; None where it was killed. seconds: how long it took.
    output: what it printed. operations: how often it changed the file system below its folder.
    """

    status: int | None
    seconds: float
    output: str
    operations: int


def attempt(
    call: Callable[[], int],
    folder: Path,
    *,
    kill_after_s: float | None = None,
    kill_before: int | None = None,
    file_bytes: int | None = None,
    limit_s: float = 120,
) -> Outcome:
    """Run `call` in a fork.

    Args:
        folder: the only one it should write to.
        kill_after_s: when it is killed (SIGKILL) from outside.
        kill_before: number of the file-system operation below `folder` before which it kills
            itself, from 0: every state a kill can leave between two operations.
        file_bytes: the most that a file may hold, as on a full disk.
        limit_s: when it counts as hanging.

    Raises: AssertionError where it hangs.
    """
    count_out, count_in = os.pipe()
    text_out, text_in = os.pipe()
    os.set_blocking(text_out, False)
    printed = bytearray()

    def listen() -> None:
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(text_out, 1 << 16):
                printed.extend(chunk)

    started = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(count_out)
        os.close(text_out)
        os.setsid()
        os._exit(_child(call, folder, text_in, count_in, kill_before, file_bytes))
    os.close(count_in)
    os.close(text_in)
    deadline = started + (limit_s if kill_after_s is None else kill_after_s)
    while True:
        listen()
        done, code = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            _, code = os.waitpid(child, 0)
            assert kill_after_s is not None or not os.WIFSIGNALED(code), f"hangs: {printed!r}"
            break
        time.sleep(0.002)
    listen()
    os.close(text_out)
    with os.fdopen(count_out) as pipe:
        counted = pipe.read()
    return Outcome(
        os.WEXITSTATUS(code) if os.WIFEXITED(code) else None,
        time.monotonic() - started,
        printed.decode("utf-8", "replace"),
        int(counted or 0),
    )


def _child(
    call: Callable[[], int],
    folder: Path,
    text_in: int,
    count_in: int,
    kill_before: int | None,
    file_bytes: int | None,
) -> int:
    status, operations = 1, [0]

    def watch(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            flags = args[2] if isinstance(args[2], int) else 0
            if not flags & WRITES:
                return
        elif event not in CHANGES:
            return
        with contextlib.suppress(TypeError, ValueError):
            if os.fsdecode(args[0]).startswith(str(folder)):
                if operations[0] == kill_before:
                    os.kill(os.getpid(), signal.SIGKILL)
                operations[0] += 1

    try:
        os.dup2(text_in, 1)
        os.dup2(text_in, 2)
        sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        if file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
        sys.addaudithook(watch)
        status = call()
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os.write(count_in, str(operations[0]).encode())
    return status
