"""Figures of the documents: one source, rendered; what disagrees or is made up fails."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("figures", ROOT / "benchmarks" / "figures.py")
assert _spec is not None and _spec.loader is not None
figures = importlib.util.module_from_spec(_spec)
sys.modules["figures"] = figures  # its dataclasses look their module up
_spec.loader.exec_module(figures)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with one figure, measured, and a document that shows it."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "code.py").write_text('"""Docstring."""\n\n\ndef f():\n    return 1\n')
    rows = [("error", ("part.error", ".2f")), ("time", ("seconds", ".1f"))]
    known = {"speed": figures.Figure("measure --root ROOT", ("code.py",), ("what", "value"), rows)}
    monkeypatch.setattr(figures, "FIGURES", known)
    figures.record("speed", {"part": {"error": 0.126}, "seconds": 3.04}, tmp_path)
    (tmp_path / "README.md").write_text(
        "# Title\n\n<!-- table speed -->\n<!-- end -->\n\n"
        "It takes <!-- value speed seconds .1f -->9.9<!-- end --> s.\n"
    )
    yield tmp_path


def test_tables_and_values_are_written_between_their_markers(project: Path) -> None:
    text = figures.rendered((project / "README.md").read_text(), project)
    assert "| what | value |\n| --- | --- |\n| error | 0.13 |\n| time | 3.0 |\n<!-- end -->" in text
    assert "It takes <!-- value speed seconds .1f -->3.0<!-- end --> s." in text
    assert figures.rendered(text, project) == text


def test_a_figure_is_old_once_the_code_does_something_else(project: Path) -> None:
    own = figures.load("speed", project)["code"]
    code = project / "code.py"
    code.write_text('"""Another docstring."""\n\ndef f():\n    "More."\n    return 1  # why\n')
    assert figures.code_hash(["code.py"], project) == own
    code.write_text("def f():\n    return 2\n")
    assert figures.code_hash(["code.py"], project) != own


def test_files_say_where_values_come_from_without_paths(project: Path) -> None:
    document = json.loads((project / "docs/figures/speed.json").read_text())
    assert document["command"] == "measure --root ROOT"
    assert set(document["machine"]) == {"cpu", "flags", "threads", "gpu", "torch"}
    with pytest.raises(SystemExit, match="names instead of paths"):
        figures.record("speed", {"file": "/home/someone/a.jpg"}, project)


def test_a_figure_that_nobody_measured_is_refused(project: Path) -> None:
    with pytest.raises(SystemExit, match="expected a figure that was measured"):
        figures.rendered("<!-- value other seconds .1f -->1<!-- end -->", project)


def test_the_documents_agree_with_their_figures() -> None:
    disagreeing = []
    figures.each_document(lambda path, old, new: disagreeing.append(path) if old != new else None)
    assert not disagreeing
