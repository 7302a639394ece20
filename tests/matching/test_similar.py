"""Local similarity: similarities stay, shapes keep their proportions, above all faces."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
import torch
from torch import Tensor

from geostyle.features.extractor import FeatureExtractor
from geostyle.io.images import load_picture
from geostyle.matching import GeometrySettings, estimate_warp, similar
from geostyle.matching.faces import Face, find_faces
from geostyle.matching.fitting import MapFit, exceeds
from geostyle.matching.frame import Frame, cell_centers, lattice
from geostyle.matching.similar import locally_similar
from geostyle.warps import (
    WarpParameters,
    fold_guard,
    fold_mask,
    sampling_grid,
    warp_image,
)
from geostyle.warps.affine import Affine

CONTENT, GEO_STYLE = (180, 240), (200, 160)
FACE_AT = torch.tensor([-0.12, -0.52]).double()  # of the astronaut
ZOOM = [[0.9, 0.2], [-0.2, 0.9]]


def fitted(linear: list[list[float]] | Tensor, settings: GeometrySettings, form: str) -> MapFit:
    """A fit to exact matches of a linear map in pixels, or of a wave for a tensor of offsets."""
    frame = Frame.of(CONTENT, GEO_STYLE, form)
    points = cell_centers(12, 12)
    fit = MapFit(points, frame, settings)
    if isinstance(linear, Tensor):
        matches = points * frame.neutral + linear
    else:
        matches = points * pixels(frame.output_size) @ torch.tensor(linear).double().mT
        matches = matches / pixels(frame.content_size)
    fit.update(matches, torch.eye(len(points)).double(), 1.0)
    return fit


def pixels(size: tuple[int, int]) -> Tensor:
    return torch.tensor([size[1], size[0]]).double() / 2


def ratios(fit: MapFit, theta: Tensor, points: Tensor) -> Tensor:
    """Ratio of the two local scales (N,) of a map at points, in square pixels."""
    steps = 1e-4 * torch.eye(2).double()
    slopes = [
        fit.family.map_points(theta, points + step) - fit.family.map_points(theta, points - step)
        for step in steps
    ]
    jacobian = torch.stack(slopes, -1) * pixels(fit.frame.content_size)[:, None]
    scales = torch.linalg.svdvals(jacobian / pixels(fit.frame.output_size))
    return scales[:, 0] / scales[:, 1]


@pytest.mark.parametrize("form", ["content", "geo"])
def test_a_similarity_is_left_alone(form: str) -> None:
    settings = GeometrySettings(prior=0.0, max_rotation_deg=60.0)
    fit = fitted(ZOOM, settings, form)
    points = lattice(9)
    before, after = (fit.family.map_points(t, points) for t in (fit.theta, locally_similar(fit)))
    torch.testing.assert_close(after, before, atol=2e-5, rtol=0)


@pytest.mark.parametrize("form", ["content", "geo"])
def test_a_stretch_is_weakened_above_all_in_a_face(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = GeometrySettings(prior=0.0, max_anisotropy=3.0, max_stretch=9.0)
    fit = fitted([[1.2, 0.0], [0.0, 0.8]], settings, form)
    points = lattice(9)
    whole = ratios(fit, locally_similar(fit), points)
    assert ratios(fit, fit.theta, points).mean() == pytest.approx(1.5, abs=0.01)
    assert 1.2 < whole.mean() < 1.49
    center = torch.zeros(1, 2).double()
    faces = (Face(fit.map(center)[0], 0.4),)
    theta = locally_similar(fit, faces)
    assert (
        1
        < ratios(fit, theta, center).item()
        < 0.2 + 0.8 * ratios(fit, locally_similar(fit), center).item()
    )
    # With the full cost, it becomes a similarity; the rest still follows its matches.
    monkeypatch.setattr(similar, "FACE_STRETCH", similar.FACE_SLANT)
    theta = locally_similar(fit, faces)
    assert ratios(fit, theta, center).item() < 1.03 < 1.05 < ratios(fit, theta, points).mean()
    fit.settings = replace(settings, conformal_weight=0.0)
    assert torch.equal(locally_similar(fit), fit.theta)


@pytest.mark.parametrize("form", ["content", "geo"])
def test_a_slant_is_lost_in_a_face(form: str) -> None:
    """At strength 2, too, where the rest is exaggerated."""
    settings = GeometrySettings(prior=0.0, max_anisotropy=3.0, max_stretch=9.0)
    fit = fitted([[1.0, 0.4], [0.0, 1.0]], settings, form)
    center = torch.zeros(1, 2).double()
    theta = locally_similar(fit, (Face(fit.map(center)[0], 0.4),))
    warp = WarpParameters("affine+tps", 6, theta, fit.frame.output_size, fit.frame.content_size)
    twice = warp.scaled(2.0)[0].double()
    assert ratios(fit, fit.theta, center).item() > 1.3
    assert ratios(fit, theta, center).item() < 1.08
    assert ratios(fit, twice, center).item() < 1.16
    assert ratios(fit, twice, lattice(9)).mean() > ratios(fit, theta, lattice(9)).mean() + 0.05


def test_wild_matches_stay_within_the_bounds_and_never_fold() -> None:
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        offsets = 0.6 * torch.randn(144, 2, generator=generator).double()
        settings = GeometrySettings(max_stretch=1.6, conformal_weight=0.001)
        fit = fitted(offsets, settings, "geo")
        theta = locally_similar(fit, (Face(offsets[0], 0.3), Face(offsets[9], 0.1)))
        assert not exceeds(fit.family, theta, fit.frame, settings) or torch.equal(theta, fit.theta)
        guarded = fold_guard(fit.family, theta[None], (40, 40))
        assert not fold_mask(sampling_grid(fit.family, guarded, (40, 40))).any()


def test_other_families_stay_as_they_are() -> None:
    for family in ("affine", "tps", "homography", "biquadratic"):
        fit = fitted(ZOOM, GeometrySettings(geometry=family), "content")
        assert locally_similar(fit) is fit.theta


def picture(name: str) -> Tensor:
    path = resources.files("geostyle") / "assets" / "pictures" / "content" / name
    return load_picture(Path(str(path))).tensor


def test_the_face_of_a_portrait_is_found() -> None:
    (face,) = find_faces(picture("astronaut.jpg"))
    torch.testing.assert_close(face.center, FACE_AT, atol=0.1, rtol=0)
    assert 0.1 < face.radius < 0.5
    for name in ("coffee.jpg", "rocket.jpg"):
        assert not find_faces(picture(name))
    assert not find_faces(picture("coffee.jpg")[..., :20, :90])


def test_the_setting_reaches_the_estimate(lite: FeatureExtractor) -> None:
    """At 0 the warp follows its matches alone; higher costs distort shapes less."""
    content = picture("astronaut.jpg")
    theta = torch.tensor([[0.15, 0.0, 0.0, 0.0, -0.15, 0.0]])
    style = warp_image(content, Affine().grid(theta, (200, 200))).clamp(0, 1)
    frame = Frame.of((512, 512), (200, 200), "content")
    found = []
    for weight in (0.0, 0.05, 5.0):
        settings = GeometrySettings(conformal_weight=weight, looks=0)
        estimate = estimate_warp(content, style, lite, settings)
        fit = MapFit(lattice(5), frame, settings)
        found.append(float(ratios(fit, estimate.parameters.theta.double(), lattice(5)).mean()))
    assert found[0] > found[1] > found[2] >= 1
    assert found[2] < 1.05 < found[0]
