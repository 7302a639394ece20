"""The estimator `regression`: frames, files and its own confidence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from geostyle.coords import base_grid, sample
from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor, load_features
from geostyle.io.images import load_picture
from geostyle.matching import (
    Description,
    GeometrySettings,
    describe,
    estimate_from,
    estimate_warp,
)
from geostyle.matching.network import (
    GeometryNetwork,
    LoadedNetwork,
    NetworkSettings,
    load_geometry_network,
    load_networks,
    save_geometry_network,
)
from geostyle.warps.affine import Affine
from geostyle.warps.grid import warp_image
from tests.pictures import picture

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = NetworkSettings(geometry="affine", width=16, match_px=176, head="linear")
SHIFT = torch.tensor([-0.2, 0.0, 0.1, 0.0, -0.1, 0.05])


@pytest.fixture(scope="module")
def extractor(tiny_weights: Path) -> FeatureExtractor:
    return load_features(weights=tiny_weights)


@pytest.fixture(scope="module")
def geonet(tmp_path_factory: pytest.TempPathFactory, extractor: FeatureExtractor) -> Path:
    """A network that always answers `SHIFT`."""
    network = GeometryNetwork(SETTINGS, 11)
    state = {**network.state_dict(), "head.linear.2.bias": SHIFT}
    path = tmp_path_factory.mktemp("net") / "net.safetensors"
    features = {"name": extractor.name, "hash": extractor.weights_hash}
    save_geometry_network(path, state, SETTINGS, cells=11, features=features)
    return path


def settings(geonet: Path | None, **changes: object) -> GeometrySettings:
    paths = () if geonet is None else (geonet,)
    values = {"estimator": "regression", "geonet": paths, "fade": False, **changes}
    return GeometrySettings(**values)  # type: ignore[arg-type]


def test_in_the_styles_frame_it_is_the_networks_answer(
    extractor: FeatureExtractor, geonet: Path
) -> None:
    chosen = settings(geonet, frame="geo", geometry="affine")
    estimate = estimate_warp(picture(0, 96, 128), picture(1, 120, 80), extractor, chosen)
    assert estimate.parameters.family == "affine"
    assert torch.allclose(estimate.parameters.theta, SHIFT, atol=1e-6)
    assert estimate.parameters.output_size == (120, 80)
    assert estimate.parameters.content_size == (96, 128)
    assert 0 <= estimate.confidence <= 1 and estimate.message == ""


@pytest.mark.parametrize("geometry", ["affine", "tps", "affine+tps"])
def test_on_the_contents_canvas_the_style_keeps_its_place(
    extractor: FeatureExtractor, geonet: Path, geometry: str
) -> None:
    """What the style's point p shows is shown where p lies on the canvas, in every family."""
    content, style = picture(0, 96, 96), picture(1, 48, 96)
    chosen = settings(geonet, geometry=geometry)
    estimate = estimate_warp(content, style, extractor, chosen)
    points = torch.tensor([[0.0, 0.0], [0.4, -0.3], [-0.5, 0.6]])
    matrix = SHIFT.view(2, 3)
    expected = points + points @ matrix[:, :2].T + matrix[:, 2]
    # Of equal area and undistorted: sides of 2:1 lie on a square as √2 : 1/√2.
    outputs = points * torch.tensor([2**0.5, 0.5**0.5])
    found = estimate.parameters.warp_family.map(estimate.parameters.theta[None], outputs[None])[0]
    assert torch.allclose(found, expected, atol=2e-3)


def test_a_pair_that_shares_nothing_fades(extractor: FeatureExtractor, geonet: Path) -> None:
    # The network's answers there and back are the same shift, which never returns.
    content = picture(0, 96, 96)
    estimate = estimate_warp(content, content, extractor, settings(geonet, fade=True))
    assert estimate.confidence < 0.2
    assert "share little geometry" in estimate.message
    grid = estimate.parameters.grid((12, 12))
    assert torch.allclose(grid[0], base_grid((12, 12)), atol=1e-4)


def test_an_identical_pair_is_trusted(tmp_path: Path) -> None:
    """No warp between a picture and itself: matches lie near it, and it returns."""
    extractor = load_features()
    network = GeometryNetwork(SETTINGS, 11)
    features = {"name": "lite", "hash": extractor.weights_hash}
    save_geometry_network(
        tmp_path / "n", network.state_dict(), SETTINGS, cells=11, features=features
    )
    content = picture(3, 176, 176)
    estimate = estimate_warp(content, content, extractor, settings(tmp_path / "n"))
    assert estimate.confidence > 0.3
    shifted = sample(content, base_grid((176, 176))[None] + 0.5, padding="reflection")
    other = estimate_warp(content, shifted, extractor, settings(tmp_path / "n"))
    assert other.confidence < estimate.confidence


