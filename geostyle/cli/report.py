"""draw the contact sheet and the HTML report of a run folder again"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from geostyle.config import Parser


def main(argv: Sequence[str]) -> int:
    """Draw both from the files of the folder, without computing anything again."""
    parser = Parser(
        prog="geostyle report",
        description="Draw a transfer's sheet and report again.",
    )
    parser.add_argument("run", type=Path, help="run folder, such as runs/00001-transfer")
    run = parser.parse_args(argv).run
    from geostyle.report.html import write_report

    print(write_report(run))
    return 0
