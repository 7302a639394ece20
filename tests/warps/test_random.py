"""Random warps: repeatable per index, within their ranges, never folding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from geostyle.coords import inside_mask
from geostyle.errors import InputError
from geostyle.warps import (
    FAMILIES,
    RandomRanges,
    fold_mask,
    make_family,
    random_theta,
    sampling_grid,
)
from geostyle.warps.affine import to_pixels
from geostyle.warps.random import _keeps_enough

SIZE = (60, 160)
WARPING = [name for name in FAMILIES if name != "none"]


def draws(name: str, count: int = 40, ranges: RandomRanges | None = None) -> Tensor:
    family = make_family(name)
    rows = [family.draw(np.random.default_rng((5, i)), SIZE, ranges or RandomRanges())
            for i in range(count)]  # fmt: skip
    return torch.from_numpy(np.stack(rows))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_index_decides_alone(name: str) -> None:
    family = make_family(name)
    forward = [random_theta(family, (3, i), SIZE) for i in range(4)]
    backward = [random_theta(family, (3, i), SIZE) for i in reversed(range(4))]
    assert all(map(torch.equal, forward, reversed(backward)))
    assert forward[0].shape == (family.n_params,) and forward[0].dtype == torch.float32
    if name != "none":
        assert not torch.equal(forward[0], forward[1])
        assert not torch.equal(forward[0], random_theta(family, (4, 0), SIZE))


@pytest.mark.parametrize("name", WARPING)
def test_random_warps_keep_their_promises(name: str) -> None:
    family = make_family(name)
    theta = torch.stack([random_theta(family, (1, i), SIZE) for i in range(20)])
    grid = sampling_grid(family, theta, SIZE)
    assert not fold_mask(grid).any()
    assert inside_mask(grid).float().mean((1, 2)).min() > 0.48
    assert (grid - grid.mean(0)).abs().max() > 0.1


def test_affine_ranges_hold_in_square_pixels() -> None:
    pixels = to_pixels(draws("affine", 400), SIZE, SIZE)
    u, scales, vh = torch.linalg.svd(pixels[:, :, :2])
    assert 0.75 <= scales.min() < 0.78 and 1.22 < scales.max() <= 1.25
    turn = u @ vh
    degrees = torch.rad2deg(torch.atan2(turn[:, 1, 0], turn[:, 0, 0]))
    assert -15 <= degrees.min() < -14 and 14 < degrees.max() <= 15
    shift = pixels[:, :, 2].abs()
    assert (shift.amax(0) > 7.3).all() and (shift <= 7.5).all()  # 0.25 · 60 / 2


def test_affine_draws_shear() -> None:
    """Within the ranges the scales act along axes turned by up to ±30°."""
    only_shear = RandomRanges(rotation_deg=0.0, scale=(0.8, 1.2), translation=0.0)
    pixels = to_pixels(draws("affine", 400, only_shear), SIZE, SIZE)[:, :, :2]
    assert torch.allclose(pixels, pixels.mT, atol=1e-12)
    clear = (pixels[:, 0, 0] - pixels[:, 1, 1]).abs() > 0.1
    axis = torch.rad2deg(torch.atan(2 * pixels[:, 0, 1] / (pixels[:, 0, 0] - pixels[:, 1, 1]))) / 2
    assert 28 < axis[clear].abs().max() <= 30.001
    exact = replace(only_shear, shear_deg=0.0)
    assert to_pixels(draws("affine", 20, exact), SIZE, SIZE)[:, 0, 1].abs().max() < 1e-12


def test_jitter_is_relative_to_the_lattice_in_square_pixels() -> None:
    for lattice, spacing in ((3, 30.0), (4, 20.0)):
        family = make_family("tps", lattice)
        rows = [family.draw(np.random.default_rng(i), SIZE, RandomRanges()) for i in range(60)]
        offsets = np.abs(np.stack(rows)).reshape(-1, 2) * (80, 30)
        assert (0.39 * spacing < offsets.max(0)).all() and (offsets.max(0) <= 0.4 * spacing).all()


def test_composite_draws_both_parts() -> None:
    rng = np.random.default_rng(0)
    expected = np.concatenate(
        [make_family(name).draw(rng, SIZE, RandomRanges()) for name in ("affine", "tps")]
    )
    drawn = make_family("affine+tps").draw(np.random.default_rng(0), SIZE, RandomRanges())
    assert np.array_equal(drawn, expected)


def test_homography_draws_an_affine_map_after_a_perspective() -> None:
    theta = draws("homography", 300)
    affine = torch.stack(
        [
            torch.from_numpy(
                make_family("affine").draw(np.random.default_rng((5, i)), SIZE, RandomRanges())
            )
            for i in range(300)
        ]
    )
    # At the frame's center depth is 1: the affine part's shift is the map's.
    assert torch.allclose(theta[:, [2, 5]], affine[:, [2, 5]])
    points = torch.rand(1, 6, 2, dtype=torch.float64) * 2 - 1
    depth = 1 + (points * theta[:, None, 6:]).sum(-1, keepdim=True)
    expected = make_family("affine").map(affine, points / depth)
    assert torch.allclose(make_family("homography").map(theta, points), expected)
    # ±0.2 along the longer side, and the same change per pixel along the shorter.
    assert 0.195 < theta[:, 6].abs().max() <= 0.2
    assert 0.195 * 60 / 160 < theta[:, 7].abs().max() <= 0.2 * 60 / 160


def test_biquadratic_draws_an_affine_map_and_a_bend() -> None:
    theta = draws("biquadratic", 300)
    affine = make_family("affine").draw(np.random.default_rng((5, 0)), SIZE, RandomRanges())
    assert np.array_equal(theta[0, :6].numpy(), affine)
    bend = theta[:, 6:].reshape(-1, 2, 3).abs().amax((0, 2)) * torch.tensor([80, 30])
    assert (bend > 2.9).all() and (bend <= 3).all()  # 0.1 · 60 / 2


def test_draws_that_lose_the_picture_are_refused() -> None:
    family, ranges = make_family("affine"), RandomRanges()

    def keeps(*theta: float, **changes: float) -> bool:
        return _keeps_enough(family, torch.tensor([theta]).float(), replace(ranges, **changes))

    assert keeps(0, 0, 0, 0, 0, 0)
    # Two pictures' widths wide and as high: a quarter is inside, all of the subject is seen.
    assert not keeps(1, 0, 0, 0, 1, 0)
    assert keeps(1, 0, 0, 0, 1, 0, min_inside=0.24)
    assert not keeps(1, 0, 0, 0, 1, 0, min_inside=0.27)
    # Zoomed in to 0.45 of the sides: all is inside, 0.81 of the central quarter is seen.
    assert keeps(-0.55, 0, 0, 0, -0.55, 0, min_subject=0.76)
    assert not keeps(-0.55, 0, 0, 0, -0.55, 0, min_subject=0.84)
    # Shifted by 0.75 of a half side: three quarters of the subject are seen.
    assert keeps(0, 0, 0.75, 0, 0, 0, min_subject=0.72)
    assert not keeps(0, 0, 0.75, 0, 0, 0, min_subject=0.78)


def test_hopeless_ranges_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geostyle.warps.random.MAX_DRAWS", 10)
    with pytest.raises(InputError, match="ranges: expected some warps that pass, got none in 10"):
        random_theta(make_family("affine"), 0, SIZE, RandomRanges(min_inside=1.1))


def test_folding_draws_are_drawn_anew() -> None:
    wild = RandomRanges(jitter=0.9, min_inside=0.0, min_subject=0.0)
    family = make_family("tps", 3)
    raw = torch.from_numpy(family.draw(np.random.default_rng(0), SIZE, wild))[None]
    assert fold_mask(sampling_grid(family, raw, SIZE)).any()
    drawn = random_theta(family, 0, SIZE, wild)
    assert not fold_mask(sampling_grid(family, drawn[None], SIZE)).any()
