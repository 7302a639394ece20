"""What every test shares: one thread, and a marker for tests that need the shared pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
import torch

if TYPE_CHECKING:
    from geostyle.features.extractor import FeatureExtractor

SHARED = Path(os.environ.get("GEOSTYLE_DATA", "") or os.devnull)

torch.set_num_threads(1)
# The same examples in every run, and no example fails for a busy machine.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis.settings.load_profile("repeatable")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("shared") and not SHARED.is_dir():
            item.add_marker(pytest.mark.skip(reason="GEOSTYLE_DATA names no folder"))
        if item.get_closest_marker("slow") and "slow" not in config.option.markexpr:
            item.add_marker(pytest.mark.skip(reason="slow: run it with -m slow"))


@pytest.fixture
def shared() -> Path:
    """Folder of development pictures and weights, named by the variable GEOSTYLE_DATA."""
    return SHARED


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a very narrow `lite` network, for tests of everything around it."""
    from geostyle.features.extractor import FeatureExtractor
    from geostyle.io.checkpoint import save_checkpoint

    torch.manual_seed(0)
    channels = [8, 12, 16, 24, 24]
    network = FeatureExtractor("lite", channels=channels, taps=True)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_checkpoint(path, network.state_dict(), {"channels": channels}, kind="features")
    return path


def draw_pictures(folder: Path, count: int, seed: int, cells: int = 12) -> Path:
    """Write `count` smooth random pictures of 96×80 px."""
    from geostyle.coords import resize
    from geostyle.io.images import save_picture

    generator = torch.Generator().manual_seed(seed)
    for number in range(count):
        noise = torch.rand(1, 3, cells, cells, generator=generator)
        save_picture(resize(noise, (80, 96)).clamp(0, 1), folder / f"{number:02d}.png")
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos` and `paintings`, a handful of random pictures each."""
    folder = tmp_path_factory.mktemp("pictures")
    draw_pictures(folder / "photos", 8, seed=1)
    draw_pictures(folder / "paintings", 4, seed=2, cells=30)
    return folder


@pytest.fixture(scope="session")
def tiny_pairs(
    tmp_path_factory: pytest.TempPathFactory, pictures: Path, tiny_weights: Path
) -> Path:
    """A finished set of 10 training and 6 validation pairs at 64 px. Do not change it."""
    from geostyle.data.generate import Generator
    from geostyle.data.make_settings import MakeSettings
    from geostyle.data.workers import make_all

    settings = MakeSettings(
        output=tmp_path_factory.mktemp("pairs") / "set",
        images=pictures / "photos",
        styles=pictures / "paintings",
        weights=tiny_weights,
        count=10,
        val_count=6,
        size_px=64,
        iterations=(2, 1),
        workers=1,
    )
    generator = Generator(settings)
    generator.open()
    make_all(generator)
    generator.finish()
    return settings.output


@pytest.fixture(scope="session")
def lite() -> FeatureExtractor:
    """The bundled network, for what only sensible features can show."""
    from geostyle.features.extractor import load_features

    return load_features("lite")
