"""Folders of pictures: each gets its result once, whatever stops the command."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from geostyle.cli import run as run_verb
from geostyle.cli.batch import BatchJob, list_units
from geostyle.errors import InputError
from geostyle.io.files import read_metrics
from geostyle.io.runs import RunFolder
from geostyle.texture import Painting
from geostyle.warps import WarpParameters, make_family
from tests.pictures import picture_file

Batch = Callable[..., int]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three pictures, one file that is none, and one of no suffix that counts."""
    for number, name in enumerate(("a.png", "b.jpg", "c.png")):
        picture_file(tmp_path / "photos" / name, (40, 52), number)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "photos" / "notes.txt").write_text("hello")
    return tmp_path / "photos"


@pytest.fixture
def batch(tmp_path: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Batch:
    monkeypatch.chdir(tmp_path)
    picture_file(tmp_path / "style.png", (48, 40), 9)

    def call(*argv: object) -> int:
        flags = ["--weights", tiny_weights, "--iterations", 2, 1, "--tex-style", "style.png"]
        try:
            return run_verb("batch", [str(a) for a in (*flags, *argv)])
        except SystemExit as stop:
            return int(stop.code or 0)

    return call


def results(folder: Path) -> dict[str, int]:
    """Names of the pictures in a folder, and when they were written."""
    return {
        path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.suffix == ".png"
    }


def test_every_picture_gets_its_result_once(
    batch: Batch, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    assert batch("--content", photos, "--output", out) == 0
    told = capsys.readouterr().out
    assert "4 pictures: 3 done, 1 skipped" in told
    assert re.search(r"skipped: \S*broken.jpg: content: expected a picture file", told)
    first = results(out)
    assert set(first) == {"a.png", "b.png", "c.png"}
    assert Image.open(out / "a.png").size == (52, 40)

    picture_file(photos / "d.png", (40, 52), 5)
    picture_file(photos / "a.png", (40, 52), 6)  # another picture under the old name
    (out / "b.png").unlink()
    assert batch("--content", photos, "--output", out) == 0
    assert "5 pictures: 3 done, 1 done before, 1 skipped" in capsys.readouterr().out
    second = results(out)
    assert set(second) == {*first, "d.png"}
    assert second["c.png"] == first["c.png"] and second["a.png"] != first["a.png"]
    assert batch("--config", out / "settings.yaml") == 0
    assert "4 done before, 1 skipped" in capsys.readouterr().out
    assert results(out) == second


def test_warps_that_are_held_back_are_listed(
    batch: Batch, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    theta = torch.zeros(make_family("tps", 4).n_params)
    theta[10] = 5.0
    WarpParameters("tps", 4, theta, (40, 52), (40, 52)).save(tmp_path / "folds.json")
    argv = ["--content", photos, "--theta", "folds.json", "--output", "out", "--preview"]
    assert batch(*argv) == 0
    told = capsys.readouterr().out
    assert (
        len(re.findall("held back: [abc]: the warp would fold at the .*: it is held to", told)) == 3
    )


def test_several_geometry_styles_are_mixed_not_listed(photos: Path, tmp_path: Path) -> None:
    """Files are mixed for every content; a folder stands for each of its pictures."""
    files = (photos / "a.png", photos / "b.jpg")
    mixed = list_units(BatchJob(content=photos, geo_style=files, output=tmp_path / "out"))
    assert len(mixed) == 4 and all(unit.geo_style == files for unit in mixed)
    listed = list_units(BatchJob(content=photos, geo_style=(photos,), output=tmp_path / "out"))
    assert len(listed) == 16 and {len(unit.geo_style) for unit in listed} == {1}
    with pytest.raises(InputError, match="geo_style: expected one folder, or pictures to mix"):
        BatchJob(content=photos, geo_style=(photos, *files), output=tmp_path / "out")


def test_a_batch_gives_what_single_transfers_give(
    batch: Batch, photos: Path, tmp_path: Path
) -> None:
    assert batch("--content", photos, "--output", "out", "--format", "tiff") == 0
    settings, single = tmp_path / "out" / "settings.yaml", str(photos / "b.jpg")
    assert run_verb("transfer", ["--config", str(settings), "--content", single,
                                 "--output", "runs"]) == 0  # fmt: skip
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "result.tif").read_bytes() == (tmp_path / "out" / "b.tif").read_bytes()


def test_killed_at_any_moment_it_goes_on(
    batch: Batch, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    child = os.fork()
    if child == 0:  # killed when its second result is written but not yet noted
        log, done = RunFolder.log, []

        def kill(self: RunFolder, **metrics: object) -> None:
            done.append(metrics)
            if len(done) == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            log(self, **metrics)

        RunFolder.log = kill  # type: ignore[method-assign]
        batch("--content", photos, "--output", out)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    before = results(out)
    assert set(before) == {"a.png", "b.png"}
    (out / ".tmp-0123456789ab.png").write_bytes(b"half a picture")
    assert batch("--content", photos, "--output", out) == 0
    assert "2 done, 1 done before" in capsys.readouterr().out
    after = results(out)
    assert set(after) == {"a.png", "b.png", "c.png"} and after["a.png"] == before["a.png"]


def test_killed_before_anything_is_done_it_still_owns_its_folder(
    batch: Batch, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*args: object, **options: object) -> None:
        raise Killed

    for name in ("save_settings", "save_environment"):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(RunFolder, name, die)
            batch("--content", photos, "--output", tmp_path / "out")
    assert batch("--content", photos, "--output", tmp_path / "out") == 0
    assert (tmp_path / "out" / "environment.json").is_file()


def test_ctrl_c_stops_between_whole_results(
    batch: Batch, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    paint, calls = Painting.run, []

    def interrupted(*args: object, **kwargs: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return paint(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Painting, "run", interrupted)
    assert batch("--content", photos, "--output", "out") == 130
    assert "the same command goes on" in capsys.readouterr().out
    assert set(results(tmp_path / "out")) == {"a.png"}
    assert [line["name"] for line in read_metrics(tmp_path / "out" / "metrics.jsonl")] == ["a"]
    assert batch("--content", photos, "--output", "out") == 0


def test_styles_may_be_folders_too(photos: Path, tmp_path: Path) -> None:
    for name in ("x", "y"):
        picture_file(tmp_path / "geo" / f"{name}.png", (40, 40), 1)
        picture_file(tmp_path / "tex" / f"{name}.png", (40, 40), 1)
    (photos / "broken.jpg").rename(photos / "a.jpg")
    job = BatchJob(content=photos, geo_style=tmp_path / "geo", tex_style=(tmp_path / "tex",))
    names = [unit.name for unit in list_units(job)]
    assert len(names) == len(set(names)) == 16
    assert "b+x+y" in names and "a_jpg+x_png+y_png" in names and "a_png+x_png+y_png" in names
    mixed = BatchJob(content=photos, tex_style=(photos / "a.png", photos / "b.jpg"))
    units = list_units(mixed)
    assert [unit.name for unit in units] == ["a_jpg", "a_png", "b", "c"]
    assert all(unit.tex_style == mixed.tex_style for unit in units)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--output", "out"], "content: expected a folder of pictures, got none"),
        (["--content", "photos", "--output", "photos"], "output: expected another folder"),
        (["--content", "empty", "--output", "out"], "content: expected a folder with pictures"),
        (["--content", "photos", "--output", "full"], "output: expected an empty folder or one"),
        (["--content", "photos", "--output", "style.png"], "output: expected a folder"),
        (["--content", "photos", "--tex-style", "tex"], "tex_style: expected one folder, or pict"),
        (["--content", "photos", "--tex-style", "none.png"], "tex_style: expected a picture file"),
        (["--content", "photos", "--animate", "painting"], "animate: expected none in a batch"),
        (["--content", "photos", "--points", "p.json"], "points: expected none in a batch"),
        (["--content", "photos", "--geo-style", "photos/broken.jpg"], "geo_style: expected a pic"),
    ],
)
def test_unusable_arguments_are_refused_in_one_line(
    batch: Batch, photos: Path, tmp_path: Path, capsys: Capture, argv: list[str], message: str
) -> None:
    for name in ("empty", "full", "tex"):
        (tmp_path / name).mkdir()
    (tmp_path / "full" / "holiday.doc").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert batch(*argv) == 2
    errors = capsys.readouterr().err
    assert re.fullmatch(r"geostyle batch: error: [^\n]+\n", errors) and message in errors
    assert sorted(tmp_path.rglob("*")) == before


def test_other_settings_need_another_folder(
    batch: Batch, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert batch("--content", photos, "--output", "out") == 0
    before = results(tmp_path / "out")
    assert batch("--content", photos, "--output", "out", "--tex-strength", 2) == 2
    assert "made with transfer.texture.tex_strength 1.0 instead of 2.0" in capsys.readouterr().err
    assert results(tmp_path / "out") == before


def test_nothing_that_can_be_read_is_an_error(batch: Batch, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no picture")
    assert batch("--content", "photos", "--output", "out") == 2
