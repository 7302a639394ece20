"""A transfer that is cut short: what it leaves, how it goes on, and how runs are repeated."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from geostyle.cli import run as run_verb
from geostyle.io.files import read_metrics
from geostyle.io.runs import RunFolder
from geostyle.texture import Painting, pyramid

Capture = pytest.CaptureFixture[str]
FLAGS = ["--iterations", "3", "2", "2", "--size", "72", "--geometry", "affine"]
FLAGS += ["--split", "1", "--turns", "1"]


class Killed(BaseException):
    """Ends a run at once, as a kill would: nothing is there to catch it."""


@pytest.fixture
def argv(pictures: Path, tiny_weights: Path, tmp_path: Path) -> list[str]:
    photos, paintings = sorted(pictures.rglob("photos/*")), sorted(pictures.rglob("paintings/*"))
    files = {"content": photos[0], "geo-style": photos[1], "tex-style": paintings[0]}
    named = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    return [*named, *FLAGS, "--weights", str(tiny_weights), "--output", str(tmp_path / "runs")]


def newest(tmp_path: Path) -> Path:
    return sorted((tmp_path / "runs").iterdir())[-1]


def results(run: Path) -> dict[str, bytes]:
    """Every file whose bytes must not depend on how often the run was cut short."""
    paths = [path for path in run.rglob("*") if path.is_file() and path.name != ".lock"]
    found = {str(path.relative_to(run)): path.read_bytes() for path in paths}
    for name in ("environment.json", "settings.yaml", "report.html"):  # they tell the folder
        found.pop(name)
    return found


def kill_at(monkeypatch: pytest.MonkeyPatch, level: int, step: int) -> None:
    log = RunFolder.log

    def log_then_die(self: RunFolder, **metrics: Any) -> None:
        log(self, **metrics)
        if (metrics.get("level"), metrics.get("step")) == (level, step):
            raise Killed

    monkeypatch.setattr(RunFolder, "log", log_then_die)


@pytest.mark.parametrize(("level", "step"), [(0, 1), (1, 0), (2, 1), (3, 0)])
def test_a_killed_transfer_resumes_to_the_same_bytes(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: int, step: int
) -> None:
    assert run_verb("transfer", argv) == 0
    reference = newest(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, level, step)
        run_verb("transfer", argv)
    run = newest(tmp_path)
    assert run != reference and not (run / "result.png").exists()
    counted, report = list[pyramid.Progress](), Painting._report

    def count(self: Painting, callback: Any, progress: pyramid.Progress) -> None:
        counted.append(progress)
        report(self, callback, progress)

    monkeypatch.setattr(Painting, "_report", count)
    assert run_verb("transfer", ["--resume", str(run)]) == 0
    assert [p.level for p in counted] == [n for n in (0, 0, 0, 1, 1, 2, 2, 3) if n >= level]
    assert results(run) == results(reference)


def test_a_transfer_killed_before_it_paints_resumes_too(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_verb("transfer", argv) == 0
    reference = newest(tmp_path)

    def die(*args: object) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("geostyle.cli._geometry.save_grid", die)
        run_verb("transfer", argv)
    assert run_verb("transfer", ["--resume", str(newest(tmp_path))]) == 0
    assert results(newest(tmp_path)) == results(reference)


def test_ctrl_c_leaves_a_run_that_can_be_finished(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert run_verb("transfer", argv) == 0
    reference, log = newest(tmp_path), RunFolder.log

    def interrupt(self: RunFolder, **metrics: Any) -> None:
        log(self, **metrics)
        if metrics.get("level") == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "log", interrupt)
        assert run_verb("transfer", argv) == 130
    run = newest(tmp_path)
    assert f"transfer --resume {run}" in capsys.readouterr().out
    assert (run / "result.png").read_bytes() != (reference / "result.png").read_bytes()
    assert run_verb("rerun", [str(run)]) == 2
    assert "expected a finished run" in capsys.readouterr().err
    assert run_verb("transfer", ["--resume", str(run)]) == 0
    assert results(run) == results(reference)
    before = results(run)
    assert run_verb("transfer", ["--resume", str(run)]) == 0
    assert "nothing left to do" in capsys.readouterr().out and results(run) == before


def refused(capsys: Capture, verb: str, *argv: object) -> str:
    capsys.readouterr()
    assert run_verb(verb, [str(word) for word in argv]) == 2
    errors = capsys.readouterr().err
    *_, line = re.split(r"[\r\n]", errors.rstrip("\n"))  # after a progress bar, if any
    assert line.startswith(f"geostyle {verb}: error: ") and "Traceback" not in errors, errors
    return line


def test_what_cannot_be_resumed_is_refused_in_one_line(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, 1, 1)
        run_verb("transfer", argv)
    run = newest(tmp_path)
    assert "no settings.yaml" in refused(capsys, "transfer", "--resume", tmp_path)
    assert "beside the run's own" in refused(capsys, "transfer", "--resume", run, "--seed", 1)
    with RunFolder(run).lock():
        assert "in use by process" in refused(capsys, "transfer", "--resume", run)
    levels = run / ".unfinished" / "levels.safetensors"
    whole = levels.read_bytes()
    levels.write_bytes(whole[:-100])
    assert "damaged" in refused(capsys, "transfer", "--resume", run)
    levels.write_bytes(whole)
    copy = run / "originals" / "tex_style-1.png"
    picture = copy.read_bytes()
    copy.write_bytes(picture + b"\0")
    assert "its hash differs" in refused(capsys, "transfer", "--resume", run)
    copy.unlink()
    assert "tex_style-1: expected the file" in refused(capsys, "transfer", "--resume", run)
    copy.write_bytes(picture)
    assert run_verb("transfer", ["--resume", str(run)]) == 0


def test_a_rerun_needs_the_folder_alone(
    pictures: Path, argv: list[str], tmp_path: Path, capsys: Capture
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    moved = [str(own / Path(w).name) if w.startswith(str(pictures)) else w for w in argv]
    for word, path in zip(argv, moved, strict=True):
        if word != path:
            Path(path).write_bytes(Path(word).read_bytes())
    assert run_verb("transfer", moved) == 0
    for path in own.iterdir():
        path.unlink()
    run = newest(tmp_path)
    capsys.readouterr()
    assert run_verb("rerun", [str(run)]) == 0
    out = capsys.readouterr().out
    assert "result.png            identical" in out and f"identical: all 9 files of {run}" in out


def test_a_rerun_says_how_far_it_is_off(argv: list[str], tmp_path: Path, capsys: Capture) -> None:
    assert run_verb("transfer", argv) == 0
    run = newest(tmp_path)
    with Image.open(run / "result.png") as image:
        image.putpixel((0, 0), tuple(v ^ 4 for v in image.getpixel((0, 0))))
        image.save(run / "result.png")
    (run / "warped.png").unlink()
    environment = json.loads((run / "environment.json").read_text())
    environment["packages"]["torch"] = "1.0"
    (run / "environment.json").write_text(json.dumps(environment))
    lines = read_metrics(run / "metrics.jsonl")
    lines[-1]["total"] *= 1.5
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run_verb("rerun", [str(run), "--output", str(tmp_path / "again")]) == 1
    out = capsys.readouterr().out
    assert re.search(r"result.png +differs by at most 4 of 255", out)
    assert re.search(r"warped.png +only in ", out)
    assert re.search(r"metrics.jsonl +its numbers differ by at most 33 %", out)
    assert f"packages.torch (1.0 → {torch.__version__.split('+')[0]}" in out
    assert (tmp_path / "again" / f"00001-rerun-{run.name}" / "00001-transfer").is_dir()


def test_a_rerun_takes_the_steps_that_a_clock_allowed(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:  # a clock that ticks once a look
        ticks = iter(range(10**6))
        patch.setattr(pyramid.time, "monotonic", lambda: float(next(ticks)))
        assert run_verb("transfer", [*argv, "--time-budget-s", "30"]) == 0
    run = newest(tmp_path)
    steps = [line for line in read_metrics(run / "metrics.jsonl") if line["stage"] == "texture"]
    assert 0 < len(steps) < 8
    assert run_verb("rerun", [str(run)]) == 0


@pytest.mark.parametrize("verb", ["texture", "mix"])
def test_other_verbs_are_repeated_too(
    verb: str, pictures: Path, tiny_weights: Path, tmp_path: Path, capsys: Capture
) -> None:
    styles = [str(path) for path in sorted((pictures / "paintings").iterdir())[:2]]
    flags = ["--iterations", "2", "1", "--size", "48", "--weights", str(tiny_weights)]
    flags += ["--output", str(tmp_path / "runs")]
    assert run_verb(verb, [*(styles if verb == "mix" else styles[:1]), *flags]) == 0
    assert run_verb("rerun", [str(newest(tmp_path))]) == 0
    assert "result.png" in capsys.readouterr().out


def test_what_cannot_be_repeated_is_refused_in_one_line(tmp_path: Path, capsys: Capture) -> None:
    assert "no settings.yaml" in refused(capsys, "rerun", tmp_path)
    (tmp_path / "settings.yaml").write_text("a: 1\n")
    assert "expected JSON in" in refused(capsys, "rerun", tmp_path)
    for verb in ("train-geo", "report", "os", "../x", None):
        (tmp_path / "environment.json").write_text(json.dumps({"verb": verb}))
        assert "expected a run of a verb that paints" in refused(capsys, "rerun", tmp_path)
    (tmp_path / "environment.json").write_text('{"verb": "transfer"}')
    assert "list of its files" in refused(capsys, "rerun", tmp_path)


def test_a_loss_that_is_no_number_keeps_the_last_good_picture(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    optimize, calls = pyramid.optimize, [0]

    def spoiled(start: Any, objective: Any, *rest: Any, **options: Any) -> Any:
        def spoil(image: Any) -> Any:
            calls[0] += 1
            total, style, content = objective(image)
            return (total if calls[0] < 5 else total * float("nan")), style, content

        return optimize(start, spoil, *rest, **options)

    monkeypatch.setattr(pyramid, "optimize", spoiled)
    message = refused(capsys, "transfer", *argv)
    run = newest(tmp_path)
    assert re.search(
        r"texture: level \d of 4 \(\d+x\d+ px\): loss is not finite at step \d", message
    )
    assert f"the last good picture: {run}/last-good.png" in message
    assert min(Image.open(run / "last-good.png").size) >= 16
    assert not (run / "result.png").exists()
