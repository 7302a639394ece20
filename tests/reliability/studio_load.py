"""Many visitors at once, lost connections, damaged uploads and killed workers.

    python tests/reliability/studio_load.py [--seconds 300] [--clients 20] [--uploads 1000]
        [--json FILE]

A visitor may be refused in one line and nothing else: no traceback, no silence. Paintings whose
worker is killed can be gone on with. At the end memory and open files must be back. Pictures are
small. `make studio-load` runs it; the exit status is 1 where anything goes wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import signal
import socket
import sys
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import httpx  # noqa: E402
import psutil  # noqa: E402
from fuzz import mutate  # noqa: E402
from PIL import Image  # noqa: E402
from visitors import PICTURES, Studio, Visitor, patiently  # noqa: E402

GROWTH_MB = 200.0
SMALL = {"size_px": 64, "quick": True, "guidance": 0.0, "features": "lite"}
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF")


def small(name: str, kind: str = "JPEG") -> bytes:
    """A bundled picture of 96 px."""
    with Image.open(PICTURES / f"{name}.jpg") as image:
        image.thumbnail((96, 96))
        data = io.BytesIO()
        image.convert("RGB").save(data, kind)
    return data.getvalue()


NAMES = ("content/coffee", "geo/coffee", "styles/night")
CONTENT, GEO, TEX = (small(name) for name in NAMES)


class Load:
    """Counts by name; `wrong` holds what may not happen."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.tally: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.end = threading.Event()

    def recipe(self, visitor: Visitor) -> dict[str, object]:
        """Three small pictures, uploaded."""
        names = [
            str(visitor.ask("POST", f"{visitor.own}/pictures", data)["name"])
            for data in (CONTENT, GEO, TEX)
        ]
        return {"content": names[0], "geo": names[1], "tex": [names[2]], "options": SMALL}

    def visit(self, chance: random.Random) -> None:
        """One visitor: pictures, a warp, a painting that is watched or stopped; then it leaves."""
        with Visitor(self.studio) as visitor:
            visitor.listen()
            recipe = self.recipe(visitor)
            self.asked(lambda: visitor.match(recipe), "warps")
            name = visitor.paint(recipe)
            stops = chance.random() < 0.3
            if stops:
                time.sleep(chance.random() * 5)
                visitor.ask("POST", f"{visitor.own}/snapshots/{name}/stop", {})
            shot = visitor.painted(name, 900)
            self.tally[f"paintings {shot['status']}"] += 1
            if shot["status"] == "failed" and "painting process" not in shot.get("line", ""):
                self.wrong.append(f"a painting failed: {shot}")
            places = [
                own["place"] for _, head, _ in list(visitor.heard) if head["what"] == "queue"
                for own in head["queue"] if own["snapshot"] == name
            ]  # fmt: skip
            self.tally["visitors that were told a place"] += bool(places)
            self.tally["longest line"] = max(self.tally["longest line"], *places, 0)
            visitor.ask("DELETE", visitor.own)

    def asked(self, ask: object, name: str) -> None:
        """Ask; a refusal in one line is counted as such."""
        try:
            ask()  # type: ignore[operator]
            self.tally[name] += 1
        except RuntimeError as error:
            self.tally[f"{name} refused"] += 1
            if "painting process" not in str(error) and "dropped" not in str(error):
                self.wrong.append(str(error))

    def visits(self, number: int) -> None:
        """One visit after the other until the end."""
        chance = random.Random(number)
        while not self.end.is_set():
            try:
                self.visit(chance)
                self.tally["visits"] += 1
            except RuntimeError as error:
                self.tally["visits cut short"] += 1
                if "painting process" not in str(error):
                    self.wrong.append(f"visit: {error}")
            except (httpx.HTTPError, TimeoutError) as error:
                self.wrong.append(f"visit: {error!r}")

    def disturb(self, count: int, seconds: float) -> None:
        """Connect and leave `count` times: in the middle of events, of a body, of an answer."""
        chance = random.Random(0)
        with Visitor(self.studio) as visitor:
            cookies = "; ".join(f"{k}={v}" for k, v in visitor.http.cookies.items())
            place = self.studio.base.removeprefix("http://")
            head = f"Host: {place}\r\nOrigin: http://{place}\r\nCookie: {cookies}\r\n"
            upgrade = (
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            )
            kinds = (
                f"GET {visitor.own}/events HTTP/1.1\r\n{head}{upgrade}\r\n",
                f"POST {visitor.own}/pictures HTTP/1.1\r\n{head}Content-Length: 90000\r\n\r\nabc",
                f"GET {visitor.own} HTTP/1.1\r\n{head}\r\n",
            )
            for _ in range(count):
                with socket.create_connection(("127.0.0.1", int(place.split(":")[1])), 60) as raw:
                    raw.sendall(chance.choice(kinds).encode())
                    raw.settimeout(0.3)
                    with contextlib.suppress(TimeoutError):  # of a body it waits for the rest
                        if chance.random() < 0.5:
                            raw.recv(100)
                self.tally["connections lost"] += 1
                time.sleep(seconds / count)

    def kill(self) -> None:
        """Kill the worker while it paints; the painting is gone on with."""
        with Visitor(self.studio) as visitor:
            recipe = {**self.recipe(visitor), "options": {**SMALL, "size_px": 96}}
            name = visitor.paint(recipe)
            patiently(lambda: visitor.snapshot(name).get("width"), 900)
            for process in self.studio.workers():
                os.kill(process.pid, signal.SIGKILL)
            shot = visitor.painted(name)
            if shot["status"] == "stopped":
                visitor.ask("POST", f"{visitor.own}/snapshots/{name}/resume", {})
                shot = visitor.painted(name, 900)
            if shot["status"] != "done":
                self.wrong.append(f"a painting was lost: {shot}")
            self.tally["workers killed"] += 1
            visitor.ask("DELETE", visitor.own)

    def uploads(self, count: int) -> None:
        """Damaged pictures."""
        seeds = [small(name, kind) for name in NAMES for kind in FORMATS]
        rng = random.Random(0)
        visitor = Visitor(self.studio)
        for number in range(count):
            if number % 300 == 0:  # a session takes so many pictures
                visitor.close()
                visitor = Visitor(self.studio)
            answer = visitor.http.post(f"{visitor.own}/pictures", content=mutate(rng, seeds))
            self.tally[f"damaged uploads {answer.status_code}"] += 1
            line = answer.json().get("line", "") if answer.status_code == 400 else ""
            known = answer.status_code in (200, 400) and "\n" not in line and "Trace" not in line
            if not known or str(self.studio.output) in line:
                self.wrong.append(f"upload: {answer.status_code} {answer.text[:200]}")
        visitor.close()


