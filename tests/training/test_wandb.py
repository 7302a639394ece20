"""Weights & Biases, the real package: offline, resumed into one run, silent by default."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from geostyle import cli
from geostyle.errors import InputError
from geostyle.io.mirror import ID_FILE, Mirror
from geostyle.io.runs import RunFolder
from geostyle.training.feedforward import FastLearner

BLOCK = 32768  # of the log of records, as in LevelDB


def records(path: Path) -> Iterator[Any]:
    """The records of an offline run's file."""
    pb = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    data, place, parts = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if BLOCK - place % BLOCK < 7:
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or its last part
            yield pb.Record.FromString(parts)
            parts = b""


def whole(path: Path) -> list[Any]:
    """All records of a run that has ended; the package's own process writes the last ones later."""
    deadline = time.monotonic() + 60
    while True:
        found = list(records(path))
        if found and found[-1].WhichOneof("record_type") == "exit" or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def keys(items: Any) -> set[str]:
    return {item.key or item.nested_key[0] for item in items}


def interrupted_after(steps: int, train_step: Any) -> Any:
    def step(learner: Any) -> Any:
        if learner.step == steps:
            raise KeyboardInterrupt
        return train_step(learner)

    return step


@pytest.mark.timeout(300)
def test_a_training_and_its_continuation_are_one_run(
    pictures: Path, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "wandb-own"))
    run = tmp_path / "run"
    words = [
        *("--tex-style", str(pictures / "paintings" / "00.png"), "--images"),
        *(str(pictures / "photos"), "--weights", str(tiny_weights), "--device", "cpu"),
        *("--widths", "4", "6", "8", "--blocks", "0", "0", "1", "--style-size", "48"),
        *("--crop-size", "32", "--batch", "2", "--warmup", "1", "--precision", "float32"),
        *("--validate-every", "2", "--save-every", "2", "--run", str(run), "--wandb", "offline"),
    ]
    words += ["--steps", "4"]
    with monkeypatch.context() as patched:
        patched.setattr(FastLearner, "train_step", interrupted_after(2, FastLearner.train_step))
        assert cli.run("fast-train", words) == 130
    assert cli.run("fast-train", words) == 0

    files = sorted((run / "wandb").glob("offline-run-*/*.wandb"))
    assert len(files) == 2
    found = [whole(file) for file in files]
    own = (run / ID_FILE).read_text().strip()
    assert {r.run.run_id for part in found for r in part if r.run.run_id} == {own}
    for part, step in zip(found, (2, 4), strict=True):
        (row,) = (r.history.item for r in part if r.history.item)
        assert {"step", "loss", "val", "preview", "metrics"} <= keys(row)
        # Its own count of steps, too: rows of a continuation follow those before.
        numbers = {item.value_json for item in row if item.nested_key[:] in (["step"], ["_step"])}
        assert numbers == {str(step)}
        settings = set().union(*(keys(r.config.update) | keys(r.run.config.update) for r in part))
        assert {"tex_style", "network", "steps"} <= settings
    kept = [path for path in (run / "wandb").glob("offline-run-*/files/**/*") if path.is_file()]
    assert len(kept) == 4 and {path.parent.name for path in kept} == {"images"}


def test_nothing_is_imported_by_default(tmp_path: Path) -> None:
    code = (
        "import sys; from geostyle.io.runs import RunFolder; from geostyle.training import loop\n"
        f"run = RunFolder({str(tmp_path)!r}); run.log(step=1); run.mirror(object())\n"
        "run.mirror_pictures(1, 'metrics.jsonl'); run.close(); sys.exit('wandb' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl"}


def test_without_the_package_one_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(
        InputError, match=r"wandb package for 'online', got none; .*geostyle\[train"
    ):
        RunFolder(tmp_path, wandb="online")
    with pytest.raises(InputError, match="wandb: expected disabled, offline or online, got 'yes'"):
        RunFolder(tmp_path, wandb="yes")


def test_a_failing_mirror_does_not_end_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Run:
        def log(self, *_: Any, **__: Any) -> None:
            raise OSError("no connection")

        def finish(self) -> None: ...

    class Wandb:
        Settings = staticmethod(dict)
        init = staticmethod(lambda **_: Run())

    monkeypatch.setitem(sys.modules, "wandb", Wandb)
    mirror = Mirror(tmp_path, "online")
    mirror.log('{"step": 1}')
    mirror.log('{"step": 2}')
    mirror.finish()
    assert caplog.text.count("wandb: stopped, the run goes on: no connection") == 1
