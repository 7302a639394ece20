"""Run folders and atomic writes: what stands on disk is whole, whatever happens."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from geostyle.errors import InputError
from geostyle.io import runs
from geostyle.io.files import atomic_path, write_bytes, write_json, write_text
from geostyle.io.runs import RunFolder


def python(code: str, *args: str | Path) -> subprocess.Popen[str]:
    call = [sys.executable, "-c", code, *map(str, args)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        call, stdout=pipe, stderr=pipe, text=True, cwd=Path(__file__).parents[2]
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- atomic writes


def test_a_file_appears_whole_and_alone(tmp_path: Path) -> None:
    final = tmp_path / "new" / "deep" / "a.npy"
    with atomic_path(final) as temporary:
        assert temporary.parent == final.parent and temporary.suffix == ".npy"
        np.save(temporary, np.arange(5))
        assert not final.exists()
    assert names(final.parent) == ["a.npy"] and np.load(final).tolist() == [0, 1, 2, 3, 4]


def test_a_failure_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    final = tmp_path / "a.txt"
    write_text(final, "old")
    with pytest.raises(KeyboardInterrupt), atomic_path(final) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["a.txt"] and final.read_text() == "old"


def test_the_files_mode_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_unwritable_paths_are_input_errors(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    bad = [
        tmp_path / "file" / "a.txt",
        tmp_path / "folder",
        tmp_path / ("n" * 300),
        tmp_path / "\0",
    ]
    for path in bad:
        with pytest.raises(
            InputError, match="^output: expected a (writable )?path.*got '"
        ) as caught:
            write_text(path, "x")
        assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["file", "folder"]


def test_a_device_is_not_replaced() -> None:
    with pytest.raises(InputError, match="expected a path for a file, got '/dev/null'"):
        write_text("/dev/null", "x")
    assert Path("/dev/null").is_char_device()


def test_a_full_disk_is_one_line_and_keeps_the_last_good_file(tmp_path: Path) -> None:
    # The system refuses to let files grow beyond 1000 bytes, as it would on a full disk.
    code = """
import resource, sys
from geostyle.errors import GeostyleError, InputError
from geostyle.io.files import write_bytes
from geostyle.io.runs import RunFolder
run = RunFolder(sys.argv[1])
write_bytes(run.file("a.bin"), b"good")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for attempt in (lambda: write_bytes(run.file("a.bin"), b"x" * 5000),
                lambda: run.log(text="x" * 5000), lambda: run.log(step=1)):
    try:
        attempt()
    except GeostyleError as error:
        print(isinstance(error, InputError), error)
"""
    out, err = python(code, tmp_path).communicate()
    assert err == ""
    assert [line.split(" ", 1) for line in out.splitlines()] == [
        ["False", f"output: cannot write '{tmp_path / 'a.bin'}': File too large"],
        ["False", f"output: cannot write '{tmp_path / 'metrics.jsonl'}': No space left on device"],
    ]
    assert (tmp_path / "a.bin").read_bytes() == b"good"
    assert runs.read_metrics(tmp_path / "metrics.jsonl") == [{"step": 1}]
    assert names(tmp_path) == ["a.bin", "metrics.jsonl"]


def test_an_error_of_the_block_itself_passes_through(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a"):
        (tmp_path / "missing").read_text()
    assert names(tmp_path) == []


def test_kill_9_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    code = """
import itertools, sys
from geostyle.io.files import write_bytes
for turn in itertools.count():
    write_bytes(sys.argv[1], bytes([turn % 251]) * 3_000_000)
    print(turn, flush=True)
