"""Transfers by matched painting: what a run shows of it, and settings from before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from geostyle import config
from geostyle.cli import _transfer_run as verb
from geostyle.cli import run as run_verb
from geostyle.cli.transfer import Job
from geostyle.texture import PAINTERS, Painting

Capture = pytest.CaptureFixture[str]
FLAGS = ["--iterations", "1", "1", "--split", "2", "--turns", "1", "--size", "64"]


@pytest.fixture
def argv(pictures: Path, tiny_weights: Path, tmp_path: Path) -> list[str]:
    photos, paintings = sorted(pictures.rglob("photos/*")), sorted(pictures.rglob("paintings/*"))
    flags = ["--content", str(photos[0]), "--tex-style", str(paintings[0]), *FLAGS]
    return [*flags, "--weights", str(tiny_weights), "--output", str(tmp_path / "runs")]


def newest(tmp_path: Path) -> Path:
    return sorted((tmp_path / "runs").iterdir())[-1]


def test_a_run_shows_where_its_paint_came_from(argv: list[str], tmp_path: Path) -> None:
    assert run_verb("transfer", argv) == 0
    run = newest(tmp_path)
    source = load_file(run / "source.safetensors")["source"]
    with Image.open(run / "result.png") as result:
        assert source.shape == (4, result.height // 4, result.width // 4)
    assert torch.equal(source[0], torch.zeros_like(source[0])) and source[1:3].abs().max() <= 1
    assert "Where the paint came from" in (run / "report.html").read_text()
    drawn = (run / "source.png").read_bytes()
    (run / "source.png").unlink()
    assert run_verb("report", [str(run)]) == 0
    assert (run / "source.png").read_bytes() == drawn


def test_a_painting_by_statistics_has_no_source(argv: list[str], tmp_path: Path) -> None:
    assert run_verb("transfer", [*argv, "--painter", "gram"]) == 0
    run = newest(tmp_path)
    assert not list(run.glob("source.*"))
    assert "Where the paint came from" not in (run / "report.html").read_text()


@pytest.mark.parametrize(
    ("flags", "steps"), [([], 4), (["--quick"], 3), (["--painter", "gram"], 2)]
)
def test_the_progress_bar_counts_every_step(
    argv: list[str], flags: list[str], steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars: list[Any] = []

    class Watched(verb.tqdm):  # type: ignore[misc, name-defined]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            bars.append(self)

    monkeypatch.setattr(verb, "tqdm", Watched)
    assert run_verb("transfer", [*argv, *flags]) == 0
    assert [(bar.n, bar.total) for bar in bars] == [(steps, steps)]


def test_frames_of_an_animation_take_few_steps(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    run_painting = Painting.run

    def count(self: Painting, *args: Any) -> Any:
        done = run_painting(self, *args)
        taken.append(sum(len(level.steps) for level in done.history))
        return done

    monkeypatch.setattr(Painting, "run", count)
    moving = ["--animate", "texture", "painting", "--animate-frames", "4", "--animate-size", "48"]
    assert run_verb("transfer", [*argv, *moving]) == 0
    assert taken == [4, 6, 6]
    assert (newest(tmp_path) / "animation.gif").is_file()


def test_settings_from_before_there_were_painters_mean_gram(
    argv: list[str], tmp_path: Path, capsys: Capture
) -> None:
    assert run_verb("transfer", [*argv, "--dry-run"]) == 0
    saved = yaml.safe_load(capsys.readouterr().out)["settings"]
    painters = {}
    for name in ("present", "earlier"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(saved))
        painters[name] = config.resolve(Job, path, {}).transfer.painter
        saved["transfer"] = {
            k: v for k, v in saved["transfer"].items() if k not in ("painter", "matched")
        }
    assert painters == {"present": "matched", "earlier": "gram"}
    assert set(painters.values()) == set(PAINTERS)
