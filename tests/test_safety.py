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
