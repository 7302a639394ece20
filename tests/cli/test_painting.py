"""The verbs that paint from noise, driven through their flags on tiny pictures."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from geostyle.cli import run as run_verb
from geostyle.cli import verbs
from geostyle.cli._painting import parse_size
from geostyle.errors import InputError
from geostyle.io.files import read_metrics
from geostyle.io.runs import RunFolder
from tests.pictures import picture_file

Verb = Callable[..., tuple[int, Path | None]]


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, Path]:
    sizes = {"a": (40, 48), "b": (36, 36), "c": (32, 64)}
    return {
        name: picture_file(tmp_path / f"{name}.png", size, seed)
        for seed, (name, size) in enumerate(sizes.items())
    }


@pytest.fixture
def verb(tmp_path: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Verb:
    """Call a verb with the tiny network; gives the exit status and the newest run folder."""
    monkeypatch.chdir(tmp_path)

    def call(name: str, *argv: object) -> tuple[int, Path | None]:
        words = [str(a) for a in (*argv, "--weights", tiny_weights)]
        try:
            status = run_verb(name, words)
        except SystemExit as stop:  # argparse's way out
            status = int(stop.code or 0)
        folders = sorted(Path(tmp_path / "runs").glob("*"))
        return status, folders[-1] if folders else None

    return call


def files(run: Path) -> set[str]:
    found = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    found = {name for name in found if not name.startswith("originals/")}
    always = {"settings.yaml", "environment.json", "metrics.jsonl", "result.json"}
    assert always | {"contact_sheet.png"} <= found
    return found - always - {"contact_sheet.png", ".lock"}


def size(path: Path) -> tuple[int, int]:
    return Image.open(path).size


def test_every_verb_is_listed_with_its_line() -> None:
    listed = verbs()
    for name in ("texture", "reconstruct", "mix", "neural-style"):
        assert len(listed[name]) > 20
    assert not any("painting" in name for name in listed)


def test_texture_of_another_size(verb: Verb, pictures: dict[str, Path]) -> None:
    status, run = verb("texture", pictures["a"], "--size", "64x33", "--iterations", 2, 3)
    assert status == 0 and run is not None
    assert files(run) == {"inputs/exemplar.png", "result.png"}
    assert size(run / "result.png") == (64, 33)
    result = json.loads((run / "result.json").read_text())["result.png"]
    assert list(result["gram_error"]) == [f"relu{b}_1" for b in range(1, 6)]
    assert [line["level"] for line in read_metrics(run / "metrics.jsonl")] == [0, 0, 1, 1, 1]


def test_saved_settings_repeat_the_texture(verb: Verb, pictures: dict[str, Path]) -> None:
    _, first = verb("texture", pictures["a"], "--iterations", 2, 2, "--seed", 3, "--tile")
    status, second = verb("texture", "--config", first / "settings.yaml")
    assert status == 0 and second != first
    assert (first / "result.png").read_bytes() == (second / "result.png").read_bytes()
    assert files(second) == {"inputs/exemplar.png", "result.png", "result-tiled.png"}
    assert size(second / "result-tiled.png") == (96, 80)
    assert json.loads((second / "result.json").read_text())["result.png"]["seam"]["ratio"] > 0


def test_texture_depths(verb: Verb, pictures: dict[str, Path]) -> None:
    status, run = verb(
        "texture", "--exemplar", pictures["b"], "--depths", "--layers", "relu1_1", "pool1", "pool2",
        "--pooling", "average", "--iterations", 1, 1,
    )  # fmt: skip
    assert status == 0
    assert files(run) == {
        "inputs/exemplar.png", "depth-1-relu1_1.png", "depth-2-pool1.png", "depth-3-pool2.png"
    }  # fmt: skip
    assert [line["picture"] for line in read_metrics(run / "metrics.jsonl")] == [0, 0, 1, 1, 2, 2]


def test_reconstruct_one_layer_and_all(verb: Verb, pictures: dict[str, Path]) -> None:
    status, run = verb("reconstruct", pictures["a"], "--layer", "relu2_2", "--iterations", 2)
    assert status == 0 and files(run) == {"inputs/picture.png", "result.png"}
    error = json.loads((run / "result.json").read_text())["result.png"]["error"]
    assert list(error) == ["relu2_2"]
    status, run = verb(
        "reconstruct", pictures["a"], "--sheet", "--layer", "relu1_1", "--iterations", 1
    )
    assert status == 0
    assert files(run) == {"inputs/picture.png"} | {
        f"{what}-relu{b}_1.png" for what in ("content", "style") for b in range(1, 6)
    }


def test_mix_and_fade(verb: Verb, pictures: dict[str, Path]) -> None:
    all_three = [pictures[name] for name in "abc"]
    status, run = verb("mix", *all_three, "--tex-weights", 1, 2, 1, "--size", 24, "--iterations", 1)
    assert status == 0 and size(run / "result.png") == (24, 24)
    result = json.loads((run / "result.json").read_text())["result.png"]
    assert result["tex_weights"] == [0.25, 0.5, 0.25]
    status, run = verb("mix", *all_three, "--fade", 5, "--size", "24x32", "--iterations", 1)
    assert status == 0
    assert {f"fade-{i:02d}.png" for i in range(1, 6)} < files(run)
    assert size(run / "fade-03.png") == (24, 32)


def test_mix_over_a_content(verb: Verb, pictures: dict[str, Path]) -> None:
    status, run = verb(
        "mix", pictures["a"], pictures["b"], "--content", pictures["c"], "--fade", 2,
        "--iterations", 1, 1,
    )  # fmt: skip
    assert status == 0 and size(run / "fade-02.png") == (64, 32)
    assert "inputs/content.png" in files(run)


def test_neural_style_and_its_sheet(verb: Verb, pictures: dict[str, Path]) -> None:
    pair = ("--content", pictures["a"], "--tex-style", pictures["c"], "--iterations", 1)
    status, run = verb("neural-style", *pair)
    assert status == 0 and size(run / "result.png") == (48, 40)
    assert files(run) == {"inputs/content.png", "inputs/tex_style.png", "result.png"}
    status, run = verb(
        "neural-style", *pair, "--sheet", "--style-layers", "relu1_1", "relu2_1",
        "--ratios", "1e-4", "1e-2",
    )  # fmt: skip
    assert status == 0
    assert {f"{layer}-{ratio}.png" for layer in ("relu1_1", "relu2_1") for ratio in ("0.0001", 0.01)
            } < files(run)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "extra"), [("texture", []), ("reconstruct", ["--sheet"]), ("mix", ["--fade", 3])]
)
def test_ctrl_c_saves_what_there_is(
    verb: Verb,
    pictures: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    extra: list[object],
) -> None:
    log = RunFolder.log

    def log_then_interrupt(self: RunFolder, **metrics: object) -> None:
        log(self, **metrics)
        if metrics.get("step") == 1:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RunFolder, "log", log_then_interrupt)
    sources = [pictures["a"], pictures["b"]] if name == "mix" else [pictures["a"]]
    status, run = verb(name, *sources, *extra, "--iterations", 4)
    assert status == 130
    assert sum(path.suffix == ".png" for path in run.glob("*.png")) == 2  # one and the sheet
    files(run)
    assert "interrupted" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("name", "argv", "message"),
    [
        ("texture", [], "exemplar: expected a picture file, got none"),
        ("texture", ["none.png"], "exemplar: expected a picture file"),
        ("texture", ["a.png", "--size", "12x300"], "size: expected WIDTHxHEIGHT"),
        ("texture", ["a.png", "--layers", "relu7_1"], "relu7_1"),
        ("texture", ["a.png", "--tiles"], "did you mean '--tile'"),
        ("texture", ["a.png", "b.png"], "unknown argument"),
        ("reconstruct", ["a.png", "--what", "stile"], "did you mean 'style'"),
        ("reconstruct", ["a.png", "--layer", "conv4_2"], "conv4_2"),
        ("mix", ["a.png"], "exemplars: expected two or more, got 1"),
        ("mix", ["a.png", "b.png", "--tex-weights", "1"], "tex_weights: expected 2"),
        ("mix", ["a.png", "b.png", "--fade", "1"], "fade: expected at least 2"),
        ("mix", ["a.png", "b.png", "--fade", "3", "--tex-weights", "1", "1"], "either --fade"),
        ("neural-style", ["--content", "a.png"], "tex_style: expected a picture file, got none"),
        ("neural-style", ["--iterations", "3", "4"], "single scale"),
    ],
)
def test_what_is_unusable_is_refused_in_one_line(
    verb: Verb,
    pictures: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
    name: str,
    argv: list[str],
    message: str,
) -> None:
    status, run = verb(name, *argv)
    errors = capsys.readouterr().err
    assert status == 2 and run is None
    assert re.fullmatch(rf"geostyle {name}: error: [^\n]+\n", errors)
    assert message in errors


def test_sizes_are_width_by_height() -> None:
    assert parse_size("512x768") == (768, 512)
    assert parse_size("64") == (64, 64) and parse_size(None) is None
    for bad in ("8", "64x", "x64", "64x64x3", "-64", "99999", "6e2"):
        with pytest.raises(InputError, match="size"):
            parse_size(bad)
