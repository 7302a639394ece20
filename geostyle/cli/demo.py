"""make a first picture from bundled ones: a cup takes another shape and a painted texture

geostyle demo                  at 512 px, in minutes
geostyle demo --quick          in about a third of the time; takes every flag of ``transfer``
"""

from __future__ import annotations

from collections.abc import Sequence

from geostyle.cli import transfer
from geostyle.cli.pictures import PICTURES


def main(argv: Sequence[str]) -> int:
    """Run ``geostyle transfer`` on three bundled pictures; flags given take precedence."""
    given = [
        *("--content", str(PICTURES / "content" / "coffee.jpg")),
        *("--geo-style", str(PICTURES / "geo" / "coffee.jpg")),
    ]
    # Several texture styles may be given, which would add to this one.
    if not any(word.partition("=")[0] == "--tex-style" for word in argv):
        given += ["--tex-style", str(PICTURES / "styles" / "night.jpg")]
    return transfer.main([*given, *argv], "geostyle demo")