"""
    rng = random.Random(0)
    final = tmp_path / "a.bin"
    for _ in range(8):
        process = python(code, final)
        assert process.stdout is not None and process.stdout.readline() == "0\n"
        time.sleep(rng.uniform(0, 0.03))
        process.kill()
        process.communicate()
        data = final.read_bytes()
        assert len(data) == 3_000_000 and len(set(data)) == 1
    assert all(name == "a.bin" or name.startswith(runs.TEMPORARY) for name in names(tmp_path))
    RunFolder(tmp_path).lock().close()
    assert names(tmp_path) == [".lock", "a.bin"]


def test_threads_writing_one_file_do_not_mix(tmp_path: Path) -> None:
    final = tmp_path / "a.bin"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: write_bytes(final, bytes([n]) * 100_000), range(40)))
    assert len(set(final.read_bytes())) == 1 and names(tmp_path) == ["a.bin"]


def test_json_is_strict_and_takes_tensors_and_paths(tmp_path: Path) -> None:
    value = {
        "a": float("nan"),
        "b": [torch.tensor([1.0, float("inf")]), np.float32(0.5), np.int64(3)],
        "c": Path("x"),
        "d": (True, None, "é"),
    }
    write_json(tmp_path / "a.json", value)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=refuse) == {
        "a": None,
        "b": [[1.0, None], 0.5, 3],
        "c": "x",
        "d": [True, None, "é"],
    }


# --- run folders


def test_run_folders_are_numbered_and_their_names_made_safe(tmp_path: Path) -> None:
    parent = tmp_path / "runs"
    assert RunFolder.create(parent, "first").path.name == "00001-first"
    assert RunFolder.create(parent).path.name == "00002"
    assert RunFolder.create(parent, "../<b>/é x").path.name == "00003-b-x"
    (parent / "00041-old").mkdir()
    (parent / "notes").mkdir()
    assert RunFolder.create(parent, "next").path.name == "00042-next"
    (parent / "99999").mkdir()
    assert RunFolder.create(parent, "n").path.name == "100000-n"


def test_run_folders_never_share_a_number(tmp_path: Path) -> None:
    start = threading.Barrier(8)

    def make(index: int) -> str:
        start.wait()
        return RunFolder.create(tmp_path, f"{'abcdefgh'[index]}").path.name

    with ThreadPoolExecutor(8) as pool:
        made = [name for _ in range(5) for name in pool.map(make, range(8))]
    assert sorted(name.split("-")[0] for name in made) == [f"{n:05d}" for n in range(1, 41)]
    assert names(tmp_path) == sorted(made)


def test_a_parent_that_cannot_be_written_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for parent in (tmp_path / "file", tmp_path / "file" / "runs"):
        with pytest.raises(InputError, match="^output: expected a writable path, got "):
            RunFolder.create(parent, "x")


def test_files_stay_inside_the_folder(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert run.file("levels/1.png") == tmp_path / "levels" / "1.png"
    for bad in ("../x", "a/../../x", "/etc/x", "", "."):
        with pytest.raises(InputError, match="inside the run folder"):
            run.file(bad)


def test_metrics_are_on_disk_at_once_and_survive_a_cut_line(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.log(step=1, loss=torch.tensor(0.5))
    run.log(step=2, loss=float("inf"))
    path = tmp_path / "metrics.jsonl"
    whole = [{"step": 1, "loss": 0.5}, {"step": 2, "loss": None}]
    assert runs.read_metrics(path) == whole
    run.close()
    with path.open("ab") as file:  # as a kill in the middle of a line would leave it
        file.write(b'{"step": 3, "lo')
    assert runs.read_metrics(path) == whole
    RunFolder(tmp_path).log(step=3)
    assert runs.read_metrics(path) == [*whole, {"step": 3}]


def test_the_environment_says_what_a_rerun_needs(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.save_environment(seed=7)
    found = json.loads((tmp_path / "environment.json").read_text())
    assert torch.__version__.startswith(found["packages"]["torch"])
    assert found["packages"]["numpy"] == np.__version__
    assert found["command"][1:] == sys.argv and found["seed"] == 7
    assert found["cpu"]["threads"] == torch.get_num_threads()
    commit = found["commit"]
    assert commit is None or len(commit.rstrip("+")) == 40


# --- locks

HOLD = """
import os, sys, time
from geostyle.io.runs import RunFolder
lock = RunFolder(sys.argv[1]).lock()
child = -1
if sys.argv[2] == "fork":
    ready, done = os.pipe()
    child = os.fork()
    # The child lets go of the lock as it starts; only then may the test count on it.
    os.read(ready, 1) if child else os.write(done, b".")
if child:
    print("locked", child, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("fork", ["fork", "alone"])
def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path: Path, fork: str) -> None:
    holder = python(HOLD, tmp_path, fork)
    assert holder.stdout is not None
    child = int(holder.stdout.readline().split()[1])
    try:
        with pytest.raises(InputError) as caught:
            RunFolder(tmp_path).lock()
        assert f"(in use by process {holder.pid})" in str(caught.value)
        holder.kill()
        holder.wait()
        with RunFolder(tmp_path).lock():  # even while a worker of the killed process lives on
            assert (tmp_path / ".lock").read_text() == str(os.getpid())
    finally:
        holder.kill()
        if child > 0:
            os.kill(child, signal.SIGKILL)
        holder.communicate()


def test_a_lock_ends_with_its_context_or_its_run(tmp_path: Path) -> None:
    with RunFolder(tmp_path).lock(), pytest.raises(InputError, match="no other process"):
        RunFolder(tmp_path).lock()
    run = RunFolder(tmp_path)
    run.lock()
    run.close()
    RunFolder(tmp_path).lock().close()


def test_a_lock_spares_files_of_others(tmp_path: Path) -> None:
    (tmp_path / ".tmp-mine").write_text("x")
    RunFolder(tmp_path).lock().close()
    assert names(tmp_path) == [".lock", ".tmp-mine"]
