"""What documents tell the reader to type: shipped settings, commands and Python, in small."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from geostyle import cli
from geostyle.cli import mix, neural_style, reconstruct, texture, transfer
from geostyle.config import resolve, to_dict
from geostyle.data.make_settings import MakeSettings
from geostyle.training.distillation import DistillSettings
from geostyle.training.geometry import TrainSettings
from geostyle.training.settings import FastTrainSettings, TextureTrainSettings
from tests.pictures import picture_file

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCRIPTS = ("transfer.py", "train_geo.py", "data_gen/make.py")
# The settings of each file in configs/, by the longest name that it begins with.
CONFIGS: dict[str, type] = {
    "features/distill": DistillSettings,
    "feedforward/fast": FastTrainSettings,
    "feedforward/texnet": TextureTrainSettings,
    "geometry/make": MakeSettings,
    "geometry/train_geo": TrainSettings,
    "texture/mix": mix.Job,
    "texture/neural_style": neural_style.Job,
    "texture/reconstruct": reconstruct.Job,
    "texture/texture": texture.Job,
    "transfer/": transfer.Job,
}
GEOMETRY = "geometry: {match_sizes_px: [64], estimator: robust}"
TRANSFER = f"transfer: {{size_px: 48, texture: {{iterations: [2, 1]}}, {GEOMETRY}}}"
MAKE = "{count: 4, val_count: 2, size_px: 64, iterations: [2, 1], workers: 1}"
TRAIN = """{steps: 2, batch: 2, warmup: 1, validate_every: 2, save_every: 2,
 network: {match_px: 64, width: 8, network_lattice: 3}}"""


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs").rglob("*.*")), ids=lambda path: path.stem
)
def test_every_file_of_settings_is_read(path: Path) -> None:
    name = path.relative_to(ROOT / "configs").as_posix()
    (settings_class,) = (found for start, found in CONFIGS.items() if name.startswith(start))
    pair: dict[str, Any] = {"exemplars": ("a", "b")} if settings_class is mix.Job else {}
    settings = to_dict(resolve(settings_class, path, pair))
    assert settings != to_dict(settings_class(**pair)) if name[:9] != "transfer/" else settings


def test_the_settings_of_a_paper_are_the_paper_s() -> None:
    path = ROOT / "configs" / "feedforward" / "texnet_ulyanov2016.yaml"
    paper = resolve(TextureTrainSettings, path)
    assert (paper.batch, paper.steps, paper.lr, paper.network.scales) == (16, 2000, 0.1, 5)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the scripts and the pictures that the documents name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data_gen").mkdir()
    for script in SCRIPTS:
        shutil.copyfile(ROOT / script, tmp_path / script)
    for seed, name in enumerate(("a.jpg", "b.jpg", "c.jpg", "photo.jpg")):
        picture_file(tmp_path / name, (48, 40), seed)
    for seed, name in enumerate(("a.png", "b.png")):
        picture_file(tmp_path / "DIR" / name, (48, 40), seed)
    return tmp_path


@pytest.mark.timeout(400)
def test_the_three_commands(folder: Path) -> None:
    """Exactly as they are written, on small settings from the environment."""
    for number, (command, settings) in enumerate(
        (
            ("python data_gen/make.py", MAKE),
            ("python train_geo.py", TRAIN),
            ("python transfer.py --geo-style a.jpg --tex-style b.jpg", TRANSFER),
        )
    ):
        (folder / f"{number}.yaml").write_text(settings)
        done = subprocess.run(
            [sys.executable, *command.split()[1:]],
            capture_output=True,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "OMP_NUM_THREADS": "1",
                "GEOSTYLE_CONFIG": f"{number}.yaml",
            },
        )
        assert done.returncode == 0, done.stderr
        assert f"settings from {number}.yaml" in done.stderr
    assert len(list((folder / "data_gen/out/pairs").rglob("*.jpg"))) > 0
    assert (folder / "runs/00001-train-geo/geonet.safetensors").is_file()
    assert (folder / "runs/00002-transfer/result.png").is_file()


def commands() -> list[str]:
    """The commands of README.md: indented lines, and what stands between backticks."""
    lines = re.findall(r"^    (\S[^#\n]*)|`([^`\n]+)`", README, re.MULTILINE)
    found = {(indented or quoted).strip() for indented, quoted in lines}
    return sorted(line for line in found if line.startswith(("python ", "make ", "geostyle ")))


def test_there_are_commands_to_try() -> None:
    assert {"make demo", "make test", "geostyle demo"} < set(commands()) and len(commands()) > 8


@pytest.mark.parametrize("command", commands())
def test_the_commands_of_the_readme(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    if command.startswith("make "):
        assert re.search(rf"^{command.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return
    small = dict.fromkeys(("transfer", "runs/…", "demo", "batch"), TRANSFER)
    small |= {"make.py": MAKE, "train_geo.py": TRAIN}
    for word, settings in small.items():
        if word in command:
            (folder / "small.yaml").write_text(settings)
            monkeypatch.setenv("GEOSTYLE_CONFIG", "small.yaml")
    if "runs/…" in command:
        assert cli.run("transfer", ["--tex-style", "a.jpg", "--content", "b.jpg"]) == 0
    words = shlex.split(command.replace("runs/…", "runs/00001-transfer"))
    if len(words) == 2 and words[1] not in ("demo", "--help"):
        words.append("--help")  # a command that is only named
    monkeypatch.setattr(sys, "argv", words if words[0] == "geostyle" else words[1:])
    with pytest.raises(SystemExit) as stop:
        if words[0] == "geostyle":
            runpy.run_module("geostyle", run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(words[1], run_name="__main__")
    assert not stop.value.code, capsys.readouterr().err


def snippets() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_python_of_the_readme(folder: Path) -> None:
    assert snippets()
    for snippet in snippets():
        small = "size_px=48, iterations=(2, 1), match_sizes_px=(64,)"
        exec(re.sub(r"size_px=\d+", small, snippet), {})
    assert (folder / "result.png").is_file()
