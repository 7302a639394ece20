"""Sessions: what a visitor has put in and made, in a folder of its own, until nobody opens it.

Names are random and are looked up, never joined to a path. Everything that must survive a reload
or a restart is in `session.json`, written whole.

    .studio/<session>/session.json       pictures, snapshots and the page's state
    .studio/<session>/pictures/          as they were given, and as the page shows them
    .studio/<session>/runs/              a run folder for each painting
    .studio/<session>/frames/            small pictures of each painting as it grew
"""

from __future__ import annotations

import re
import secrets
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geostyle.errors import GeostyleError, InputError
from geostyle.io.files import make_folder, read_json, write_json
from geostyle.studio.settings import StudioSettings

NAME = re.compile(r"[A-Za-z0-9_-]{22}")
FILE = "session.json"
MOST_SNAPSHOTS = 200


def new_name() -> str:
    """A name that nobody can guess."""
    return secrets.token_urlsafe(16)


@dataclass
class Session:
    """One visitor's pictures and paintings.

    Attributes:
        name: random.
        folder: everything of it.
        pictures: by random name: file, shown file, width, height, title.
        snapshots: by random name: run folder's name, status, settings, time, loss.
        state: what the page wants back after a reload.
        touched: seconds since 1970 of the last request.
    """

    name: str
    folder: Path
    pictures: dict[str, dict[str, Any]] = field(default_factory=dict)
    snapshots: dict[str, dict[str, Any]] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    touched: float = field(default_factory=time.time)

    def save(self) -> None:
        """Write the session's file, whole or not at all."""
        kept = {
            "pictures": self.pictures,
            "snapshots": self.snapshots,
            "state": self.state,
            "touched": self.touched,
        }
        write_json(self.folder / FILE, kept)

    def picture(self, name: Any) -> dict[str, Any]:
        """A picture by its name.

        Raises: InputError where there is none.
        """
        return _of_session(self.pictures, name, "picture")

    def picture_path(self, name: Any, kind: str = "file") -> Path:
        """The path of a picture as given ("file") or as shown ("shown", "thumb")."""
        return self.folder / "pictures" / str(self.picture(name)[kind])

    def snapshot(self, name: Any) -> dict[str, Any]:
        """A snapshot by its name.

        Raises: InputError where there is none.
        """
        return _of_session(self.snapshots, name, "snapshot")

    def run_folder(self, name: Any) -> Path:
        """The run folder of a snapshot.

        Raises: InputError where it has none yet.
        """
        run = self.snapshot(name).get("run")
        if not run:
            raise InputError("snapshot: expected one that has begun, got one that waits")
        return self.folder / "runs" / str(run)

    def frames_folder(self, name: str) -> Path:
        """The folder of the small pictures of a painting as it grew."""
        self.snapshot(name)
        return self.folder / "frames" / name


class Sessions:
    """All sessions of this folder of results.

    Args: settings, of the studio.
    """

    def __init__(self, settings: StudioSettings) -> None:
        self.settings = settings
        self.root = settings.folder
        self._known: dict[str, Session] = {}
        make_folder(self.root)
        for path in self.root.iterdir():
            if path.is_dir() and NAME.fullmatch(path.name):
                self._known[path.name] = _read(path)
        self.expire()

    def __len__(self) -> int:
        return len(self._known)

    def create(self) -> Session:
        """A new session; the one that was opened least recently makes room where there are many."""
        self.expire()
        while len(self._known) >= self.settings.max_sessions:
            self.remove(min(self._known.values(), key=lambda s: s.touched).name)
        name = new_name()
        session = Session(name, self.root / name)
        make_folder(session.folder / "pictures")
        session.save()
        self._known[name] = session
        return session

    def get(self, name: str) -> Session:
        """The session called `name`.

        Raises: InputError where there is none, or it has expired.
        """
        session = self._known.get(name)
        if session is None:
            raise InputError("session: expected one of this studio, got another or an expired one")
        session.touched = time.time()
        return session

    def remove(self, name: str) -> None:
        """Forget a session and remove its files."""
        session = self._known.pop(name, None)
        if session is not None:
            shutil.rmtree(session.folder, ignore_errors=True)

    def expire(self) -> list[str]:
        """Remove sessions that nobody has opened for `keep_days`; return their names."""
        limit = time.time() - self.settings.keep_days * 86400
        old = [name for name, session in self._known.items() if session.touched < limit]
        for name in old:
            self.remove(name)
        return old


def _of_session(known: dict[str, dict[str, Any]], name: Any, kind: str) -> dict[str, Any]:
    """The entry of a name; InputError naming the kind where there is none."""
    found = known.get(name) if isinstance(name, str) else None
    if found is None:
        raise InputError(f"{kind}: expected one of this session, got another")
    return found


def _read(folder: Path) -> Session:
    """The session of a folder; an empty one where its file is damaged."""
    session = Session(folder.name, folder)
    try:
        kept = read_json(folder / FILE, name="session")
        for key in ("pictures", "snapshots", "state"):
            if isinstance(kept.get(key), dict):
                setattr(session, key, kept[key])
        session.touched = float(kept.get("touched", 0.0))
    except (GeostyleError, OSError, TypeError, ValueError):
        session.touched = folder.stat().st_mtime
    for snapshot in session.snapshots.values():
        if snapshot.get("status") in ("waiting", "painting", "stopping"):
            snapshot["status"] = "stopped"  # the studio ended meanwhile
    return session
