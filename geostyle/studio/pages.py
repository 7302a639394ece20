"""The page's own files, the bundled pictures, and the door: token and password."""

from __future__ import annotations

import time
from importlib import resources
from pathlib import Path
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)

from geostyle.studio.guard import Guard, Refused
from geostyle.studio.settings import StudioSettings

TYPES = {
    ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml",
    ".json": "application/json", ".jpg": "image/jpeg",
}  # fmt: skip
GALLERY = ("content", "geo", "styles", "textures", "scenes")
MOST_TRIES, TRIES_S = 5, 60.0  # of the password


def static_files() -> dict[str, Path]:
    """The page's files by name; nothing else can be asked for."""
    folder = Path(str(resources.files("geostyle") / "studio" / "static"))
    return {path.name: path for path in folder.iterdir() if path.suffix in TYPES}


def gallery_files() -> dict[str, Path]:
    """The bundled pictures by name."""
    root = Path(str(resources.files("geostyle") / "assets" / "pictures"))
    return {
        f"{folder}-{path.stem}": path
        for folder in GALLERY
        for path in sorted((root / folder).glob("*.jpg"))
    }


class Pages:
    """The page, its files and the gallery.

    Attributes: guard, set by `application`.
    """

    guard: Guard

    def __init__(self, settings: StudioSettings) -> None:
        self.settings = settings
        self.static, self.gallery = static_files(), gallery_files()
        self._tries: list[float] = []

    async def page(self, request: Request) -> Response:
        """The page; the token in its address becomes a cookie."""
        token = request.query_params.get("token")
        if token is not None and not self.settings.password and self.guard.is_token(token):
            response: Response = RedirectResponse("/", 303)
            self._admit(response)
            return response
        if not self.guard.admits(request.scope):
            if self.settings.password:
                return self._file("login.html")
            raise Refused(403, "open the studio at the address that it printed when it started")
        return self._file("index.html")

    async def login(self, request: Request) -> Response:
        """Take the password; no more than five tries a minute."""
        self._tries = [t for t in self._tries if t > time.monotonic() - TRIES_S]
        if len(self._tries) >= MOST_TRIES:
            return PlainTextResponse("too many tries; wait a minute", 429)
        form = (await request.body())[:1000].decode("utf-8", "replace")
        if not self.guard.is_password(parse_qs(form).get("password", [""])[0]):
            self._tries.append(time.monotonic())
            return self._file("login.html", 403)
        response = RedirectResponse("/", 303)
        self._admit(response)
        return response

    async def static_file(self, request: Request) -> Response:
        """A file of the page."""
        return self._file(request.path_params["name"])

    async def pictures_of_gallery(self, request: Request) -> Response:
        """The bundled pictures."""
        names = [
            {"name": name, "kind": name.partition("-")[0], "title": title_of(name)}
            for name in self.gallery
        ]
        return JSONResponse(names)

    async def picture_of_gallery(self, request: Request) -> Response:
        """A bundled picture."""
        path = self.gallery.get(request.path_params["name"])
        if path is None:
            raise HTTPException(404)
        return FileResponse(path, headers={"cache-control": "max-age=86400"})

    def _admit(self, response: Response) -> None:
        """Give the token to this browser."""
        response.set_cookie(
            self.guard.cookie, self.guard.token, httponly=True, samesite="strict", path="/"
        )

    def _file(self, name: str, status: int = 200) -> Response:
        path = self.static.get(name)
        if path is None:
            raise HTTPException(404)
        return FileResponse(path, status, media_type=TYPES[path.suffix])


def title_of(name: str) -> str:
    """A bundled picture's title: "styles-night" is "Night"."""
    return name.partition("-")[2].replace("_", " ").capitalize()
