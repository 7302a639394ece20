"""Heads of the geometry network, which turn soft matches into theta: a fit, or linear layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geostyle.coords import base_grid
from geostyle.errors import InputError
from geostyle.matching.settings import GROUPS
from geostyle.warps import WarpFamily
from geostyle.warps.affine import matrix_of
from geostyle.warps.thin_plate import ThinPlate

DILATIONS = (1, 2, 4)  # of the blocks in turn: three blocks cover 29 positions
MIN_CELLS = 11  # least side of which two convolutions without padding leave a position
FLOOR = 1e-4  # added to the splines' normal equations, so that they can always be solved
SMALLEST_AREA = 0.1  # least determinant of an affine part that is inverted; usual ones are larger


class NetworkOutput(NamedTuple):
    """Output of a geometry network.

    Attributes:
        theta: (B, P), output (target) → content (source).
        matched: (B, n, n, 2), the content point that each target position matches, to which theta
            is fitted; None from linear layers.
    """

    theta: Tensor
    matched: Tensor | None = None


class LinearHead(nn.Module):
    """Theta by two convolutions and two linear layers; zero, the identity, before training.

    Args:
        family: of theta.
        channels: input channels, soft matches included.
        matches: channels of the soft matches, which the linear layers read once more.
        cells: positions per side.
        width: channels of the first convolution.

    Source: Rocco et al., "Convolutional neural network architecture for geometric matching",
        section 3.3 (7×7, 5×5, fully connected).
    Differs: GroupNorm, so that the samples of a batch are independent; soft matches.
    """

    def __init__(
        self, family: WarpFamily, channels: int, matches: int, cells: int, width: int
    ) -> None:
        super().__init__()
        if cells < MIN_CELLS:
            raise InputError(
                f"match_px: expected at least {MIN_CELLS} positions per side, got {cells}"
            )
        left = cells - 10
        self.convs = nn.Sequential(
            nn.Conv2d(channels, width, 7),
            nn.GroupNorm(GROUPS, width),
            nn.ReLU(),
            nn.Conv2d(width, width // 2, 5),
            nn.GroupNorm(GROUPS // 2, width // 2),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.linear = nn.Sequential(
            nn.Linear(width // 2 * left**2 + matches * cells**2, 2 * width),
            nn.ReLU(),
            zeroed(nn.Linear(2 * width, family.n_params)),
        )

    def forward(self, correlation: Tensor, matches: Sequence[Tensor]) -> NetworkOutput:
        """Estimate theta from a normalized correlation (B, n², n, n) and the soft matches."""
        deep = self.convs(torch.cat((correlation, *matches), 1))
        flat = torch.cat((deep, *(m.flatten(1) for m in matches)), 1)
        return NetworkOutput(self.linear(flat).float())


class FitHead(nn.Module):
    """A match and a weight for every position, then theta by a closed-form weighted fit.

    All positions share their convolutions. The input of each is its correlation with the source
    positions around it (by displacement, so that a shift looks the same everywhere) and its soft
    matches; residual blocks of growing dilation and the mean over all positions add context. The
    output is a weighted mean of the soft matches plus a correction, and a weight; before training,
    the plain mean of the soft matches and equal weights.

    Args:
        family: of theta; affine, tps or affine+tps.
        matches: number of soft matches, each of 3 channels.
        cells: positions per side, n.
        width: channels of the convolutions.
        blocks: residual blocks.
        reach: displacements that are read, ± in half sides.

    Differs: the paper regresses theta with a linear layer. The fit needs far fewer training pairs.
    """

    index: Tensor
    positions: Tensor

    def __init__(
        self, family: WarpFamily, matches: int, cells: int, width: int, blocks: int, reach: float
    ) -> None:
        super().__init__()
        self.register_buffer("index", _by_displacement(cells, reach), persistent=False)
        positions = base_grid((cells, cells))
        self.register_buffer("positions", positions.permute(2, 0, 1), persistent=False)
        self.first = nn.Conv2d(len(self.index) + 3 * matches + 2, width, 1)
        self.blocks = nn.ModuleList(
            _Block(width, DILATIONS[i % len(DILATIONS)]) for i in range(blocks)
        )
        self.last = nn.Sequential(
            nn.GroupNorm(GROUPS, width), nn.ReLU(), zeroed(nn.Conv2d(width, 3 + matches, 1))
        )
        self.fit = WeightedFit(family, positions.flatten(0, 1))

    def forward(self, correlation: Tensor, matches: Sequence[Tensor]) -> NetworkOutput:
        """Estimate theta from a normalized correlation (B, n², n, n) and the soft matches."""
        count, size = len(correlation), correlation.shape[2:]
        around = F.pad(correlation.flatten(2), (0, 0, 0, 1))  # a row of zeros: outside the source
        around = around.gather(1, self.index.expand(count, -1, -1)).unflatten(2, size)
        positions = self.positions.expand(count, -1, -1, -1)
        x = self.first(torch.cat((around, *matches, positions), 1))
        for block in self.blocks:
            x = block(x)
        with torch.autocast(x.device.type, enabled=False):
            shift, weight, gates = self.last(x.float()).split((2, 1, len(matches)), 1)
            gates = gates.softmax(1).split(1, 1)
            shift = shift + sum(g * m[:, :2] for g, m in zip(gates, matches, strict=True))
            matched = (positions + shift).flatten(2).mT
            theta = self.fit(matched, weight.flatten(1).softmax(1))
        return NetworkOutput(theta, matched.unflatten(1, size))


class WeightedFit(nn.Module):
    """Theta of a family by weighted least squares, differentiable in matches and weights.

    As `WarpFamily.fit`: the affine part first, then the spline on the residual, carried back to the
    output side. Both are regularized, by amounts that are learned.

    Args:
        family: affine, tps or affine+tps.
        points: (N, 2), the output points that are matched.
    """

    points: Tensor
    lifted: Tensor
    held: Tensor
    basis: Tensor
    bending: Tensor

    def __init__(self, family: WarpFamily, points: Tensor) -> None:
        super().__init__()
        self.names = [part.name for part, _ in family.parts()]
        self.register_buffer("points", points, persistent=False)
        ones = torch.ones(len(points), 1)
        self.register_buffer("lifted", torch.cat((points, ones), 1), persistent=False)
        for part, _ in family.parts():
            if isinstance(part, ThinPlate):
                self.register_buffer("basis", part.basis(points.double()).float(), persistent=False)
                self.register_buffer("bending", part.bending_form().float(), persistent=False)
        # Logarithms; the shift is regularized a tenth as much as rotation and stretch.
        self.ridge = nn.Parameter(torch.tensor(-6.3))
        self.stiffness = nn.Parameter(torch.tensor(-6.0))
        self.register_buffer("held", torch.diag(torch.tensor([1.0, 1.0, 0.1])), persistent=False)

    def forward(self, matched: Tensor, weights: Tensor) -> Tensor:
        """Fit theta (B, P) to matched (B, N, 2) with weights (B, N) of sum one; float32."""
        weighted = weights[..., None]
        found = []
        if "affine" in self.names:
            normal = self.lifted.mT @ (weighted * self.lifted) + self.ridge.exp() * self.held
            right = self.lifted.mT @ (weighted * (matched - self.points))
            affine = torch.linalg.solve(normal, right).mT.flatten(1)
            found.append(affine)
            matched = _through_inverse(affine, matched)
        if "tps" in self.names:
            eye = torch.eye(len(self.bending), device=matched.device)
            normal = self.basis.mT @ (weighted * self.basis)
            normal = normal + self.stiffness.exp() * self.bending + FLOOR * eye
            right = self.basis.mT @ (weighted * (matched - self.points))
            found.append(torch.linalg.solve(normal, right).flatten(1))
        return torch.cat(found, 1)


class _Block(nn.Module):
    """A residual block of two 3×3 convolutions, with the mean over all positions."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            conv = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
            layers += [nn.GroupNorm(GROUPS, width), nn.ReLU(), conv]
        self.near = nn.Sequential(*layers)
        self.all = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.near(x) + self.all(x.mean((2, 3)))[..., None, None]


def _by_displacement(cells: int, reach: float) -> Tensor:
    """Return the flat source position (D, n²) at each displacement from each target; n² outside."""
    most, outside = round(reach * cells / 2), cells**2
    positions = torch.arange(float(outside)).view(1, 1, cells, cells)
    around = F.pad(positions, (most,) * 4, value=outside)
    return F.unfold(around, 2 * most + 1)[0].long()


def _through_inverse(affine: Tensor, points: Tensor) -> Tensor:
    """Map points (B, N, 2) by the inverse of affine maps (B, 6); finite for singular ones."""
    linear, shift = matrix_of(affine).split((2, 1), 2)
    (a, b), (c, d) = (row.unbind(-1) for row in linear.unbind(-2))
    adjugate = torch.stack((d, -b, -c, a), -1).unflatten(-1, (2, 2))
    turned = adjugate / (a * d - b * c).clamp_min(SMALLEST_AREA)[:, None, None]
    return (points - shift.mT) @ turned.mT


def zeroed(layer: nn.Linear | nn.Conv2d) -> nn.Linear | nn.Conv2d:
    """Set a layer's weights and bias to zero and return it."""
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
