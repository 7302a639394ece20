"""The dispatcher: verbs by file name, one line for every error."""

from __future__ import annotations

import ast
import sys
import types
from pathlib import Path

import pytest
import torch

import geostyle
from geostyle import cli
from geostyle.errors import GeostyleError, InputError

FOLDER = Path(cli.__file__).parent


def test_every_file_is_a_verb_with_a_line_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    shown = capsys.readouterr().out
    files = [path for path in FOLDER.glob("*.py") if not path.name.startswith("_")]
    assert len(files) >= 3
    for path in files:
        verb = path.stem.replace("_", "-")
        line = cli.verbs()[verb]
        assert line and f"  {verb} " in shown and line in shown
        names = {node.name for node in ast.parse(path.read_text()).body if hasattr(node, "name")}
        assert "main" in names, f"{path.name} has no main(argv)"


@pytest.mark.parametrize("verb", sorted(cli.verbs()))
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.run(verb, ["--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: geostyle {verb}")


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == geostyle.__version__


def test_an_unknown_verb_is_refused_with_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["transfr"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "did you mean 'transfer'" in error


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("size_px: expected\n16, got 3"), 2, "error: size_px: expected 16, got 3"),
        (GeostyleError("disk full"), 2, "error: disk full"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 2, "error: not enough memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), 2, "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you"), 2, "not enough memory"),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    error: BaseException,
    status: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(argv: list[str]) -> int:
        raise error

    module = types.ModuleType("geostyle.cli.some_verb")
    module.main = fail  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "geostyle.cli.some_verb", module)
    assert cli.run("some-verb", []) == status
    shown = capsys.readouterr().err
    assert shown.startswith("geostyle some-verb: ") and line in shown and shown.count("\n") == 1


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(argv: list[str]) -> int:
        raise RuntimeError("a mistake of ours")

    module = types.ModuleType("geostyle.cli.some_verb")
    module.main = fail  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "geostyle.cli.some_verb", module)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        cli.run("some-verb", [])
