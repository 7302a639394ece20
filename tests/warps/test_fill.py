"""Filling holes by pull and push."""

from __future__ import annotations

import torch

from geostyle.coords import base_grid
from geostyle.warps.filling import push_pull


def test_known_values_stay_and_constants_spread() -> None:
    values = torch.rand(2, 3, 13, 17, generator=torch.Generator().manual_seed(0))
    known = torch.ones(2, 1, 13, 17)
    assert torch.equal(push_pull(values, known), values)
    known[:, :, 3:11, 4:] = 0
    filled = push_pull(values, known)
    assert torch.equal(filled * known, values * known)
    constant = push_pull(torch.full((1, 1, 13, 17), 0.7), known[:1])
    assert torch.allclose(constant, torch.full_like(constant, 0.7), atol=1e-6)
    assert torch.equal(push_pull(values, torch.zeros_like(known)), torch.zeros_like(values))


def test_unknown_values_do_not_leak() -> None:
    known = torch.zeros(1, 1, 9, 9)
    known[..., :4] = 1
    values = torch.where(known > 0, 1.0, 1e6)
    assert torch.allclose(push_pull(values, known), torch.ones(1, 1, 9, 9), atol=1e-5)


def test_a_hole_in_a_ramp_is_bridged() -> None:
    ramp = base_grid((64, 64))[None].movedim(-1, 1)
    known = torch.ones(1, 1, 64, 64)
    known[:, :, 20:44, 20:44] = 0
    error = (push_pull(ramp, known) - ramp).abs()
    assert error.max() < 0.15  # the hole's own span is 0.75
    jumps = push_pull(ramp, known).diff(dim=3).abs()
    assert jumps.max() < 0.12  # no seam: a pixel's own step is 0.03


def test_values_far_from_a_hole_do_not_matter_much() -> None:
    values = torch.zeros(1, 1, 64, 64)
    values[..., 32:] = 1
    known = torch.ones(1, 1, 64, 64)
    known[:, :, 28:36, 0:8] = 0
    assert push_pull(values, known)[..., 28:36, 0:8].max() < 0.05


def test_half_known_blends() -> None:
    values = torch.tensor([[[[1.0, 3.0]]]])
    known = torch.tensor([[[[1.0, 0.5]]]])
    mean = (1.0 + 0.5 * 3.0) / 1.5
    expected = torch.tensor([[[[1.0, 0.5 * 3.0 + 0.5 * mean]]]])
    assert torch.allclose(push_pull(values, known), expected)
