"""The notebook and the gallery's table, in small."""

from __future__ import annotations

import importlib.util
import json
import shlex
import struct
from pathlib import Path
from types import ModuleType

import pytest

from geostyle.cli._parsers import flags, parsers
from geostyle.config import read_yaml

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"
SMALL = (
    'SETTINGS = {"size_px": 48, "iterations": (1, 1), "split": 0, "match_sizes_px": (64,),'
    ' "looks": 0}'
)


def cells() -> list[str]:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    return ["".join(cell["source"]) for cell in code]


@pytest.mark.timeout(400)
def test_the_notebook_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for number, source in enumerate(cells()):
        lines = [SMALL if line.startswith("SETTINGS = ") else line for line in source.splitlines()]
        text = "\n".join(lines).replace('"256"', '"64"')
        exec(compile(text, f"cell {number}", "exec"), names)
    assert names["SETTINGS"]["size_px"] == 48  # type: ignore[index]
    for name in ("result.png", "fast.png"):
        data = (tmp_path / name).read_bytes()
        assert struct.unpack(">II", data[16:24])[0] in (48, 64)


@pytest.fixture(scope="module")
def gallery() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "examples" / "gallery.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_gallery_is_made_of_bundled_pictures_by_known_flags(gallery: ModuleType) -> None:
    entries, known = read_yaml(gallery.TABLE), parsers()
    assert len(entries) >= 24
    for name, entry in entries.items():
        program, verb, *words = shlex.split(entry["command"])
        assert program == "geostyle" and entry["text"], name
        names = {n for flag in flags(known[verb]) for n in flag.names}
        assert {word for word in words if word.startswith("--")} <= names, name
        for word in words:
            if word.startswith("pictures/"):
                assert (gallery.PICTURES / word.removeprefix("pictures/")).is_file(), word
            elif "/" in word:
                assert word in ("masks/left.png", "masks/rim.png")


@pytest.mark.timeout(300)
def test_the_gallery_goes_on_where_it_was_stopped(
    gallery: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--only", "rocket-fast", "scales-sample", "--size", "64", "--output", str(tmp_path)]
    made: list[str] = []
    make = gallery.make

    def stopped(argv: list[str], target: Path) -> int:
        made.append(target.stem)
        return 130 if target.stem == "scales-sample" else make(argv, target)

    with monkeypatch.context() as patched:
        patched.setattr(gallery, "make", stopped)
        assert gallery.main(words) == 130
    before = (tmp_path / "rocket-fast.jpg").stat().st_mtime_ns
    assert gallery.main(words) == 0
    assert (tmp_path / "rocket-fast.jpg").stat().st_mtime_ns == before
    assert made == ["rocket-fast", "scales-sample"]
    assert (tmp_path / "scales-sample.jpg").is_file()
    with pytest.raises(SystemExit):
        gallery.main(["--only", "nothing"])
