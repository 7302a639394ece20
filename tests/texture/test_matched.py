"""Matched painting: hypercolumns, neighbors, objective, pyramid, the whole descent."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from geostyle.coords import base_grid
from geostyle.errors import InputError
from geostyle.features import FeatureExtractor, load_features
from geostyle.texture.cells import make_bank
from geostyle.texture.hypercolumns import cell_size, hypercolumns, layer_scales, mean_of_cells
from geostyle.texture.keeping import self_similarity_error, structure
from geostyle.texture.laplacian import optimize_pyramid, picture_of, pyramid_of
from geostyle.texture.matched_level import Guide, MatchedLevel
from geostyle.texture.matched_settings import MatchedSettings
from geostyle.texture.neighbors import Matcher, Queries, largest
from geostyle.texture.painter import MatchedResult, paint_matched
from geostyle.texture.pyramid import Finished
from geostyle.texture.tiles import Tiling

QUICK = MatchedSettings(iterations=(3, 3), split=2, turns=1)


@pytest.fixture(scope="module")
def lite() -> FeatureExtractor:
    return load_features("lite")


def picture(seed: int, height: int = 64, width: int = 64) -> Tensor:
    """Random colors, smooth over a few pixels."""
    noise = torch.rand(1, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, (height, width), mode="bicubic").clamp(0, 1)


def queries(image: Tensor, lite: FeatureExtractor, scales: dict[str, float]) -> Queries:
    size = cell_size((image.shape[-2], image.shape[-1]))
    columns = hypercolumns(image, lite, scales)
    return Queries(columns, mean_of_cells(image, size), 0.0, torch.ones(1, 1, *size), [None])


def test_hypercolumns_have_a_mean_square_of_one(lite: FeatureExtractor) -> None:
    image = picture(0)
    scales = layer_scales([image], lite, ["relu3_1"])
    columns = hypercolumns(image, lite, scales)
    assert columns.shape == (1, lite.channels("relu3_1"), 16, 16)
    torch.testing.assert_close(columns.square().mean(), torch.tensor(1.0))


def test_hypercolumns_in_tiles_are_those_of_the_whole(lite: FeatureExtractor) -> None:
    image = picture(0, 80, 96)
    scales = layer_scales([image], lite)
    whole = hypercolumns(image, lite, scales)
    tiled = hypercolumns(image, lite, scales, Tiling(48, 2))
    torch.testing.assert_close(tiled, whole, atol=1e-4, rtol=1e-4)


def test_a_texture_is_nearest_to_itself(lite: FeatureExtractor) -> None:
    image = picture(1)
    scales = layer_scales([image], lite)
    bank = make_bank(image, lite, scales, turns=(0, 1, 2, 3))
    match = Matcher([bank], spread=0.0).match(queries(image, lite, scales))
    assert torch.equal(match.index, torch.arange(256))
    assert float(match.similarity.min()) > 0.9


def test_turned_cells_know_where_they_come_from(lite: FeatureExtractor) -> None:
    bank = make_bank(picture(1, 64, 48), lite, layer_scales([picture(1)], lite), turns=(0, 1))
    upright = bank.positions[: len(bank.positions) // 2]
    torch.testing.assert_close(upright.view(16, 12, 2), base_grid((16, 12)))
    turned = bank.positions[len(upright) :].view(12, 16, 2)
    torch.testing.assert_close(turned, torch.rot90(upright.view(16, 12, 2), 1, (0, 1)))
    assert torch.equal(bank.places.bincount(), torch.full((192,), 2))


def test_matching_coarse_first_finds_most_of_itself(lite: FeatureExtractor) -> None:
    image = picture(1, 96, 96)
    scales = layer_scales([image], lite)
    bank = make_bank(image, lite, scales)
    match = Matcher([bank], spread=0.0, most=1000).match(queries(image, lite, scales))
    assert float((match.index == torch.arange(24 * 24)).float().mean()) > 0.95


def test_prices_spread_the_use_of_a_texture(lite: FeatureExtractor) -> None:
    style, image = picture(1), picture(2)
    scales = layer_scales([style], lite)
    bank = make_bank(style, lite, scales)
    used = [
        len(Matcher([bank], spread=s).match(queries(image, lite, scales)).index.unique())
        for s in (0.0, 1.0)
    ]
    assert used[1] > used[0]


def test_expected_positions_pull(lite: FeatureExtractor) -> None:
    style, image = picture(1), picture(2)
    scales = layer_scales([style], lite)
    bank = make_bank(style, lite, scales)
    here = base_grid((16, 16)).permute(2, 0, 1)[None]
    distances = []
    for pull in (0.0, 0.5, 100.0):
        expected = torch.cat([here, torch.full_like(here[:, :1], pull)], 1)
        found = Matcher([bank], spread=0.0).match(
            replace(queries(image, lite, scales), expected=[expected])
        )
        distances.append(
            float(
                (bank.positions[found.index] - base_grid((16, 16)).view(-1, 2)).norm(dim=1).mean()
            )
        )
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < 1e-3


@pytest.mark.parametrize("columns", [1, 63, 64, 65, 200])
def test_largest_is_argmax(columns: int) -> None:
    values = torch.randn(7, columns, generator=torch.Generator().manual_seed(columns))
    assert torch.equal(largest(values), values.argmax(1))


def test_pyramid_puts_the_picture_together_again() -> None:
    image = picture(3, 70, 45)
    torch.testing.assert_close(picture_of(pyramid_of(image)), image)


def test_pyramid_descends() -> None:
    goal = picture(4)

    def objective(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        error = (image - goal).square().mean()
        return error, error, error

    found = optimize_pyramid(picture(5), objective, 60, lr=0.05)
    assert found.steps[-1].total < 0.1 * found.steps[0].total


def test_self_similarity_ignores_gain() -> None:
    features = torch.rand(20, 5)
    assert float(self_similarity_error(3 * features, features)) < 1e-5
    assert float(self_similarity_error(torch.rand(20, 5), features)) > 0.01


def test_structure_finds_what_stands_out() -> None:
    image = torch.full((1, 3, 128, 128), 0.5)
    checks = (torch.arange(16)[:, None] // 2 + torch.arange(16) // 2) % 2
    image[..., 56:72, 56:72] = checks.float()
    found = structure(image, (32, 32))[0, 0]
    assert found[16, 16] > 0.5 and found[2, 2] == 0


@pytest.mark.parametrize("splitting", [False, True])
def test_objective_in_tiles_has_the_same_value_and_gradient(
    lite: FeatureExtractor, splitting: bool
) -> None:
    found = []
    for tiling in (None, Tiling(64, 2)):
        level = MatchedLevel(
            picture(1, 96, 128), [picture(2)], lite, QUICK, (96, 128), weights=[1.0], tiling=tiling
        )
        level.match(picture(3, 96, 128))
        image = picture(3, 96, 128).requires_grad_()
        total, _, _ = level.objective(splitting=splitting)(image)
        (gradient,) = torch.autograd.grad(total, image)
        found.append((total.detach(), gradient))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-4, atol=1e-5)
    difference = (found[0][1] - found[1][1]).norm() / found[0][1].norm()
    assert float(difference) < 1e-3


def paint(
    lite: FeatureExtractor, settings: MatchedSettings = QUICK, **more: object
) -> MatchedResult:
    return paint_matched(picture(1, 64, 80), [picture(2), picture(3)], lite, settings, **more)  # type: ignore[arg-type]


def test_shares_are_the_parts_of_the_picture(lite: FeatureExtractor) -> None:
    found = paint(lite, mixture=[0.25, 0.75])
    assert found.source is not None
    assert float((found.source.style == 0).float().mean()) == pytest.approx(0.25, abs=0.05)


def test_masks_restrict_matches(lite: FeatureExtractor) -> None:
    left = torch.zeros(1, 1, 64, 80)
    left[..., :40] = 1
    found = paint(lite, shares=torch.cat([left, 1 - left]))
    assert found.source is not None
    assert (found.source.style[:, :9] == 0).all() and (found.source.style[:, 11:] == 1).all()


def test_strength_0_is_the_content(lite: FeatureExtractor) -> None:
    found = paint(lite, replace(QUICK, tex_strength=0.0), border=(8, 8))
    assert torch.equal(found.image, picture(1, 64, 80)[..., 8:-8, 8:-8])


def test_resumes_to_the_same_picture(lite: FeatureExtractor) -> None:
    kept: list[Finished] = []
    whole = paint(lite, on_level=kept.append, seed=3)
    resumed = paint(lite, finished=kept[0], seed=3)
    assert torch.equal(whole.image, resumed.image)
    assert not torch.equal(whole.image, paint(lite, seed=4).image)
    with pytest.raises(InputError, match="finished"):
        paint(lite, replace(QUICK, iterations=(3, 3, 3)), finished=kept[0])


def test_leaves_the_global_generator_alone(lite: FeatureExtractor) -> None:
    state = torch.get_rng_state()
    paint(lite)
    assert torch.equal(state, torch.get_rng_state())


def test_an_interrupt_returns_the_picture_so_far(lite: FeatureExtractor) -> None:
    def stop(progress: object) -> None:
        raise KeyboardInterrupt

    found = paint(lite, callback=stop)
    assert found.interrupted and found.image.shape == (1, 3, 64, 80)


def test_guides_and_beyond_the_frame(lite: FeatureExtractor) -> None:
    inside = torch.ones(1, 1, 64, 80)
    inside[..., :20] = 0
    guide = Guide(base_grid((64, 80))[None], torch.ones(1, 1, 64, 80))
    found = paint(lite, inside=inside, guides=[guide, None])
    assert torch.isfinite(found.image).all()