def test_descriptions_serve_all_estimators(extractor: FeatureExtractor, geonet: Path) -> None:
    chosen = GeometrySettings(frame="geo", estimator="robust")
    a, b = (describe(picture(s, 96, 96), extractor, chosen) for s in (0, 1))
    regression = settings(geonet, frame="geo", geometry="affine")
    assert torch.allclose(estimate_from(a, b, regression).parameters.theta, SHIFT, atol=1e-6)
    assert estimate_from(a, b, chosen).parameters.family == "affine+tps"


def test_a_second_network_sees_the_content_as_the_first_warps_it(
    extractor: FeatureExtractor, geonet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole map is first∘second, and the second reads the content through the first."""
    seen: list[torch.Tensor] = []
    before = Description.squares

    def spy(description: Description, network: LoadedNetwork) -> torch.Tensor:
        seen.append(description.picture)
        return before(description, network)

    monkeypatch.setattr(Description, "squares", spy)
    content, style = picture(0, 176, 176), picture(1, 176, 176)
    chosen = GeometrySettings(
        estimator="regression", geonet=(geonet, geonet), frame="geo", geometry="affine", fade=False
    )
    estimate = estimate_warp(content, style, extractor, chosen)
    matrix = torch.eye(3)
    matrix[:2] += SHIFT.view(2, 3)
    twice = (matrix @ matrix)[:2] - torch.eye(3)[:2]
    assert torch.allclose(estimate.parameters.theta, twice.flatten(), atol=1e-4)
    once = warp_image(content, Affine().grid(SHIFT[None], (176, 176)))
    assert any(p.shape == once.shape and torch.allclose(p, once, atol=1e-4) for p in seen)


def test_what_is_missing_is_said(extractor: FeatureExtractor, tmp_path: Path) -> None:
    content = picture(0, 96, 96)
    network = GeometryNetwork(SETTINGS, 11)
    features = {"name": "vgg19", "hash": ""}
    save_geometry_network(
        tmp_path / "n", network.state_dict(), SETTINGS, cells=11, features=features
    )
    with pytest.raises(InputError, match=r"reads lite, got .*reads vgg19; .*--features vgg19"):
        estimate_warp(content, content, extractor, settings(tmp_path / "n"))
    save_geometry_network(
        tmp_path / "o",
        network.state_dict(),
        SETTINGS,
        cells=11,
        features={"name": "lite", "hash": "0"},
    )
    with pytest.raises(InputError, match=r"trained on these weights of lite, .* trained on 0"):
        estimate_warp(content, content, extractor, settings(tmp_path / "o"))
    with pytest.raises(InputError, match="geonet: expected a geostyle checkpoint"):
        estimate_warp(content, content, extractor, settings(tmp_path / "none"))


def test_bundled_networks_read_and_are_taken_for_their_weights_only(
    tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted((ROOT / "geostyle" / "assets").glob("geonet-*.safetensors"))
    assert {load_geometry_network(path).features for path in files} == {"lite", "vgg19"}
    own = load_features()
    found = load_networks((), own)
    assert found and all(network.features_hash == own.weights_hash for network in found)
    with pytest.raises(InputError, match=r"these weights of lite .* no network is bundled"):
        load_networks((), load_features(weights=tiny_weights))


def test_the_bundled_network_finds_a_known_warp() -> None:
    """A photograph and its own warp: far nearer to the truth than doing nothing."""
    content = load_picture(ROOT / "geostyle/assets/pictures/content/coffee.jpg").tensor
    theta = torch.tensor([[-0.15, 0.1, 0.1, -0.05, -0.1, 0.05]])
    grid = Affine().grid(theta, (240, 320))
    warped = warp_image(content, grid)
    chosen = GeometrySettings(estimator="regression", geometry="affine", frame="geo", fade=False)
    estimate = estimate_warp(content, warped, load_features(), chosen)
    found = Affine().grid(estimate.parameters.theta[None], (24, 32))
    truth, nothing = Affine().grid(theta, (24, 32)), base_grid((24, 32))[None]
    assert (found - truth).norm(dim=-1).mean() < 0.25 * (nothing - truth).norm(dim=-1).mean()
