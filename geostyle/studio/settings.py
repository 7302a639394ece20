"""Settings of the studio."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from geostyle.config import check, setting
from geostyle.errors import InputError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SHORTEST_PASSWORD = 8


@dataclass(frozen=True)
class StudioSettings:
    """Settings of the studio: its address, what it keeps, and how much it takes."""

    port: int = setting(8765, min=0, max=65535, help="port; 0 takes a free one")
    host: str = setting(
        "127.0.0.1", help="address to listen on; any other than this machine's own needs --password"
    )
    password: str | None = setting(None, help="password that the page asks for; demanded by --host")
    browser: bool = setting(True, help="open a browser")
    output: Path = setting(Path("runs"), help="folder that gets the runs that are kept")
    keep_days: float = setting(
        7.0, min=0.01, max=3650.0, help="days after which a session that nobody opened is removed"
    )
    max_mb: float = setting(64.0, min=0.01, max=1024.0, help="largest picture file, in MB")
    max_megapixels: float = setting(50.0, min=0.01, max=200.0, help="largest picture, in Mpx")
    max_pictures: int = setting(400, min=3, max=10000, help="most pictures and masks of a session")
    max_sessions: int = setting(64, min=1, max=1000, help="most sessions kept at a time")

    def __post_init__(self) -> None:
        check(self)
        if not self.local and len(self.password or "") < SHORTEST_PASSWORD:
            got = "none" if not self.password else "a shorter one"
            raise InputError(
                f"password: expected at least {SHORTEST_PASSWORD} characters with "
                f"--host {self.host}, got {got}"
            )

    @property
    def local(self) -> bool:
        """True where only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def max_bytes(self) -> int:
        """Largest body of a request."""
        return int(self.max_mb * 1e6)

    @property
    def folder(self) -> Path:
        """Folder of the sessions."""
        return self.output / ".studio"
