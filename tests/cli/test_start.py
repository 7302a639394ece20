"""Help, and answers to wrong flags, come without loading torch: it takes seconds."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import geostyle
from geostyle import texture

ROOT = Path(__file__).resolve().parents[2]
# Refuses the import of what takes long to load, and says where it was asked for.
REFUSING = """
import contextlib, io, runpy, sys
class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchvision", "kornia", "numpy", "cv2"}:
            raise ImportError(f"{name} was imported")
sys.meta_path.insert(0, Refusing())
def answer(start, words):
    said = io.StringIO()
    sys.argv = [start, *words]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            if start == "geostyle":
                runpy.run_module("geostyle", run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(start, run_name="__main__")
        except SystemExit as stop:
            return stop.code, said.getvalue()
    raise AssertionError((start, words))
"""
HELP = """
from geostyle.cli import verbs
from geostyle.cli.evaluate import BENCHMARKS
commands = [("geostyle", [verb]) for verb in verbs()]
commands += [("geostyle", ["evaluate", benchmark]) for benchmark in BENCHMARKS]
commands += [(script, []) for script in ("transfer.py", "train_geo.py", "data_gen/make.py")]
assert len(commands) > 25
for start, words in commands:
    status, said = answer(start, [*words, "--help"])
    assert status in (0, None) and "usage: " in said and "--" in said, (start, words, said)
"""
WRONG = """
for words, expected in (
    (["transfer", "--sise", "64"], "'--sise'; did you mean '--size'"),
    (["transfer", "--tex-style", "a.jpg", "--size", "5"], "size_px: expected"),
    (["transfer", "--tex-style", "a.jpg", "--painter", "oil"], "painter: expected"),
    (["transfer", "--tex-style", "a.jpg", "--output", "x.png"], "output: expected a folder"),
    (["transfer"], "expected at least one of the two"),
    (["texture", "a.jpg", "--iterations", "few"], "iterations: expected"),
    (["texture", "a.jpg", "--size", "big"], "size: expected"),
    (["train-geo", "--loss", "none"], "loss: expected"),
    (["distill", "--batch", "0"], "batch: expected"),
    (["make-pairs", "--count", "-1"], "count: expected"),
    (["evaluate", "synthetic", "--estimators", "best"], "estimators: expected"),
    (["completion", "tcsh"], "tcsh"),
):
    status, said = answer("geostyle", words)
    assert status == 2 and expected in said and len(said.splitlines()) == 1, (words, said)
"""


@pytest.mark.parametrize("code", [HELP, WRONG], ids=["help", "wrong"])
def test_torch_is_not_loaded_for(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", REFUSING + code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["", ".config", ".matching", ".pipeline", ".texture", ".warps"])
def test_a_lazy_package_is_like_any_other(name: str) -> None:
    package = import_module(f"geostyle{name}")
    given: dict[str, object] = {}
    exec(f"from {package.__name__} import *", given)
    assert len(package.__all__) > 4 and set(package.__all__) <= set(dir(package)) & set(given)
    for public in package.__all__:
        value = getattr(package, public)
        assert given[public] is value and not inspect.ismodule(value)
        if inspect.isclass(value):
            assert pickle.loads(pickle.dumps(value)) is value
    with pytest.raises(AttributeError, match="has no attribute 'colour'"):
        package.colour  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'colour'"):
        exec(f"from {package.__name__} import colour")


def test_a_submodule_does_not_hide_the_name_it_shares() -> None:
    code = (
        "import geostyle.texture.score, geostyle.texture.schedule\n"
        "from geostyle.texture import schedule, score\n"
        "assert callable(score) and callable(schedule)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert geostyle.score is texture.score
