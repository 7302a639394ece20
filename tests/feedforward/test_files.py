"""Networks on disk, and finding those that come with the package."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from geostyle.errors import InputError
from geostyle.feedforward import files
from geostyle.feedforward.fast_network import FastNetwork, FastNetworkSettings
from geostyle.feedforward.files import FAST, TEXTURE, find_network, load_network
from geostyle.feedforward.texture_network import (
    TextureNetwork,
    TextureNetworkSettings,
    noise_pyramid,
)
from geostyle.io.checkpoint import load_checkpoint, save_checkpoint

TINY = FastNetworkSettings(widths=(4, 6), blocks=(0, 1))


def test_a_network_comes_back_within_its_precision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = FastNetwork(TINY).eval()
    files.save_network(tmp_path / "f.safetensors", net, tex_style={"name": "a.jpg"})
    loaded, about = load_network(tmp_path / "f.safetensors", FAST)
    assert loaded.settings == TINY and about == {"tex_style": {"name": "a.jpg"}}
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())
    image = torch.rand(1, 3, 20, 20)
    torch.testing.assert_close(loaded(image), net(image), rtol=0.02, atol=0.01)
    tensors, _ = load_checkpoint(tmp_path / "f.safetensors", FAST.name)
    assert {v.dtype for v in tensors.values()} == {torch.float16}


def test_batch_statistics_come_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    settings = TextureNetworkSettings(scales=2, width=4)
    net, noise = TextureNetwork(settings), noise_pyramid((16, 16), settings, [1, 2])
    net.calibrate([(noise,)])
    files.save_network(tmp_path / "t.safetensors", net.eval())
    loaded, _ = load_network(tmp_path / "t.safetensors", TEXTURE)
    torch.testing.assert_close(loaded(noise), net(noise), rtol=0.02, atol=0.01)


def test_what_is_no_such_network_is_refused_in_one_line(tmp_path: Path) -> None:
    net = FastNetwork(TINY)
    path = tmp_path / "f.safetensors"
    files.save_network(path, net)
    with pytest.raises(InputError, match=r"network: expected .*\(kind 'fast-style-network'\)"):
        load_network(path, TEXTURE)
    tensors, config = load_checkpoint(path, FAST.name)
    for changed, shape in (
        ({k: v for k, v in tensors.items() if k != "out.bias"}, config),
        ({**tensors, "out.bias": torch.full((3,), torch.nan).half()}, config),
        (tensors, {"network": {**config["network"], "widths": [4, 8]}}),
        (tensors, {"network": {**config["network"], "color": 1}}),
        (tensors, {"network": {**config["network"], "widths": [4]}}),
        (tensors, {}),
    ):
        save_checkpoint(path, changed, shape, FAST.name)
        with pytest.raises(InputError, match="network: ") as caught:
            load_network(path, FAST)
        assert "\n" not in str(caught.value)


def test_bundled_networks_are_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "ASSETS", tmp_path)
    with pytest.raises(InputError, match="as geostyle fast-train writes it; none is bundled, got"):
        find_network(None, FAST)
    for name in ("fast_night", "fast_mosaic", "texnet_pebbles"):
        (tmp_path / f"{name}.safetensors").write_bytes(b"")
    assert list(files.bundled(FAST)) == ["mosaic", "night"]
    assert find_network("night", FAST).name == "fast_night.safetensors"
    assert find_network(None, FAST).name == "fast_night.safetensors"
    assert find_network(None, TEXTURE).name == "texnet_pebbles.safetensors"
    own = tmp_path / "own.safetensors"
    own.write_bytes(b"")
    assert find_network(own, FAST) == own
    with pytest.raises(
        InputError, match="network: expected .* or one of mosaic, night, got 'nigth'"
    ):
        find_network("nigth", FAST)
