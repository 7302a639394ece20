"""Reading of training pairs: as pictures, as correlations that are computed once, as batches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from geostyle.coords import Size, base_grid, resize, size_of
from geostyle.data.manifest import SPLITS, Pair, fingerprint, read_manifest
from geostyle.errors import InputError, expecting
from geostyle.features.extractor import FeatureExtractor
from geostyle.io.checkpoint import tensor_hash
from geostyle.io.files import atomic_path
from geostyle.io.images import load_picture
from geostyle.matching.correlation import correlate
from geostyle.matching.network import square_features
from geostyle.matching.settings import NetworkSettings
from geostyle.warps import RandomRanges, make_family
from geostyle.warps.affine import Affine, inverse, matrix_of, theta_of
from geostyle.warps.grid import warp_image
from geostyle.warps.random import random_theta

TRUTH_CELLS = 20  # side of the grid on which estimated and true warps are compared
BLOCK = 32  # pairs of one file of the cache
TARGETS = ("stylized", "warped")  # what I_b can be: repainted, or plain
# Warps composed with a stored one to make a fresh pair of it.
FRESH_RANGES = RandomRanges(
    rotation_deg=10.0, shear_deg=30.0, scale=(0.85, 1.2), translation=0.12, jitter=0.2
)
# Errors of the first network of a cascade, as the second is trained to expect them.
FIRST_ERROR = RandomRanges(
    rotation_deg=6.0, shear_deg=30.0, scale=(0.9, 1.1), translation=0.08, min_subject=0.5
)
SYMMETRIES = 8  # of the square


@dataclass(frozen=True)
class Batch:
    """Batch of a training step.

    Attributes:
        correlation: (B, n², n, n) float32, cosines of I_a (source) and I_b (target).
        truth: (B, G, G, 2), content points of the pixel centers of a G×G output.
        content, target: (B, 3, S, S), I_a and I_b in [0, 1]; None where the loss needs none.
    """

    correlation: Tensor
    truth: Tensor
    content: Tensor | None = None
    target: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """Return the batch on another device."""
        return replace(self, **{k: v.to(device) for k, v in vars(self).items() if v is not None})


class PairSet:
    """The pairs of one split of a finished set.

    Args:
        folder: of the set.
        split: "train" or "val".

    Raises: InputError where there is no finished set, or no pair in the split.
    """

    residual = False  # whether a first estimate has warped the content already

    def __init__(self, folder: Path, split: str) -> None:
        self.folder = Path(folder)
        self.pairs = read_manifest(self.folder, split)
        if not self.pairs:
            raise InputError(f"data: expected pairs of split {split!r} in {str(folder)!r}, got 0")
        # A set without repainting has plain pairs only.
        self.targets = TARGETS if self.pairs[0].tex_style is not None else TARGETS[1:]
        self.truth = true_grids(self.pairs, TRUTH_CELLS)

    def __len__(self) -> int:
        return len(self.pairs)

    def picture(self, index: int, kind: str) -> Tensor:
        """Return the "content", "warped" or "stylized" picture of a pair, (1, 3, S, S)."""
        return load_picture(self.pairs[index].path(self.folder, kind), name="data").tensor

    def fresh(
        self, index: int, kind: str, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return a new pair made of pair `index` with target `kind`; see `fresh_pair`."""
        pictures = PairSet.picture(self, index, "content"), PairSet.picture(self, index, kind)
        return fresh_pair(*pictures, self.pairs[index], rng, residual=self.residual)


class ResidualSet(PairSet):
    """Pairs for the second network of a cascade: I_a is warped by a first, affine estimate.

    The estimate is the affine map nearest to the true warp, with a random error that follows from
    (seed, index) of the pair alone; the truth is the warp that remains.
    """

    residual = True

    def __init__(self, folder: Path, split: str) -> None:
        super().__init__(folder, split)
        points = base_grid((TRUTH_CELLS, TRUTH_CELLS)).reshape(-1, 2)
        first = []
        for pair, truth in zip(self.pairs, self.truth, strict=True):
            seed = (pair.seed, SPLITS.index(pair.split), pair.index)
            size = (pair.size_px, pair.size_px)
            first.append(nearly_affine(points, truth.reshape(-1, 2), seed, size))
        self.first = torch.stack(first)
        left = Affine().map(inverse(self.first), self.truth.flatten(1, 2))
        self.truth = left.unflatten(1, (TRUTH_CELLS, TRUTH_CELLS))

    def picture(self, index: int, kind: str) -> Tensor:
        """Return a picture as `PairSet.picture` does, the content warped by the first estimate."""
        picture = super().picture(index, kind)
        if kind != "content":
            return picture
        grid = Affine().grid(self.first[index][None], size_of(picture))
        return warp_image(picture, grid).clamp(0, 1)


