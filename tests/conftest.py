"""What every test shares: one thread, and a marker for tests that need the shared pictures."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest
import torch

SHARED = Path(__file__).resolve().parents[2] / "shared"

torch.set_num_threads(1)
# The same examples in every run, and no example fails for a busy machine.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis.settings.load_profile("repeatable")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "shared: needs ../shared, skipped where it is absent")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not SHARED.is_dir():
        for item in items:
            if item.get_closest_marker("shared"):
                item.add_marker(pytest.mark.skip(reason="../shared is absent"))


@pytest.fixture
def shared() -> Path:
    """The folder of shared pictures and weights, beside the clone."""
    return SHARED


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a very narrow `lite` network, for tests of everything around it."""
    from geostyle.checkpoint import save_checkpoint
    from geostyle.features import FeatureExtractor

    torch.manual_seed(0)
    channels = [8, 12, 16, 24, 24]
    network = FeatureExtractor("lite", channels=channels, taps=True)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_checkpoint(path, network.state_dict(), {"channels": channels}, kind="features")
    return path
