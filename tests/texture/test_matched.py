"""Matched painting: hypercolumns, neighbors, objective, pyramid, the whole descent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from geostyle.coords import base_grid
from geostyle.device import resident_bytes
from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture import (
    MatchedPainting,
    PaintOptions,
    SourceGuide,
    TextureResult,
    TextureSettings,
)
from geostyle.texture.cells import make_bank, rows_of
from geostyle.texture.hypercolumns import cell_size, hypercolumns, layer_scales, mean_of_cells
from geostyle.texture.keeping import (
    FLAT_RADIUS,
    self_similarity_error,
    sharpness,
    structure,
    sums_around,
)
from geostyle.texture.laplacian import PyramidSettings, picture_of, pyramid_of
from geostyle.texture.matched import SHAPE_LAYERS
from geostyle.texture.matched_level import MatchedLevel, Scene
from geostyle.texture.matched_settings import MatchedSettings
from geostyle.texture.neighbors import Matcher, Queries, largest
from geostyle.texture.optimizer import optimize
from geostyle.texture.pyramid import Finished
from geostyle.texture.tiles import Tiling, Window

QUICK = MatchedSettings(split=2, turns=1)
STEPS = TextureSettings(iterations=(3, 3))


def picture(seed: int, height: int = 64, width: int = 64) -> Tensor:
    """Random colors, smooth over a few pixels."""
    noise = torch.rand(1, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, (height, width), mode="bicubic").clamp(0, 1)


def queries(image: Tensor, lite: FeatureExtractor, scales: dict[str, float]) -> Queries:
    size = cell_size((image.shape[-2], image.shape[-1]))
    columns = hypercolumns(image, lite, scales)
    return Queries(
        columns,
        mean_of_cells(image, size),
        torch.zeros(1, 1, *size),
        torch.ones(1, 1, *size),
        [None],
    )


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

    found = optimize(picture(5), objective, 60, PyramidSettings(lr=0.05))
    assert found.steps[-1].total < 0.1 * found.steps[0].total


def test_self_similarity_ignores_gain() -> None:
    features = torch.rand(20, 5)
    assert float(self_similarity_error(3 * features, features)) < 1e-5
    assert float(self_similarity_error(torch.rand(20, 5), features)) > 0.01


def test_flat_areas_are_compared_by_means() -> None:
    columns = torch.rand(1, 6, 20, 20, generator=torch.Generator().manual_seed(0)) - 0.5
    columns[..., :10] = columns[..., :1, :1]
    own = slice(FLAT_RADIUS, -FLAT_RADIUS)
    sums = sums_around(columns)
    assert sums.shape == (1, 6, 20 + 2 * FLAT_RADIUS, 20 + 2 * FLAT_RADIUS)
    torch.testing.assert_close(sums[0, :, 10 + 3, 10 + 3], columns[0, :, 7:14, 7:14].sum((1, 2)))
    counts = sums_around(torch.ones_like(columns[:, :1]))[..., own, own]
    assert (float(counts[0, 0, 0, 0]), float(counts[0, 0, 10, 10])) == (16, 49)
    sharp = sharpness(columns, sums[..., own, own] / counts)
    assert float(sharp[..., :7].max()) < 1e-3 and float(sharp[..., 13:].mean()) > 0.95


def test_paint_may_vary_where_the_content_is_flat(lite: FeatureExtractor) -> None:
    # Dabs of paint have nearly the same means everywhere; cell by cell they differ.
    content = torch.full((1, 3, 192, 192), 0.5)
    content[..., 96:] = picture(1, 192, 96)
    dabbed = content.clone()
    dabbed[..., :96] += 0.4 * (picture(4, 192, 96) - 0.5)
    scene = Scene(content, [picture(2)], [1.0])
    level = MatchedLevel(scene, lite, (192, 192), QUICK, STEPS)
    level.match(content)
    objective = level.objective()
    assert objective.shape_target is not None
    with torch.no_grad():
        found = lite(dabbed, SHAPE_LAYERS, tapped=False)
        at_flat = (objective.sharp.flatten() < 0.1).nonzero()[:, 0]
        whole = Window(0, 192, 0, 192, (192, 192))
        compared = torch.cat(
            [objective._shape_at(k, maps, whole, at_flat) for k, maps in found.items()], 1
        )
        single = torch.cat(
            [
                level.scales[k]
                * lite.tap_rows(k, rows_of(objective._shape_cells(k, maps, objective.shape_cells)))
                for k, maps in found.items()
            ],
            1,
        )[at_flat]
    assert len(at_flat) > 20

    def spread(rows: Tensor) -> Tensor:
        return (1 - torch.cosine_similarity(rows, rows.mean(0, keepdim=True))).mean()

    assert float(spread(compared)) < 0.7 * float(spread(single))


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
        scene = Scene(picture(1, 96, 128), [picture(2)], [1.0])
        level = MatchedLevel(scene, lite, (96, 128), QUICK, STEPS, tiling=tiling)
        level.match(picture(3, 96, 128))
        image = picture(3, 96, 128).requires_grad_()
        total, _, _ = level.objective(splitting=splitting)(image)
        (gradient,) = torch.autograd.grad(total, image)
        found.append((total.detach(), gradient))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-4, atol=1e-5)
    difference = (found[0][1] - found[1][1]).norm() / found[0][1].norm()
    assert float(difference) < 1e-3


def paint(
    lite: FeatureExtractor, settings: TextureSettings = STEPS, **options: Any
) -> tuple[TextureResult, Tensor]:
    """A painting of two textures, and its source map."""
    options = {"matched": QUICK, **options}
    styles = [picture(2), picture(3)]
    painting = MatchedPainting(picture(1, 64, 80), styles, lite, settings, PaintOptions(**options))
    found = painting.run()
    assert found.source_map is not None
    return found, found.source_map


def test_weights_are_the_parts_of_the_picture(lite: FeatureExtractor) -> None:
    _, source = paint(lite, tex_weights=[0.25, 0.75])
    assert float((source[0] == 0).float().mean()) == pytest.approx(0.25, abs=0.05)


def test_masks_restrict_matches(lite: FeatureExtractor) -> None:
    left = torch.zeros(1, 1, 64, 80)
    left[..., :40] = 1
    _, source = paint(lite, masks=torch.cat([left, 1 - left]))
    assert (source[0, :, :9] == 0).all() and (source[0, :, 11:] == 1).all()


def test_the_source_map_leaves_the_border_out(lite: FeatureExtractor) -> None:
    plain, bordered = paint(lite)[1], paint(lite, border_px=8)[1]
    assert plain.shape == bordered.shape == (4, 16, 20)
    assert plain[1:3].abs().max() <= 1 and plain[3].abs().max() <= 1 + 1e-5


def test_strength_0_is_the_content(lite: FeatureExtractor) -> None:
    painting = MatchedPainting(
        picture(1), [picture(2)], lite, replace(STEPS, tex_strength=0.0), PaintOptions(border_px=8)
    )
    assert torch.equal(painting.run().image, picture(1))


def painting_of(lite: FeatureExtractor, seed: int = 3, steps: tuple[int, ...] = (3, 3)) -> Any:
    return MatchedPainting(
        picture(1, 64, 80),
        [picture(2)],
        lite,
        replace(STEPS, iterations=steps),
        PaintOptions(seed=seed, matched=QUICK),
    )


def test_resumes_to_the_same_picture_after_every_level(lite: FeatureExtractor) -> None:
    kept: list[Finished] = []
    whole = painting_of(lite).run(on_level=kept.append)
    assert len(kept) == 2  # the second of them before the steps that match layer by layer
    for finished in kept:
        resumed = painting_of(lite).run(finished=finished)
        assert torch.equal(whole.image, resumed.image)
    assert not torch.equal(whole.image, painting_of(lite, seed=4).run().image)
    with pytest.raises(InputError, match="finished"):
        painting_of(lite, steps=(3, 3, 3)).run(finished=kept[0])


def test_leaves_the_global_generator_alone(lite: FeatureExtractor) -> None:
    state = torch.get_rng_state()
    paint(lite)
    assert torch.equal(state, torch.get_rng_state())


def test_an_interrupt_returns_the_picture_so_far(lite: FeatureExtractor) -> None:
    def stop(progress: object) -> None:
        raise KeyboardInterrupt

    found = painting_of(lite).run(stop)
    assert found.interrupted and found.image.shape == (1, 3, 64, 80)


def test_guides_pull_matches_to_their_place(lite: FeatureExtractor) -> None:
    """A guide that points to one corner, and the part that is to be invented."""
    inside = torch.ones(1, 1, 64, 80)
    inside[..., :20] = 0
    corner = torch.full((1, 64, 80, 2), -0.8)
    distances = []
    for guidance in (0.0, 1.0):
        guide = SourceGuide(corner, torch.ones(1, 1, 64, 80))
        matched = replace(QUICK, guidance=guidance)
        _, source = paint(lite, inside=inside, guides=[guide, guide], matched=matched)
        distances.append(float((source[1:3] + 0.8).norm(dim=0).mean()))
    assert distances[1] < 0.5 * distances[0]


def test_quick_takes_a_third_of_the_steps(lite: FeatureExtractor) -> None:
    def steps(quick: bool) -> int:
        matched = MatchedSettings(quick=quick)
        options = PaintOptions(matched=matched)
        painting = MatchedPainting(picture(1), [picture(2)], lite, options=options)
        return sum(entry.steps for entry in painting.schedule)

    assert steps(True) < 0.4 * steps(False)


def test_large_textures_are_counted_before_anything_is_matched(lite: FeatureExtractor) -> None:
    """The cells of a texture at scale 8 take 64 times the memory of those at scale 1."""
    settings = replace(STEPS, tex_scale=8.0, memory_gb=resident_bytes() / 1e9 + 0.3)
    pictures = picture(0, 96, 128), [picture(1)]
    options = PaintOptions(matched=QUICK)
    with pytest.raises(InputError, match=r"^size_px: expected a size that fits 0\.3 GB"):
        MatchedPainting(*pictures, lite, settings, options)
    MatchedPainting(*pictures, lite, replace(settings, tex_scale=1.0), options)


def test_no_color_is_far_from_the_palette(lite: FeatureExtractor) -> None:
    content = 0.5 * picture(0)
    content[:, 0, 20:40, 20:40] = 1.0  # red
    gray = picture(1).mean(1, keepdim=True).expand(-1, 3, -1, -1).contiguous()
    gray[:, 2] *= 0.9  # nearly gray, so that grays are not kept by another rule
    options = PaintOptions(matched=QUICK)
    painted = MatchedPainting(content, gray, lite, STEPS, options).run().image
    chroma = (painted[:, 0] - painted[:, 1]).abs()
    assert float(torch.nn.functional.avg_pool2d(chroma, 4).max()) < 2.5 * 0.03
    half = replace(STEPS, tex_strength=0.5)
    mixed = MatchedPainting(content, gray, lite, half, options).run().image
    assert float((mixed[:, 0] - mixed[:, 1])[:, 24:36, 24:36].mean()) > 0.1


def test_a_finished_painting_resumes_to_the_same_colors(lite: FeatureExtractor) -> None:
    settings = replace(STEPS, tex_strength=0.5)
    options = PaintOptions(matched=QUICK)
    kept: list[Finished] = []
    painting = MatchedPainting(picture(0), picture(1), lite, settings, options)
    done = painting.run(on_level=kept.append)
    for finished in kept:
        again = MatchedPainting(picture(0), picture(1), lite, settings, options)
        assert torch.equal(again.run(finished=finished).image, done.image)
