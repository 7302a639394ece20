"""Ways in which a painting is cut short: by its callback, by a command, by the user's Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

R = TypeVar("R")
T = TypeVar("T")


class StopPainting(KeyboardInterrupt):
    """Ends a painting with the best picture so far, wherever it is raised.

    Commands raise it; a KeyboardInterrupt raised by a callback becomes one. Any other
    KeyboardInterrupt is the user's Ctrl-C and reaches the caller.
    """


@contextlib.contextmanager
def noted_ctrl_c() -> Iterator[Callable[[], bool]]:
    """Tell the user's Ctrl-C from a KeyboardInterrupt that a callback raises.

    Yields: whether the handler of SIGINT, which is called as before, has raised one.
    """
    pressed = False
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: Any) -> None:
        nonlocal pressed
        assert callable(before)
        try:
            before(number, frame)
        except StopPainting:
            raise
        except KeyboardInterrupt:
            pressed = True
            raise

    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield lambda: pressed
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: pressed
    finally:
        if signal.getsignal(signal.SIGINT) is note:  # unless `before` has set another
            signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def stopping_between_steps(say: Callable[[str], object]) -> Iterator[Callable[[], None]]:
    """Defer a first Ctrl-C, SIGTERM or SIGHUP to the next call of the function given.

    That function raises it; a second signal is raised at once. Signals that the process was
    started to ignore stay ignored.

    Args: say, called with one line for the user after the first.
    """
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        if asked:
            raise StopPainting
        asked = True
        say("stopping after this step; press Ctrl-C again to stop immediately")

    def stop_if_asked() -> None:
        if asked:
            raise StopPainting

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        numbers = (getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP"))
        known = {number: signal.getsignal(number) for number in numbers if number is not None}
        before = {n: handler for n, handler in known.items() if handler != signal.SIG_IGN}
    for number in before:
        signal.signal(number, ask)
    try:
        yield stop_if_asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def may_stop(callback: Callable[[T], None], pressed: Callable[[], bool]) -> Callable[[T], None]:
    """`callback`, whose own KeyboardInterrupt stops the painting; see `noted_ctrl_c`."""

    def call(value: T) -> None:
        try:
            callback(value)
        except KeyboardInterrupt as error:
            if pressed() or isinstance(error, StopPainting):
                raise
            raise StopPainting from error

    return call


def hand_over(result: R, ctrl_c: KeyboardInterrupt | None) -> R:
    """Return `result`, or raise the user's Ctrl-C with it as the attribute `result`."""
    if ctrl_c is None:
        return result
    ctrl_c.result = result  # type: ignore[attr-defined]
    raise ctrl_c


def cancelable(
    callback: Callable[[T], None] | None, cancel: Callable[[], bool] | None
) -> Callable[[T], None] | None:
    """`callback`, and after it the question whether to stop."""
    if cancel is None:
        return callback

    def both(value: T) -> None:
        if callback is not None:
            callback(value)
        if cancel():
            raise StopPainting

    return both
