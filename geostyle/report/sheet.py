"""Contact sheets: captioned pictures in rows."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from geostyle.io.files import write_bytes

PAPER, INK, MUTED = (250, 249, 246), (34, 34, 36), (128, 126, 122)


@dataclass(frozen=True)
class Panel:
    """A picture (H, W, 3) uint8 with a caption, and a sign that joins it to the one before."""

    title: str
    image: np.ndarray
    note: str = ""
    sign: str = ""

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.image.shape[1] / self.image.shape[0]


def join(row: Sequence[Panel]) -> list[Panel]:
    """Return panels as a sum: a plus sign before each but the first, an arrow before the last."""
    signs = ["", *["+"] * (len(row) - 2), "→"]
    return [replace(panel, sign=sign) for panel, sign in zip(row, signs, strict=False)]


def contact_sheet(rows: Sequence[Sequence[Panel]], height_px: int = 420) -> np.ndarray:
    """Return rows of panels on one sheet, aligned in columns.

    Args:
        rows: panels; their signs, if any, are drawn in the gaps.
        height_px: the height of a panel; wide pictures lower it so that the sheet stays legible.

    Returns: (H, W, 3) uint8.
    """
    n_columns = max(map(len, rows))
    columns = [[row[i] for row in rows if i < len(row)] for i in range(n_columns)]
    joined = any(panel.sign for row in rows for panel in row)
    widest = [max(panel.aspect for panel in column) for column in columns]
    height = max(120, min(height_px, round(height_px * 1.5 * n_columns / sum(widest))))
    widths = [max(40, round(min(aspect, 2.4) * height)) for aspect in widest]
    gap, margin, caption = (64 if joined else 20), 40, 46
    sheet = Image.new(
        "RGB",
        (2 * margin + sum(widths) + gap * (n_columns - 1),
         2 * margin + len(rows) * (height + caption) + 24 * (len(rows) - 1)),
        PAPER,
    )  # fmt: skip
    draw = ImageDraw.Draw(sheet)
    bold, plain, sign = _font(19, "DejaVuSans-Bold"), _font(15), _font(38)
    for r, row in enumerate(rows):
        top = margin + r * (height + caption + 24)
        for i, panel in enumerate(row):
            left = margin + sum(widths[:i]) + gap * i
            draw.text((left, top), panel.title, INK, bold)
            space = widths[i] - draw.textlength(panel.title, bold) - 14
            if draw.textlength(panel.note, plain) <= space:
                draw.text((left + widths[i], top + 3), panel.note, MUTED, plain, anchor="ra")
            else:
                draw.text((left, top + 25), panel.note, MUTED, plain)
            picture = fit(panel.image, (height, widths[i]))
            sheet.paste(picture, (left + (widths[i] - picture.width) // 2, top + caption))
            before = (left - gap // 2, top + caption + height // 2)
            draw.text(before, panel.sign, MUTED, sign, anchor="mm")
    return np.asarray(sheet)


def save_sheet(
    rows: Sequence[Sequence[Panel]], path: Path, height_px: int = 320, *, joined: bool = False
) -> None:
    """Write a contact sheet as a PNG file, whole or not at all; `joined` makes each row a sum."""
    sheet = contact_sheet([join(row) for row in rows] if joined else rows, height_px)
    write_bytes(path, encode(sheet, "PNG"))


def fit(image: np.ndarray, box: tuple[int, int]) -> Image.Image:
    """Return a picture at the largest size that keeps its shape within `box` (H, W)."""
    height, width = image.shape[:2]
    scale = min(box[0] / height, box[1] / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(image)
    return picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS)


def encode(image: np.ndarray | Image.Image, kind: str) -> bytes:
    """Return a picture as the bytes of a file, `kind` being "JPEG" or "PNG"."""
    buffer = io.BytesIO()
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    options = {"quality": 92, "subsampling": 0} if kind == "JPEG" else {"compress_level": 4}
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _font(size: int, name: str = "DejaVuSans") -> ImageFont.FreeTypeFont:
    """Return a font that matplotlib carries, so that sheets look alike on every machine."""
    found = find_spec("matplotlib")
    folder = Path(found.origin if found and found.origin else "").parent / "mpl-data/fonts/ttf"
    if not folder.is_dir():  # where a distribution keeps its data elsewhere
        import matplotlib

        folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(folder / f"{name}.ttf", size)
