"""What people give and ask for: points by hand, shape without placement, warps to choose from."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
import torch
from torch import Tensor

from geostyle.coords import normalized_to_pixel, pixel_to_normalized, resize
from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor, load_features
from geostyle.io.images import load_picture
from geostyle.matching import (
    Correspondences,
    Estimate,
    GeometrySettings,
    Guide,
    candidates,
    describe,
    estimate_pinned,
    estimate_warp,
)
from geostyle.matching.frame import Frame
from geostyle.matching.result import (
    FittedWarp,
    kept_in_place,
    kept_in_view,
    kept_whole,
    lost_share,
)
from geostyle.warps import make_family
from geostyle.warps.affine import from_pixels
from tests.pictures import picture

SIZE = (120, 160)


@pytest.fixture(scope="module")
def extractor(tiny_weights: Path) -> FeatureExtractor:
    return load_features(weights=tiny_weights)


def read_px(estimate: Estimate, points: Tensor, style: tuple[int, int] | None = None) -> Tensor:
    """Content pixels that the warp shows at pixel `points` of the output, or of a style on it."""
    parameters = estimate.parameters
    size = parameters.output_size if style is None else style
    outputs = pixel_to_normalized(points.double(), size)
    if style is not None:
        outputs = outputs * Frame.of(parameters.content_size, style, "content").to_output
    mapped = parameters.warp_family.map(parameters.theta.double()[None], outputs[None])[0]
    return normalized_to_pixel(mapped, parameters.content_size)


CONTENT_POINTS = torch.tensor([[40.0, 40.0], [120.0, 40.0], [50.0, 90.0], [110.0, 90.0]])


def test_points_alone_are_met(extractor: FeatureExtractor) -> None:
    """Four points moved, turned and bent; the style is of another size and shape."""
    style = torch.tensor([[30.0, 20.0], [75.0, 30.0], [30.0, 60.0], [60.0, 70.0]])
    points = Correspondences(CONTENT_POINTS, style)
    settings = GeometrySettings(estimator="points")
    estimate = estimate_warp(
        picture(0, *SIZE), picture(1, 90, 100), extractor, settings, Guide(points=points)
    )
    found = read_px(estimate, style, (90, 100))
    assert float((found - CONTENT_POINTS).norm(dim=1).max()) < 2.5
    assert estimate.confidence == 1 and not estimate.message


def test_points_without_a_style_move_parts_and_pin_the_rest() -> None:
    """The part at (80, 60) shall be at (92, 54): it is there, and the corners stay."""
    points = Correspondences(torch.tensor([[80.0, 60.0]]), torch.tensor([[92.0, 54.0]]))
    estimate = estimate_pinned(SIZE, points, GeometrySettings())
    moved = read_px(estimate, torch.tensor([[92.0, 54.0]]))
    assert float((moved - torch.tensor([80.0, 60.0])).norm()) < 2
    corners = torch.tensor([[0.0, 0.0], [159.0, 0.0], [0.0, 119.0], [159.0, 119.0]])
    assert float((read_px(estimate, corners) - corners).norm(dim=1).max()) < 3


def test_points_beside_the_estimate_pull_it(lite: FeatureExtractor) -> None:
    """Of a pair of equal pictures, nothing but the points asks for a warp."""
    content = picture(3, *SIZE)
    free = estimate_warp(content, content, lite)
    target = CONTENT_POINTS + torch.tensor([16.0, -10.0])
    points = Correspondences(CONTENT_POINTS, target)
    held = estimate_warp(content, content, lite, None, Guide(points=points))
    before, after = (
        float((read_px(e, target) - CONTENT_POINTS).norm(dim=1).mean()) for e in (free, held)
    )
    assert before > 16 and after < 6
    # One that is far off among many is not followed.
    wrong = torch.cat((target, torch.tensor([[150.0, 110.0]])))
    spoilt = Correspondences(torch.cat((CONTENT_POINTS, torch.tensor([[10.0, 10.0]]))), wrong)
    robust = estimate_warp(content, content, lite, None, Guide(points=spoilt))
    after = float((read_px(robust, target) - CONTENT_POINTS).norm(dim=1).mean())
    assert after < 9


def test_files_of_points(tmp_path: Path) -> None:
    pairs = {"content": [[1, 2], [3.5, 4]], "geo_style": [[5, 6], [7, 8]]}
    (tmp_path / "p.json").write_text(json.dumps(pairs))
    head = "name,content_x,content_y,geo_style_x,geo_style_y"
    (tmp_path / "p.csv").write_text(f"{head}\neye,1,2,5,6\nnose,3.5,4,7,8\n")
    for name in ("p.json", "p.csv"):
        points = Correspondences.load(tmp_path / name)
        assert points.content.tolist() == pairs["content"]
        assert points.geo_style.tolist() == pairs["geo_style"]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.json", "{}", "expected the keys"),
        ("a.json", '{"content": [], "geo_style": []}', "expected \\[x, y\\] pairs"),
        ("a.json", '{"content": [[1, 2]], "geo_style": [[1, 2], [3, 4]]}', "as many in both"),
        ("a.json", '{"content": [[1, "2"]], "geo_style": [[1, 2]]}', "pairs for content, got"),
        ("a.json", '{"content": [[1, NaN]], "geo_style": [[1, 2]]}', "expected finite"),
        ("a.json", "[" * 10000, "points: file"),
        ("a.csv", "content_x,content_y\n1,2\n", "columns content_x"),
        ("a.csv", "content_x,content_y,geo_style_x,geo_style_y\n1,2,x,4\n", "points: file"),
        ("none.json", None, "No such file"),
    ],
)
def test_bad_files_of_points_are_one_line(
    tmp_path: Path, name: str, text: str | None, reason: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=reason) as error:
        Correspondences.load(tmp_path / name)
    assert "\n" not in str(error.value) and str(error.value).startswith("points: file")


def test_points_lie_in_their_pictures(extractor: FeatureExtractor) -> None:
    points = Correspondences(torch.tensor([[160.0, 10.0]]), torch.tensor([[1.0, 1.0]]))
    with pytest.raises(InputError, match="expected content points within 160x120"):
        estimate_warp(picture(0, *SIZE), picture(1, *SIZE), extractor, None, Guide(points=points))


def test_a_subject_kept_in_place_keeps_center_and_size() -> None:
    """A turn, a stretch, a zoom and a shift: the latter two go, the former stay."""
    frame = Frame.of(SIZE, SIZE, "content")
    shape = torch.tensor([[1.1, -0.2], [0.2, 0.9]]).double()
    matrix = torch.cat((1.4 * shape, torch.tensor([[25.0], [-12.0]]).double()), 1).numpy()
    theta = torch.from_numpy(from_pixels(matrix, SIZE, SIZE))
    family = make_family("affine")
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(200, 2, generator=generator, dtype=torch.float64) * 0.8 - 0.2
    weights = torch.ones(200).double()
    matches = family.map(theta[None], points[None])[0]
    found = FittedWarp(family, theta, points, matches, weights, 1.0, GeometrySettings())
    kept = kept_in_place(found, frame).theta
    half = torch.tensor([SIZE[1], SIZE[0]]).double() / 2
    # Where the content's subject now stands in the output.
    linear = family.map(kept[None], torch.eye(2).double()[None])[0]
    origin = family.map(kept[None], torch.zeros(1, 1, 2).double())[0]
    inverse = torch.linalg.inv((linear - origin).mT)
    stands = (matches - origin) @ inverse.mT
    torch.testing.assert_close(stands.mean(0), matches.mean(0), atol=1e-6, rtol=0)
    spread = [((p - p.mean(0)) * half).square().sum(1).mean().sqrt() for p in (stands, matches)]
    torch.testing.assert_close(*spread, atol=1e-6, rtol=1e-6)
    own = inverse * (half[:, None] / half)
    turned = torch.linalg.inv(shape)
    scale = (torch.linalg.det(own) / torch.linalg.det(turned)).sqrt()
    torch.testing.assert_close(own, scale * turned, atol=1e-6, rtol=0)


def test_a_warp_kept_in_view_shows_little_beyond_the_content() -> None:
    """Half as large again and off to a side: zoomed in as far as it must be, and no further."""
    family = make_family("affine")
    theta = torch.tensor([0.5, 0.0, 0.3, 0.0, 0.5, 0.0]).double()
    points = torch.tensor([[-0.6, 0.0], [-0.4, 0.2]]).double()
    weights = torch.ones(2).double()
    found = FittedWarp(family, theta, points, points, weights, 1.0, GeometrySettings())
    assert torch.equal(kept_in_view(found, 0.7)[0].theta, theta)
    for share in (0.3, 0.02):
        seen, message = kept_in_view(found, share)
        kept = seen.theta
        assert re.fullmatch(r"\d+% of the result would lie beyond .*: zoomed in by \d+%", message)
        outside = (family.grid(kept[None], (96, 96)).abs() > 1).any(-1).double().mean()
        assert share / 3 - 0.01 < float(outside) <= share + 0.01
        assert kept[0] == pytest.approx(float(kept[4]), abs=1e-9) and -1e-9 < kept[0] < 0.5
        where = (points - kept[[2, 5]]) / (1 + kept[0])  # of what the points stand for
        assert where.abs().max() < 1


def test_what_leaves_the_canvas_is_measured_and_bounded() -> None:
    """A zoom by two shows a quarter of the content, wherever it lies inside."""
    frame, family = Frame.of(SIZE, SIZE, "content"), make_family("affine")
    nothing = torch.zeros(0, 2).double()

    def warp(*theta: float) -> FittedWarp:
        values = torch.tensor(theta).double()
        return FittedWarp(family, values, nothing, nothing, nothing[:, 0], 1.0, GeometrySettings())

    found = warp(-0.5, 0.0, 0.2, 0.0, -0.5, -0.1)
    assert lost_share(found) == pytest.approx(0.75, abs=1e-6)
    beyond = warp(0.0, 0.0, 1.0, 0.0, 0.0, 0.0)  # half a canvas to the side
    assert lost_share(beyond) == pytest.approx(0.5, abs=1e-6)
    assert torch.equal(kept_whole(found, frame, 0.8)[0].theta, found.theta)
    kept, message = kept_whole(found, frame, 0.19)  # a zoom of 0.9 is a fifth of the way
    assert message.startswith("75% of the content would leave the result: the warp is held to ")
    torch.testing.assert_close(kept.theta, 0.2 * found.theta, atol=0.02, rtol=0)
    assert lost_share(kept) <= 0.19


def test_candidates_differ_and_do_not_depend_on_their_number(lite: FeatureExtractor) -> None:
    folder = Path(str(resources.files("geostyle"))) / "assets" / "pictures"
    content, style = (
        resize(load_picture(folder / name).tensor, (96, 128)).clamp(0, 1)
        for name in ("content/coffee.jpg", "geo/coffee.jpg")
    )
    settings = GeometrySettings("affine", match_sizes_px=(128,), fade=False, looks=0)
    a, b = (describe(picture, lite, settings) for picture in (content, style))
    many = candidates(a, b, settings, 10)
    assert 3 <= len(many) < 10 and many[0].label == "best"
    grids = [c.estimate.parameters.grid((12, 16)) for c in many]
    for i, grid in enumerate(grids):
        assert all(float((grid - earlier).norm(dim=-1).mean()) > 0.015 for earlier in grids[:i])
    # The third of three is the third of ten.
    chosen = estimate_warp(content, style, lite, replace(settings, choose=3))
    assert torch.equal(chosen.parameters.theta, many[2].estimate.parameters.theta)
    with pytest.raises(InputError, match="choose: expected 1 to"):
        estimate_warp(content, style, lite, replace(settings, choose=20))
