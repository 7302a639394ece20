"""list the bundled pictures, or copy them into a folder

geostyle pictures              their names and sizes
geostyle pictures FOLDER       copies them into FOLDER, to try commands on
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from geostyle.config import Parser, own_path
from geostyle.errors import InputError
from geostyle.io.files import write_bytes

PICTURES = Path(str(resources.files("geostyle"))) / "assets" / "pictures"


def main(argv: Sequence[str]) -> int:
    """List or copy; 0 when done."""
    parser = Parser(
        prog="geostyle pictures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folder", nargs="?", type=own_path, metavar="FOLDER", help="where copies are made"
    )
    folder = parser.parse_args(argv).folder
    paths = sorted(PICTURES.rglob("*.jpg"))
    if folder is None:
        from geostyle.io.images import load_picture

        for path in paths:
            height, width = load_picture(path).size
            print(f"{path.relative_to(PICTURES).with_suffix('')}  {width}x{height}")
        print(f"folder: {PICTURES}")
        return 0
    if folder.exists() and not folder.is_dir():
        raise InputError(f"folder: expected a folder, got the file {str(folder)!r}")
    targets = {path: folder / path.relative_to(PICTURES) for path in paths}
    for path, target in targets.items():
        if target.exists() and target.read_bytes() != path.read_bytes():
            raise InputError(f"folder: expected one without other pictures, got {str(target)!r}")
    for path, target in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(target, path.read_bytes())
    print(f"pictures: {len(targets)} in {folder}")
    return 0
