"""The errors a user can fix: always one line, naming the argument."""

from __future__ import annotations

import math
import numbers
import re
import reprlib
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


def is_number(value: Any) -> bool:
    """Return whether a value is a finite real number, which True and False are not."""
    if isinstance(value, bool):
        return False
    return isinstance(value, numbers.Real) and math.isfinite(value)