def nearly_affine(points: Tensor, mapped: Tensor, seed: int | Sequence[int], size: Size) -> Tensor:
    """Return theta (6,) of the affine map nearest to points (M, 2) → mapped, with a random error.

    seed, size: see `random_theta`, which draws the error.
    """
    nearest = Affine().fit(points.double(), mapped.double())
    error = matrix_of(random_theta(Affine(), seed, size, FIRST_ERROR).double())
    row = error.new_tensor([[0.0, 0.0, 1.0]])
    return theta_of(matrix_of(nearest) @ torch.cat((error, row))).float()


def true_grids(pairs: Sequence[Pair], cells: int) -> Tensor:
    """Return the content points of a cells×cells output's pixel centers, (N, cells, cells, 2).

    Raises: InputError where a pair has a theta of the wrong length.
    """
    grids = torch.empty(len(pairs), cells, cells, 2)
    kinds = [(pair.family, pair.lattice) for pair in pairs]
    for name, lattice in set(kinds):
        rows = [i for i, kind in enumerate(kinds) if kind == (name, lattice)]
        family = make_family(name, lattice)
        odd = next((pairs[i] for i in rows if len(pairs[i].theta) != family.n_params), None)
        if odd is not None:
            raise InputError(
                f"data: expected {family.n_params} parameters of {name} in pair {odd.key}, "
                f"got {len(odd.theta)}"
            )
        theta = torch.tensor([pairs[i].theta for i in rows])
        grids[rows] = family.grid(theta, (cells, cells))
    return grids


