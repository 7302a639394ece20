"""Start the studio: a socket, a server, a browser."""

from __future__ import annotations

import socket
import threading
import webbrowser

from geostyle.errors import InputError
from geostyle.io.files import make_folder
from geostyle.studio.guard import new_token
from geostyle.studio.settings import StudioSettings


def serve(settings: StudioSettings, transfer: str) -> int:
    """Serve the studio until Ctrl-C; the exit status.

    Args: transfer, what the worker paints with, as "module:function".

    Raises: InputError where the port is taken.
    """
    import uvicorn

    from geostyle.studio.app import application
    from geostyle.studio.hub import Hub

    make_folder(settings.folder)
    listening = _listen(settings)
    port = listening.getsockname()[1]
    token = new_token()
    hub = Hub(transfer, settings.folder / "worker.log")
    config = uvicorn.Config(
        application(settings, hub, port, token),
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        ws_max_size=1 << 16,
        timeout_graceful_shutdown=2,
        limit_concurrency=400,
    )
    address = address_of(settings, port, token)
    print(f"studio: {address}", flush=True)
    print(f"results that are kept: {settings.output}; Ctrl-C ends the studio", flush=True)
    if settings.browser:
        threading.Timer(0.5, webbrowser.open, [address]).start()
    server = uvicorn.Server(config)
    server.run(sockets=[listening])
    return 0


def address_of(settings: StudioSettings, port: int, token: str) -> str:
    """The address to open."""
    host = settings.host if settings.local else socket.gethostname()
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}/" + ("" if settings.password else f"?token={token}")


def _listen(settings: StudioSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise InputError(
            f"port: expected a free one on {settings.host}, got {settings.port} "
            f"({error.strerror}); --port 0 takes any"
        ) from None
    listening.listen(128)
    return listening
