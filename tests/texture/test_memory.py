"""Memory is foreseen, pictures are cut so that they fit, and memory that runs out is survived."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor, load_features
from geostyle.texture import MatchedPainting, PaintOptions, TextureSettings, transfer_texture
from geostyle.texture.matched_level import MatchedLevel
from geostyle.texture.matched_settings import MatchedSettings
from geostyle.texture.memory import (
    MARGIN,
    TILINGS,
    available_bytes,
    choose_tiling,
    peak_bytes,
    resident_bytes,
    settle_tiles,
    smaller_tiles,
)
from geostyle.texture.objective import TextureObjective
from geostyle.texture.schedule import level_sizes
from geostyle.texture.tiles import Tiling
from tests.pictures import picture

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def network(tiny_weights: Path) -> FeatureExtractor:
    return load_features("lite", weights=tiny_weights)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_estimate_is_near_the_measured_peak() -> None:
    code = """
import torch
from geostyle.features.extractor import load_features
from geostyle.texture import TextureSettings, transfer_texture
from geostyle.texture.memory import peak_bytes, resident_bytes, vectors_held
from geostyle.texture.tiles import Tiling
torch.set_num_threads(1)
network, size = load_features("lite"), (352, 384)
tiny = torch.rand(1, 3, 32, 32)
# Pages of libraries that the first steps read in would count as the picture's.
transfer_texture(tiny, tiny, network, TextureSettings(iterations=(2,)))
before = resident_bytes()
for tile_px in (160, 999):  # the second, whole, takes more
    settings = TextureSettings(iterations=(1,), tile_px=tile_px)
    transfer_texture(torch.rand(1, 3, *size), torch.rand(1, 3, *size), network, settings)
    # Not ru_maxrss, which a started process has from the one that started it, here a large one.
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    peak = int(status["VmHWM"].split()[0]) * 1024
    own = peak_bytes(network, size, Tiling(tile_px), vectors=vectors_held(settings))
    print(before, own, peak)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        before, own, peak = map(float, line.split())
        assert before + own == pytest.approx(peak, rel=0.1)
        assert before < 0.88 * peak  # without its own share, the sum would be out of reach


def test_cutting_more_takes_less_and_everything_grows_with_the_picture(
    network: FeatureExtractor,
) -> None:
    needed = [peak_bytes(network, (4096, 3000), tiling) for tiling in (None, *TILINGS)]
    assert needed[0] > needed[1] > 0 and needed == sorted(needed, reverse=True)
    sizes = [peak_bytes(network, (side, side), Tiling(512)) for side in (256, 512, 1024, 2048)]
    assert sizes == sorted(sizes)
    assert peak_bytes(network, (512, 512), batch=4) > 3 * (peak_bytes(network, (512, 512)) - 90e6)
    half = load_features("lite", dtype=torch.bfloat16)
    assert peak_bytes(half, (2048, 2048)) < peak_bytes(load_features("lite"), (2048, 2048))


def test_the_fastest_way_that_fits_is_taken(network: FeatureExtractor) -> None:
    size, needed = (3000, 4096), partial(peak_bytes, network)
    assert choose_tiling(needed, size, 1e12) is None
    for tiling in TILINGS:
        # As much as this way needs: none of the faster ones fits.
        available = 1.0001 * MARGIN * peak_bytes(network, size, tiling)
        found = choose_tiling(needed, size, available)
        assert found is not None and TILINGS.index(found) <= TILINGS.index(tiling)
        assert MARGIN * peak_bytes(network, size, found) <= available


