"""The main job, driven as a user drives it: through its flags, on small pictures."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from geostyle.cli import run as run_verb
from geostyle.io.files import read_metrics
from geostyle.io.images import load_picture
from geostyle.io.runs import RunFolder
from geostyle.warps import WarpParameters
from tests.pictures import picture_file

ROOT = Path(__file__).resolve().parents[2]

Transfer = Callable[..., tuple[int, Any]]
Pictures = dict[str, Path]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, Path]:
    return {
        "content": picture_file(tmp_path / "content.png", (70, 90), 1),
        "geo_style": picture_file(tmp_path / "geo.jpg", (80, 64), 2),
        "tex_style": picture_file(tmp_path / "tex.png", (50, 120), 3),
    }


@pytest.fixture
def transfer(tmp_path: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Transfer:
    """Call the verb with quick settings; gives the exit status and the run folder."""
    monkeypatch.chdir(tmp_path)

    def call(*argv: object, quick: bool = True) -> tuple[int, Path | None]:
        flags = ["--weights", tiny_weights, "--iterations", 3, 2, 1] if quick else []
        flags += ["--split", 1, "--turns", 1] if quick else []
        try:
            status = run_verb("transfer", [str(a) for a in (*flags, *argv)])
        except SystemExit as stop:  # argparse's way out
            status = int(stop.code or 0)
        folders = sorted(Path(tmp_path / "runs").glob("*"))
        return status, folders[-1] if folders else None

    return call


def both(pictures: dict[str, Path]) -> list[object]:
    return [
        *("--content", pictures["content"]),
        *("--geo-style", pictures["geo_style"]),
        *("--tex-style", pictures["tex_style"]),
    ]


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_three_pictures_in_one_run_folder_out(
    transfer: Transfer, pictures: Pictures, capsys: Capture
) -> None:
    status, run = transfer(*both(pictures))
    assert status == 0
    files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert files - {".lock"} == {
        "result.png", "warped.png", "theta.json", "grid.safetensors", "contact_sheet.png",
        "report.html", "settings.yaml", "environment.json", "metrics.jsonl",
        "source.png", "source.safetensors",
        "inputs/content.png", "inputs/geo_style.png", "inputs/tex_style.png",
        "originals/files.json", "originals/weights.safetensors",
        "originals/content.png", "originals/geo_style-1.jpg", "originals/tex_style-1.png",
    }  # fmt: skip
    assert pixels(run / "result.png").shape == pixels(run / "warped.png").shape == (70, 90, 3)
    assert (pixels(run / "result.png") != pixels(run / "warped.png")).any()
    assert json.loads((run / "environment.json").read_text())["seed"] == 0
    steps = [line for line in read_metrics(run / "metrics.jsonl") if line["stage"] == "texture"]
    assert [line["level"] for line in steps] == [0, 0, 0, 1, 1, 2, 3]
    assert steps[0]["size"] == [18, 22] and steps[-1]["size"] == [70, 90]
    assert str(run / "result.png") in capsys.readouterr().out.replace("runs/", f"{run.parent}/")


def test_saved_settings_repeat_the_run(transfer: Transfer, pictures: Pictures) -> None:
    _, first = transfer(*both(pictures), "--seed", 5, "--geo-strength", 1.2)
    status, second = transfer("--config", first / "settings.yaml", quick=False)
    assert status == 0 and second != first
    for name in ("result.png", "warped.png", "theta.json", "grid.safetensors", "settings.yaml"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_several_textures_with_weights_and_masks(
    transfer: Transfer, pictures: Pictures, tmp_path: Path
) -> None:
    second, mask = picture_file(tmp_path / "second.png", (60, 60), 5), tmp_path / "mask.png"
    clear = np.zeros((70, 90, 2), np.uint8)  # white in the middle, clear around it
    clear[20:50, 20:60] = 255
    Image.fromarray(clear, "LA").save(mask)
    flags = [*both(pictures), "--tex-style", second, "--tex-weights", 3, 1]
    status, mixed = transfer(*flags)
    assert status == 0
    status, masked = transfer(*flags, "--tex-mask", mask)
    assert status == 0
    names = {path.name for path in (masked / "inputs").iterdir()}
    assert names == {
        "content.png", "geo_style.png", "tex_style-1.png", "tex_style-2.png", "tex_mask.png"
    }  # fmt: skip
    assert pixels(masked / "inputs" / "tex_mask.png").mean() == pytest.approx(
        255 * 30 * 40 / (70 * 90), rel=0.01
    )
    assert (pixels(masked / "result.png") != pixels(mixed / "result.png")).any()
    for run in (mixed, masked):
        _, again = transfer("--config", run / "settings.yaml", quick=False)
        assert (again / "result.png").read_bytes() == (run / "result.png").read_bytes()
    report = (masked / "report.html").read_text()
    assert "weight 0.75" in report and "mask 1" in report


def test_every_control_is_repeated_by_the_saved_settings(
    transfer: Transfer, pictures: Pictures, capsys: Capture
) -> None:
    flags = [
        *both(pictures), "--preserve-color", "histogram", "--tex-strength", 0.6,
        "--tex-scale", 0.8, "--format", "webp", "--quality", 90, "--mask-frame", "result",
        "--tex-mask", pictures["content"],
        *("--animate", "geometry", "texture", "--animate", "painting"),
        *("--animate-size", 64, "--animate-frames", 4),
    ]  # fmt: skip
    status, first = transfer(*flags)
    assert status == 0
    assert f"animation: {first / 'animation.gif'}" in capsys.readouterr().out.replace(
        "runs/", f"{first.parent}/"
    )
    status, second = transfer("--config", first / "settings.yaml", quick=False)
    assert status == 0
    for name in ("result.webp", "warped.png", "animation.gif", "settings.yaml"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    with Image.open(first / "animation.gif") as image:
        assert max(image.size) == 64 and image.n_frames > 8
    assert "result" in (first / "report.html").read_text()


def test_what_the_machine_decided_is_recorded(transfer: Transfer, pictures: Pictures) -> None:
    _, run = transfer(*both(pictures), "--memory-gb", 60)
    saved = yaml.safe_load((run / "settings.yaml").read_text())["transfer"]
    assert saved["precision"] in ("float32", "bfloat16")
    assert saved["texture"]["tile_px"] == 90 + 2 * 8  # with its border, nothing was cut
    networks = json.loads((run / "environment.json").read_text())["networks"]
    assert saved["precision"] in networks["texture"]
    _, cut = transfer(*both(pictures), "--tile-px", 48)
    assert yaml.safe_load((cut / "settings.yaml").read_text())["transfer"]["texture"][
        "tile_px"
    ] == 48  # fmt: skip
    difference = pixels(run / "result.png").astype(int) - pixels(cut / "result.png")
    assert np.abs(difference).max() <= 8


def test_a_picture_too_large_for_memory_is_refused(
    transfer: Transfer, pictures: Pictures, capsys: Capture
) -> None:
    message = refused(transfer, capsys, *both(pictures), "--memory-gb", 0.01)
    assert "memory_gb: expected more than" in message
    message = refused(transfer, capsys, *both(pictures), "--size", 32000)
    assert "size_px: expected a size that fits" in message


def test_a_preview_moves_without_painting(transfer: Transfer, pictures: Pictures) -> None:
    flags = ["--animate", "geometry", "texture", "--animate-frames", 4, "--animate-size", 64]
    status, run = transfer(*both(pictures), "--preview", *flags)
    assert status == 0
    with Image.open(run / "animation.gif") as image:
        assert image.n_frames == 4
    status, run = transfer("--content", pictures["content"], "--tex-style", pictures["tex_style"],
                           "--animate", "geometry")  # fmt: skip
    assert status == 0 and not (run / "animation.gif").exists()


def test_theta_and_grid_on_disk_agree(transfer: Transfer, pictures: Pictures) -> None:
    _, run = transfer(*both(pictures), "--preview")
    grid = load_file(run / "grid.safetensors")["grid"]
    parameters = WarpParameters.load(run / "theta.json")
    torch.testing.assert_close(parameters.grid((70, 90)).float(), grid, atol=1e-5, rtol=0)


def test_a_saved_theta_can_be_applied_again(transfer: Transfer, pictures: Pictures) -> None:
    _, first = transfer(*both(pictures), "--preview")
    status, second = transfer(
        *("--content", pictures["content"], "--theta", first / "theta.json", "--size", 90)
    )
    assert status == 0
    difference = pixels(second / "warped.png").astype(int) - pixels(first / "warped.png")
    assert np.abs(difference).max() <= 1
    np.testing.assert_array_equal(pixels(second / "result.png"), pixels(second / "warped.png"))


def test_preview_stops_after_the_warp(transfer: Transfer, pictures: Pictures) -> None:
    status, run = transfer(*both(pictures), "--preview")
    assert status == 0
    assert (run / "warped.png").exists() and (run / "report.html").exists()
    assert not (run / "result.png").exists()


def test_strength_zero_keeps_the_content_bit_for_bit(
    transfer: Transfer, pictures: Pictures, tmp_path: Path
) -> None:
    status, run = transfer("--content", pictures["content"], "--geo-style", pictures["geo_style"],
                           "--geo-strength", 0)  # fmt: skip
    assert status == 0
    np.testing.assert_array_equal(pixels(run / "result.png"), pixels(pictures["content"]))
    deep = tmp_path / "deep.png"
    values = np.random.default_rng(0).integers(0, 65535, (40, 50, 3), dtype=np.uint16)
    cv2.imwrite(str(deep), values)
    _, run = transfer("--content", deep, "--geo-style", pictures["geo_style"], "--geo-strength", 0)
    np.testing.assert_array_equal(cv2.imread(str(run / "result.png"), cv2.IMREAD_UNCHANGED), values)


def test_either_style_works_alone(transfer: Transfer, pictures: Pictures) -> None:
    status, run = transfer("--content", pictures["content"], "--geo-style", pictures["geo_style"])
    assert status == 0
    np.testing.assert_array_equal(pixels(run / "result.png"), pixels(run / "warped.png"))
    assert not (run / "inputs" / "tex_style.png").exists()
    status, run = transfer("--content", pictures["content"], "--tex-style", pictures["tex_style"])
    assert status == 0
    np.testing.assert_array_equal(pixels(run / "warped.png"), pixels(pictures["content"]))
    assert not (run / "theta.json").exists()


def test_without_content_the_bundled_one_is_taken_and_named(
    transfer: Transfer, pictures: Pictures, capsys: Capture
) -> None:
    status, run = transfer("--tex-style", pictures["tex_style"], "--size", 48)
    assert status == 0
    assert "bundled" in capsys.readouterr().out
    assert max(pixels(run / "result.png").shape) == 48


@pytest.mark.parametrize("size", [(17, 203), (203, 17), (16, 16), (33, 47)])
def test_thin_and_odd_pictures(
    transfer: Transfer, pictures: Pictures, tmp_path: Path, size: tuple[int, int]
) -> None:
    odd = picture_file(tmp_path / "odd.png", size, 4)
    status, run = transfer("--content", odd, "--geo-style", pictures["geo_style"],
                           "--tex-style", pictures["tex_style"])  # fmt: skip
    assert status == 0
    assert pixels(run / "result.png").shape[:2] == size


def test_the_geometry_styles_frame_sets_the_canvas(transfer: Transfer, pictures: Pictures) -> None:
    status, run = transfer(*both(pictures), "--frame", "geo", "--size", 64, "--preview")
    assert status == 0
    assert pixels(run / "warped.png").shape[:2] == (64, 51)  # 80x64 at a long side of 64


@pytest.mark.parametrize("family", ["affine", "tps", "affine+tps", "none"])
def test_every_geometry(transfer: Transfer, pictures: Pictures, family: str) -> None:
    status, run = transfer(*both(pictures), "--geometry", family, "--preview")
    assert status == 0
    if family == "none":
        np.testing.assert_array_equal(pixels(run / "warped.png"), pixels(pictures["content"]))


def test_ctrl_c_saves_the_best_so_far(
    transfer: Transfer, pictures: Pictures, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    log = RunFolder.log

    def log_then_interrupt(self: RunFolder, **metrics: object) -> None:
        log(self, **metrics)
        if metrics.get("step") == 1:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RunFolder, "log", log_then_interrupt)
    status, run = transfer(*both(pictures))
    assert status == 130
    assert pixels(run / "result.png").shape == (70, 90, 3)
    assert len(read_metrics(run / "metrics.jsonl")) <= 3
    assert "interrupted" in capsys.readouterr().out
    assert (run / "report.html").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def refused(transfer: Transfer, capsys: Capture, *argv: object, quick: bool = True) -> str:
    status, run = transfer(*argv, quick=quick)
    errors = capsys.readouterr().err
    assert status == 2, errors
    assert re.fullmatch(r"geostyle transfer: error: [^\n]+\n", errors)
    assert run is None
    return errors


@pytest.mark.parametrize("which", ["content", "geo_style", "tex_style"])
@pytest.mark.parametrize("fault", ["missing", "folder", "empty", "truncated", "text", "small"])
def test_unusable_pictures_are_refused_in_one_line(
    transfer: Transfer, pictures: Pictures, tmp_path: Path, capsys: Capture, which: str, fault: str
) -> None:
    bad = tmp_path / "bad.jpg"
    if fault == "folder":
        bad.mkdir()
    elif fault == "truncated":
        data = picture_file(tmp_path / "whole.jpg", (64, 64), 1).read_bytes()
        bad.write_bytes(data[: len(data) // 2])
    elif fault == "small":
        picture_file(bad, (15, 200), 1)
    elif fault != "missing":
        bad.write_text("" if fault == "empty" else "no picture")
    pictures[which] = bad
    assert f"error: {which}: " in refused(transfer, capsys, *both(pictures))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--geo-stile", "x"], "did you mean '--geo-style'"),
        (["--size", "8"], "size_px: expected 16 to"),
        (["--size", "many"], "size_px: expected an integer"),
        (["--geo-strength", "-1"], "geo_strength: expected 0.0 to"),
        (["--geometry", "afine"], "did you mean 'affine'"),
        (["--frame", "style"], "frame: expected one of 'content', 'geo'"),
        (["--device", "abacus"], "device: expected one of"),
        (["--precision", "float8"], "precision: expected one of"),
        (["--iterations", "-3"], "iterations"),
        (["--seed", "-1"], "seed: expected"),
        (["--weights", "none.safetensors"], "none.safetensors"),
        (["--features", "vgg19", "--weights", "none.safetensors"], "weights: expected"),
        (["--output", "picture.png"], "output: expected a folder"),
        (["--output", "/dev/null/x"], "output: expected a writable path"),
        (["--tex-weights", "1", "2"], "tex_weights: expected 1 non-negative weights, one for each"),
        (["--tex-mask", "a.png", "b.png"], "tex_mask: expected one mask for each texture style"),
        (["--quality", "90"], "quality: expected none for lossless png"),
        (["--preserve-color", "hue"], "preserve_color: expected one of 'off', 'lab'"),
        (["--animate", "dance"], "animate: expected one of 'geometry'"),
        (["--theta", "theta.json"], "expected either --theta or --geo-style"),
        (["--config", "none.yaml"], "config: expected a readable YAML file"),
    ],
)
def test_unusable_arguments_are_refused_in_one_line(
    transfer: Transfer, pictures: Pictures, capsys: Capture, argv: list[str], message: str
) -> None:
    assert message in refused(transfer, capsys, *both(pictures), *argv)


def test_no_style_at_all_is_refused(
    transfer: Transfer, pictures: Pictures, capsys: Capture
) -> None:
    assert "expected at least one" in refused(transfer, capsys, "--content", pictures["content"])


def test_corrupt_weights_are_refused(
    transfer: Transfer, pictures: Pictures, tmp_path: Path, tiny_weights: Path, capsys: Capture
) -> None:
    data = bytearray(tiny_weights.read_bytes())
    data[-5] ^= 0xFF
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(data)
    message = refused(transfer, capsys, *both(pictures), "--weights", bad)
    assert "bad.safetensors" in message


def test_an_unknown_config_key_is_refused_with_a_suggestion(
    transfer: Transfer, pictures: Pictures, tmp_path: Path, capsys: Capture
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("transfer:\n  texture:\n    iteration: [1]\n")
    message = refused(transfer, capsys, *both(pictures), "--config", config)
    assert "did you mean 'transfer.texture.iterations'" in message


def test_a_dry_run_prints_the_settings_and_writes_nothing(
    transfer: Transfer, pictures: Pictures, capsys: Capture
) -> None:
    status, run = transfer(*both(pictures), "--dry-run", "--seed", 3)
    assert status == 0 and run is None
    settings = yaml.safe_load(capsys.readouterr().out)["settings"]
    assert settings["transfer"]["seed"] == 3


@pytest.mark.parametrize("name", ["demo", "smoke"])
def test_the_shipped_configs_are_valid(
    transfer: Transfer, monkeypatch: pytest.MonkeyPatch, name: str, tiny_weights: Path
) -> None:
    monkeypatch.chdir(ROOT)
    config = Path("configs/transfer") / f"{name}.yaml"
    assert transfer("--config", config, "--weights", tiny_weights, "--dry-run", quick=False)[0] == 0


def test_the_script_runs_from_anywhere(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, str(ROOT / "transfer.py"), "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--geo-style" in done.stdout and "--tex-style" in done.stdout


def test_transparency_shows_white(transfer: Transfer, pictures: Pictures, tmp_path: Path) -> None:
    clear = tmp_path / "clear.png"
    Image.new("RGBA", (40, 30), (255, 0, 0, 0)).save(clear)
    _, run = transfer("--content", clear, "--geo-style", pictures["geo_style"])
    assert load_picture(run / "result.png").tensor.min() == 1


def test_a_report_can_be_redrawn(
    transfer: Transfer, pictures: Pictures, tmp_path: Path, capsys: Capture
) -> None:
    _, run = transfer(*both(pictures))
    before = {name: (run / name).read_bytes() for name in ("report.html", "contact_sheet.png")}
    for name in before:
        (run / name).unlink()
    assert run_verb("report", [str(run)]) == 0
    assert {name: (run / name).read_bytes() for name in before} == before
    assert run_verb("report", [str(tmp_path)]) == 2
    assert "geostyle report: error: run: expected a run folder" in capsys.readouterr().err
