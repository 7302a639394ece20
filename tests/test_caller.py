"""Public functions compute alike in any caller's world, and leave it as it was."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import geostyle
from geostyle.feedforward.fast_network import FastNetwork, FastNetworkSettings, repaint
from geostyle.feedforward.files import FAST, TEXTURE, load_network, save_network
from geostyle.feedforward.texture_network import (
    TextureNetwork,
    TextureNetworkSettings,
    noise_pyramid,
)
from geostyle.texture.descent import DescentSettings
from geostyle.warps import WarpParameters
from tests.pictures import picture

SIZE = (64, 64)
CHEAP: dict[str, Any] = {
    "iterations": (1,), "split": 1, "turns": 1, "size_px": 64, "device": "cpu",
    "precision": "float32", "estimator": "refined",
}  # fmt: skip
GRAD: dict[str, Callable[[], Any]] = {
    "plain": contextlib.nullcontext,
    "no_grad": torch.no_grad,
    "inference": torch.inference_mode,
    "set_grad_enabled": lambda: torch.set_grad_enabled(False),
}
PICTURES = [picture(seed, *SIZE).clamp(0, 1) for seed in range(3)]
WORLDS = list(itertools.product(GRAD, (False, True), (torch.float32, torch.float64)))


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("networks")
    fast = FastNetwork(FastNetworkSettings(widths=(8, 8), blocks=(0, 1)))
    save_network(folder / "fast.safetensors", fast)
    texture = TextureNetwork(TextureNetworkSettings(scales=2, width=4))
    save_network(folder / "texture.safetensors", texture)
    return folder


def entry_points(weights: Path, networks: Path) -> dict[str, Callable[[], Tensor]]:
    """Every public function that computes, on pictures made in the caller's world."""

    def given(seed: int) -> Tensor:
        return PICTURES[seed].clone()

    def theta() -> WarpParameters:
        return WarpParameters(
            "affine", 0, torch.full((6,), 0.05, dtype=torch.float32, device="cpu"), SIZE, SIZE
        )

    def features() -> Any:
        return geostyle.load_features("lite", weights=weights)

    def transfer(**more: Any) -> Tensor:
        settings = {**CHEAP, "weights": weights, **more}
        return geostyle.transfer(given(0), tex_style=given(1), **settings).tensor

    def pipeline() -> Tensor:
        pipe = geostyle.Pipeline(**{**CHEAP, "weights": weights, "painter": "gram"})
        pipe.networks()
        return pipe(given(0), geo_style=given(2), tex_style=given(1)).tensor

    def synthesize() -> Tensor:
        settings = geostyle.SynthesisSettings(descent=DescentSettings(iterations=(1,)))
        return geostyle.synthesize(given(1), features(), settings).image

    def sample() -> Tensor:
        network, _ = load_network(networks / "texture.safetensors", TEXTURE)
        return network(noise_pyramid(SIZE, network.settings, [0]))

    def fast() -> Tensor:
        network, _ = load_network(networks / "fast.safetensors", FAST)
        return torch.cat([network(given(0)), repaint(network, given(0), 0)])

    def score() -> Tensor:
        found = geostyle.score(given(0), given(2), given(1), features())
        errors = geostyle.gram_errors(given(0), given(1), features(), ["relu1_1"])
        values = [found.total, *errors.values()]
        return torch.tensor(values, dtype=torch.float64, device="cpu")

    def in_and_out() -> Tensor:
        buffer = io.BytesIO()
        geostyle.save_picture(given(0), networks / "a.png")
        geostyle.load_picture(networks / "a.png").tensor.add_(0)
        Image.open(networks / "a.png").save(buffer, "PNG")
        found = geostyle.as_tensor(buffer)
        theta().save(networks / "theta.json")
        own = geostyle.WarpParameters.load(networks / "theta.json").theta
        return torch.cat([found.flatten(), own])

    return {
        "transfer": transfer,
        "pictures and warps, read and written": in_and_out,
        "transfer, gram": lambda: transfer(painter="gram"),
        "Pipeline": pipeline,
        "estimate_warp": lambda: (
            geostyle.estimate_warp(
                given(0), given(2), **{**CHEAP, "weights": weights}
            ).parameters.theta
        ),
        "warp": lambda: geostyle.warp(given(0), theta()).tensor,
        "WarpParameters.grid": lambda: theta().grid(),
        "synthesize": synthesize,
        "score, gram_errors": score,
        "fast network": fast,
        "texture network": sample,
        "load_features": lambda: next(features().convs.parameters()).detach().clone(),
    }


NAMES = tuple(entry_points(Path(), Path()))


@contextlib.contextmanager
def meta() -> Iterator[None]:
    """The caller's new tensors have no values."""
    before = torch.get_default_device()
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None if before.type == "cpu" else before)


