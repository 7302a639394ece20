"""Two networks that take turns: which paints where, and that everything else still holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor, load_features
from geostyle.texture import Progress, TextureSettings, schedule, score, transfer_texture
from geostyle.texture.memory import hungriest, peak_bytes, resident_bytes
from geostyle.texture.pyramid import Finished
from geostyle.texture.schedule import pixel_cost
from tests.pictures import picture

SETTINGS = TextureSettings(iterations=(6, 5, 4), finish=(2, 3))


@pytest.fixture(scope="module")
def networks(tiny_weights: Path) -> list[FeatureExtractor]:
    """A narrow network, and a wider one of another kind."""
    torch.manual_seed(1)
    wide = FeatureExtractor("vgg19", channels=[16, 24, 32, 32, 32]).requires_grad_(False)
    return [load_features("lite", weights=tiny_weights), wide]


CONTENT, STYLE = picture(0, 64, 48), picture(1, 60, 60)


@pytest.mark.parametrize(
    ("finish", "expected"),
    [
        ((), [("lite", 6), ("lite", 5), ("lite", 4)]),
        ((2, 3), [("lite", 6), ("lite", 3), ("vgg19", 2), ("lite", 1), ("vgg19", 3)]),
        ((9, 0, 0, 9), [("lite", 6), ("lite", 5), ("vgg19", 4)]),
        ((6, 1, 0), [("vgg19", 6), ("lite", 4), ("vgg19", 1), ("lite", 4)]),
    ],
)
def test_the_second_network_takes_the_last_steps(
    networks: list[FeatureExtractor], finish: tuple[int, ...], expected: list[tuple[str, int]]
) -> None:
    levels = schedule((64, 48), networks, replace(SETTINGS, finish=finish))
    assert [(level.network.name, level.steps) for level in levels] == expected
    alone = schedule((64, 48), networks[:1], replace(SETTINGS, finish=finish))
    assert [level.steps for level in alone] == [6, 5, 4]
    assert [level.size for level in alone] == [(16, 16), (32, 24), (64, 48)]


def test_one_network_for_all_steps_is_that_network(networks: list[FeatureExtractor]) -> None:
    for finish, network in (((), networks[0]), (SETTINGS.iterations, networks[1])):
        settings = replace(SETTINGS, finish=finish)
        both = transfer_texture(CONTENT, STYLE, networks, settings).image
        assert torch.equal(both, transfer_texture(CONTENT, STYLE, network, settings).image)


def test_the_finish_is_what_its_network_asks_for(networks: list[FeatureExtractor]) -> None:
    settings = TextureSettings(iterations=(12, 20), finish=(10,))
    seen: list[Progress] = []
    both = transfer_texture(CONTENT, STYLE, networks, settings, callback=seen.append).image
    first = transfer_texture(CONTENT, STYLE, networks[0], settings).image
    totals = [score(image, CONTENT, STYLE, networks[1]).total for image in (both, first)]
    assert totals[0] < 0.9 * totals[1]
    assert [(p.network, p.level, p.steps) for p in seen if p.step == 0] == [
        ("lite", 0, 12), ("lite", 1, 10), ("vgg19", 2, 10)
    ]  # fmt: skip
    assert {p.levels for p in seen} == {3}


def test_it_goes_on_from_any_level(networks: list[FeatureExtractor]) -> None:
    kept: list[Finished] = []
    whole = transfer_texture(CONTENT, STYLE, networks, SETTINGS, on_level=kept.append)
    assert [len(finished.history) for finished in kept] == [1, 2, 3, 4]
    for finished in kept:
        again = transfer_texture(CONTENT, STYLE, networks, SETTINGS, finished=finished)
        assert torch.equal(again.image, whole.image)


def test_a_run_cut_by_the_clock_repeats_without_it(networks: list[FeatureExtractor]) -> None:
    settings = TextureSettings(iterations=(300, 300), finish=(100, 100), time_budget_s=0.4)
    cut = transfer_texture(CONTENT, STYLE, networks, settings)
    assert cut.settings is not None and len(cut.settings.stop_after) == 4
    assert sum(cut.settings.stop_after) < 600
    again = transfer_texture(CONTENT, STYLE, networks, cut.settings)
    assert torch.equal(cut.image, again.image)
    wrong = replace(SETTINGS, stop_after=(1, 1, 1))
    with pytest.raises(InputError, match="^stop_after: expected one number for each level, 5"):
        transfer_texture(CONTENT, STYLE, networks, wrong)


def test_memory_and_work_are_those_of_the_larger_network(networks: list[FeatureExtractor]) -> None:
    lite, wide = networks
    assert hungriest(networks, (200, 300)) is wide
    assert peak_bytes(wide, (200, 300)) > peak_bytes(lite, (200, 300))
    needed = peak_bytes(wide, (64, 48)) / 1e9
    held = resident_bytes() / 1e9
    with pytest.raises(InputError, match="^size_px: expected a size that fits"):
        settings = replace(SETTINGS, memory_gb=held + needed / 10)
        transfer_texture(CONTENT, STYLE, networks, settings)


def test_the_real_networks_cost_what_was_measured(lite: FeatureExtractor) -> None:
    ratio = pixel_cost(FeatureExtractor("vgg19")) / pixel_cost(lite)
    assert ratio == pytest.approx(5.5, rel=0.15)


def test_a_third_network_is_refused(networks: list[FeatureExtractor]) -> None:
    with pytest.raises(InputError, match="^network: expected one network or two, got 3"):
        transfer_texture(CONTENT, STYLE, [*networks, networks[0]], SETTINGS)
