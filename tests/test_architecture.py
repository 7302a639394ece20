"""The table in docs/architecture.md holds: who may import whom, and what must stay unknown."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "geostyle"
# The package's own front door imports lazily, and __main__ only starts the command line.
OUTSIDE_THE_TABLE = {"__init__", "__main__"}


def table() -> list[tuple[str, set[str]]]:
    """Rows of the table: a name within the package, and the names it must not know."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.partition("## The library, in reading order")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w/.]+)` \|[^|]*\|([^|]*)\|$", section, re.MULTILINE)
    return [(re.sub(r"\.py$|/$", "", name), set(re.findall(r"`(\w+)`", no))) for name, no in rows]


ORDER = [name for name, _ in table()]


def unit(path: Path) -> str:
    """The row a file belongs to: its own name, or the folder's."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@cache
def imports(path: Path, top_level_only: bool) -> frozenset[str]:
    """What a file imports: our own units by name, others by their top-level package.

    Imports under ``if TYPE_CHECKING`` count for the order but load nothing at run time.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.iter_child_nodes(tree)) if top_level_only else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {resolve(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import on line {node.lineno}"
            assert node.module is not None
            if node.module == "geostyle":
                found |= {resolve(f"geostyle.{alias.name}") for alias in node.names}
            else:
                found.add(resolve(node.module))
    return frozenset(found)


def resolve(module: str) -> str:
    first, _, rest = module.partition(".")
    own = rest.partition(".")[0]
    if first == "geostyle" and own and (PACKAGE / own).exists() | (PACKAGE / f"{own}.py").exists():
        return own
    return first


def test_the_table_is_read() -> None:
    assert ORDER[0] == "errors" and ORDER[-1] == "cli"
    assert len(ORDER) == len(set(ORDER)) > 15


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_imports_only_from_files_above_it(path: Path) -> None:
    own = unit(path)
    if own in OUTSIDE_THE_TABLE:
        return
    assert own in ORDER, f"give {own} its row in docs/architecture.md"
    below = {name for name in imports(path, False) & set(ORDER) if name != own}
    wrong = {name for name in below if ORDER.index(name) > ORDER.index(own)}
    assert not wrong, f"{path.name} imports from below: {sorted(wrong)}"


def reached(start: str) -> set[str]:
    """Everything loaded when `start` is imported, through every chain of our own files."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for path in sources():
            if unit(path) == name:
                waiting += imports(path, True)
    return seen - {start}


@pytest.mark.parametrize(("name", "forbidden"), table(), ids=ORDER)
def test_what_a_file_must_not_know(name: str, forbidden: set[str]) -> None:
    direct = set().union(*(imports(p, False) for p in sources() if unit(p) == name))
    if name == "config":
        assert "torch" not in reached(name)
    known = (reached(name) | direct) & forbidden
    assert not known, f"{name} must not know {sorted(known)}"


@pytest.mark.parametrize("script", ["transfer.py", "train_geo.py", "data_gen/make.py"])
def test_root_scripts_stay_short(script: str) -> None:
    path = ROOT / script
    if not path.exists():
        pytest.skip(f"no {script}")
    assert len(path.read_text(encoding="utf-8").splitlines()) < 150


def test_the_package_and_its_help_load_without_torch() -> None:
    code = (
        "import sys, geostyle; from geostyle.cli import main; main(['--help']); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "transfer" in done.stdout
