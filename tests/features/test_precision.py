"""The precision is chosen by what is measured, once a process, and only where it may pay."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from geostyle.errors import InputError
from geostyle.features import precision
from geostyle.features.extractor import FeatureExtractor, load_features
from geostyle.features.precision import in_precision


@pytest.fixture
def network(tiny_weights: Path) -> FeatureExtractor:
    return load_features("lite", weights=tiny_weights)


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_known", {})


def claims(monkeypatch: pytest.MonkeyPatch, bfloat16: bool) -> None:
    monkeypatch.setattr(
        precision,
        "resolve_precision",
        lambda wanted, device: torch.bfloat16 if bfloat16 else torch.float32,
    )


def test_what_is_asked_for_is_given(network: FeatureExtractor) -> None:
    same, probe = in_precision(network, "float32")
    assert same is network and probe is None
    rounded, probe = in_precision(network, "bfloat16")
    assert rounded.dtype == torch.bfloat16 and probe is None
    assert rounded.memory_format == network.memory_format
    assert network.dtype == torch.float32, "the network that came in was changed"
    with pytest.raises(InputError, match="precision"):
        in_precision(network, "float8")


def test_hardware_without_bfloat16_is_not_timed(
    network: FeatureExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims(monkeypatch, bfloat16=False)
    same, probe = in_precision(network, "auto")
    assert same is network and probe is None


@pytest.mark.parametrize(
    ("float32_s", "bfloat16_s", "turned", "expected"),
    [
        (2.0, 1.0, False, torch.bfloat16),
        (1.0, 1.0, False, torch.float32),
        (1.0, 2.0, False, torch.float32),
        (2.0, 1.0, True, torch.float32),
    ],
)
def test_the_faster_one_that_holds_is_taken_once(
    network: FeatureExtractor,
    monkeypatch: pytest.MonkeyPatch,
    float32_s: float,
    bfloat16_s: float,
    turned: bool,
    expected: torch.dtype,
) -> None:
    claims(monkeypatch, bfloat16=True)
    calls = []

    def timed(extractor: FeatureExtractor) -> tuple[float, Tensor]:
        calls.append(extractor.dtype)
        if extractor.dtype == torch.float32:
            return float32_s, torch.ones(3)
        return bfloat16_s, torch.tensor([1.0, -1, 1]) if turned else torch.ones(3)

    monkeypatch.setattr(precision, "_timed", timed)
    for _ in range(2):
        chosen, probe = in_precision(network, "auto")
        assert chosen.dtype == expected and probe is not None and probe.dtype == expected
    assert calls == [torch.float32, torch.bfloat16]
    assert "bfloat16" in str(probe) and "cosine" in str(probe)


def test_the_timing_runs_and_the_bundled_network_holds_in_bfloat16() -> None:
    network = load_features("lite")
    seconds, exact = precision._timed(network)
    rounded, _ = in_precision(network, "bfloat16")
    _, other = precision._timed(rounded)
    assert seconds > 0
    cosine = torch.nn.functional.cosine_similarity(exact.flatten(), other.flatten(), dim=0)
    assert precision.MIN_COSINE < float(cosine) < 0.99999
