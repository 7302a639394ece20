"""Nothing that is read can run, nothing is asked of the network, names stay names."""

from __future__ import annotations

import ast
import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from geostyle.cli import run as run_verb
from geostyle.features.extractor import load_features

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [
    *sorted((ROOT / "geostyle").rglob("*.py")),
    *sorted((ROOT / "data_gen").rglob("*.py")),
    *sorted(ROOT.glob("*.py")),
]
UNSAFE_CALLS = {"eval", "exec", "compile", "os.system", "yaml.unsafe_load", "yaml.full_load"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_reads_a_file_in_a_way_that_runs_it(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            assert not names & {"pickle", "cPickle", "dill", "marshal", "shelve", "joblib"}
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        options = {k.arg: ast.unparse(k.value) for k in node.keywords}
        where = f"{path.name}, line {node.lineno}"
        assert called not in UNSAFE_CALLS, where
        assert options.get("shell", "False") == "False", where
        assert options.get("allow_pickle", "False") == "False", where
        assert options.get("strict", "True") == "True" or "load_state_dict" not in called, where
        if called == "torch.load":
            assert options.get("weights_only") == "True", where
        if called in ("yaml.load", "yaml.load_all"):
            assert options.get("Loader") == "_Loader", where


class Trap:
    """What its unpickling would run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["trap.pth", "trap.safetensors", "trap.pt"])
def test_weights_that_carry_code_are_refused_and_do_not_run(tmp_path: Path, name: str) -> None:
    sprung, path = tmp_path / "sprung", tmp_path / name
    path.write_bytes(pickle.dumps({"features.0.weight": Trap(sprung)}))
    torch.save({"features.0.weight": Trap(sprung)}, tmp_path / f"zip-{name}")
    for file in (path, tmp_path / f"zip-{name}"):
        for network in ("vgg19", "lite"):
            with pytest.raises(Exception, match="weights: expected"):
                load_features(network, weights=file)
    assert not sprung.exists()


def test_a_picture_called_like_code_is_a_picture(
    pictures: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    evil = tmp_path / "<img src=x onerror=alert(1)>.png"
    evil.write_bytes(next((pictures / "photos").iterdir()).read_bytes())
    flags = ["--iterations", "1", "--size", "48", "--weights", str(tiny_weights)]
    words = ["--content", str(evil), "--tex-style", str(evil), "--output", str(tmp_path / "runs")]
    assert run_verb("transfer", [*words, *flags]) == 0
    html = (tmp_path / "runs" / "00001-transfer" / "report.html").read_text(encoding="utf-8")
    assert "<img src=x" not in html and "&lt;img src=x onerror=alert(1)&gt;.png" in html


WATCHED = """
import json, sys

seen = []

def watch(event, args):
    if event.startswith(("socket.", "urllib.", "subprocess.", "os.exec", "os.posix_spawn")):
        seen.append([event, str(args)])

sys.addaudithook(watch)
from geostyle.cli import run

status = run(sys.argv[1], sys.argv[2:])
print("SEEN", json.dumps([status, seen, sorted({"wandb", "requests"} & set(sys.modules))]))
"""


def test_nothing_is_asked_of_the_network(
    pictures: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    """Sockets and programs are watched from within the interpreter."""
    photos = sorted(map(str, (pictures / "photos").iterdir()))
    words = ["--content", photos[0], "--geo-style", photos[1], "--tex-style", photos[2]]
    words += ["--iterations", "1", "--size", "48", "--weights", str(tiny_weights)]
    words += ["--output", str(tmp_path / "runs")]
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, "transfer", *words],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    line = re.search(r"^SEEN (.*)$", done.stdout, re.MULTILINE)
    assert line, done.stderr
    status, seen, modules = json.loads(line[1])
    assert status == 0 and modules == []
    programs = [args for event, args in seen if event == "subprocess.Popen"]
    # git says which commit it is; the others are how Python looks at the machine.
    local = ("('git'", "('uname'", "('/sbin/ldconfig'")
    assert [args for args in programs if not args.startswith(local)] == []
    assert [event for event, _ in seen if event.startswith(("socket.", "urllib."))] == []


WRITES = """
import os, sys

import torch

import geostyle

pictures = [torch.rand(1, 3, 40, 48) for _ in range(3)]
changes = {"open": 0, "os.mkdir": 0, "os.rename": 0, "os.remove": 0, "shutil.copyfile": 0}
written = []

def watch(event, args):
    if event in changes:
        writing = event != "open" or (args[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writing and args[0] != os.devnull:
            written.append([event, str(args[0])])

sys.addaudithook(watch)
result = geostyle.transfer(
    pictures[0], geo_style=pictures[1], tex_style=pictures[2], weights=sys.argv[1],
    iterations=(2, 1), device="cpu",
)
assert torch.isfinite(result.tensor).all() and written == [], written
open(sys.argv[2], "w").close()
assert [args[1] for args in written] == [sys.argv[2]], "nothing was watched"
"""


def test_a_transfer_in_python_writes_no_file(tiny_weights: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-B", "-c", WRITES, str(tiny_weights), str(tmp_path / "proof")],
        cwd=tmp_path, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


WITHOUT_POSIX = """
import importlib, pkgutil, sys

import cv2, kornia, matplotlib, safetensors, skimage, tifffile, torch, torchvision, tqdm, yaml

for name in sys.argv[1:]:  # modules of others may be loaded with them
    sys.modules[name] = None
import geostyle

for module in pkgutil.walk_packages(geostyle.__path__, "geostyle."):
    if module.name != "geostyle.__main__":
        importlib.import_module(module.name)
"""
POSIX = ("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty")


def test_every_module_is_imported_without_posix(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_POSIX, *POSIX],
        cwd=tmp_path, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_posix_modules_are_imported_where_they_may_be_missing(path: Path) -> None:
    """An import of one stands in a `try`, or under a test of the platform."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if (
            isinstance(node, ast.Try)
            and any("ImportError" in ast.unparse(h) for h in node.handlers)
        )
        or (isinstance(node, ast.If) and "platform" in ast.unparse(node.test))
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            assert not names & set(POSIX) or id(node) in guarded, f"{path.name}, line {node.lineno}"


def test_wandb_is_off_in_every_settings_by_default() -> None:
    defaults = [
        node
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "wandb"
    ]
    assert defaults
    for node in defaults:
        assert isinstance(node.value, ast.Call)
        assert ast.literal_eval(node.value.args[0]) == "disabled"
