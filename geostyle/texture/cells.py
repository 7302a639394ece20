"""The cells of a texture: what a picture can be painted after, turned copies included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from geostyle.coords import Size, base_grid
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.hypercolumns import cell_size, hypercolumns, mean_of_cells
from geostyle.texture.tiles import Tiling


@dataclass(frozen=True)
class Sheet:
    """The cells of one texture, turned by a number of quarter turns.

    Attributes:
        columns: (1, C, h, w), hypercolumns.
        colors: (1, 3, h, w), mean colors of the cells, sRGB in [0, 1].
        positions: (1, 2, h, w), normalized (x, y) in the texture as it is, not turned.
    """

    columns: Tensor
    colors: Tensor
    positions: Tensor

    def halved(self) -> Sheet:
        """Cells of twice the side."""
        return Sheet(*(F.avg_pool2d(maps, 2) for maps in _maps_of(self)))


@dataclass(frozen=True)
class Bank:
    """The cells of one texture, sheet after sheet, row by row.

    Attributes:
        sheets: turned copies.
        columns, colors, positions: (M, C), (M, 3), (M, 2) of all their cells.
        places: (M,), number of the cell as it lies in the texture that is not turned.
        size: (H, W) of the texture in cells.
    """

    sheets: list[Sheet]
    columns: Tensor
    colors: Tensor
    positions: Tensor
    places: Tensor
    size: Size

    @staticmethod
    def of(sheets: Sequence[Sheet]) -> Bank:
        """All cells of `sheets`, the first of which is not turned."""
        columns, colors, at = (
            torch.cat([rows_of(maps) for maps in parts])
            for parts in zip(*(_maps_of(sheet) for sheet in sheets), strict=True)
        )
        height, width = sheets[0].columns.shape[-2:]
        cell = ((at + 1) / 2 * at.new_tensor([width, height])).long()
        cell = torch.minimum(cell.clamp_min(0), cell.new_tensor([width - 1, height - 1]))
        places = cell[:, 1] * width + cell[:, 0]
        # The sheets become views of the rows: hypercolumns are large.
        sizes = [(sheet.columns.shape[-2], sheet.columns.shape[-1]) for sheet in sheets]
        counts = [h * w for h, w in sizes]
        views = [
            Sheet(*(rows.T.view(1, -1, *size) for rows in parts))
            for size, *parts in zip(
                sizes, columns.split(counts), colors.split(counts), at.split(counts), strict=True
            )
        ]
        return Bank(views, columns, colors, at, places, (height, width))

    def halved(self) -> Bank:
        """The same texture in cells of twice the side."""
        return Bank.of([sheet.halved() for sheet in self.sheets])


def make_bank(
    style: Tensor,
    network: FeatureExtractor,
    scales: dict[str, float],
    *,
    turns: Sequence[int] = (0,),
    tiling: Tiling | None = None,
) -> Bank:
    """The cells of `style` (1, 3, H, W), turned by each of `turns` quarter turns, 0 first."""
    sheets = []
    grid = base_grid((style.shape[-2], style.shape[-1]), device=style.device)
    grid = grid.permute(2, 0, 1)[None]
    for turn in turns:
        turned = torch.rot90(style, turn, (2, 3))
        own = cell_size((turned.shape[-2], turned.shape[-1]))
        sheets.append(
            Sheet(
                hypercolumns(turned, network, scales, tiling),
                mean_of_cells(turned, own),
                mean_of_cells(torch.rot90(grid, turn, (2, 3)), own),
            )
        )
    return Bank.of(sheets)


def rows_of(maps: Tensor) -> Tensor:
    """(1, C, H, W) as (H·W, C)."""
    return maps[0].flatten(1).T.contiguous()


def _maps_of(sheet: Sheet) -> tuple[Tensor, Tensor, Tensor]:
    """The maps of a sheet (`dataclasses.astuple` would copy them)."""
    return sheet.columns, sheet.colors, sheet.positions
