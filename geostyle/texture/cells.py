"""The cells of a texture: what a picture can be painted after, turned copies included."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    def of(sheets: Iterable[Sheet], count: int) -> Bank:
        """All cells of `count` sheets of equally many cells, the first of which is not turned."""
        # Sheets are copied one by one and become views of the rows: hypercolumns are large.
        rows: list[Tensor] = []
        views = []
        for number, sheet in enumerate(sheets):
            size = sheet.columns.shape[-2], sheet.columns.shape[-1]
            cells = size[0] * size[1]
            maps = _maps_of(sheet)
            rows = rows or [part.new_empty(count * cells, part.shape[1]) for part in maps]
            own = [part[number * cells : (number + 1) * cells] for part in rows]
            for part, values in zip(own, maps, strict=True):
                part.copy_(values[0].flatten(1).T)
            views.append(Sheet(*(part.T.view(1, -1, *size) for part in own)))
            del sheet, maps, values
        columns, colors, at = rows
        height, width = views[0].columns.shape[-2:]
        cell = ((at + 1) / 2 * at.new_tensor([width, height])).long()
        cell = torch.minimum(cell.clamp_min(0), cell.new_tensor([width - 1, height - 1]))
        places = cell[:, 1] * width + cell[:, 0]
        return Bank(views, columns, colors, at, places, (height, width))

    def halved(self) -> Bank:
        """The same texture in cells of twice the side."""
        return Bank.of((sheet.halved() for sheet in self.sheets), len(self.sheets))


def make_bank(
    style: Tensor,
    network: FeatureExtractor,
    scales: dict[str, float],
    *,
    turns: Sequence[int] = (0,),
    tiling: Tiling | None = None,
) -> Bank:
    """The cells of `style` (1, 3, H, W), turned by each of `turns` quarter turns, 0 first."""
    grid = base_grid((style.shape[-2], style.shape[-1]), device=style.device)
    grid = grid.permute(2, 0, 1)[None]

    def sheet(turn: int) -> Sheet:
        turned = torch.rot90(style, turn, (2, 3))
        own = cell_size((turned.shape[-2], turned.shape[-1]))
        return Sheet(
            hypercolumns(turned, network, scales, tiling),
            mean_of_cells(turned, own),
            mean_of_cells(torch.rot90(grid, turn, (2, 3)), own),
        )

    return Bank.of((sheet(turn) for turn in turns), len(turns))


def rows_of(maps: Tensor) -> Tensor:
    """(1, C, H, W) as (H·W, C)."""
    return maps[0].flatten(1).T.contiguous()


def _maps_of(sheet: Sheet) -> tuple[Tensor, Tensor, Tensor]:
    """The maps of a sheet (`dataclasses.astuple` would copy them)."""
    return sheet.columns, sheet.colors, sheet.positions
