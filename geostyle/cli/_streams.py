"""Streams, signals, drawing and temporary files, whose failures must not end a command."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any, TextIO


class SteadyStream:
    """A text stream that goes silent where it cannot be written to.

    Args:
        stream: the stream; None for one that was closed before the command began.
        name: of the stream, for the one line that says so.
        errors: another stream, for that line.
    """

    def __init__(self, stream: TextIO | None, name: str, errors: SteadyStream | None) -> None:
        self._stream, self._name, self._errors = stream, name, errors

    def write(self, text: str) -> int:
        """Write `text`, letters that the stream cannot hold as question marks."""
        if self._stream is not None:
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                encoding = self._stream.encoding or "ascii"
                return self.write(text.encode(encoding, "replace").decode(encoding))
            except (OSError, ValueError, RuntimeError) as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        if self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._give_up(error)

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def _give_up(self, error: Exception) -> None:
        stream, self._stream = self._stream, None
        with contextlib.suppress(OSError, ValueError, AttributeError):
            # What is still buffered must not fail again when the interpreter ends.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
            os.close(nowhere)
        if self._errors is not None:
            reason = getattr(error, "strerror", None) or str(error)
            self._errors.write(f"{self._name}: cannot be written to ({reason}); going on without\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def steady_streams() -> Iterator[None]:
    """Make standard output and errors streams that never fail, and flush them in the end."""
    before = sys.stdout, sys.stderr
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # else the next file opened would take its number, and its messages
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDWR)
    errors = SteadyStream(sys.stderr, "standard error", None)
    output = SteadyStream(sys.stdout, "standard output", errors)
    sys.stdout, sys.stderr = output, errors
    try:
        yield
    finally:
        output.flush()
        errors.flush()
        sys.stdout, sys.stderr = before


@contextlib.contextmanager
def signals_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a command like Ctrl-C, except where they are ignored already."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        numbers = (getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP"))
        before = {number: signal.getsignal(number) for number in numbers if number is not None}

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: handler for number, handler in before.items() if handler == signal.SIG_DFL}
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def no_accessories() -> Iterator[None]:
    """Do without what libraries ask for when they are imported, and a command does not need.

    MPLBACKEND may name a backend that is not installed, where no windows are opened. Where no
    folder for temporary files can be written to, memory takes the place of one.
    """
    asked, before = os.environ.pop("MPLBACKEND", None), tempfile.tempdir
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        tempfile.tempdir = "/dev/shm"
    try:
        yield
    finally:
        tempfile.tempdir = before
        if asked is not None:
            os.environ["MPLBACKEND"] = asked
