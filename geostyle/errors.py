"""The errors a user can fix: always one line, naming the argument; and those that may pass."""

from __future__ import annotations

import contextlib
import math
import numbers
import re
import reprlib
import sys
from collections.abc import Iterator
from typing import Any


class GeostyleError(Exception):
    """Base of every error geostyle raises on purpose."""


class InputError(GeostyleError, ValueError):
    """An argument is unusable; the message names it, what was expected and what came."""


def brief(value: Any) -> str:
    """Show any value on one short line, however large or deep it is."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 80
    try:
        return re.sub(r"\s+", " ", short.repr(value))
    except ValueError:  # Python refuses to print integers of thousands of digits
        return "a huge number"


def one_line(error: BaseException, limit: int = 160) -> str:
    """Return the reason that an error gives on one line of at most `limit` characters."""
    text = getattr(error, "strerror", None) or str(error)
    if isinstance(error, KeyError):
        text = f"no {error}"
    return " ".join(text.split())[:limit] or type(error).__name__


@contextlib.contextmanager
def expecting(what: str) -> Iterator[None]:
    """Raise any error of the block, such as that of a damaged file, as an InputError.

    Args: what, the argument's name and what was expected; the error's text follows as what came.
        Where memory ran out, the error is left as it is.
    """
    try:
        yield
    except Exception as error:
        if out_of_memory(error):
            raise
        raise InputError(f"{what}, got: {one_line(error)}") from error


def check_functions(**given: Any) -> None:
    """Check that callbacks can be called, before any is needed.

    Raises: InputError naming one that cannot.
    """
    for name, value in given.items():
        if value is not None and not callable(value):
            raise InputError(f"{name}: expected a function, got {brief(value)}")


def out_of_memory(error: BaseException) -> bool:
    """Return whether Python, or torch (which is not imported here), ran out of memory."""
    named = type(error).__name__ in ("MemoryError", "OutOfMemoryError")
    return named or "can't allocate memory" in str(error)


def is_number(value: Any) -> bool:
    """Return whether a value is a finite real number, which True and False are not."""
    if isinstance(value, bool):
        return False
    return isinstance(value, numbers.Real) and math.isfinite(value)


@contextlib.contextmanager
def accessory(name: str) -> Iterator[None]:
    """Make something beside the result, whose failure is one line on stderr and no more.

    A disk that is full, and whatever else a user can fix, still raises.
    """
    try:
        yield
    except GeostyleError:
        raise
    except Exception as error:
        print(f"{name}: not written ({one_line(error)})", file=sys.stderr)
