"""Coarse-to-fine transfer with a very narrow network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor, load_features
from geostyle.texture import (
    GramPainting,
    PaintOptions,
    Progress,
    TextureSettings,
    level_sizes,
    score,
    transfer_texture,
)
from geostyle.texture.schedule import style_size
from tests.pictures import picture

TINY = TextureSettings(iterations=(4, 3, 2))


@pytest.fixture(scope="module")
def extractor(tiny_weights: Path) -> FeatureExtractor:
    return load_features("lite", weights=tiny_weights)


def test_levels_double() -> None:
    assert level_sizes((512, 256), 4) == [(64, 32), (128, 64), (256, 128), (512, 256)]
    assert level_sizes((101, 70), 3) == [(25, 18), (50, 35), (101, 70)]
    assert level_sizes((16, 300), 4) == [(16, 38), (16, 75), (16, 150), (16, 300)]


def test_style_long_side_follows_the_canvas() -> None:
    style = torch.zeros(1, 3, 100, 50)
    assert style_size(style, (64, 128), 1.0) == (128, 64)
    assert style_size(style, (64, 128), 0.5) == (64, 32)


@pytest.mark.parametrize("size", [(500, 8000), (8000, 500), (100, 201)])
def test_a_style_covers_at_most_twice_a_thin_canvas(size: tuple[int, int]) -> None:
    height, width = style_size(torch.zeros(1, 3, 90, 90), size, 1.0)
    assert height * width == pytest.approx(2 * size[0] * size[1], rel=0.01)


@pytest.mark.parametrize("size", [(64, 64), (67, 41), (16, 130)])
def test_lowers_the_score_at_any_size(extractor: FeatureExtractor, size: tuple[int, int]) -> None:
    content, style = picture(0, *size), picture(1, 80, 60)
    result = transfer_texture(content, style, extractor, replace(TINY, iterations=(15, 15, 15)))
    assert result.image.shape == content.shape
    assert result.image.min() >= 0
    assert result.image.max() <= 1
    seen = torch.nn.functional.interpolate(style, style_size(style, size, 1.0), mode="bilinear")
    before = score(content, content, seen, extractor).total
    assert score(result.image, content, seen, extractor).total < 0.8 * before


def test_same_seed_same_bytes_and_noise_follows_the_seed(extractor: FeatureExtractor) -> None:
    content, style = picture(0, 48, 40), picture(1, 40, 40)
    settings = replace(TINY, init="noise")
    first, again, other = (
        transfer_texture(content, style, extractor, settings, PaintOptions(seed=seed)).image
        for seed in (5, 5, 6)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_strength_zero_keeps_the_content(extractor: FeatureExtractor) -> None:
    content, style = picture(0, 48, 48), picture(1, 48, 48)
    kept = transfer_texture(content, style, extractor, replace(TINY, tex_strength=0.0))
    assert torch.equal(kept.image, content) and not kept.history


@pytest.mark.parametrize("masked", [False, True])
def test_strength_grows_from_the_content(extractor: FeatureExtractor, masked: bool) -> None:
    content, style = picture(0, 64, 64), picture(1, 48, 48)
    options = PaintOptions(masks=torch.ones(1, 1, 64, 64) if masked else None)
    distances = [
        float((image - content).abs().mean())
        for image in (
            transfer_texture(
                content, style, extractor,
                TextureSettings(iterations=(20, 20), tex_strength=strength), options,
            ).image
            for strength in (0.05, 0.3, 0.6, 1.0)
        )
    ]  # fmt: skip
    assert distances == sorted(distances)
    assert distances[0] < 0.15 * distances[-1]


def test_a_mixture_of_one_is_that_style(extractor: FeatureExtractor) -> None:
    content, a, b = picture(0, 32, 32), picture(1, 32, 32), picture(2, 32, 32)
    alone = transfer_texture(content, a, extractor, TINY).image
    mixed = transfer_texture(content, [a, b], extractor, TINY, PaintOptions([1, 0])).image
    half = transfer_texture(content, [a, b], extractor, TINY, PaintOptions([1, 1])).image
    assert torch.allclose(alone, mixed, atol=1e-5)
    assert not torch.allclose(alone, half, atol=1e-3)
    for bad in ([1.0], [1.0, -1.0], [0.0, 0.0]):
        with pytest.raises(InputError, match="^tex_weights: expected 2 non-negative weights"):
            transfer_texture(content, [a, b], extractor, TINY, PaintOptions(bad))


def test_texture_losses_share_the_style(extractor: FeatureExtractor) -> None:
    content, style = picture(0, 48, 48), picture(1, 48, 48)
    terms = {}
    for name, weights in {
        "gram": (1, 0, 0), "wasserstein": (0, 2, 0), "moment": (0, 0, 3), "all": (1, 2, 1)
    }.items():  # fmt: skip
        kinds = dict(
            zip(("gram_weight", "wasserstein_weight", "moment_weight"), weights, strict=True)
        )
        settings = TextureSettings(iterations=(12,), **kinds)
        seen: list[Progress] = []
        transfer_texture(content, style, extractor, settings, callback=seen.append)
        assert min(p.total for p in seen) < 0.9 * seen[0].total
        terms[name] = seen[0].style
    mean = (terms["gram"] + 2 * terms["wasserstein"] + terms["moment"]) / 4
    assert terms["all"] == pytest.approx(mean, rel=1e-4)
    with pytest.raises(InputError, match="gram_weight"):
        TextureSettings(gram_weight=0.0)


def test_callback_sees_every_step_and_may_stop(extractor: FeatureExtractor) -> None:
    content, style = picture(0, 64, 48), picture(1, 40, 40)
    seen: list[Progress] = []
    transfer_texture(content, style, extractor, TINY, callback=seen.append)
    assert [(p.level, p.step) for p in seen] == [
        (level, step) for level, steps in enumerate((4, 3, 2)) for step in range(steps)
    ]
    assert all(p.image.shape[-2:] == p.size for p in seen)

    def stop(progress: Progress) -> None:
        if progress.level == 1:
            raise KeyboardInterrupt

    cut = transfer_texture(content, style, extractor, TINY, callback=stop)
    assert cut.interrupted
    assert cut.image.shape == content.shape
    assert [len(level.steps) for level in cut.history] == [4, 1]


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_run_cut_by_the_clock_repeats_without_it(
    extractor: FeatureExtractor, optimizer: str
) -> None:
    content, style = picture(0, 48, 48), picture(1, 40, 40)
    settings = TextureSettings(
        iterations=(200, 200, 200), time_budget_s=0.3, optimizer=optimizer, plateau=1e-6
    )
    cut = transfer_texture(content, style, extractor, settings)
    assert cut.settings is not None and cut.settings.time_budget_s == 0
    assert cut.settings.iterations == (200, 200, 200) and sum(cut.settings.stop_after) < 600
    again = transfer_texture(content, style, extractor, cut.settings)
    assert torch.equal(cut.image, again.image)
    assert again.settings == cut.settings


def test_constant_and_identical_pictures_stay_sane(extractor: FeatureExtractor) -> None:
    flat, style = torch.full((1, 3, 48, 48), 0.5), picture(1, 48, 48)
    for content, texture in ((flat, style), (style, flat), (style, style), (flat * 0, flat * 0)):
        image = transfer_texture(content, texture, extractor, TINY).image
        assert torch.isfinite(image).all()
    same = transfer_texture(style, style, extractor, TextureSettings(iterations=(5,))).image
    assert torch.allclose(same, style, atol=5e-3)


def test_a_plain_wall_takes_on_the_texture() -> None:
    """Its own features are next to nothing; held to them, it would stay as it is."""
    lite = load_features("lite")
    wall = torch.full((1, 3, 64, 64), 0.5)
    settings = TextureSettings(iterations=(12, 8), coarse_content=1.0)
    painted = transfer_texture(wall, picture(1, 64, 64), lite, settings).image
    assert painted.std(dim=(2, 3)).mean() > 0.08  # 0.007 where the wall is held to itself


def test_iterations_are_checked() -> None:
    assert GramPainting.defaults["iterations"] == (40, 30, 20, 60)  # what () stands for
    with pytest.raises(InputError, match="iterations"):
        TextureSettings(iterations=(3, -1))
    with pytest.raises(InputError, match="stop_after"):
        TextureSettings(iterations=(3, 1), stop_after=(2,))