class CorrelationCache:
    """Correlations of all pairs of a set, computed once and kept in float16.

    They are kept in ``correlations/`` of the set, in blocks of pairs written whole; the file names
    depend on features, settings and pairs.

    Args:
        pairs: the set.
        extractor: network whose features are correlated.
        settings: layer, size and centering of the features.
    """

    def __init__(
        self, pairs: PairSet, extractor: FeatureExtractor, settings: NetworkSettings
    ) -> None:
        self.pairs, self.extractor, self.settings = pairs, extractor, settings
        state = {key: value.detach().cpu() for key, value in extractor.state_dict().items()}
        what: tuple[object, ...] = (tensor_hash(state)[:16], str(extractor.dtype), settings.layer)
        what += (settings.match_px, settings.center, pairs.targets)
        what += (repr(FIRST_ERROR),) if pairs.residual else ()
        key = hashlib.sha256(repr(what).encode()).hexdigest()
        folder = pairs.folder / "correlations" / key[:16]
        self.blocks = [
            (range(start, stop), folder / f"{fingerprint(pairs.pairs[start:stop])}.npy")
            for start in range(0, len(pairs), BLOCK)
            for stop in [min(start + BLOCK, len(pairs))]
        ]
        self._open: dict[int, np.ndarray] = {}

    def build(
        self, rank: int = 0, world: int = 1, on_block: Callable[[], object] = lambda: None
    ) -> None:
        """Compute this process's share of the blocks that are not there yet.

        on_block: called after each block that is computed or found.
        """
        for rows, path in self.blocks[rank::world]:
            if not path.is_file():
                block = torch.stack([self._compute(index) for index in rows])
                with atomic_path(path, name="data") as temporary, temporary.open("wb") as file:
                    np.save(file, block.half().numpy())
            on_block()

    def read(self, indices: Sequence[int], targets: Sequence[int]) -> Tensor:
        """Return correlations (B, n², n, n) of the contents of pairs with their target pictures.

        Args:
            indices: of the pairs.
            targets: for each pair, the index of its target's kind in `pairs.targets`.
        """
        rows = [
            self._block(i // BLOCK)[i % BLOCK, t] for i, t in zip(indices, targets, strict=True)
        ]
        return torch.from_numpy(np.stack(rows)).float()

    def _block(self, number: int) -> np.ndarray:
        if number not in self._open:
            rows, path = self.blocks[number]
            with expecting(f"data: expected correlations in {str(path)!r} (delete a damaged file)"):
                block = np.load(path, mmap_mode="r")
                shape = (len(rows), len(self.pairs.targets))
                if block.dtype != np.float16 or block.shape[:2] != shape:
                    raise ValueError(f"{block.dtype} of shape {block.shape}")
            self._open[number] = block
        return self._open[number]

    def _compute(self, index: int) -> Tensor:
        """Return (T, n², n, n) of one pair, computed alone so that values depend on no batch."""
        source, *targets = (
            square_features(self.pairs.picture(index, kind), self.extractor, self.settings)
            for kind in ("content", *self.pairs.targets)
        )
        volumes = [correlate(source, target, center=self.settings.center)[0] for target in targets]
        return torch.stack([volume.cpu() for volume in volumes])


def fresh_pair(
    content: Tensor,
    target: Tensor,
    pair: Pair,
    rng: np.random.Generator,
    *,
    residual: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Make a new pair from a stored one by warping both of its pictures once more.

    With I_b(p) = I_a(g(p)), the new I_a'(q) = I_a(u(q)), u affine, and I_b'(p) = I_b(h(p)) follow
    I_b'(p) = I_a'(u⁻¹(g(h(p)))), so pictures with a new truth need no new repainting.

    Args:
        content, target: (1, 3, S, S), I_a and I_b.
        pair: their record.
        rng: generator that u and h are drawn from.
        residual: whether u is instead a first, affine estimate of g∘h; see `ResidualSet`.

    Returns: I_a', I_b', and the truth (1, G, G, 2), G = `TRUTH_CELLS`.
    """
    size = size_of(content)
    seeds = [int(seed) for seed in rng.integers(0, 2**31, 2)]
    outer, inner = make_family("affine"), make_family("affine+tps", 3)
    h = random_theta(inner, seeds[1], size, FRESH_RANGES).reshape(1, -1).float()
    g, theta = make_family(pair.family, pair.lattice), torch.tensor([pair.theta])
    points = base_grid((TRUTH_CELLS, TRUTH_CELLS)).reshape(1, -1, 2)
    mapped = g.map(theta, inner.map(h, points))
    if residual:
        u = nearly_affine(points[0], mapped[0], seeds[0], size)[None]
    else:
        u = random_theta(outer, seeds[0], size, FRESH_RANGES).reshape(1, -1).float()
    truth = outer.map(inverse(u), mapped)
    return (
        warp_image(content, outer.grid(u, size)).clamp(0, 1),
        warp_image(target, inner.grid(h, size)).clamp(0, 1),
        truth.reshape(1, TRUTH_CELLS, TRUTH_CELLS, 2),
    )


def load_pictures(
    pairs: PairSet, indices: Sequence[int], kinds: Sequence[str], size_px: int
) -> Tensor:
    """Return pictures `kinds` of pairs `indices`, resized to (B, 3, size_px, size_px)."""
    loaded = [pairs.picture(i, kind) for i, kind in zip(indices, kinds, strict=True)]
    return torch.cat([resize(picture, (size_px, size_px)) for picture in loaded])


def symmetric(batch: Batch, which: Sequence[int]) -> Batch:
    """Return each item as it would be if both pictures were flipped or transposed, exactly.

    which: a number (0 to 7) per item; bit 1 flips x, 2 flips y, 4 swaps x and y (last).

    With S the symmetry, the true map f becomes S∘f∘S⁻¹.
    """
    n = batch.correlation.shape[-1]
    out: dict[str, list[Tensor]] = {"correlation": [], "truth": [], "content": [], "target": []}
    for i, s in enumerate(which):
        volume = batch.correlation[i].unflatten(0, (n, n))  # ys, xs, yt, xt
        out["correlation"].append(_turn(_turn(volume, s, (0, 1)), s, (2, 3)).flatten(0, 1))
        out["truth"].append(_turn_points(_turn(batch.truth[i], s, (0, 1)), s))
        for name in ("content", "target"):
            picture = getattr(batch, name)
            if picture is not None:
                out[name].append(_turn(picture[i], s, (1, 2)))
    return Batch(**{name: torch.stack(items) for name, items in out.items() if items})


def _turn(values: Tensor, which: int, dims: tuple[int, int]) -> Tensor:
    """Flip and transpose the axes `dims` (y, x) of `values`."""
    flipped = [dim for bit, dim in ((1, dims[1]), (2, dims[0])) if which & bit]
    values = values.flip(flipped) if flipped else values
    return values.transpose(*dims) if which & 4 else values


def _turn_points(points: Tensor, which: int) -> Tensor:
    """Flip and swap the coordinates (x, y) of points (..., 2)."""
    signs = points.new_tensor([-1 if which & 1 else 1, -1 if which & 2 else 1])
    points = points * signs
    return points.flip(-1) if which & 4 else points
