"""Nearest neighbors: for every cell of the content, the cell of a texture to be painted after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from geostyle.coords import Size
from geostyle.texture.cells import Bank, rows_of

# Similarities computed at once: 64 MB in float32.
CHUNK = 1 << 24
# Pairs of cells that are compared one by one.
MOST_PAIRS = 1 << 26
# Most that a cell's price may add to or take from a similarity.
MAX_PRICE = 0.08
# Similarity that one e-fold of a texture's share is worth where textures compete for a cell.
SHARE_GAIN = 0.1


@dataclass(frozen=True)
class Match:
    """For each of N queries, row by row, the cell of a texture that is nearest.

    Attributes:
        index: (N,), number of the cell in its bank.
        similarity: (N,), centered cosine, in [-1, 1]; no price or penalty in it.
        style: (N,), number of the bank.
    """

    index: Tensor
    similarity: Tensor
    style: Tensor


@dataclass(frozen=True)
class Queries:
    """Cells of a picture that look for their nearest in the textures.

    Attributes:
        columns: (1, C, h, w), hypercolumns.
        colors: (1, 3, h, w), mean colors in the palette of the textures.
        tone: (1, 1, h, w), similarity lost per squared difference of colors.
        masks: (n, 1, h, w), of every texture in every cell.
        expected: by texture, (1, 3, h, w) or None: normalized (x, y) where the match is expected,
            and the similarity lost per squared normalized distance from there.
    """

    columns: Tensor
    colors: Tensor
    tone: Tensor
    masks: Tensor
    expected: Sequence[Tensor | None]

    @property
    def size(self) -> Size:
        """(H, W) in cells."""
        return self.columns.shape[-2], self.columns.shape[-1]

    def halved(self) -> Queries:
        """The same picture in cells of twice the side."""
        return Queries(
            F.avg_pool2d(self.columns, 2),
            F.avg_pool2d(self.colors, 2),
            F.avg_pool2d(self.tone, 2),
            F.avg_pool2d(self.masks, 2),
            [None if maps is None else F.avg_pool2d(maps, 2) for maps in self.expected],
        )


class Matcher:
    """Finds nearest cells by centered cosine, on the main axes of the texture's hypercolumns.

    Args:
        banks: one per texture.
        dims: axes that similarities are computed on; exact ones would take all channels.
        spread: how much the use of a texture is evened out, 0 to 1: cells that are used more than
            their share get dearer, cells that are not, cheaper, in `passes` rounds.
        most: pairs of cells that are compared one by one; beyond that, cells of twice the side are
            matched first, and their matches refined nearby.

    Source: Kolkin et al., "Neural Neighbor Style Transfer", section 3.2, for the centered cosine.
        The prices are those of the dual of optimal transport, as in auction algorithms (Bertsekas
        1988), bounded: a relaxed transport between both sides.
    """

    def __init__(
        self,
        banks: Sequence[Bank],
        *,
        dims: int = 96,
        spread: float = 0.5,
        passes: int = 4,
        most: int = MOST_PAIRS,
    ) -> None:
        self.banks, self.dims, self.spread, self.most = list(banks), dims, spread, most
        self.passes = passes if spread else 1
        self.means = [bank.columns.mean(0) for bank in self.banks]
        self.axes = [
            _axes(bank.columns, mean, dims)
            for bank, mean in zip(self.banks, self.means, strict=True)
        ]

    def match(self, queries: Queries) -> Match:
        """The nearest cells to `queries`; the means of their masks are the textures' parts."""
        found = [self._nearest(queries, number, bank) for number, bank in enumerate(self.banks)]
        if len(found) == 1:
            index, similarity = found[0]
            return Match(index, similarity, torch.zeros_like(index))
        indices, similarities = (torch.stack(part) for part in zip(*found, strict=True))
        style = _choose(similarities, queries.masks.flatten(1), queries.size)
        index, similarity = (part.gather(0, style[None])[0] for part in (indices, similarities))
        return Match(index, similarity, style)

    def _nearest(self, queries: Queries, number: int, bank: Bank) -> tuple[Tensor, Tensor]:
        """Indices and similarities (N,) of the cells of one bank."""
        pairs = queries.size[0] * queries.size[1] * len(bank.columns)
        candidates: Tensor | None = None
        if pairs > self.most and min(*queries.size, *bank.size) >= 2:
            coarse, _ = self._nearest(queries.halved(), number, bank.halved())
            candidates = _nearby(coarse, queries.size, bank)
        plain, plain_keys, found, keys = self._prepared(queries, number, bank)
        if candidates is None:
            index = self._priced(found, keys, bank, queries.masks[number].flatten())
        else:
            index = _best_of(found, keys, candidates)
        return index, (plain * plain_keys[index]).sum(1)

    def _prepared(
        self, queries: Queries, number: int, bank: Bank
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Queries and keys without and with the penalties on colors and distances."""
        axes = self.axes[number]
        rows = rows_of(queries.columns)
        plain = torch.cat([unit @ axes for unit in _units(rows, rows.mean(0))])
        keys_of = _units(bank.columns, self.means[number])
        plain_keys = torch.cat([unit @ axes for unit in keys_of])
        found, keys = plain, plain_keys
        if queries.tone.any():
            pull = queries.tone.flatten()
            found, keys = _nearer(found, keys, rows_of(queries.colors), bank.colors, pull)
        goal = queries.expected[number]
        if goal is not None:
            at = rows_of(goal)
            found, keys = _nearer(found, keys, at[:, :2], bank.positions, at[:, 2])
        return plain, plain_keys, found, keys

    def _priced(self, found: Tensor, keys: Tensor, bank: Bank, weight: Tensor) -> Tensor:
        """Best cells after all rounds of pricing; `weight` (N,) of each query in the use."""
        price = found.new_zeros(bank.size[0] * bank.size[1])
        fair = max(1e-6, float(weight.sum()) / len(price))
        for round_ in range(self.passes):
            index = _best(found, keys, price[bank.places])
            if round_ + 1 == self.passes:
                break
            used = torch.bincount(bank.places[index], weights=weight, minlength=len(price))
            used = F.avg_pool2d(
                used.to(price).view(1, 1, *bank.size), 3, 1, 1, count_include_pad=False
            ).flatten()
            step = 0.03 * self.spread * torch.log((used / fair + 0.25) / 1.25)
            price = (price + step).clamp(-MAX_PRICE, MAX_PRICE)
        return index


def _axes(columns: Tensor, mean: Tensor, dims: int) -> Tensor:
    """(C, d) main axes of the directions of `columns` (M, C) from their mean."""
    form = sum((unit.T @ unit for unit in _units(columns, mean)), mean.new_zeros(()))
    _, vectors = torch.linalg.eigh(form)
    return vectors[:, -min(dims, vectors.shape[1]) :]


def _units(columns: Tensor, mean: Tensor) -> Iterator[Tensor]:
    """Directions of `columns` (M, C) from `mean` (C,), in chunks: copies of all would be large."""
    for part in columns.split(max(1, CHUNK // columns.shape[1])):
        yield F.normalize(part - mean, dim=1)


def _nearby(coarse: Tensor, size: Size, bank: Bank) -> Tensor:
    """Candidates (N, 16) in `bank` around the matches of cells of twice the side.

    Args:
        coarse: (n,), matches in the halved bank of the halved picture, row by row.
        size: (H, W) of the picture in cells, N of them.
    """
    # Of every coarse cell: row, column, height and width of its sheet, and where that begins.
    table = []
    offset = 0
    for sheet in bank.sheets:
        height, width = sheet.columns.shape[-2:]
        cell = torch.arange((height // 2) * (width // 2))
        rest = (torch.full_like(cell, value) for value in (height, width, offset))
        table.append(torch.stack([2 * (cell // (width // 2)), 2 * (cell % (width // 2)), *rest]))
        offset += height * width
    rows = (torch.arange(size[0], device=coarse.device) // 2).clamp_max(size[0] // 2 - 1)
    columns = (torch.arange(size[1], device=coarse.device) // 2).clamp_max(size[1] // 2 - 1)
    parent = (rows[:, None] * (size[1] // 2) + columns).flatten()
    own = torch.cat(table, 1).to(coarse.device)[:, coarse[parent]]
    top, left, high, wide, start = own[:, :, None].unbind(0)
    around = torch.arange(-1, 3, device=coarse.device)
    down = (top + around).clamp_min(0).minimum(high - 1)
    across = (left + around).clamp_min(0).minimum(wide - 1)
    return (start[:, :, None] + down[:, :, None] * wide[:, :, None] + across[:, None]).flatten(1)


def _best_of(queries: Tensor, keys: Tensor, candidates: Tensor) -> Tensor:
    """The one (N,) of the `candidates` (N, K) whose key has the largest product with the query."""
    step = max(1, CHUNK // (candidates.shape[1] * keys.shape[1]))
    best = [
        offered.gather(1, (keys[offered] @ part[:, :, None]).squeeze(2).argmax(1, keepdim=True))
        for part, offered in zip(queries.split(step), candidates.split(step), strict=True)
    ]
    return torch.cat(best).squeeze(1)


def _nearer(
    queries: Tensor, keys: Tensor, wanted: Tensor, offered: Tensor, pull: Tensor
) -> tuple[Tensor, Tensor]:
    """Queries and keys whose products are less by pull · |wanted − offered|², up to a constant.

    Args: queries (N, C), keys (M, C), wanted (N, d), offered (M, d), pull (N,).
    """
    pull = pull[:, None]
    queries = torch.cat([queries, 2 * pull * wanted, -pull], 1)
    return queries, torch.cat([keys, offered, offered.square().sum(1, keepdim=True)], 1)


def _best(queries: Tensor, keys: Tensor, price: Tensor) -> Tensor:
    """Number (N,) of the key of the largest product with each query, less its price (M,)."""
    wide = torch.cat([queries, torch.ones_like(queries[:, :1])], 1)
    tall = torch.cat([keys, -price[:, None]], 1).T.contiguous()
    step = max(1, CHUNK // tall.shape[1])
    return torch.cat([largest(part @ tall) for part in wide.split(step)])


def largest(values: Tensor) -> Tensor:
    """Column (N,) of the largest of every row of `values` (N, M), the first of equals.

    Three times as fast on a CPU as ``argmax``, which is not vectorized there.
    """
    rows, columns = values.shape
    block = 64
    if columns % block:
        values = F.pad(values, (0, -columns % block), value=float("-inf"))
    blocks = values.view(rows, -1, block)
    best = blocks.amax(2).argmax(1)
    within = blocks[torch.arange(rows, device=values.device), best].argmax(1)
    return best * block + within


def _choose(similarity: Tensor, masks: Tensor, size: Size) -> Tensor:
    """The texture of every cell: the most similar one, in parts as large as the masks say.

    Args: similarity, masks: (n, N); size: (H, W), whose cells are the N.
    """
    maps = similarity.view(len(similarity), 1, *size)
    smooth = F.avg_pool2d(maps, 5, stride=1, padding=2, count_include_pad=False).flatten(1)
    score = smooth + SHARE_GAIN * masks.clamp_min(1e-12).log()
    score = score.masked_fill(masks <= 1e-3, float("-inf"))
    wanted = masks.sum(1) / masks.sum().clamp_min(1e-12)
    offset = torch.zeros_like(wanted)
    for round_ in range(50):
        chosen = (score + offset[:, None]).argmax(0)
        got = torch.bincount(chosen, minlength=len(wanted)).to(wanted) / len(chosen)
        offset = offset + 0.1 * 0.93**round_ * (wanted - got)
    return (score + offset[:, None]).argmax(0)
