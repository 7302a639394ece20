"""list the bundled fast styles, or paint one picture in all of them

geostyle styles                              their names, media, sizes and files
geostyle styles sheet.png                    a sheet of their pictures, and of a cat in each of them
geostyle styles sheet.png --content my.jpg   the same with a picture of yours
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from geostyle.config import Parser, own_path
from geostyle.errors import InputError
from geostyle.io.files import ASSETS, check_folder

if TYPE_CHECKING:
    from geostyle.report.sheet import Panel

MEDIA = {
    "charcoal": "charcoal on ribbed paper",
    "gouache": "flat, opaque gouache",
    "mosaic": "glass and stone tesserae",
    "night": "thick oil paint",
    "pointillism": "oil, dots of divided color",
    "watercolor": "watercolor and ink",
    "woodcut": "relief print in four inks",
}
PICTURES = ASSETS / "pictures"
COLUMNS, LONGEST_PX = 4, 512


def main(argv: Sequence[str]) -> int:
    """List, or write the sheet; 0 when done."""
    parser = Parser(
        prog="geostyle styles",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "sheet", nargs="?", type=own_path, metavar="SHEET", help="PNG file to write"
    )
    parser.add_argument(
        "--content", type=own_path, metavar="PICTURE", help="picture to paint; default: a cat"
    )
    args = parser.parse_args(argv)
    from geostyle.feedforward.files import FAST, bundled

    found = bundled(FAST)
    if args.sheet is None:
        for name, path in found.items():
            size = path.stat().st_size / 1e6
            print(f"{name:<12}  {MEDIA.get(name, ''):<27} {size:.2f} MB  {path.name}")
        print(f"folder: {ASSETS}", "use one: geostyle fast-apply NAME PICTURE OUTPUT", sep="\n")
        return 0
    if args.sheet.suffix.lower() != ".png":
        raise InputError(f"sheet: expected the name of a .png file, got {str(args.sheet)!r}")
    from geostyle.report.sheet import save_sheet

    check_folder(args.sheet.parent)
    save_sheet(rows(args.content or PICTURES / "content" / "chelsea.jpg"), args.sheet)
    print(f"sheet: {args.sheet}")
    return 0


def rows(content: Path) -> list[list[Panel]]:
    """Return rows of a sheet: the styles' own pictures, and below each `content` painted in it."""
    from geostyle.cli._painting_run import at_size
    from geostyle.feedforward.fast_network import repaint
    from geostyle.feedforward.files import FAST, bundled, load_network, style_picture
    from geostyle.io.images import load_picture, to_uint8
    from geostyle.report.sheet import Panel

    picture = load_picture(content, name="content")
    image = at_size(picture, min(LONGEST_PX, max(picture.size)))
    found = bundled(FAST)
    shown, painted = [], []
    for name, path in found.items():
        network, _ = load_network(path, FAST)
        own = to_uint8(load_picture(style_picture(name)).tensor)
        shown.append(Panel(name, own, MEDIA.get(name, "")))
        painted.append(Panel("", to_uint8(repaint(network, image, seed=0))))
    shown.append(Panel("content", to_uint8(image)))
    starts = range(0, len(shown), COLUMNS)
    return [part[i : i + COLUMNS] for i in starts for part in (shown, painted)]
