"""The verbs of the feed-forward networks, driven through their flags on tiny networks."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from geostyle.cli import run as run_verb
from geostyle.cli import verbs
from geostyle.cli.styles import MEDIA
from geostyle.feedforward.fast_network import FastNetwork, FastNetworkSettings, noise_place, repaint
from geostyle.feedforward.files import FAST as FAST_KIND
from geostyle.feedforward.files import bundled, load_network, save_network
from geostyle.feedforward.texture_network import TextureNetwork, TextureNetworkSettings
from geostyle.io.files import read_metrics

ROOT = Path(__file__).resolve().parents[2]
Verb = Callable[..., int]
FAST = ["--widths", 4, 6, 8, "--blocks", 0, 0, 1, "--warmup", 1]
TEXTURE = ["--scales", 2, "--width", 4]
SMALL = ["--crop-size", 32, "--style-size", 48, "--batch", 2, "--steps", 4, "--save-every", 2,
         "--validate-every", 3, "--precision", "float32"]  # fmt: skip


@pytest.fixture
def verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Verb:
    """Call a verb in an empty folder; gives the exit status."""
    monkeypatch.chdir(tmp_path)

    def call(name: str, *argv: object) -> int:
        try:
            return run_verb(name, [str(a) for a in argv])
        except SystemExit as stop:  # argparse's way out
            return int(stop.code or 0)

    return call


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    sizes = {"a.jpg": (40, 33), "b.png": (32, 50), "b.jpg": (20, 20), "deep/c.png": (24, 24)}
    for seed, (name, size) in enumerate(sizes.items()):
        pixels = np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "model.safetensors"
    net = FastNetwork(FastNetworkSettings(widths=(4, 6, 8), blocks=(0, 0, 1)))
    save_network(path, net, tex_style={"name": "night.jpg"})
    return path


def files(folder: Path) -> set[str]:
    found = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return {name for name in found if name != ".lock"}


def size(path: Path) -> tuple[int, int]:
    return Image.open(path).size


def test_every_verb_is_listed_with_its_line() -> None:
    for name in ("fast-train", "fast-apply", "texnet-train", "texnet-sample"):
        assert len(verbs()[name]) > 20


@pytest.mark.parametrize(
    ("name", "shape", "network"),
    [("fast-train", FAST, "fast.safetensors"), ("texnet-train", TEXTURE, "texnet.safetensors")],
)
def test_training_leaves_a_network_and_goes_on_when_asked(
    verb: Verb, photos: Path, pictures: Path, tiny_weights: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], name: str, shape: list[object], network: str,
) -> None:  # fmt: skip
    style = pictures / "paintings" / "00.png"
    given = ["--tex-style", style, "--images", photos, "--weights", tiny_weights, *SMALL, *shape]
    assert verb(name, *given) == 0
    run = tmp_path / "runs" / f"00001-{name}"
    always = {"settings.yaml", "environment.json", "metrics.jsonl", "preview.png", "metrics.png"}
    skipped = {"skipped.json"} if (run / "skipped.json").exists() else set()
    assert files(run) == always | skipped | {"state.safetensors", network}
    lines = read_metrics(run / "metrics.jsonl")
    assert [line["step"] for line in lines] == [3, 4] and all("val" in line for line in lines)
    if name == "fast-train":
        assert list(json.loads((run / "skipped.json").read_text())) == [str(photos / "broken.jpg")]
        assert "4 pictures to train on, 1 held out" in capsys.readouterr().out
    before = (run / network).read_bytes()
    assert verb(name, "--resume") == 0  # nothing left to do
    assert (run / network).read_bytes() == before
    assert verb(name, "--resume", run, "--lr", 0.5) == 2
    assert "resume: expected the run's own settings (lr" in capsys.readouterr().err
    assert verb(name, *given, "--dry-run") == 0 and len(list((tmp_path / "runs").iterdir())) == 1


@pytest.mark.timeout(400)
def test_a_killed_training_resumes_to_the_same_network(
    verb: Verb, photos: Path, pictures: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    style = pictures / "paintings" / "00.png"
    words = ["--tex-style", style, "--images", photos, "--weights", tiny_weights, *SMALL, *FAST,
             "--steps", 60, "--validate-every", 50, "--save-every", 3, "--run"]  # fmt: skip
    call = [sys.executable, "-m", "geostyle", "fast-train", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    killed, state = tmp_path / "killed", tmp_path / "killed" / "state.safetensors"
    victim = subprocess.Popen(
        [*call, str(killed)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    first = 0
    while victim.poll() is None:  # until a state has followed the first one
        if state.is_file() and state.stat().st_mtime_ns != first:
            if first:
                break
            first = state.stat().st_mtime_ns
        time.sleep(0.002)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    assert not (killed / "fast.safetensors").exists()
    for name in ("killed", "whole"):
        assert verb("fast-train", *words, tmp_path / name) == 0
    networks = [(tmp_path / name / "fast.safetensors").read_bytes() for name in ("killed", "whole")]
    assert networks[0] == networks[1]
    steps = [line["step"] for line in read_metrics(killed / "metrics.jsonl")]
    assert steps == [10, 20, 30, 40, 50, 60]


def test_pictures_and_folders_are_repainted(
    verb: Verb, photos: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    assert verb("fast-apply", model, photos, photos / "deep" / "c.png", "out") == 0
    out = tmp_path / "out"
    assert files(out) == {"a.jpg", "b.jpg", "b.png", "c.png"}
    assert size(out / "a.jpg") == (40, 33) and size(out / "b.png") == (32, 50)
    printed = capsys.readouterr()
    assert "night.jpg" in printed.out and "repainted: 4 " in printed.out
    assert "skipped: 1 that cannot be read" in printed.err and "broken.jpg" in printed.err
    assert {path: path.read_bytes() for path in before} == before
    # PNG for all: x.jpg and x.png keep apart; folders within keep their places.
    assert verb("fast-apply", model, photos, "png", "--format", "png", "--recursive") == 0
    assert files(tmp_path / "png") == {"a.png", "b.png", "b-2.png", "deep/c.png"}
    # What is below the folder from an earlier call is left alone.
    (photos / "broken.jpg").unlink()
    for _ in range(2):
        assert verb("fast-apply", model, photos, photos / "out", "--recursive") == 0
        assert files(photos / "out") == {"a.jpg", "b.jpg", "b.png", "deep/c.png"}


def test_one_picture_at_another_size(verb: Verb, photos: Path, model: Path, tmp_path: Path) -> None:
    assert verb("fast-apply", model, photos / "a.jpg", "new/x.jpg", "--size", 64) == 0
    assert size(tmp_path / "new" / "x.jpg") == (64, 53)
    assert verb("fast-apply", "--model", model, photos / "a.jpg", "y.png", "--seed", 5) == 0
    net, _ = load_network(model, FAST_KIND)
    pixels = np.asarray(Image.open(photos / "a.jpg"))
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    painted = np.asarray(Image.open(tmp_path / "y.png"))
    expected = (net(image, noise_place(5)).clamp(0, 1)[0].permute(1, 2, 0) * 255).round().numpy()
    assert np.abs(painted - expected).mean() < 1.5  # bfloat16 where the machine has it


def test_pictures_get_noise_of_their_own_unless_a_seed_is_given(model: Path) -> None:
    net, _ = load_network(model, FAST_KIND)
    first, second = (torch.full((1, 3, 48, 48), gray) for gray in (0.4, 0.6))
    torch.testing.assert_close(repaint(net, first), repaint(net, first))
    seeds = [zlib.crc32((x * 255).round().byte().numpy().tobytes()) for x in (first, second)]
    for image, seed in zip((first, second), seeds, strict=True):
        torch.testing.assert_close(repaint(net, image), repaint(net, image, seed))
    assert (repaint(net, first, seeds[0]) - repaint(net, first, seeds[1])).abs().max() > 1e-3


def test_what_cannot_be_applied_is_refused_in_one_line(
    verb: Verb, photos: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = photos / "a.jpg"
    before = files(photos)
    for argv, message in (
        ([picture, "x.png", "--network", "none"], "network: expected a .safetensors file"),
        ([model, picture], "paths: expected pictures or folders, then the output"),
        ([model], "paths: expected"),
        ([model, picture, picture], "output: expected another place"),
        ([model, photos, photos], "output: expected another place"),
        ([model, photos, "x.png"], "output: expected a folder for several"),
        ([model, picture, "x.tif"], "output: expected .png, .jpg or a folder"),
        ([model, photos / "broken.jpg", "x.png"], "not a picture"),
        ([model, photos / "none.jpg", "x.png"], "no such file"),
        ([model, picture, model], "output: expected a folder or a picture's name"),
        ([model, picture, "x.png", "--network", model], "network: expected one network"),
        ([picture, photos / "b.png", "out", "--size", 4], "size_px: expected"),
    ):
        assert verb("fast-apply", *argv) == 2
        errors = capsys.readouterr().err
        assert re.fullmatch(r"geostyle fast-apply: error: [^\n]+\n", errors), errors
        assert message in errors
    assert files(photos) == before


@pytest.fixture
def texture_model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "texture.safetensors"
    save_network(path, TextureNetwork(TextureNetworkSettings(scales=3, width=4)))
    return path


def test_samples_differ_by_seed_and_repeat_by_seed(
    verb: Verb, texture_model: Path, tmp_path: Path
) -> None:
    assert verb("texnet-sample", texture_model, "--size", "48x33", "--count", 3, "--seed", 5) == 0
    run = tmp_path / "runs" / "00001-texnet-sample"
    samples = [run / f"sample-{seed}.png" for seed in (5, 6, 7)]
    assert size(samples[0]) == (48, 33) and (run / "contact_sheet.png").is_file()
    assert len({path.read_bytes() for path in samples}) == 3
    assert verb("texnet-sample", "--model", texture_model, "--size", "48x33", "--seed", 7) == 0
    again = tmp_path / "runs" / "00002-texnet-sample" / "sample-7.png"
    assert again.read_bytes() == samples[2].read_bytes()
    assert verb("rerun", run) == 0


def test_paintings_of_a_texture_network(
    verb: Verb, photos: Path, texture_model: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = tmp_path / "stylize.safetensors"
    settings = TextureNetworkSettings(mode="stylize", scales=3, width=4, norm="instance")
    save_network(path, TextureNetwork(settings))
    assert verb("texnet-sample", path, "--content", photos / "b.png", "--count", 2) == 0
    assert size(tmp_path / "runs" / "00001-texnet-sample" / "sample-1.png") == (32, 50)
    capsys.readouterr()
    for argv, message in (
        ([path], "content: expected a picture file, got none"),
        ([texture_model, "--content", photos / "a.jpg"], "content: expected none"),
        ([texture_model, "--size", "64x"], "size: expected WIDTHxHEIGHT"),
    ):
        assert verb("texnet-sample", *argv) == 2
        errors = capsys.readouterr().err
        assert re.fullmatch(r"geostyle texnet-sample: error: [^\n]+\n", errors)
        assert message in errors


def test_bundled_networks_work_out_of_the_box(verb: Verb, photos: Path, tmp_path: Path) -> None:
    for words in ((), ("night",)):  # by default, and by name
        assert verb("fast-apply", *words, photos / "a.jpg", "out.png", "--size", 64) == 0
        painted = np.asarray(Image.open(tmp_path / "out.png")).astype(float)
        assert painted[..., 2].mean() > painted[..., 0].mean() + 20  # a night is blue
    for name in ("pebbles", "scales"):
        assert verb("texnet-sample", name, "--size", 64, "--output", tmp_path / name) == 0
        samples = sorted((tmp_path / name).rglob("sample-*.png"))
        assert samples and np.asarray(Image.open(samples[0])).std() > 20


def test_styles_are_listed_and_shown(
    verb: Verb, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verb("styles") == 0
    listed = capsys.readouterr().out
    for name, path in bundled(FAST_KIND).items():
        assert re.search(rf"^{name} +{MEDIA[name]} +[01]\.\d\d MB  {path.name}$", listed, re.M)
    assert verb("styles", "new/sheet.png", "--content", photos / "a.jpg") == 0
    width, height = size(tmp_path / "new" / "sheet.png")
    assert width > 1000 and height > 800
    assert verb("styles", "sheet.jpg") == 2
    assert "sheet: expected the name of a .png file, got" in capsys.readouterr().err
    assert verb("fast-apply", "nigth", photos / "a.jpg", "out.png") == 2
    assert re.search("or one of .*mosaic, night, .*got 'nigth'", capsys.readouterr().err)


def test_a_file_goes_before_a_bundled_name(verb: Verb, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "night").write_bytes(b"no picture")
    # It is no picture, and skipped.
    assert verb("fast-apply", "night", photos / "a.jpg", "out") == 0
    assert files(tmp_path / "out") == {"a.jpg"}
