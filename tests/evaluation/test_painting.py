"""Scores of paintings: closed forms, order, and the command on a list and on real runs."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from geostyle.cli import main
from geostyle.cli import run as run_verb
from geostyle.evaluation.painting import (
    Painting,
    color_moments,
    relaxed_earth_movers_distance,
    score_painting,
)
from geostyle.features.extractor import load_features
from geostyle.io.images import save_picture
from tests.pictures import noise, picture, picture_file


def test_the_earth_movers_distance_asks_for_all_of_the_style() -> None:
    both, one = torch.eye(2), 3 * torch.eye(2)[:1]
    assert relaxed_earth_movers_distance(both, both) == 0
    # The half of `both` that `one` lacks counts, whichever of them is the painting.
    assert relaxed_earth_movers_distance(one, both) == pytest.approx(0.5)
    assert relaxed_earth_movers_distance(both, one) == pytest.approx(0.5)
    assert relaxed_earth_movers_distance(one, -one) == pytest.approx(2)


def test_moments_of_black_and_white() -> None:
    image = torch.zeros(1, 3, 2, 4)
    image[..., :2] = 1
    mean, covariance = color_moments(image)
    assert mean.tolist() == pytest.approx([50, 0, 0], abs=0.05)
    assert float(covariance[0, 0]) == pytest.approx(2500, rel=1e-3)
    assert covariance[1:, 1:].abs().max() < 0.05


def test_a_copy_of_the_style_scores_zero(tiny_weights: Path) -> None:
    network = load_features("lite", weights=tiny_weights)
    style = picture(1, 48, 64)
    found = score_painting(Painting("same", style, style, style), network)
    assert found == score_painting(Painting("same", style, style, style), network)
    for name, value in asdict(found).items():
        assert value == pytest.approx(0, abs=1e-5), name


def test_every_score_rises_with_its_own_fault(tiny_weights: Path) -> None:
    network = load_features("lite", weights=tiny_weights)
    content, style = picture(1, 64, 64), noise(2, 64, 64)

    def score(result: torch.Tensor, kept: torch.Tensor = content) -> dict[str, float]:
        return asdict(score_painting(Painting("one", kept, style, result), network))

    right, wrong = score(style), score(content)
    for name in ("gram", "remd", "color_spread"):
        assert wrong[name] > right[name] + 0.01, f"{name} does not see another texture"
    assert wrong["remd_floor"] == right["remd_floor"] and wrong["selfsim"] == 0 < right["selfsim"]
    assert score(content.flip(3))["selfsim"] > 0.01
    darker = score(style * 0.5)
    assert darker["color_mean"] > 10 > right["color_mean"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two contents, one style, results of two tools, and their lists."""
    for number, name in enumerate(("a", "b", "s", "good/a", "good/b")):
        picture_file(tmp_path / f"{name}.png", (48, 64), number)
    (tmp_path / "bad").mkdir()
    for name in ("a", "b"):
        save_picture(noise(9, 48, 64), tmp_path / "bad" / f"{name}.png")
    for tool in ("good", "bad"):
        rows = [f"{name}.png,s.png,{tool}/{name}.png" for name in ("a", "b")]
        text = "\n".join(["# of a tool", "content,tex_style,result", *rows])
        (tmp_path / f"{tool}.csv").write_text(text)
    return tmp_path


def test_the_command_scores_a_list_beside_a_baseline(
    folder: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--features", "lite", "--weights", str(tiny_weights), "--device", "cpu"]
    flags += ["--list", str(folder / "good.csv"), "--json", str(folder / "f.json")]
    assert main(["evaluate", "painting", *flags, "--baseline", str(folder / "bad.csv")]) == 0
    found = json.loads((folder / "f.json").read_text())
    assert list(found["scores"]) == ["a x s", "b x s"] and found["pairs_compared"] == 2
    values = [one["gram"] for one in found["scores"].values()]
    assert found["median"]["gram"] == pytest.approx(sum(values) / 2)
    assert 0 < found["ratio_to_baseline"]["selfsim"] < 1
    shown = capsys.readouterr().out
    assert "remd_floor" in shown and "ratio to baseline" in shown
    assert main(["evaluate", "painting", *flags, "--baseline", str(folder / "good.csv")]) == 0
    found = json.loads((folder / "f.json").read_text())
    assert found["ratio_to_baseline"]["gram"] == 1


def test_the_command_scores_runs_against_their_warped_content(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    flags = ["--content", "a.png", "--tex-style", "s.png", "--size", "48", "--device", "cpu"]
    flags += ["--painter", "gram", "--iterations", "1"]
    assert run_verb("transfer", flags) == 0
    assert main(["evaluate", "painting", "--features", "lite", "--runs", "runs"]) == 0
    assert "a x s" in capsys.readouterr().out
    # The same pictures by hand: names and scores agree, so all ratios but that of 0 are 1.
    run = folder / "runs" / "00001-transfer"
    rows = f"{run / 'warped.png'},{run / 'inputs/tex_style.png'},{run / 'result.png'}"
    (folder / "list.csv").write_text(f"content,tex_style,result\n{rows}")
    flags = ["--features", "lite", "--json", "f.json"]
    assert main(["evaluate", "painting", "--runs", "runs", *flags]) == 0
    first = json.loads((folder / "f.json").read_text())
    assert main(["evaluate", "painting", "--list", "list.csv", *flags]) == 0
    second = json.loads((folder / "f.json").read_text())
    assert first["median"] == second["median"] and list(second["scores"]) == ["warped x tex_style"]
    (run / ".unfinished").mkdir()
    assert main(["evaluate", "painting", "--features", "lite", "--runs", "runs"]) == 2
    assert "runs: expected finished runs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "flags", "error"),
    [
        ("content,result\na.png,b.png", [], "list: expected the columns .* got none named tex"),
        ("content,tex_style,result\na.png,no.png,b.png", [], "list: expected a picture file, got"),
        ("content,tex_style,result\na.png", [], "list: expected a picture file, got"),
        ("content,tex_style,result\n", [], "list: expected paintings in .*, got none"),
        (
            "content,tex_style,result\nb.png,a.png,b.png",
            ["--baseline", "good.csv"],
            "baseline: expected paintings named as .*'b x a', got 'a x s'",
        ),
        ("", ["--runs", "."], "list: expected either --list or --runs, got both"),
    ],
)
def test_errors_are_one_line(
    folder: Path,
    tiny_weights: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    flags: list[str],
    error: str,
) -> None:
    monkeypatch.chdir(folder)
    Path("list.csv").write_text(text)
    network = ["--features", "lite", "--weights", str(tiny_weights), "--json", "f.json"]
    assert main(["evaluate", "painting", "--list", "list.csv", *network, *flags]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "expected" in line]
    assert re.search(error, line) and not Path("f.json").exists()
