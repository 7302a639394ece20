"""The library stays readable: short files and functions, few parameters, docstrings that state."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "geostyle"
MAX_LINES, MAX_BODY_LINES, MAX_PARAMETERS, MAX_NAMES = 400, 60, 8, 22
# Entry points, which take every setting that a user may give.
PUBLIC = {("pipeline/flow.py", "transfer"), ("pipeline/flow.py", "__call__")}
QUESTIONS = {"what", "where", "whether", "how", "why", "who", "whose", "which", "when", "if"}

Function = ast.FunctionDef | ast.AsyncFunctionDef
SOURCES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in SOURCES.items()}


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def body_lines(function: Function) -> int:
    """Lines from the first statement after the docstring to the last."""
    statements = function.body[1:] if ast.get_docstring(function) else function.body
    return (statements[-1].end_lineno or 0) - statements[0].lineno + 1 if statements else 0


def parameters(function: Function) -> int:
    """Number of parameters, `self` and `cls` left out."""
    given = function.args
    names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def test_the_measures_see_what_is_too_long() -> None:
    code = 'def f(self, a, *, b=1):\n    """Text.\n\n    More."""\n    x = (\n        1\n    )\n'
    (function,) = functions(ast.parse(code))
    assert (body_lines(function), parameters(function)) == (3, 2)
    assert len(SOURCES) > 100


def test_files_are_read_in_one_sitting() -> None:
    lines = {name: len(path.read_text("utf-8").splitlines()) for name, path in SOURCES.items()}
    assert not {name: count for name, count in lines.items() if count > MAX_LINES}


def test_functions_are_read_in_one_sitting() -> None:
    lines = {(name, f.name): body_lines(f) for name, tree in TREES.items() for f in functions(tree)}
    assert not {name: count for name, count in lines.items() if count > MAX_BODY_LINES}


def test_functions_take_few_parameters() -> None:
    many = {
        (name, function.name)
        for name, tree in TREES.items()
        for function in functions(tree)
        if parameters(function) > MAX_PARAMETERS
    }
    assert many == PUBLIC  # what needs no exception any more leaves the list


def test_docstrings_state_and_do_not_ask() -> None:
    asking = []
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | Function):
                first = (ast.get_docstring(node) or "-").split()[0]
                if first.lower() in QUESTIONS:
                    asking.append(f"{name}:{node.body[0].lineno}")
    assert not asking


def test_few_names_lie_at_the_top() -> None:
    names = [path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len(names) <= MAX_NAMES, sorted(names)
