"""The exported graph paints what the network paints, at sizes it was not made with."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from geostyle.cli import run
from geostyle.errors import InputError
from geostyle.feedforward import onnx_export
from geostyle.feedforward.fast_network import FastNetwork, FastNetworkSettings
from geostyle.feedforward.files import FAST, load_network, save_network
from geostyle.feedforward.onnx_export import export_onnx


@pytest.mark.timeout(300)
def test_onnxruntime_paints_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = (
        FastNetwork(FastNetworkSettings(widths=(4, 6, 8), blocks=(0, 0, 1)))
        .eval()
        .requires_grad_(False)
    )
    for parameter in net.parameters():  # norms and biases that matter
        parameter += 0.05 * torch.randn_like(parameter)
    model, path = tmp_path / "net.safetensors", tmp_path / "net.onnx"
    save_network(model, net)
    net, _ = load_network(model, FAST)  # in float16, as shipped
    assert run("fast-apply", [str(model), "--export", str(path)]) == 0
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    given, made = session.get_inputs()[0], session.get_outputs()[0]
    assert (given.name, made.name) == ("image", "painted")
    assert given.shape == made.shape == ["batch", 3, "height", "width"]
    for size in ((1, 64, 64), (2, 16, 33), (1, 47, 130), (3, 101, 17)):
        image = torch.rand(size[0], 3, *size[1:])
        painted = session.run(None, {"image": image.numpy()})[0]
        np.testing.assert_allclose(painted, net(image).clamp(0, 1).numpy(), atol=1e-4)
        assert painted.min() >= 0 and painted.max() <= 1


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str, *rest: Any) -> Any:
        return None if name == "onnxscript" else importlib.util.find_spec(name, *rest)

    monkeypatch.setattr(onnx_export, "find_spec", find)
    with pytest.raises(InputError, match=r"got no onnxscript \(pip install 'geostyle\[onnx\]'\)"):
        export_onnx(
            FastNetwork(FastNetworkSettings(widths=(4, 6), blocks=(0, 0))), tmp_path / "net.onnx"
        )
    assert not list(tmp_path.iterdir())
