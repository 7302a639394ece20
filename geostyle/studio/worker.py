"""The worker process: it owns the networks and does everything that reads or makes a picture.

The main thread paints, one picture at a time. Another one does what a visitor waits for most
(reading a picture, matching), a third other short tasks (further warps, sketches, files), during
which the painting pauses between two of its steps. The last prepares a painting while its warp is
looked at; it and the third yield the processor to the others.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from geostyle.errors import GeostyleError

Message = dict[str, Any]
Send = Callable[[int, str, Message, bytes | None], None]
NICE = 10  # of the threads that nobody waits for
LONGEST_PAUSE_S = 20.0  # of a painting, while others' previews are made
URGENT = ("picture", "mask", "match")
DONE, FAILED, DROPPED = "done", "failed", "dropped"
UNEXPECTED = "this could not be done; the studio's log says why"


class QuickLane:
    """Short tasks, in order; of those of one group only the latest is done.

    Attributes: idle, set while there is nothing to do.
    """

    def __init__(self, handle: Callable[[Message], None], drop: Callable[[Message], None]) -> None:
        self._handle, self._drop = handle, drop
        self._waiting: deque[Message] = deque()
        self._changed = threading.Condition()
        self.idle = threading.Event()
        self.idle.set()

    def add(self, message: Message) -> None:
        """Add a task; earlier ones of its group that have not begun are dropped."""
        with self._changed:
            group = message.get("group")
            for other in [m for m in self._waiting if group and m.get("group") == group]:
                self._waiting.remove(other)
                self._drop(other)
            self._waiting.append(message)
            self.idle.clear()
            self._changed.notify()

    def superseded(self, message: Message) -> bool:
        """Return whether a later task of the same group waits."""
        group = message.get("group")
        return bool(group) and any(m.get("group") == group for m in list(self._waiting))

    def run(self) -> None:
        """Do tasks for ever."""
        while True:
            with self._changed:
                while not self._waiting:
                    self.idle.set()
                    self._changed.wait()
                message = self._waiting.popleft()
            self._handle(message)


class Worker:
    """Receives messages from the server and answers each by its number.

    Args:
        connection: to the server.
        transfer: `geostyle.cli._live_transfer.transfer_live`, which this package must not import.
    """

    def __init__(self, connection: Connection, transfer: Callable[..., Any]) -> None:
        from geostyle.studio.quick import Quick

        self.connection, self.transfer = connection, transfer
        self._sending = threading.Lock()
        self.urgent, self.other, self.later = (
            QuickLane(handle, lambda m: self.send(m["id"], DROPPED, {}))
            for handle in (self._quick, self._quick, self._prepare)
        )
        self.quick = Quick(self._useless)
        self.paintings: queue.Queue[Message] = queue.Queue()
        self.stopped: set[int] = set()

    def send(self, number: int, kind: str, what: Message, data: bytes | None = None) -> None:
        """Send an answer or an event of the task `number`."""
        with self._sending:
            self.connection.send((number, kind, what, data))

    def receive(self) -> None:
        """Hand messages to the two threads until the server is gone."""
        while True:
            try:
                message = self.connection.recv()
            except (EOFError, OSError):
                os._exit(0)
            if message["task"] in ("paint", "resume"):
                self.paintings.put(message)
            elif message["task"] == "prepare":
                self.later.add(message)
            elif message["task"] == "stop":
                self.stopped.add(message["painting"])
            elif message["task"] in URGENT:
                self.urgent.add(message)
            else:
                self.other.add(message)

    def paint(self) -> None:
        """Paint for ever."""
        while True:
            message = self.paintings.get()
            self._answer(message, self._paint)
            self.stopped.discard(message["id"])

    def pause(self) -> None:
        """Let the quick tasks that wait be done first."""
        for lane in (self.urgent, self.other):
            lane.idle.wait(LONGEST_PAUSE_S)

    def _useless(self, message: Message) -> bool:
        """Return whether a running sketch is no longer wanted; it makes way for urgent tasks."""
        self.urgent.idle.wait(LONGEST_PAUSE_S)
        return self.other.superseded(message)

    def _prepare(self, message: Message) -> None:
        self._answer(message, self._paint)

    def _quick(self, message: Message) -> None:
        self._answer(message, lambda m: getattr(self.quick, m["task"])(m))

    def _paint(self, message: Message) -> tuple[Message, bytes | None]:
        from geostyle.studio.painting import Painting

        return Painting(self, message).run()

    def _answer(
        self, message: Message, task: Callable[[Message], tuple[Message, bytes | None]]
    ) -> None:
        number = message["id"]
        with notes() as lines:
            try:
                found, data = task(message)
            except GeostyleError as error:
                self.send(number, FAILED, {"line": " ".join(str(error).split())})
            except MemoryError:
                self.send(number, FAILED, {"line": "not enough memory; try a smaller size"})
            except Exception:
                traceback.print_exc()
                self.send(number, FAILED, {"line": UNEXPECTED})
            else:
                self.send(number, DONE, {**found, "notes": lines}, data)


class notes(logging.Handler):
    """Collects the one-line notes that the library logs in this thread.

    Enter it to get the list of lines.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self.thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.thread:
            self.lines.append(record.getMessage()[:300])

    def __enter__(self) -> list[str]:
        logging.getLogger("geostyle").addHandler(self)
        return self.lines

    def __exit__(self, *_: object) -> None:
        logging.getLogger("geostyle").removeHandler(self)


def modestly(task: Callable[[], None]) -> Callable[[], None]:
    """`task` in a thread that yields the processor to others, where the system can do that."""

    def run() -> None:
        with contextlib.suppress(OSError):
            if sys.platform == "linux":  # elsewhere a priority is of the whole process
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        task()

    return run


def main(connection: Connection, transfer: str, log: Path) -> None:
    """Run the worker process; `transfer` is "module:function", `log` gets what it prints."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the server, and with it this process
    sys.stdout = sys.stderr = log.open("a", buffering=1, encoding="utf-8", errors="replace")
    module, _, name = transfer.partition(":")
    worker = Worker(connection, getattr(import_module(module), name))
    lanes = (worker.urgent.run, modestly(worker.other.run), modestly(worker.later.run))
    for task in (*lanes, worker.receive):
        threading.Thread(target=task, daemon=True).start()
    worker.paint()