@contextlib.contextmanager
def strict() -> Iterator[None]:
    """Every warning is an error."""
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        yield


OTHERS: dict[str, Callable[[], Any]] = {"default device": meta, "warnings as errors": strict}


@contextlib.contextmanager
def world(grad: str, autocast: bool, dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    try:
        with GRAD[grad](), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            torch.set_default_dtype(dtype)
            yield
    finally:
        torch.set_default_dtype(before)


def state() -> list[Any]:
    """What a caller may have set or drawn."""
    generator = np.random.get_state()
    return [
        random.getstate(), str(generator), torch.get_rng_state().tolist(),
        torch.is_grad_enabled(), torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"), torch.get_default_dtype(), torch.get_default_device(),
        torch.get_num_threads(), np.geterr(),
        [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
    ]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_world_gives_the_same_and_stays(
    name: str, tiny_weights: Path, networks: Path
) -> None:
    call = entry_points(tiny_weights, networks)[name]
    plain = call().detach().clone()
    assert plain.isfinite().all()
    for grad, autocast, dtype in WORLDS:
        with world(grad, autocast, dtype):
            before = state()
            found = call()
            assert state() == before, (grad, autocast, dtype)
        assert found.dtype == plain.dtype
        assert torch.equal(found.detach().clone(), plain), (grad, autocast, dtype)


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("name", NAMES)
def test_other_worlds_give_the_same(
    name: str, kind: str, tiny_weights: Path, networks: Path
) -> None:
    call = entry_points(tiny_weights, networks)[name]
    plain = call().detach().clone()
    with OTHERS[kind]():
        before, filters = state(), list(warnings.filters)
        found = call()
        assert state() == before and warnings.filters == filters
    assert found.device.type == "cpu"
    assert torch.equal(found.detach().clone(), plain)


IN_TWO_THREADS = """
import os, sys, torch
torch.set_num_threads(2)
import geostyle
picture = torch.rand(3, 256, 256, generator=torch.Generator().manual_seed(0))
theta = geostyle.WarpParameters("affine", 4, torch.full((6,), 0.05), (256, 256), (256, 256))
plain = geostyle.warp(picture, theta).tensor
assert (picture @ picture).isfinite().all()
child = os.fork()
if child == 0:
    found = geostyle.warp(picture, theta).tensor
    apart = abs(found.numpy() - plain.numpy()).max()  # without torch, which would wait for ever
    os._exit(0 if apart < 1e-4 and torch.get_num_threads() == 2 else 1)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_child_can_compute_after_use_with_two_threads() -> None:
    root = Path(__file__).resolve().parents[1]
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    environment |= {"PYTHONPATH": str(root), "OMP_WAIT_POLICY": "PASSIVE"}
    words = [sys.executable, "-c", IN_TWO_THREADS]
    assert subprocess.run(words, env=environment, timeout=100).returncode == 0


def painted(weights: Path, **more: Any) -> geostyle.TransferResult:
    settings = {**CHEAP, "weights": weights, "painter": "gram", "iterations": (6,)}
    return geostyle.transfer(PICTURES[0], tex_style=PICTURES[1], **settings, **more)


def raises(progress: geostyle.Progress) -> None:
    if progress.step == 2:
        raise KeyboardInterrupt


def presses(progress: geostyle.Progress) -> None:
    if progress.step == 2:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("how", [{"callback": raises}, {"cancel": lambda: True}])
def test_what_a_callback_asks_for_is_returned(how: dict[str, Any], tiny_weights: Path) -> None:
    result = painted(tiny_weights, **how)
    assert result.interrupted and result.tensor.shape == (1, 3, *SIZE)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_ctrl_c_reaches_the_caller_with_the_best_picture(tiny_weights: Path) -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        painted(tiny_weights, callback=presses)
    result = caught.value.result  # type: ignore[attr-defined]
    assert result.interrupted and torch.equal(
        result.tensor, painted(tiny_weights, callback=raises).tensor
    )
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_ctrl_c_within_a_step_reaches_the_caller(
    tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from geostyle.texture import optimizer

    evaluate, calls = optimizer._evaluate, itertools.count()

    def pressed(*args: Any) -> Any:
        if next(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return evaluate(*args)

    monkeypatch.setattr(optimizer, "_evaluate", pressed)
    with pytest.raises(KeyboardInterrupt) as caught:
        painted(tiny_weights)
    result = caught.value.result  # type: ignore[attr-defined]
    assert len(result.texture.history[0].steps) == 2


def test_threads_share_the_default_type_without_losing_it(tiny_weights: Path) -> None:
    found: list[Tensor] = []
    with world("plain", False, torch.float64):
        threads = [
            threading.Thread(target=lambda: found.append(painted(tiny_weights).tensor))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert torch.get_default_dtype() == torch.float64
    assert torch.equal(*found) and torch.equal(found[0], painted(tiny_weights).tensor)
