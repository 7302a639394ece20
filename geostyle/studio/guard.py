"""The gate before every request: Host, Origin, token, path, method and size; and the headers after.

A page of another site may open connections to this machine. It cannot read the token, which is in
a cookie of this host and port; Host is checked because a foreign name can be made to point here.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

from geostyle.studio.settings import LOOPBACK, StudioSettings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
PATH = re.compile(rb"/[A-Za-z0-9/_.-]*")
LONGEST_QUERY = 200
SMALL_BODY = 1 << 20  # of requests that carry no picture
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
)


class Refused(Exception):
    """A request that is not answered: its status and a line for whoever sent it."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


class Guard:
    """Middleware that lets only the page's own requests through to `app`.

    Args:
        app: the application behind it.
        settings: of the studio.
        port: that the server listens on.
        token: secret of this start of the studio, in its address and in the cookie.
    """

    def __init__(self, app: Any, settings: StudioSettings, port: int, token: str) -> None:
        self.app, self.settings, self.port, self.token = app, settings, port, token
        self.cookie = f"geostyle-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        try:
            self.check(scope)
        except Refused as refused:
            await _refuse(scope, send, refused)
            return
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
            return
        await self._bounded(scope, receive, send)

    def check(self, scope: Scope) -> None:
        """Check everything that can be seen before the body.

        Raises: Refused.
        """
        headers = scope["headers"]
        host = self._checked_host([v for k, v in headers if k == b"host"])
        self._check_origin(scope, host)
        path = scope.get("raw_path") or scope["path"].encode()
        path = path.partition(b"?")[0]
        if not PATH.fullmatch(path) or b".." in path or b"//" in path:
            raise Refused(400, "this address is not one of the studio's")
        if len(scope["query_string"]) > LONGEST_QUERY:
            raise Refused(414, "this address is too long")
        if scope["type"] == "http":
            if scope["method"] not in METHODS:
                raise Refused(405, "this method is not used here")
            self._check_length(headers, path)
        if path in (b"/login", b"/") or path in (b"/static/login.css",):
            return  # they check the token, or the password, themselves
        if not self.admits(scope):
            raise Refused(403, "open the studio at the address that it printed when it started")

    def admits(self, scope: Scope) -> bool:
        """Return True for a request that carries the token in its cookie."""
        for name, value in scope["headers"]:
            if name == b"cookie":
                try:
                    morsel = SimpleCookie(value.decode("latin-1")).get(self.cookie)
                except CookieError:
                    continue
                if morsel is not None and self.is_token(morsel.value):
                    return True
        return False

    def is_token(self, text: str) -> bool:
        """Return whether `text` is the token, in a time that does not depend on it."""
        return hmac.compare_digest(text.encode("utf-8", "replace"), self.token.encode())

    def is_password(self, text: str) -> bool:
        """Return whether `text` is the password; never where there is none."""
        own = self.settings.password
        if not own:
            return False
        return hmac.compare_digest(text.encode("utf-8", "replace"), own.encode())

    def _checked_host(self, given: list[bytes]) -> str:
        text = given[0].decode("latin-1") if len(given) == 1 else ""
        match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(?::(\d{1,5}))?", text)
        if match is None or int(match[2] or 80) != self.port:
            raise Refused(421, "this is not the address of the studio")
        name = match[1].strip("[]").lower()
        if name not in LOOPBACK and not self._is_own_name(name):
            raise Refused(421, "this is not the address of the studio")
        return text

    def _is_own_name(self, name: str) -> bool:
        """Return whether the studio listens on a name other than this machine's own."""
        if self.settings.local:
            return False
        if name == self.settings.host.lower():
            return True
        try:  # a number cannot be made to point elsewhere
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _check_origin(self, scope: Scope, host: str) -> None:
        headers = scope["headers"]
        origins = [v.decode("latin-1") for k, v in headers if k == b"origin"]
        changes = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        if changes and not origins:
            raise Refused(403, "this request names no page that it comes from")
        if any(origin != f"http://{host}" for origin in origins) or len(origins) > 1:
            raise Refused(403, "this request comes from another page")
        sites = [v for k, v in headers if k == b"sec-fetch-site"]
        opens = scope["type"] == "http" and scope["path"] == "/" and not changes
        if any(site not in (b"same-origin", b"none") for site in sites) and not opens:
            raise Refused(403, "this request comes from another page")

    def _check_length(self, headers: list[tuple[bytes, bytes]], path: bytes) -> None:
        lengths = [v for k, v in headers if k == b"content-length"]
        if len(lengths) > 1 or any(not re.fullmatch(rb"\d{1,19}", v) for v in lengths):
            raise Refused(400, "the length of this request is not a number")
        if lengths and int(lengths[0]) > self._most(path):
            raise Refused(413, f"expected a file of at most {self._most(path) / 1e6:g} MB")

    def _most(self, path: bytes) -> int:
        return self.settings.max_bytes if path.endswith(b"/pictures") else SMALL_BODY

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request whose body is counted as it comes in."""
        most, seen, begun = self._most(scope["path"].encode()), 0, False

        async def counted() -> MutableMapping[str, Any]:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                raise Refused(413, f"expected a file of at most {most / 1e6:g} MB")
            return message

        async def marked(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                own = [name for name, _ in message.get("headers", [])]
                extra = [pair for pair in HEADERS if pair[0] not in own]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        try:
            await self.app(scope, counted, marked)
        except Refused as refused:
            if not begun:
                await _refuse(scope, send, refused)


def new_token() -> str:
    """A secret for one start of the studio."""
    return secrets.token_urlsafe(24)


async def _refuse(scope: Scope, send: Send, refused: Refused) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    body = str(refused).encode()
    headers = [
        *HEADERS,
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
