"""The application: addresses, their order, and what starts and ends with them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute

from geostyle.studio.guard import Guard, Refused
from geostyle.studio.handlers import Studio
from geostyle.studio.hub import Hub
from geostyle.studio.pages import Pages
from geostyle.studio.settings import StudioSettings

EXPIRE_EVERY_S = 3600.0


def application(settings: StudioSettings, hub: Hub, port: int, token: str) -> Guard:
    """The studio behind its guard, as an ASGI application.

    Args:
        hub: of the worker, which is started and ended with the application.
        port: that the server listens on.
        token: that its address holds.
    """
    pages = Pages(settings)
    studio = Studio(settings, hub, pages.gallery)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        hub.start()
        tasks = [asyncio.create_task(one) for one in (studio.easel.run(), _expiring(studio))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            hub.close()

    app = Starlette(
        routes=_routes(pages, studio),
        lifespan=lifespan,
        exception_handlers={Refused: _refused, Exception: _failed},
    )
    app.state.studio = studio
    pages.guard = Guard(app, settings, port, token)
    return pages.guard


def _routes(pages: Pages, studio: Studio) -> list[Any]:
    own, shot = "/api/{session}", "/api/{session}/snapshots/{snapshot}"
    return [
        Route("/", pages.page),
        Route("/login", pages.login, methods=["POST"]),
        Route("/static/{name}", pages.static_file),
        Route("/gallery", pages.pictures_of_gallery),
        Route("/gallery/{name}", pages.picture_of_gallery),
        Route("/api", studio.begin, methods=["POST"]),
        Route(own, studio.session, methods=["GET"]),
        Route(own, studio.end, methods=["DELETE"]),
        Route(f"{own}/state", studio.keep_state, methods=["PUT"]),
        Route(f"{own}/pictures", studio.add_picture, methods=["POST"]),
        Route(f"{own}/bundled", studio.add_bundled, methods=["POST"]),
        Route(f"{own}/pictures/{{picture}}/{{kind}}", studio.picture),
        Route(f"{own}/match", studio.match, methods=["POST"]),
        Route(f"{own}/sketch", studio.sketch, methods=["POST"]),
        Route(f"{own}/prepare", studio.prepare, methods=["POST"]),
        Route(f"{own}/paint", studio.paint, methods=["POST"]),
        Route(f"{own}/queue", studio.reorder, methods=["PUT"]),
        Route(f"{shot}/stop", studio.stop, methods=["POST"]),
        Route(f"{shot}/resume", studio.resume, methods=["POST"]),
        Route(f"{shot}/keep", studio.keep, methods=["POST"]),
        Route(shot, studio.remove, methods=["DELETE"]),
        Route(f"{shot}/{{file}}", studio.snapshot_file),
        WebSocketRoute(f"{own}/events", studio.events),
    ]


async def _expiring(studio: Studio) -> None:
    """Remove old sessions now and then, but none that is being painted for."""
    while True:
        await asyncio.sleep(EXPIRE_EVERY_S)
        busy = studio.easel.current
        if busy is not None:
            studio.sessions.get(busy.session.name)
        studio.sessions.expire()


async def _failed(request: Request, error: Exception) -> Response:
    return JSONResponse({"line": "this could not be done; the studio's terminal says why"}, 500)


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, Refused) else 400
    return PlainTextResponse(str(error), status, headers={"connection": "close"})
