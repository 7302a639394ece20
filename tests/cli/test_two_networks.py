"""`--features lite+vgg19` through the commands: recorded, repeated, resumed, refused."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import yaml
from safetensors.torch import save_file

from geostyle.cli import run as run_verb
from geostyle.features.extractor import CONVS_PER_BLOCK, FeatureExtractor
from geostyle.io.files import read_metrics
from geostyle.io.runs import RunFolder
from geostyle.pipeline import Networks, Pipeline

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def vgg_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VGG-19 of random weights, in a file under torchvision's names."""
    torch.manual_seed(2)
    network, tensors, index = FeatureExtractor("vgg19"), {}, 0
    for block, n_convs in enumerate(CONVS_PER_BLOCK["vgg19"], start=1):
        for i in range(1, n_convs + 1):
            conv = network.convs[f"conv{block}_{i}"]
            assert isinstance(conv, torch.nn.Conv2d)
            torch.nn.init.kaiming_normal_(conv.weight)
            tensors[f"features.{index}.weight"] = conv.weight.detach()
            tensors[f"features.{index}.bias"] = torch.zeros(conv.out_channels)
            index += 2
        index += 1
    path = tmp_path_factory.mktemp("vgg") / "vgg19.safetensors"
    save_file(tensors, path)
    return path


@pytest.fixture
def argv(pictures: Path, vgg_weights: Path, tmp_path: Path) -> list[str]:
    photos, paintings = sorted(pictures.rglob("photos/*")), sorted(pictures.rglob("paintings/*"))
    files = ["--content", str(photos[0]), "--tex-style", str(paintings[0])]
    networks = ["--features", "lite+vgg19", "--weights", str(vgg_weights)]
    steps = [
        "--painter",
        "gram",
        "--precision",
        "float32",
        "--iterations",
        "3",
        "3",
        "--finish",
        "2",
    ]
    return [*files, *networks, *steps, "--size", "48", "--output", str(tmp_path / "runs")]


def newest(tmp_path: Path) -> Path:
    return sorted((tmp_path / "runs").iterdir())[-1]


def test_it_is_recorded_rerun_and_resumed(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert run_verb("transfer", argv) == 0
    whole = newest(tmp_path)
    networks = RunFolder(whole).load_environment()["networks"]
    assert networks["texture"] == "lite, float32, cpu; vgg19, float32, cpu"
    steps = [(line["level"], line["step"]) for line in read_metrics(whole / "metrics.jsonl")
             if line.get("stage") == "texture"]  # fmt: skip
    assert steps == [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2, 1)]
    capsys.readouterr()
    assert run_verb("rerun", [str(whole)]) == 0
    assert "identical" in capsys.readouterr().out

    class Killed(BaseException):
        pass

    log = RunFolder.log

    def die_under_vgg(self: RunFolder, **metrics: object) -> None:
        log(self, **metrics)
        if metrics.get("level") == 2:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(RunFolder, "log", die_under_vgg)
        run_verb("transfer", argv)
    cut = newest(tmp_path)
    assert cut != whole
    assert run_verb("transfer", ["--resume", str(cut)]) == 0
    for name in ("result.png", "metrics.jsonl"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()


def test_a_time_budget_and_an_animation(argv: list[str], tmp_path: Path, capsys: Capture) -> None:
    flags = ["--time-budget-s", "30", "--animate", "texture", "painting", "--animate-frames", "4"]
    assert run_verb("transfer", [*argv, *flags, "--animate-size", "32"]) == 0
    run = newest(tmp_path)
    saved = yaml.safe_load((run / "settings.yaml").read_text("utf-8"))["transfer"]
    assert saved["texture"]["stop_after"] == [3, 1, 2]
    capsys.readouterr()
    assert run_verb("rerun", [str(run)]) == 0


def test_a_batch(argv: list[str], pictures: Path, tmp_path: Path) -> None:
    flags = dict(zip(argv[::2], argv[1::2], strict=False))
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(pictures.rglob("photos/*"))[:2]:
        (few / path.name).write_bytes(path.read_bytes())
    argv[argv.index(flags["--content"])] = str(few)
    assert run_verb("batch", argv) == 0
    assert len(list((tmp_path / "runs").glob("*.png"))) == 2


def test_networks_and_their_precisions(vgg_weights: Path) -> None:
    def load(precision: str) -> Networks:
        pipe = Pipeline(
            features="lite+vgg19", weights=vgg_weights, device="cpu", precision=precision
        )
        return pipe.networks()

    mixed = load("float32+bfloat16")
    assert mixed.geometry is mixed.texture[0] and mixed.geometry.name == "lite"
    assert [network.dtype for network in mixed.texture] == [torch.float32, torch.bfloat16]
    assert mixed.precision == "float32+bfloat16"
    assert load("bfloat16").precision == "bfloat16"


def test_missing_weights_are_one_line(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def unreachable(*args: object, **options: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", unreachable)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    at = argv.index("--weights")
    cases = {
        "features: the vgg19 weights could not be fetched": [*argv[:at], *argv[at + 2 :]],
        "weights: expected an existing file": [*argv, "--weights", str(tmp_path / "no.pth")],
        "precision: expected that of one network, lite": [
            *argv, "--features", "lite", "--precision", "float32+bfloat16"
        ],
    }  # fmt: skip
    for message, flags in cases.items():
        assert run_verb("transfer", flags) == 2
        err = capsys.readouterr().err
        assert message in err and err.count("\n") == 1, err
    assert not (tmp_path / "runs").exists()