def test_an_error_names_the_largest_size_that_fits(network: FeatureExtractor) -> None:
    size, available, needed = (6000, 8000), 1.5e9, partial(peak_bytes, network)
    with pytest.raises(InputError, match=r"^size_px: .*1\.5 GB.*, at most \d+, got 8000") as error:
        choose_tiling(needed, size, available)
    found = re.search(r"at most (\d+)", str(error.value))
    assert found is not None
    fitting = int(found[1])
    choose_tiling(needed, (fitting * 3 // 4, fitting), available)
    with pytest.raises(InputError):
        choose_tiling(needed, ((fitting + 16) * 3 // 4, fitting + 16), available)


def test_automatic_tiles_are_settled_once(network: FeatureExtractor) -> None:
    free = settle_tiles(TextureSettings(iterations=(9,), memory_gb=1000), [network], (300, 400))
    assert free.tile_px == 400  # nothing is longer: nothing is cut
    assert settle_tiles(free, [network], (3000, 4000)) is free
    held = resident_bytes() / 1e9  # by all the tests before, too
    wanted = TextureSettings(iterations=(9,), memory_gb=held + 12)
    scarce = settle_tiles(wanted, [network], (4000, 6000))
    assert scarce.tile_px < 6000
    with pytest.raises(InputError, match="size_px"):
        settle_tiles(wanted, [network], (300, 400), more=lambda *_: 1e12)
    with pytest.raises(InputError, match="memory_gb: expected more than"):
        settle_tiles(TextureSettings(iterations=(9,), memory_gb=0.01), [network], (300, 400))
    assert available_bytes(torch.device("cpu")) > 1e6
    with pytest.raises(InputError, match="tile_px"):
        TextureSettings(tile_px=5)


def test_smaller_tiles_end_somewhere() -> None:
    settings, tried = TextureSettings(tile_px=4096), []
    while (finer := smaller_tiles(settings, (4096, 3000))) is not None:
        settings = finer
        tried.append((settings.tile_px, settings.tile_blocks))
    assert tried[0] == (2048, 2) and tried[-1] == (256, 5)
    assert len(tried) == len(set(tried)) and tried == sorted(tried, key=lambda t: (-t[0], t[1]))
    assert smaller_tiles(TextureSettings(tile_px=60), (40, 60)) is None


@pytest.mark.parametrize(
    "failure",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_memory_that_runs_out_leads_to_tiles(
    network: FeatureExtractor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failure: Exception,
) -> None:
    content, style = picture(0, 96, 144), picture(1, 60, 80)
    settings = TextureSettings(iterations=(3, 3))
    forward = TextureObjective.forward

    def short_of_memory(self: TextureObjective, image: Tensor) -> Any:
        if max(image.shape[-2:]) > 72 and (self.tiling is None or self.tiling.tile_px > 72):
            raise failure
        return forward(self, image)

    monkeypatch.setattr(TextureObjective, "forward", short_of_memory)
    with caplog.at_level(logging.WARNING):
        result = transfer_texture(content, style, network, settings)
    assert "out of memory at 144x96 px" in caplog.text
    assert result.settings is not None and result.settings.tile_px == 72
    monkeypatch.setattr(TextureObjective, "forward", forward)
    again = transfer_texture(content, style, network, result.settings)
    assert torch.equal(again.image, result.image)
    whole = transfer_texture(content, style, network, settings)
    assert torch.allclose(whole.image, result.image, atol=1e-2)


def test_memory_that_runs_out_before_the_first_step_leads_to_tiles(
    network: FeatureExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Matched painting reads the texture before a level begins."""
    enlarged = MatchedLevel.enlarged

    def short_of_memory(self: MatchedLevel, image: Tensor) -> Tensor:
        if self.tiling is None or self.tiling.tile_px > 48:
            raise MemoryError
        return enlarged(self, image)

    monkeypatch.setattr(MatchedLevel, "enlarged", short_of_memory)
    settings = TextureSettings(iterations=(2, 2))
    options = PaintOptions(matched=MatchedSettings(split=0, turns=1))
    result = MatchedPainting(
        picture(0, 64, 96), picture(1, 60, 80), network, settings, options
    ).run()
    assert result.settings is not None and result.settings.tile_px == 48


def test_other_failures_are_not_swallowed_and_no_way_left_is_one_line(
    network: FeatureExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: TextureObjective, image: Tensor) -> Any:
        raise RuntimeError("something else")

    content = picture(0, 48, 48)
    monkeypatch.setattr(TextureObjective, "forward", fails)
    with pytest.raises(RuntimeError, match="something else"):
        transfer_texture(content, content, network, TextureSettings(iterations=(1,)))

    def never_fits(self: TextureObjective, image: Tensor) -> Any:
        raise MemoryError

    monkeypatch.setattr(TextureObjective, "forward", never_fits)
    with pytest.raises(InputError, match="^size_px: expected a size that fits into memory"):
        transfer_texture(content, content, network, TextureSettings(iterations=(1,)))


@pytest.mark.parametrize("tile_px", [32, 48])
def test_a_picture_painted_in_tiles_is_the_picture(network: FeatureExtractor, tile_px: int) -> None:
    content, style = picture(0, 70, 100), picture(1, 60, 80)
    settings = TextureSettings(iterations=(4, 4))
    whole = transfer_texture(content, style, network, settings).image
    cut = transfer_texture(content, style, network, replace(settings, tile_px=tile_px)).image
    assert torch.allclose(cut, whole, atol=1e-3)
    sizes = level_sizes((70, 100), 2)
    assert sizes == [(35, 50), (70, 100)]


def test_less_memory_than_the_program_takes_is_named(network: FeatureExtractor) -> None:
    with pytest.raises(InputError, match=r"^memory_gb: expected more than the \d+\.\d GB .* 0\.01"):
        settle_tiles(TextureSettings(memory_gb=0.01), [network], (64, 64))