def settled(studio: Studio) -> tuple[float, int]:
    """Memory in MB and open files of the server, once it is quiet."""
    time.sleep(5)
    return studio.memory_mb(), psutil.Process(studio.process.pid).num_fds()


def main() -> int:
    """Load a studio; 0 where nothing went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300.0, help="of the visits")
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--connections", type=int, default=200, help="that are lost meanwhile")
    parser.add_argument("--uploads", type=int, default=1000, help="damaged pictures")
    parser.add_argument("--kills", type=int, default=3, help="of the worker, while it paints")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    with Studio() as studio:
        load = Load(studio)
        load.visit(random.Random(1))  # networks are loaded
        before, files = settled(studio)
        threads = [threading.Thread(target=load.visits, args=(i,)) for i in range(args.clients)]
        threads.append(
            threading.Thread(target=load.disturb, args=(args.connections, args.seconds * 0.9))
        )
        for thread in threads:
            thread.start()
        time.sleep(args.seconds)
        most = studio.memory_mb()
        print(f"{args.clients} visitors, {args.seconds:.0f} s: {dict(load.tally)}", flush=True)
        load.end.set()
        for thread in threads:
            thread.join()
        after_visits, _ = settled(studio)
        load.uploads(args.uploads)
        after_uploads, files_after = settled(studio)
        print(f"uploads, {after_uploads:.0f} MB: {dict(load.tally)}", flush=True)
        for _ in range(args.kills):
            load.kill()
        logs, left = studio.logs(), list(studio.output.rglob("*.upload"))
    for name, count in sorted(load.tally.items()):
        print(f"{name:<36} {count}")
    print(f"memory, MB: {before:.0f} before, {most:.0f} under load, {after_visits:.0f} after the "
          f"visits, {after_uploads:.0f} after the uploads")  # fmt: skip
    print(f"open files of the server: {files} before, {files_after} after")
    if max(after_visits, after_uploads) > before + GROWTH_MB:
        load.wrong.append("memory did not come back")
    if "Traceback" in logs:
        load.wrong.append("a traceback: " + logs[logs.index("Traceback") :][:2000])
    if left:
        load.wrong.append(f"{len(left)} uploads were left")
    for line in load.wrong[:20]:
        print(f"WRONG {line}")
    if args.json:
        figures = {
            "visitors": args.clients,
            "seconds": args.seconds,
            "lost_connections": load.tally["connections lost"],
            "uploads": args.uploads,
            "kills": load.tally["workers killed"],
            "wrong": len(load.wrong),
            "memory_mb": {"before": before, "most": most, "after": after_uploads},
        }
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 1 if load.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
