"""Messages name only what an installed wheel has: commands, not files of a clone."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OF_A_CLONE = re.compile(
    r"\b(configs|docs|data_gen|tests|benchmarks|examples)/|\b(transfer|train_geo|make)\.py\b"
    r"|\bREADME|\bCHANGELOG|\bCONTRIBUTING|python -m geostyle|\bmake [a-z]+`"
)
# A place for results, which is made where it is missing.
ALLOWED = {"data_gen/out/pairs"}


def strings(path: Path) -> list[str]:
    """The strings of a file that are no docstrings, save that of a verb, which is its help."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            own = ast.get_docstring(node, clean=False)
            if own is not None and not (isinstance(node, ast.Module) and path.parent.name == "cli"):
                docstrings.add(id(node.body[0].value))  # type: ignore[attr-defined]
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docstrings
    ]


def test_files_of_a_clone_are_found() -> None:
    for text in ("see docs/lite.md", "python data_gen/make.py", "transfer.py --resume"):
        assert OF_A_CLONE.search(text)


@pytest.mark.parametrize("path", sorted((ROOT / "geostyle").rglob("*.py")), ids=lambda p: p.stem)
def test_messages_name_no_file_of_a_clone(path: Path) -> None:
    found = [s for s in strings(path) if s not in ALLOWED and OF_A_CLONE.search(s)]
    assert not found


def test_the_report_names_no_file_of_a_clone() -> None:
    page = (ROOT / "geostyle" / "assets" / "report.html").read_text(encoding="utf-8")
    assert not OF_A_CLONE.search(page)
