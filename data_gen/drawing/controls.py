"""Every control on one sheet: `python data_gen/drawing/controls.py --output docs/controls.jpg`.

Takes a few minutes; the sheet in docs/ is its output on the bundled pictures and network.
"""

from __future__ import annotations

import argparse
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import geostyle
from geostyle.io.images import as_tensor, load_picture, to_uint8
from geostyle.report.sheet import Panel, contact_sheet

PICTURES = Path(str(resources.files("geostyle"))) / "assets" / "pictures"
CAT, CUP, NIGHT, GLASS, WOODCUT, MOSAIC = (
    PICTURES / f"{name}.jpg"
    for name in (
        *("content/chelsea", "content/coffee", "styles/night", "styles/glass"),
        *("styles/woodcut", "styles/mosaic"),
    )
)


def half(path: Path, *, soft: float = 0.2) -> np.ndarray:
    """A mask for a picture, white on its left, with a soft edge of `soft` of its width."""
    height, width = load_picture(path).size
    ramp = np.clip(0.5 + (0.5 - np.linspace(0, 1, width)) / soft, 0, 1)
    return np.tile(ramp.astype(np.float32), (height, 1))


def rows() -> list[list[tuple[str, dict[str, Any]]]]:
    """What is shown: the title and the arguments of `geostyle.transfer`, row by row."""
    night = {"content": CUP, "tex_style": NIGHT}
    two: dict[str, Any] = {"content": CAT, "tex_style": [GLASS, WOODCUT]}
    return [
        [(f"strength {s}", {**night, "tex_strength": s}) for s in (0.0, 0.25, 0.5, 1.0, 2.0)],
        [(f"content {w}", {**night, "content_weight": w}) for w in (0.0, 0.3, 1.0, 4.0, 16.0)],
        [
            *((f"scale {s}", {"content": CAT, "tex_style": MOSAIC, "tex_scale": s})
              for s in (0.5, 1.0, 2.0)),
            *((f"colors {how}", {**night, "preserve_color": how})
              for how in ("lab", "histogram")),
        ],
        [
            ("weights 1 0", {**two, "tex_weights": [1, 0]}),
            ("weights 1 1", {**two, "tex_weights": [1, 1]}),
            ("weights 0 1", {**two, "tex_weights": [0, 1]}),
            ("mask: one each half", {**two, "tex_mask": half(CAT)}),
            ("mask: half painted", {**night, "tex_mask": half(CUP)}),
        ],
    ]  # fmt: skip


def main() -> int:
    """Paint everything and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="the sheet, a .jpg")
    parser.add_argument("--size", type=int, default=240, help="long side of the pictures, px")
    args = parser.parse_args()
    shown = [
        [
            Panel(
                title,
                to_uint8(geostyle.transfer(size_px=args.size, **arguments).tensor),
            )
            for title, arguments in tqdm(row, desc=f"row {number}", file=sys.stderr)
        ]
        for number, row in enumerate(rows(), start=1)
    ]
    sheet = contact_sheet(shown, height_px=240)
    geostyle.save_picture(as_tensor(sheet), args.output, quality=88)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
