"""Answers of the addresses of a session."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from geostyle.errors import GeostyleError, InputError
from geostyle.studio.easel import Easel, public
from geostyle.studio.hub import Dropped, Hub, Listeners, packed
from geostyle.studio.pages import title_of
from geostyle.studio.recipe import GEOMETRY, given_of, options_of, pair_of
from geostyle.studio.sessions import Session, Sessions, new_name
from geostyle.studio.settings import StudioSettings

KINDS = ("shown", "thumb")
DOWNLOADS = ("result.png", "warped.png", "theta.json", "settings.yaml")
LARGEST_STATE = 400_000
CANDIDATES, GIF_PX = 6, 480


def answered(
    handler: Callable[[Studio, Request], Awaitable[Response]],
) -> Callable[[Studio, Request], Awaitable[Response]]:
    """Turn what a visitor can fix into one line."""

    @wraps(handler)
    async def inner(self: Studio, request: Request) -> Response:
        try:
            return await handler(self, request)
        except Dropped:
            return JSONResponse({"dropped": True}, 409)
        except ClientDisconnect:  # in the middle of its request: nobody reads the answer
            return Response(status_code=400)
        except InputError as error:
            status = 404 if str(error).startswith("session:") else 400
            return JSONResponse({"line": " ".join(str(error).split())}, status)
        except GeostyleError as error:
            return JSONResponse({"line": " ".join(str(error).split())}, 400)

    return inner


class Studio:
    """Everything the page asks for in a session.

    Args:
        settings: of the studio.
        hub: of the worker; started with the application.
        gallery: the bundled pictures by name.
    """

    def __init__(self, settings: StudioSettings, hub: Hub, gallery: dict[str, Path]) -> None:
        self.settings, self.hub, self.gallery = settings, hub, gallery
        self.sessions = Sessions(settings)
        self.listeners = Listeners()
        self.easel = Easel(hub, self.listeners)

    @answered
    async def begin(self, request: Request) -> Response:
        """Begin a session."""
        session = self.sessions.create()
        return JSONResponse(self._whole(session))

    @answered
    async def session(self, request: Request) -> Response:
        """Everything of a session, after a reload."""
        session = self._session(request)
        session.save()
        return JSONResponse(self._whole(session))

    @answered
    async def end(self, request: Request) -> Response:
        """Remove a session and all of its files."""
        session = self._session(request)
        self.easel.forget(session)
        self.sessions.remove(session.name)
        return JSONResponse({})

    @answered
    async def keep_state(self, request: Request) -> Response:
        """Keep what the page wants back after a reload."""
        session = self._session(request)
        state = await self._json(request)
        if len(json.dumps(state)) > LARGEST_STATE:
            raise InputError("state: expected a smaller one")
        session.state = state
        session.save()
        return JSONResponse({})

    @answered
    async def add_picture(self, request: Request) -> Response:
        """Take a picture, or a mask that was drawn, in the body."""
        session = self._session(request)
        body = await request.body()
        if not body:
            raise InputError("picture: expected a picture file, got an empty one")
        task = "mask" if request.query_params.get("kind") == "mask" else "picture"
        title = request.headers.get("x-title", "")[:80]
        return JSONResponse(await self._take_in(session, body, task, title))

    @answered
    async def add_bundled(self, request: Request) -> Response:
        """Take a bundled picture."""
        session = self._session(request)
        name = (await self._json(request)).get("name")
        path = self.gallery.get(name) if isinstance(name, str) else None
        if path is None or not isinstance(name, str):
            raise InputError("picture: expected one of the gallery, got another")
        return JSONResponse(
            await self._take_in(session, path.read_bytes(), "picture", title_of(name))
        )

    @answered
    async def picture(self, request: Request) -> Response:
        """A picture as the page shows it."""
        session = self._session(request)
        kind = request.path_params["kind"]
        if kind not in KINDS:
            raise HTTPException(404)
        path = session.picture_path(request.path_params["picture"], kind)
        return self._found(path, {"cache-control": "private, max-age=86400"})

    @answered
    async def match(self, request: Request) -> Response:
        """The warp between content and shape; with `candidates`, others to choose from."""
        session = self._session(request)
        recipe = await self._json(request)
        task = "candidates" if recipe.get("candidates") else "match"
        found, _ = await self.hub.call(
            task,
            group=f"{session.name}-{task}",
            settings=options_of(recipe, (*GEOMETRY, "features", "seed")),
            count=CANDIDATES,
            **pair_of(session, recipe),
        )
        return JSONResponse(found)

    @answered
    async def sketch(self, request: Request) -> Response:
        """A small painting in few steps."""
        session = self._session(request)
        given = given_of(session, await self._json(request))
        _, data = await self.hub.call(
            "sketch",
            group=f"{session.name}-sketch",
            given=given,
            folder=str(session.folder / "pictures"),
        )
        return Response(data, media_type="image/jpeg")

    @answered
    async def prepare(self, request: Request) -> Response:
        """Compute what comes before the first step, where nothing else is painted."""
        session = self._session(request)
        given = given_of(session, await self._json(request))
        if self.easel.current is None and not self.easel.waiting:
            _, answer = self.hub.submit(
                "prepare",
                group=f"{session.name}-prepare",
                given=given,
                folder=str(session.folder / "pictures"),
                frames="",
            )
            answer.add_done_callback(lambda future: future.exception())
        return JSONResponse({})

    @answered
    async def paint(self, request: Request) -> Response:
        """Queue a painting."""
        session = self._session(request)
        body = await self._json(request)
        title = body.get("title") if isinstance(body.get("title"), str) else ""
        name = self.easel.order(session, body.get("recipe"), str(title), body.get("state"))
        return JSONResponse({"snapshot": name, "queue": self.easel.queue_of(session)})

    @answered
    async def stop(self, request: Request) -> Response:
        """Stop a painting."""
        self.easel.stop(self._session(request), request.path_params["snapshot"])
        return JSONResponse({})

    @answered
    async def resume(self, request: Request) -> Response:
        """Go on with a painting."""
        self.easel.resume(self._session(request), request.path_params["snapshot"])
        return JSONResponse({})

    @answered
    async def reorder(self, request: Request) -> Response:
        """Put the waiting paintings in another order."""
        names = (await self._json(request)).get("order")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError("order: expected a list of snapshots")
        session = self._session(request)
        self.easel.reorder(session, names)
        return JSONResponse({"queue": self.easel.queue_of(session)})

    @answered
    async def remove(self, request: Request) -> Response:
        """Forget a painting, and remove its files."""
        session, name = self._session(request), request.path_params["snapshot"]
        snapshot = session.snapshot(name)
        self.easel.remove(session, name)
        folders = [session.folder / "frames" / name]
        if snapshot.get("run"):
            folders.append(session.folder / "runs" / snapshot["run"])
        if snapshot["status"] not in ("painting", "stopping"):
            for folder in folders:
                await asyncio.to_thread(shutil.rmtree, folder, True)
        return JSONResponse({})

    @answered
    async def keep(self, request: Request) -> Response:
        """Copy a painting's run folder to where results are kept."""
        session, name = self._session(request), request.path_params["snapshot"]
        folder = session.run_folder(name)
        found, _ = await self.hub.call("keep", run=str(folder), output=str(self.settings.output))
        session.snapshot(name)["kept"] = found["folder"]
        session.save()
        self.easel.tell(session, name)
        return JSONResponse(found)

    @answered
    async def snapshot_file(self, request: Request) -> Response:
        """A file of a painting."""
        session, name = self._session(request), request.path_params["snapshot"]
        file = request.path_params["file"]
        session.snapshot(name)
        frames = session.folder / "frames"
        if file == "thumb.jpg":
            return self._found(frames / f"{name}.thumb.jpg")
        run = session.run_folder(name)
        if file in DOWNLOADS:
            return self._found(run / file)
        if file == "source":
            return Response(
                await asyncio.to_thread(_source, run / "source.safetensors"),
                media_type="application/octet-stream",
            )
        if file == "result.tif":
            out = frames / f"{name}.tif"
            await self.hub.call("tiff", result=str(run / "result.png"), out=str(out))
            return self._found(out)
        if file == "painting.gif":
            out = frames / f"{name}.gif"
            await self.hub.call(
                "animation",
                frames=str(frames / name),
                result=str(run / "result.png"),
                out=str(out),
                size_px=GIF_PX,
            )
            return self._found(out)
        raise HTTPException(404)

    async def events(self, socket: WebSocket) -> None:
        """Tell a page what happens in its session."""
        try:
            session = self.sessions.get(socket.path_params["session"])
        except InputError:
            await socket.close(1008)
            return
        await socket.accept()
        with self.listeners.listening(session.name) as queue:
            queue.put_nowait(packed({"what": "hello", **self._whole(session)}, None))
            gone = asyncio.create_task(_until_gone(socket))
            try:
                while not gone.done():
                    waiting = asyncio.create_task(queue.get())
                    await asyncio.wait({gone, waiting}, return_when=asyncio.FIRST_COMPLETED)
                    if not waiting.done():
                        waiting.cancel()
                        break
                    event = waiting.result()
                    send = socket.send_text if isinstance(event, str) else socket.send_bytes
                    await send(event)
            except (WebSocketDisconnect, RuntimeError, OSError):
                pass
            finally:
                gone.cancel()

    def _session(self, request: Request) -> Session:
        return self.sessions.get(request.path_params["session"])

    async def _json(self, request: Request) -> dict[str, Any]:
        try:
            found = json.loads(await request.body())
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise InputError("request: expected a JSON mapping, got something else")
        return found

    def _found(self, path: Path, headers: dict[str, str] | None = None) -> Response:
        if not path.is_file():
            raise HTTPException(404)
        return FileResponse(path, headers=headers)

    async def _take_in(
        self, session: Session, body: bytes, task: str, title: str
    ) -> dict[str, Any]:
        """Keep a picture in the session, once the worker has read it."""
        if len(session.pictures) >= self.settings.max_pictures:
            raise InputError(
                f"picture: expected at most {self.settings.max_pictures} in a session, got more; "
                "begin a new one"
            )
        name = new_name()
        path = session.folder / "pictures" / f"{name}.upload"
        await asyncio.to_thread(path.write_bytes, body)
        try:
            limit = self.settings.max_megapixels * 1e6
            found, _ = await self.hub.call(task, path=str(path), name=name, max_pixels=limit)
        except GeostyleError as error:
            # The visitor knows the picture, not the name that it was given here.
            line = str(error).replace(repr(str(path)), "this one").replace(str(path), "this one")
            raise InputError(line) from None
        finally:
            path.unlink(missing_ok=True)
        session.pictures[name] = {**found, "title": title}
        session.save()
        return _shown_picture(name, session.pictures[name])

    def _whole(self, session: Session) -> dict[str, Any]:
        """Everything of a session, for the page."""
        pictures = session.pictures.items()
        return {
            "session": session.name,
            "state": session.state,
            "pictures": {name: _shown_picture(name, picture) for name, picture in pictures},
            "snapshots": {name: public(one) for name, one in session.snapshots.items()},
            "queue": self.easel.queue_of(session),
            "limits": {
                "bytes": self.settings.max_bytes,
                "megapixels": self.settings.max_megapixels,
            },
            "output": str(self.settings.output),
        }


def _shown_picture(name: str, picture: dict[str, Any]) -> dict[str, Any]:
    hidden = ("file", "shown", "thumb")
    return {"name": name, **{key: value for key, value in picture.items() if key not in hidden}}


def _source(path: Path) -> bytes:
    """A source map as float32: its height, its width, then its four planes."""
    import numpy as np
    from safetensors.numpy import load_file

    if not path.is_file():
        raise HTTPException(404)
    source = load_file(path)["source"].astype("<f4")
    return np.array(source.shape[1:], "<f4").tobytes() + source.tobytes()


async def _until_gone(socket: WebSocket) -> None:
    """Read what a page sends, which is nothing, until it is closed."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
