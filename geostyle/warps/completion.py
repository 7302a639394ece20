"""Completion of a picture: regions without content are put together from patches of the rest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from geostyle.coords import Size, resize

RADIUS = 2  # of a patch: 5×5 pixels
# Sizes are halved until the long side is at most this; there all patches are compared.
COARSEST_PX = 96
ROUNDS = (8, 3, 2)  # of matching and voting, by level, coarse to fine; the last for all others
# Mean squared difference that a patch is worth which lies nearer by a long side, squared.
NEARNESS = 0.05
# Share of the difference of two patches' mean colors that counts, and the most by which a patch is
# made lighter or darker.
MEAN_SHARE, MOST_TONED = 0.3, 0.15
# Decay of a patch's vote with its mean squared difference, and with its distance from the known.
VOTE_SOFTNESS, CERTAINTY = 0.003, 0.85
CHUNK = 1 << 22  # values compared at once
OFFSETS = [(y, x) for y in range(-RADIUS, RADIUS + 1) for x in range(-RADIUS, RADIUS + 1)]


def complete(image: Tensor, known: Tensor) -> Tensor:
    """Fill a region with patches of the rest of the picture, coarse to fine.

    Args:
        image: (1, C, H, W), values in about [0, 1]; in the region, a first guess such as a smooth
            fill.
        known: (1, 1, H, W), True where the picture stays.

    Returns: (1, C, H, W), `image` bit for bit where it is known, and everywhere where no patch is
        known whole.
    Source: Wexler, Shechtman, Irani, "Space-Time Completion of Video" (2007), section 3; Barnes et
        al., "PatchMatch" (2009), section 3, for the propagation of matches.
    Differs: patches are compared without most of their mean colors, and take those of the guess, so
        that tones go on smoothly and nothing striking is repeated; nearer ones are preferred; all
        are compared at the coarsest size only.
    """
    if bool(known.all()) or not bool(known.any()):
        return image
    sizes = [(image.shape[-2], image.shape[-1])]
    while max(sizes[0]) > COARSEST_PX and min(sizes[0]) >= 8 * RADIUS:
        sizes.insert(0, (-(-sizes[0][0] // 2), -(-sizes[0][1] // 2)))
    filled, matches = image, None
    for level, size in enumerate(sizes):
        there = resize(known.float(), size, "bilinear") > 0.999
        own = resize(image, size)
        if level:
            own = torch.where(there, own, resize(filled, size, "bilinear"))
        centers = _Centers.of(there, sparse=level > 0)
        if centers is None:
            filled = own
            continue
        filled, matches = _level(own, there, centers, matches, ROUNDS[min(level, len(ROUNDS) - 1)])
    return torch.where(known, image, filled.to(image))


@dataclass(frozen=True)
class _Centers:
    """Centers of the patches of one level, as numbers of pixels, row by row.

    Attributes:
        size: (H, W).
        asking: (N,), patches that reach into the hole.
        allowed: (H·W,), True where a whole patch is known.
        certainty: (N,), weight of their votes, less the farther inside the hole.
        shifts: (25,), of a patch's pixels from its center.
    """

    size: Size
    asking: Tensor
    allowed: Tensor
    certainty: Tensor
    shifts: Tensor

    @staticmethod
    def of(known: Tensor, *, sparse: bool) -> _Centers | None:
        """Centers, at every second pixel if `sparse`, for a mask (1, 1, H, W).

        None where no patch is known whole, or none asks.
        """
        size = (known.shape[-2], known.shape[-1])
        if min(size) < 2 * RADIUS + 1:
            return None
        hole = (~known).float()
        near = F.max_pool2d(hole, 2 * RADIUS + 1, 1, RADIUS) > 0
        inner = torch.zeros_like(near)
        inner[..., RADIUS : size[0] - RADIUS, RADIUS : size[1] - RADIUS] = True
        grid = torch.zeros_like(near)
        step = 2 if sparse else 1
        grid[..., RADIUS::step, RADIUS::step] = True
        # The last rows and columns, too, so that the picture's edge is covered.
        grid[..., size[0] - RADIUS - 1, :] = True
        grid[..., :, size[1] - RADIUS - 1] = True
        asking, allowed = (near & inner & grid).flatten(), (~near & inner).flatten()
        if not bool(allowed.any()) or not bool(asking.any()):
            return None
        certainty = CERTAINTY ** _depth(hole).flatten()[asking]
        shifts = torch.tensor([y * size[1] + x for y, x in OFFSETS], device=known.device)
        return _Centers(size, asking.nonzero()[:, 0], allowed, certainty, shifts)


def _level(
    image: Tensor, known: Tensor, centers: _Centers, coarse: Tensor | None, rounds: int
) -> tuple[Tensor, Tensor]:
    """The filled picture of a level, and the matches (H, W) of all its pixels, itself or a source.

    Args:
        coarse: matches of the level before, or None at the coarsest, where all are compared.
    """
    height, width = centers.size
    pixels = image[0].flatten(1).T.contiguous()
    number = torch.arange(height * width, device=image.device)
    matches = number.clone() if coarse is None else _doubled(coarse, centers.size)
    hole, asking = (~known).flatten(), centers.asking
    for round_ in range(rounds):
        means = _means(pixels, centers.size)
        if coarse is None:
            best, error = _compare_all(pixels, means, centers)
        else:
            candidates = _candidates(matches.view(height, width), asking, wide=round_ == 0)
            best, error = _compare(pixels, means, centers, candidates)
        matches[asking] = best
        matches = _spread(matches, centers)
        toned = (means[asking] - means[best]).clamp(-MOST_TONED, MOST_TONED)
        weight = centers.certainty * torch.exp(-error / VOTE_SOFTNESS) + 1e-8
        voted, weights = _vote(pixels, centers, best, toned, weight)
        pixels = torch.where(hole[:, None] & (weights > 0), voted, pixels)
    return pixels.T.reshape(1, -1, height, width), matches.view(height, width)


def _compare_all(pixels: Tensor, means: Tensor, centers: _Centers) -> tuple[Tensor, Tensor]:
    """The best source of every asking patch among all, and its mean squared difference."""
    sources = centers.allowed.nonzero()[:, 0]
    offered = pixels[sources[:, None] + centers.shifts].flatten(1)
    found = []
    for asking in centers.asking.split(max(1, CHUNK // (8 * len(sources)))):
        wanted = pixels[asking[:, None] + centers.shifts].flatten(1)
        cost = torch.cdist(wanted, offered).square() / wanted.shape[1]
        off = torch.cdist(means[asking], means[sources]).square() / pixels.shape[1]
        cost = cost - (1 - MEAN_SHARE) * off
        far = _distance(asking[:, None], sources[None], centers.size)
        chosen = (cost + NEARNESS * far).argmin(1, keepdim=True)
        found.append((sources[chosen[:, 0]], cost.gather(1, chosen)[:, 0]))
    best, error = (torch.cat(parts) for parts in zip(*found, strict=True))
    return best, error


def _compare(
    pixels: Tensor, means: Tensor, centers: _Centers, candidates: Tensor
) -> tuple[Tensor, Tensor]:
    """The best of the `candidates` (N, K), which are not compared where not allowed."""
    shifts = centers.shifts
    step = max(1, CHUNK // (candidates.shape[1] * len(shifts) * pixels.shape[1]))
    found = []
    for asking, offered in zip(centers.asking.split(step), candidates.split(step), strict=True):
        usable = centers.allowed[offered]
        # Patches around numbers near the edge would be read from other rows.
        safe = torch.where(usable, offered, centers.allowed.nonzero()[0, 0])
        wanted = pixels[asking[:, None] + shifts][:, None]
        error = (pixels[safe[:, :, None] + shifts] - wanted).square().mean((2, 3))
        off = (means[safe] - means[asking][:, None]).square().mean(2)
        error = error - (1 - MEAN_SHARE) * off
        cost = error + NEARNESS * _distance(asking[:, None], safe, centers.size)
        chosen = cost.masked_fill(~usable, float("inf")).argmin(1, keepdim=True)
        found.append((safe.gather(1, chosen)[:, 0], error.gather(1, chosen)[:, 0]))
    best, error = (torch.cat(parts) for parts in zip(*found, strict=True))
    return best, error


def _candidates(matches: Tensor, asking: Tensor, *, wide: bool) -> Tensor:
    """Sources (N, K) to compare: a center's own match, places around it, its neighbors' shifted."""
    height, width = matches.shape
    row, column = asking // width, asking % width
    own = matches.flatten()[asking]
    reach = 1 if wide else 0
    found = [
        _clamped(own // width + y, own % width + x, (height, width))
        for y in range(-reach, reach + 1)
        for x in range(-reach, reach + 1)
    ]
    for y, x in ((-2, 0), (2, 0), (0, -2), (0, 2), (-1, 0), (1, 0), (0, -1), (0, 1)):
        beside = matches[(row + y).clamp(0, height - 1), (column + x).clamp(0, width - 1)]
        found.append(_clamped(beside // width - y, beside % width - x, (height, width)))
    return torch.stack(found, 1)


def _vote(
    pixels: Tensor, centers: _Centers, best: Tensor, toned: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Return weighted means (H·W, C) over the patches on every pixel, and their weights."""
    total = torch.zeros_like(pixels)
    weights = torch.zeros_like(pixels[:, :1])
    for shift in centers.shifts:
        said = pixels[best + shift] + toned
        total.index_add_(0, centers.asking + shift, weight[:, None] * said)
        weights.index_add_(0, centers.asking + shift, weight[:, None])
    return total / weights.clamp_min(1e-20), weights


