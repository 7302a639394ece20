"""Training pairs: truths, exact symmetries, fresh pairs, and correlations computed once."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from geostyle.coords import base_grid, inside_mask, resize, sample
from geostyle.data.manifest import read_manifest, write_manifest
from geostyle.data.pairs import (
    SYMMETRIES,
    TRUTH_CELLS,
    Batch,
    CorrelationCache,
    PairSet,
    ResidualSet,
    fresh_pair,
    load_pictures,
    symmetric,
    true_grids,
)
from geostyle.errors import InputError
from geostyle.features.extractor import load_features
from geostyle.matching.correlation import correlate
from geostyle.matching.network import NetworkSettings, square_features
from geostyle.warps import WarpFamily, make_family
from geostyle.warps.grid import warp_image
from geostyle.warps.random import random_theta
from tests.pictures import picture

SETTINGS = NetworkSettings(match_px=176)
N = 5


def test_true_grids_are_the_warps(tiny_pairs: Path) -> None:
    pairs = PairSet(tiny_pairs, "val")
    families = [pair.family for pair in pairs.pairs]
    assert families == ["affine+tps", "affine", "tps"] * 2
    a, b, c, d, e, f = pairs.pairs[1].theta
    x, y = base_grid((TRUTH_CELLS, TRUTH_CELLS)).unbind(-1)
    by_hand = torch.stack((x + a * x + b * y + c, y + d * x + e * y + f), -1)
    assert torch.allclose(pairs.truth[1], by_hand, atol=1e-6)
    assert torch.equal(true_grids(pairs.pairs[2:3], TRUTH_CELLS)[0], pairs.truth[2])


def test_pictures_of_a_pair_agree_with_its_theta(tiny_pairs: Path) -> None:
    pairs = PairSet(tiny_pairs, "train")
    for index in range(3):
        pair = pairs.pairs[index]
        grid = make_family(pair.family, pair.lattice).grid(torch.tensor([pair.theta]), (64, 64))
        expected = warp_image(pairs.picture(index, "content"), grid)
        assert (expected - pairs.picture(index, "warped")).abs().mean() < 0.02
        assert (
            pairs.picture(index, "content") - pairs.picture(index, "warped")
        ).abs().mean() > 0.05


@pytest.mark.parametrize("which", range(SYMMETRIES))
def test_symmetries_of_the_tensor_are_those_of_the_pictures(which: int) -> None:
    """Flipping features and correlating is correlating and flipping, pictures alike."""

    def turn(image: torch.Tensor) -> torch.Tensor:
        image = image.flip(3) if which & 1 else image
        image = image.flip(2) if which & 2 else image
        return image.transpose(2, 3) if which & 4 else image

    generator = torch.Generator().manual_seed(which)
    source, target = torch.randn(2, 1, 8, N, N, generator=generator)
    batch = Batch(
        correlate(source, target), torch.zeros(1, 4, 4, 2), picture(0, 64, 64), picture(1, 64, 64)
    )
    turned = symmetric(batch, [which])
    assert torch.allclose(turned.correlation, correlate(turn(source), turn(target)), atol=1e-6)
    assert turned.content is not None and torch.equal(turned.content, turn(picture(0, 64, 64)))
    assert turned.target is not None and torch.equal(turned.target, turn(picture(1, 64, 64)))


def turned_grid(family: WarpFamily, theta: torch.Tensor, side: int, which: int) -> torch.Tensor:
    """The grid of S∘f∘S⁻¹, where S flips x (1), then y (2), then swaps both (4)."""
    signs = torch.tensor([-1.0 if which & 1 else 1.0, -1.0 if which & 2 else 1.0])
    axes = [1, 0] if which & 4 else [0, 1]
    points = base_grid((side, side)).reshape(1, -1, 2)
    mapped = family.map(theta, points[..., axes] * signs)
    return (mapped * signs)[..., axes].unflatten(1, (side, side))


@pytest.mark.parametrize("which", range(SYMMETRIES))
@pytest.mark.parametrize("name", ["affine", "tps", "affine+tps"])
def test_symmetries_turn_the_true_warp(name: str, which: int) -> None:
    family = make_family(name, 3)
    theta = random_theta(family, (5, which), (64, 64))[None]
    batch = Batch(torch.zeros(1, N * N, N, N), family.grid(theta, (12, 12)))
    turned = symmetric(batch, [which]).truth
    assert torch.allclose(turned, turned_grid(family, theta, 12, which), atol=1e-5)
    if which:
        assert not torch.allclose(turned, batch.truth)


def test_a_turned_pair_is_still_a_pair() -> None:
    """The warp turned with the pictures maps one turned picture to the other."""
    family = make_family("affine+tps", 3)
    theta = random_theta(family, (1, 2), (64, 64))[None]
    content = picture(0, 64, 64)
    target = warp_image(content, family.grid(theta, (64, 64)))
    for which in (1, 2, 4, 7):
        turned = symmetric(
            Batch(torch.zeros(1, 1, 1, 1), torch.zeros(1, 2, 2, 2), content, target), [which]
        )
        assert turned.content is not None and turned.target is not None
        grid = turned_grid(family, theta, 64, which)
        # Outside, the soft extension need not be symmetric to the last bit.
        inside = inside_mask(grid)[:, None]
        error = (warp_image(turned.content, grid) - turned.target).abs() * inside
        assert error.max() < 1e-3


def test_each_item_has_its_own_symmetry() -> None:
    batch = Batch(torch.rand(2, N * N, N, N), torch.rand(2, 4, 4, 2))
    turned = symmetric(batch, [0, 3])
    assert torch.equal(turned.truth[0], batch.truth[0])
    assert torch.equal(turned.truth[1], -batch.truth[1].flip(0, 1))
    assert torch.equal(symmetric(turned, [0, 3]).correlation, batch.correlation)
    assert turned.content is None


def test_fresh_pairs_keep_their_truth() -> None:
    family = make_family("affine", 3)
    theta = random_theta(family, (3, 3), (64, 64))
    pair = dataclasses.make_dataclass("P", ["family", "lattice", "theta"])(
        "affine", 3, tuple(theta.tolist())
    )
    content = picture(0, 64, 64)
    target = warp_image(content, family.grid(theta[None], (64, 64)))
    new_content, new_target, truth = fresh_pair(content, target, pair, np.random.default_rng(0))
    assert truth.shape == (1, TRUTH_CELLS, TRUTH_CELLS, 2)
    there = sample(new_target, base_grid((TRUTH_CELLS, TRUTH_CELLS))[None])
    here = sample(new_content, truth)
    inside = inside_mask(truth / 0.9)[:, None]
    assert inside.float().mean() > 0.3
    assert ((there - here).abs() * inside).mean() / inside.float().mean() < 0.02
    unmoved = sample(new_content, base_grid((TRUTH_CELLS, TRUTH_CELLS))[None])
    assert ((there - unmoved).abs() * inside).mean() / inside.float().mean() > 0.05
    again = fresh_pair(content, target, pair, np.random.default_rng(0))
    assert torch.equal(again[2], truth) and torch.equal(again[1], new_target)


def test_a_second_network_learns_what_the_first_leaves(
    tiny_pairs: Path, tiny_weights: Path
) -> None:
    """I_b shows at p what the warped content shows at the residual truth, and that is nearer."""
    pairs, left = PairSet(tiny_pairs, "train"), ResidualSet(tiny_pairs, "train")
    base = base_grid((TRUTH_CELLS, TRUTH_CELLS))
    distances = [(truth - base).norm(dim=-1).mean() for truth in (pairs.truth, left.truth)]
    assert 0.02 < distances[1] < 0.7 * distances[0]
    assert torch.equal(left.truth, ResidualSet(tiny_pairs, "train").truth)
    for index in range(3):
        there = sample(pairs.picture(index, "warped"), base[None])
        here = sample(left.picture(index, "content"), left.truth[index][None])
        inside = inside_mask(torch.cat((pairs.truth, left.truth)) / 0.9)
        seen = (inside[index] & inside[index + len(pairs)])[None, None]
        assert seen.float().mean() > 0.2
        assert ((there - here).abs() * seen).mean() / seen.float().mean() < 0.03
        assert torch.equal(left.picture(index, "warped"), pairs.picture(index, "warped"))
    content, target, truth = left.fresh(0, "warped", np.random.default_rng(1))
    seen = inside_mask(truth / 0.9)[:, None]
    there, here = sample(target, base[None]), sample(content, truth)
    assert ((there - here).abs() * seen).mean() / seen.float().mean() < 0.03
    extractor = load_features(weights=tiny_weights)
    first, second = (CorrelationCache(p, extractor, SETTINGS) for p in (pairs, left))
    assert first.blocks[0][1] != second.blocks[0][1]


def test_correlations_are_computed_once(
    tiny_pairs: Path, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "set"
    shutil.copytree(tiny_pairs, folder, ignore=shutil.ignore_patterns("correlations"))
    monkeypatch.setattr("geostyle.data.pairs.BLOCK", 4)
    pairs, extractor = PairSet(folder, "val"), load_features(weights=tiny_weights)
    cache = CorrelationCache(pairs, extractor, SETTINGS)
    assert [len(rows) for rows, _ in cache.blocks] == [4, 2]
    cache.build(rank=1, world=2)
    assert [path.is_file() for _, path in cache.blocks] == [False, True]
    cache.build()
    before = [path.stat().st_mtime_ns for _, path in cache.blocks]
    cache.build()
    assert [path.stat().st_mtime_ns for _, path in cache.blocks] == before

    features = [
        square_features(pairs.picture(5, kind), extractor, SETTINGS)
        for kind in ("content", "stylized", "warped")
    ]
    read = cache.read([5, 5], [0, 1])
    assert read.shape == (2, 121, 11, 11)
    for found, target in zip(read, features[1:], strict=True):
        expected = correlate(features[0], target, center=True)[0]
        assert torch.allclose(found, expected, atol=1e-3)
    assert not torch.equal(read[0], read[1])

    # Other settings are other files; a damaged file is named.
    other = CorrelationCache(pairs, extractor, dataclasses.replace(SETTINGS, center=False))
    assert other.blocks[0][1] != cache.blocks[0][1]
    whole = cache.blocks[0][1].read_bytes()
    # numpy reads headers with Python's tokenizer, which has errors of its own.
    for damaged in (b"rubbish", whole.replace(b"}", b"("), whole.replace(b"<f2", b"<i2")):
        cache.blocks[0][1].write_bytes(damaged)
        with pytest.raises(InputError, match="expected correlations in .*delete a damaged file"):
            CorrelationCache(pairs, extractor, SETTINGS).read([0], [0])


def test_pictures_come_in_the_order_asked(tiny_pairs: Path) -> None:
    pairs = PairSet(tiny_pairs, "train")
    loaded = load_pictures(pairs, [3, 1], ["content", "stylized"], 32)
    assert loaded.shape == (2, 3, 32, 32)
    assert torch.equal(loaded[1:], resize(pairs.picture(1, "stylized"), (32, 32)))


def test_a_theta_of_the_wrong_length_names_its_pair(tiny_pairs: Path, tmp_path: Path) -> None:
    pair, *others = read_manifest(tiny_pairs, "train")
    write_manifest(tmp_path, [dataclasses.replace(pair, theta=pair.theta[:-1]), *others])
    with pytest.raises(InputError, match=r"parameters of affine\+tps in pair train/000/000000"):
        PairSet(tmp_path, "train")


def test_an_empty_split_is_refused(tiny_pairs: Path, tmp_path: Path) -> None:
    lines = (tiny_pairs / "manifest.jsonl").read_text().splitlines()
    (tmp_path / "manifest.jsonl").write_text(lines[0] + "\n")
    with pytest.raises(InputError, match="expected pairs of split 'val'"):
        PairSet(tmp_path, "val")
