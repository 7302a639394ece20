"""Completion scripts offer what the parsers accept, in the shells that are installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from geostyle import cli
from geostyle.cli._parsers import flags, parsers
from geostyle.warps import FAMILIES


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from geostyle.cli import completion

    known = {command: flags(parser) for command, parser in parsers().items()}
    folder = tmp_path_factory.mktemp("scripts")
    for shell in completion.SHELLS:
        text = getattr(completion, shell)(cli.verbs(), known)
        (folder / f"geostyle.{shell}").write_text(text)
    return {shell: folder / f"geostyle.{shell}" for shell in completion.SHELLS}


def test_the_command_prints_the_script(
    scripts: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run("completion", ["fish"]) == 0
    assert capsys.readouterr().out.rstrip("\n") == scripts["fish"].read_text()


def offered(script: Path, *words: str) -> list[str]:
    quoted = " ".join(f"'{word}'" for word in ("geostyle", *words))
    call = (
        f"source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; COMPREPLY=(); "
        "_geostyle; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    bash = ["bash", "--norc", "-c", call]
    return subprocess.run(bash, capture_output=True, text=True, check=True).stdout.split()


def test_bash_completes(scripts: dict[str, Path]) -> None:
    script = scripts["bash"]
    assert set(offered(script, "tra")) == {"transfer", "train-geo"}
    assert "--tex-style" in offered(script, "transfer", "--tex-s")
    assert set(offered(script, "transfer", "--geometry", "")) == set(FAMILIES)
    assert "pf-willow" in offered(script, "evaluate", "")
    assert "--estimators" in offered(script, "evaluate", "pf-willow", "--est")
    assert offered(script, "completion", "z") == ["zsh"]
    assert offered(script, "transfer", "--content", "") == []  # left to names of files


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shells_read_the_scripts(scripts: dict[str, Path], shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    subprocess.run([shell, "-n", str(scripts[shell])], check=True, capture_output=True)


def test_fish_completes(scripts: dict[str, Path]) -> None:
    if shutil.which("fish") is None:
        pytest.skip("no fish")
    call = f"source {scripts['fish']}; complete -C 'geostyle transfer --geometry '"
    done = subprocess.run(["fish", "-N", "-c", call], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) >= set(FAMILIES)


def test_every_command_has_its_flags() -> None:
    found = parsers()
    assert set(cli.verbs()) <= set(found) and "evaluate painting" in found
    for parser in found.values():
        assert any("--help" in flag.names for flag in flags(parser))