def _means(pixels: Tensor, size: Size) -> Tensor:
    """Mean colors (H·W, C) of the patches around all pixels."""
    maps = pixels.T.reshape(1, -1, *size)
    side = 2 * RADIUS + 1
    means = F.avg_pool2d(maps, side, 1, RADIUS, count_include_pad=False)
    return means[0].flatten(1).T.contiguous()


def _doubled(coarse: Tensor, size: Size) -> Tensor:
    """Matches (H·W,) of a size from those (h, w) of half of it."""
    height, width = size
    row = torch.arange(height, device=coarse.device)[:, None]
    column = torch.arange(width, device=coarse.device)[None]
    own = coarse[
        (row // 2).clamp_max(coarse.shape[0] - 1), (column // 2).clamp_max(coarse.shape[1] - 1)
    ]
    y, x = 2 * (own // coarse.shape[1]) + row % 2, 2 * (own % coarse.shape[1]) + column % 2
    return _clamped(y, x, size).flatten()


def _spread(matches: Tensor, centers: _Centers) -> Tensor:
    """Matches of the pixels between sparse centers, after the center before them."""
    height, width = centers.size
    number = torch.arange(height * width, device=matches.device)
    asks = torch.zeros_like(matches, dtype=torch.bool)
    asks[centers.asking] = True
    row, column = number // width, number % width
    for y, x in ((0, 1), (1, 0), (1, 1)):
        beside = (row - y).clamp_min(0) * width + (column - x).clamp_min(0)
        follows = ~asks & asks[beside]
        place = matches[beside]
        shifted = _clamped(place // width + y, place % width + x, centers.size)
        matches = torch.where(follows, shifted, matches)
    return matches


def _depth(hole: Tensor) -> Tensor:
    """Distance of every pixel from what is known, in patches' radii, at most 8."""
    depth, inside = torch.zeros_like(hole), hole
    for _ in range(8 * RADIUS):
        inside = 1 - F.max_pool2d(1 - inside, 3, 1, 1)
        depth = depth + inside
    return depth / RADIUS


def _distance(a: Tensor, b: Tensor, size: Size) -> Tensor:
    """Squared distance of pixels, relative to the long side."""
    width = size[1]
    rows, columns = a // width - b // width, a % width - b % width
    return (rows.square() + columns.square()) / float(max(size) ** 2)


def _clamped(row: Tensor, column: Tensor, size: Size) -> Tensor:
    """Numbers of the pixels at rows and columns, moved into the picture by a patch's radius."""
    height, width = size
    row = row.clamp(RADIUS, height - 1 - RADIUS)
    return row * width + column.clamp(RADIUS, width - 1 - RADIUS)
