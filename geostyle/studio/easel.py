"""The queue of paintings: one is painted at a time, each visitor is told its place."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Any

from geostyle.errors import GeostyleError, InputError
from geostyle.io.files import write_bytes
from geostyle.studio.hub import Dropped, Hub, Listeners
from geostyle.studio.recipe import given_of
from geostyle.studio.sessions import MOST_SNAPSHOTS, Session, new_name

Message = dict[str, Any]
MOST_WAITING = 100  # paintings of one session


@dataclass
class Order:
    """A painting that waits or is being painted."""

    session: Session
    snapshot: str
    given: Message
    number: int = 0  # of the worker's task, once it is painted


class Easel:
    """Paints what is ordered, one after the other.

    Args: hub, of the worker; listeners, the open pages.
    """

    def __init__(self, hub: Hub, listeners: Listeners) -> None:
        self.hub, self.listeners = hub, listeners
        self.waiting: list[Order] = []
        self.current: Order | None = None
        self._wake = asyncio.Event()
        hub.on_event = self._on_event

    def order(self, session: Session, recipe: Any, title: str, state: Any) -> str:
        """Queue a painting; the name of its snapshot.

        Raises: InputError for an unusable recipe, or where too many wait.
        """
        given = given_of(session, recipe)
        if sum(order.session is session for order in self.waiting) >= MOST_WAITING:
            raise InputError(f"queue: expected at most {MOST_WAITING} paintings to wait, got more")
        name = new_name()
        session.snapshots[name] = {
            "status": "waiting",
            "created": time.time(),
            "title": title[:80],
            "recipe": recipe,
            "state": state,
        }
        self._forget_oldest(session)
        session.save()
        self._queue(Order(session, name, given))
        return name

    def resume(self, session: Session, name: str) -> None:
        """Go on with a painting that was stopped.

        Raises: InputError for one that was not.
        """
        snapshot = session.snapshot(name)
        if snapshot["status"] not in ("stopped", "failed"):
            raise InputError(f"snapshot: expected a stopped one, got one {snapshot['status']}")
        given = given_of(session, snapshot["recipe"])
        snapshot["status"] = "waiting"
        self._queue(Order(session, name, given))

    def stop(self, session: Session, name: str) -> None:
        """Stop a painting, or take it out of the queue."""
        snapshot = session.snapshot(name)
        for order in [o for o in self.waiting if o.session is session and o.snapshot == name]:
            self.waiting.remove(order)
            snapshot["status"] = "stopped"
        current = self.current
        if current is not None and current.session is session and current.snapshot == name:
            snapshot["status"] = "stopping"
            self.hub.stop(current.number)
        self._tell_places()
        self.tell(session, name)

    def reorder(self, session: Session, names: list[str]) -> None:
        """Put the waiting paintings of a session in another order, in the places they have."""
        own = [order for order in self.waiting if order.session is session]
        rank = {name: place for place, name in enumerate(names)}
        own.sort(key=lambda order: rank.get(order.snapshot, len(rank)))
        sorted_own = iter(own)
        self.waiting = [
            next(sorted_own) if order.session is session else order for order in self.waiting
        ]
        self._tell_places()

    def remove(self, session: Session, name: str) -> None:
        """Stop a painting, if need be, and forget its snapshot."""
        self.stop(session, name)
        session.snapshots.pop(name, None)
        session.save()

    def forget(self, session: Session) -> None:
        """Take everything of a session out of the queue."""
        for name in list(session.snapshots):
            self.stop(session, name)

    def queue_of(self, session: Session) -> list[Message]:
        """The paintings of a session that wait, with their places among all."""
        before = 1 if self.current else 0
        return [
            {"snapshot": order.snapshot, "place": place + before}
            for place, order in enumerate(self.waiting)
            if order.session is session
        ]

    async def run(self) -> None:
        """Paint for ever."""
        while True:
            while not self.waiting:
                self._wake.clear()
                await self._wake.wait()
            self.current = self.waiting.pop(0)
            self._tell_places()
            try:
                await self._paint(self.current)
            finally:
                self.current = None

    async def _paint(self, order: Order) -> None:
        session, name = order.session, order.snapshot
        snapshot = session.snapshots.get(name)
        if snapshot is None:
            return
        snapshot["status"] = "painting"
        self.tell(session, name)
        folder = session.folder
        what: Message = {
            "folder": str(folder / "pictures"),
            "frames": str(folder / "frames" / name),
        }
        if snapshot.get("run"):
            what |= {"task": "resume", "run": str(folder / "runs" / snapshot["run"])}
        else:
            given = {**order.given, "output": str(folder / "runs")}
            what |= {"task": "paint", "given": given}
        order.number, answer = self.hub.submit(**what)
        try:
            found, thumb = await answer
        except (GeostyleError, Dropped) as error:
            snapshot |= {"status": "failed", "line": str(error)}
            if snapshot.get("run"):
                snapshot["status"] = "stopped"
        else:
            snapshot |= found
            snapshot["status"] = "stopped" if found.get("stopped") else "done"
            snapshot.pop("line", None)
            if thumb is not None:
                with contextlib.suppress(GeostyleError):
                    write_bytes(folder / "frames" / f"{name}.thumb.jpg", thumb)
        if session.folder.is_dir():
            session.save()
            self.tell(session, name)

    def _on_event(self, number: int, event: Message, data: bytes | None) -> None:
        order = self.current
        if order is None or order.number != number:
            return
        if event["what"] == "begun":
            snapshot = order.session.snapshots.get(order.snapshot, {})
            snapshot |= {key: event[key] for key in ("run", "width", "height")}
            order.session.save()
        self.listeners.tell(order.session.name, {**event, "snapshot": order.snapshot}, data)

    def tell(self, session: Session, name: str) -> None:
        """Tell the pages of a session how one of its paintings stands."""
        snapshot = session.snapshots.get(name)
        if snapshot is not None:
            event = {"what": "snapshot", "snapshot": name, **public(snapshot)}
            self.listeners.tell(session.name, event)

    def _queue(self, order: Order) -> None:
        self.waiting.append(order)
        self._wake.set()
        self.tell(order.session, order.snapshot)
        self._tell_places()

    def _tell_places(self) -> None:
        sessions = {order.session.name: order.session for order in self.waiting}
        for name in self.listeners.sessions():
            queue = self.queue_of(sessions[name]) if name in sessions else []
            self.listeners.tell(name, {"what": "queue", "queue": queue})

    def _forget_oldest(self, session: Session) -> None:
        done = [n for n, s in session.snapshots.items() if s["status"] in ("done", "failed")]
        for name in done[: max(0, len(session.snapshots) - MOST_SNAPSHOTS)]:
            session.snapshots.pop(name)


def public(snapshot: Message) -> Message:
    """Return the message that tells the page of a snapshot."""
    hidden = ("recipe", "run")
    return {key: value for key, value in snapshot.items() if key not in hidden}
