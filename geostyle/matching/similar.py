"""Local similarity of a warp: parts keep their proportions unless the matches ask for more.

A spline that follows matches alone drags what matches poorly. Here it is fitted to them once more,
with a cost of every departure from a similarity (shift, rotation, zoom), higher in faces.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geostyle.matching.faces import Face
from geostyle.matching.fitting import LATTICE_SIDE, MapFit, stretches, tilts
from geostyle.matching.frame import Frame, cell_centers, lattice, square_units
from geostyle.matching.guide import PointPairs
from geostyle.warps.affine import Affine, inverse
from geostyle.warps.composite import AffineThinPlate
from geostyle.warps.thin_plate import ThinPlate

SIDE = 17  # of the points at which a map is compared with similarities
STEP = 1e-3  # of the differences that give its derivatives
BENDING = 0.02  # share of the settings' smoothing that is kept
# Costs in a face, relative to the same elsewhere: of getting longer or wider, as in an elongated
# portrait, and of slants and bends, which nobody means.
FACE_STRETCH, FACE_SLANT = 3.0, 300.0
FADING = 0.5  # of that cost beyond a face's disc, in radii
# Where bounds do not hold, costs are raised by this factor, within this distance of the spots, as
# often as this.
DEARER, SPOT, ROUNDS = 4.0, 0.2, 16


def locally_similar(fit: MapFit, faces: tuple[Face, ...] = ()) -> Tensor:
    """Fit a map to its matches again, with a cost of distorted shapes.

    Minimizes the weighted mean squared distance from the matches + `conformal_weight` times the
    mean squared departure of the Jacobian from a similarity, in half long sides of the output. The
    affine part is a similarity and the spline carries the rest, so that a part which keeps its
    proportions does so at any strength. Costs are raised where the map exceeds its bounds.

    Args:
        fit: a fitted map, "affine+tps"; other families stay as they are.
        faces: discs in each of which the map shall be a single similarity.

    Returns: theta (P,), or that of the fit if the bounds cannot be held.
    Source: Levy et al., "Least Squares Conformal Maps for Automatic Texture Atlas Generation"
        (2002), section 2, for the measure of the departure.
    """
    family, settings, frame = fit.family, fit.settings, fit.frame
    if not isinstance(family, AffineThinPlate) or not settings.conformal_weight:
        return fit.theta
    points, spots = lattice(SIDE), cell_centers(LATTICE_SIDE - 1, LATTICE_SIDE - 1)
    problem = _Problem(fit, faces)
    near = (torch.cdist(points, spots) / SPOT).square_().div_(-2).exp_()
    cost, upright = torch.ones_like(points[:, 0]), 0.0
    for _ in range(ROUNDS):
        theta = problem.solve(settings.conformal_weight * cost, upright)
        mapped = family.map_points(theta, lattice(LATTICE_SIDE))
        stretch, tilted = stretches(mapped, frame), tilts(mapped, frame, settings)
        bound = math.log(settings.max_stretch)
        if float(stretch.max()) <= bound and not tilted:
            return theta
        if tilted:
            upright = DEARER * upright + 0.01
        if float(stretch.max()) > bound:
            cost = cost * (1 + (DEARER - 1) * (near * (stretch > 0.9 * bound).flatten()).amax(1))
    return fit.theta


class _Problem:
    """The least-squares problem in a spline's offsets (x, then y), in half long sides."""

    def __init__(self, fit: MapFit, faces: tuple[Face, ...]) -> None:
        frame, spline = fit.frame, ThinPlate(fit.settings.lattice)
        points, whole = lattice(SIDE), lattice(LATTICE_SIDE)
        self.unit = square_units(torch.ones(2, dtype=torch.float64), frame.output_size)
        known = PointPairs(whole, fit.map(whole))
        self.similarity = Affine().fit(whole, nearest_similarity(known, frame, whole))

        outputs = torch.cat((fit.points, fit.guide.outputs))
        matches = torch.cat((fit.matches, fit.guide.contents))
        weights = torch.cat((fit.weights, fit.guide_weights))
        weights = (weights / weights.sum())[:, None]
        wanted = Affine().map_points(inverse(self.similarity), matches) - outputs
        basis = spline.basis(outputs)
        fixed = basis.mT @ (weights * basis)
        fixed = fixed + BENDING * fit.settings.smoothing * spline.bending_form()
        self.fixed = torch.block_diag(fixed, fixed)
        self.target = (basis.mT @ (weights * wanted * self.unit)).mT.flatten()

        # Derivatives of each offset along x and y; a similarity has X_x = Y_y and X_y = -Y_x.
        steps = STEP * torch.eye(2, dtype=torch.float64)
        along, down = (
            (spline.basis(points + step) - spline.basis(points - step)) / (2 * STEP * side)
            for step, side in zip(steps, self.unit, strict=True)
        )
        self.departure = torch.stack((torch.cat((along, -down), 1), torch.cat((down, along), 1)))
        self.dear = torch.ones(2, len(points), dtype=torch.float64)
        self.faces = torch.zeros_like(self.fixed)
        reached = fit.map(points)
        for face in faces:
            off = square_units(reached - face.center, frame.content_size).norm(dim=1)
            within = ((1 + FADING - off / face.radius) / FADING).clamp(0, 1)[:, None]
            for dear, factor in zip(self.dear, (FACE_STRETCH, FACE_SLANT), strict=True):
                torch.maximum(dear, factor * within[:, 0], out=dear)
            # A face is not bent: its Jacobian is the same everywhere.
            for slope in (along, down):
                apart = slope - (within * slope).sum(0) / within.sum().clamp_min(1e-12)
                form = FACE_SLANT * apart.mT @ (within * apart) / len(points)
                self.faces += torch.block_diag(form, form)
        # Of the picture as a whole: slopes of offsets along the other axis.
        terms = torch.cat((whole, torch.ones_like(whole[:, :1])), 1)
        slopes = torch.linalg.pinv(terms)[:2] @ spline.basis(whole) / self.unit[:, None]
        self.slant = torch.block_diag(slopes[1:], slopes[:1])

    def solve(self, cost: Tensor, upright: float) -> Tensor:
        """Return theta (P,) for costs (N,) of departures at all points, and of a tilt."""
        rows = self.departure.flatten(0, 1)
        weights = (cost * self.dear / len(cost)).flatten()[:, None]
        form = self.fixed + rows.mT @ (weights * rows) + float(cost.min()) * self.faces
        form = form + upright * self.slant.mT @ self.slant
        form = form + 1e-9 * torch.eye(len(form), dtype=form.dtype)
        offsets = torch.linalg.solve(form, self.target).unflatten(0, (2, -1)).mT / self.unit
        return torch.cat((self.similarity, offsets.flatten()))


def nearest_similarity(guide: PointPairs, frame: Frame, spread: Tensor) -> Tensor:
    """Map points `spread` (M, 2) by the similarity nearest to the points given.

    Source: Umeyama, "Least-squares estimation of transformation parameters between two point
        patterns", without mirroring; a single point gives a shift.
    """
    # Complex numbers x + iy in content pixels, where shapes keep their proportions: a similarity
    # is a product and a sum.
    half = torch.tensor([frame.content_size[1], frame.content_size[0]]).double() / 2
    unit = frame.neutral * half
    p, q, points = (
        torch.view_as_complex(x)
        for x in (guide.outputs * unit, guide.contents * half, spread * unit)
    )
    p0, q0 = p.mean(), q.mean()
    size = (p - p0).abs().square().sum()
    turn = torch.vdot(p - p0, q - q0) / size
    # Points that fall together in either picture do not define a scale.
    if size <= 1e-6 or turn.abs() < 0.05:
        turn = torch.ones_like(turn)
    return torch.view_as_real((points - p0) * turn + q0) / half
