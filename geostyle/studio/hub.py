"""The server's side of the worker: tasks and their answers, the queue, events for the pages."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import multiprocessing
import os
import struct
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from geostyle.errors import GeostyleError

Message = dict[str, Any]
Answer = tuple[Message, bytes | None]
MOST_EVENTS = 200  # that wait for a slow page; frames are dropped before
MOST_FRAMES = 4
ENDED = "the painting process ended and was started again; try once more"
FAILING = "the painting process does not start; {log} says why, and it is tried again soon"
LONGEST_WAIT_S = 30.0  # before a process that has never answered is started again

_log = logging.getLogger(__name__)


class Dropped(Exception):
    """A task that a later one of the same kind made useless."""


class Hub:
    """Starts the worker, hands it tasks, and starts it again where it ends.

    Args:
        transfer: what the worker paints with, as "module:function".
        log: file that gets what the worker prints.

    Attributes: on_event, called with (number, event, data) in the server's loop; on_death, called
        after the worker has ended and the tasks it had were answered.
    """

    def __init__(self, transfer: str, log: Path) -> None:
        self.transfer, self.log = transfer, log
        self.on_event: Callable[[int, Message, bytes | None], None] = lambda *_: None
        self.on_death: Callable[[], None] = lambda: None
        self.process: Any = None
        self._connection: Connection | None = None
        self._numbers = itertools.count(1)
        self._pending: dict[int, asyncio.Future[Answer]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False
        self._failures = 0  # starts in a row after which nothing was heard
        self._waiting: asyncio.TimerHandle | None = None
        self._sending = threading.Lock()

    def start(self) -> None:
        """Start the worker process; call it in the server's loop."""
        from geostyle.studio.worker import main

        self._loop, self._waiting = asyncio.get_running_loop(), None
        # Its two threads share the cores: one that waits must sleep instead of spinning.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        os.environ.setdefault("TQDM_DISABLE", "1")
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self.process = context.Process(
            target=main, args=(theirs, self.transfer, self.log), daemon=True
        )
        self.process.start()
        theirs.close()
        threading.Thread(target=self._read, args=(self._connection,), daemon=True).start()

    def close(self) -> None:
        """End the worker."""
        self._closing = True
        if self._waiting is not None:
            self._waiting.cancel()
        if self.process is not None:
            self.process.terminate()
            self.process.join(5)
            if self.process.is_alive():
                self.process.kill()

    def submit(self, task: str, **what: Any) -> tuple[int, asyncio.Future[Answer]]:
        """Hand over a task; its number, and its answer to come."""
        number = next(self._numbers)
        future = asyncio.get_running_loop().create_future()
        if self._waiting is not None:
            future.set_exception(GeostyleError(FAILING.format(log=self.log)))
            return number, future
        self._pending[number] = future
        self._post({"id": number, "task": task, **what})
        return number, future

    async def call(self, task: str, **what: Any) -> Answer:
        """Hand over a task and wait for its answer.

        Raises: GeostyleError with a line for the visitor; Dropped.
        """
        return await self.submit(task, **what)[1]

    def stop(self, number: int) -> None:
        """End a painting after its next step."""
        self._post({"id": 0, "task": "stop", "painting": number})

    def _post(self, message: Message) -> None:
        # A pipe that is full or broken must not hold up the loop for long: messages are small.
        with self._sending, contextlib.suppress(OSError, ValueError):
            if self._connection is not None:
                self._connection.send(message)

    def _read(self, connection: Connection) -> None:
        assert self._loop is not None
        while True:
            try:
                number, kind, what, data = connection.recv()
            except (EOFError, OSError):
                break
            with contextlib.suppress(RuntimeError):  # the loop has closed
                self._loop.call_soon_threadsafe(self._take, number, kind, what, data)
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._died)

    def _take(self, number: int, kind: str, what: Message, data: bytes | None) -> None:
        self._failures = 0
        if kind == "event":
            self.on_event(number, what, data)
            return
        future = self._pending.pop(number, None)
        if future is None or future.done():
            return
        if kind == "done":
            future.set_result((what, data))
        elif kind == "failed":
            future.set_exception(GeostyleError(what["line"]))
        else:
            future.set_exception(Dropped())

    def _died(self) -> None:
        if self._closing:
            return
        pending, self._pending = self._pending, {}
        self.process.join()
        line, wait_s = ENDED, 0.0
        self._failures += 1
        if self._failures > 1:  # one that cannot be imported would end at once for ever
            line, wait_s = FAILING.format(log=self.log), min(2.0**self._failures, LONGEST_WAIT_S)
        _log.warning("the painting process ended; it is started again after %.0f s", wait_s)
        if wait_s:
            assert self._loop is not None
            self._waiting = self._loop.call_later(wait_s, self.start)
        else:
            self.start()
        for future in pending.values():
            if not future.done():
                future.set_exception(GeostyleError(line))
        self.on_death()


class Listeners:
    """The open pages of each session, and the events that wait for them."""

    def __init__(self) -> None:
        self._queues: dict[str, list[asyncio.Queue[str | bytes]]] = {}

    @contextlib.contextmanager
    def listening(self, session: str) -> Any:
        """A queue of the events of a session, while the page is open."""
        events: asyncio.Queue[str | bytes] = asyncio.Queue(MOST_EVENTS)
        self._queues.setdefault(session, []).append(events)
        try:
            yield events
        finally:
            self._queues[session].remove(events)
            if not self._queues[session]:
                del self._queues[session]

    def tell(self, session: str, event: Message, data: bytes | None = None) -> None:
        """Send an event to every page of a session; a slow one misses frames."""
        for events in self._queues.get(session, ()):
            if event.get("what") == "frame" and events.qsize() > MOST_FRAMES:
                continue
            with contextlib.suppress(asyncio.QueueFull):
                events.put_nowait(packed(event, data))

    def sessions(self) -> list[str]:
        """Sessions with an open page."""
        return list(self._queues)


def packed(event: Message, data: bytes | None) -> str | bytes:
    """An event as a text message, or with data as: length of its JSON, its JSON, the data."""
    text = json.dumps(event)
    if data is None:
        return text
    head = text.encode()
    return struct.pack("<I", len(head)) + head + data
