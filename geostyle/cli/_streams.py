"""Standard streams that never end a command: closed, full, or without the letters it prints."""

from __future__ import annotations

import contextlib
import os
import sys
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
def accessory(name: str) -> Iterator[None]:
    """Make something beside the result, whose failure is one line and no more.

    A disk that is full, and whatever else a user can fix, still ends the command.
    """
    from geostyle.errors import GeostyleError

    try:
        yield
    except GeostyleError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        print(f"{name}: not written ({reason})", file=sys.stderr)
