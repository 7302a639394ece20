"""open a page on this machine where warps are dragged and paintings are watched

Nothing leaves the machine: the server answers this machine alone unless --host says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec

from geostyle import config
from geostyle.errors import InputError
from geostyle.studio.settings import StudioSettings

# What the worker process paints with; the server itself loads no network.
TRANSFER = "geostyle.cli._live_transfer:transfer_live"
NEEDED = ("starlette", "uvicorn", "websockets")


def main(argv: Sequence[str]) -> int:
    """Serve the studio until Ctrl-C."""
    settings, args = config.parse(
        StudioSettings, argv, prog="geostyle studio", description="Open the studio in a browser."
    )
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise InputError(
            f"studio: expected the packages of its extra, got no {', '.join(missing)}; "
            "install them: pip install 'geostyle[studio]'"
        )
    if args.dry_run:
        hidden = None if settings.password is None else "…" * 8
        print("settings:", *config.dump_yaml(replace(settings, password=hidden)).splitlines(),
              sep="\n  ")  # fmt: skip
        return 0
    from geostyle.studio.serve import serve

    return serve(settings, TRANSFER)
