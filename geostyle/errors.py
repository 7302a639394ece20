"""The errors a user can cause and mend: always one line, naming the argument."""

from __future__ import annotations


class GeostyleError(Exception):
    """Base of every error geostyle raises on purpose."""


class InputError(GeostyleError, ValueError):
    """An argument is unusable; the message names it, what was expected and what came."""
