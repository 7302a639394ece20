"""Documents name commands, flags and files that exist, and the networks as they are."""

from __future__ import annotations

import hashlib
import re
import shlex
from pathlib import Path

import pytest

from geostyle.cli._parsers import flags, parsers

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if path.name != "CHANGELOG.md"
)
# Flags without their command are not read.
COMMAND = re.compile(r"^ {4}(geostyle .*)|`(geostyle [^`\n]+)`", re.MULTILINE)


@pytest.fixture(scope="module")
def commands() -> dict[str, set[str]]:
    return {
        command: {name for flag in flags(parser) for name in flag.names}
        for command, parser in parsers().items()
    }


def written(path: Path) -> list[list[str]]:
    """The commands of a document, as words; lines that are continued are joined."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    found = [indented or quoted for indented, quoted in COMMAND.findall(text)]
    return [shlex.split(line.replace("…", "..."), comments=True) for line in found]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.stem)
def test_documents_name_commands_and_flags_that_exist(
    path: Path, commands: dict[str, set[str]]
) -> None:
    for words in written(path):
        verb = words[1]
        if not re.fullmatch(r"[a-z][a-z-]*", verb):  # "geostyle <verb>", "geostyle --help"
            continue
        if verb == "my-verb":  # the example of CONTRIBUTING.md
            continue
        if verb == "evaluate" and len(words) > 2 and f"evaluate {words[2]}" in commands:
            verb = f"evaluate {words[2]}"
        assert verb in commands, words
        given = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
        assert given <= commands[verb], words


def test_enough_commands_are_read() -> None:
    assert sum(len(written(path)) for path in DOCUMENTS) > 60


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.stem)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    made = {"gallery.md", "changelog.md", "contributing.md", "commands.md"}  # with the site
    for target in re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if "://" not in target and Path(target).name not in made:
            assert (path.parent / target).exists(), target


def test_every_bundled_network_has_a_card_that_is_true() -> None:
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| \[`([\w.-]+)`\]\(#([\w-]+)\) \| ([\d,]+) \| `(\w+)`", text, re.MULTILINE
    )
    cards = {name: (int(size.replace(",", "")), digest) for name, _, size, digest in rows}
    files = sorted((ROOT / "geostyle" / "assets").glob("*.safetensors"))
    found = {
        path.name: (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()[:16])
        for path in files
    }
    assert cards == found
    headings = {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-")
                for h in re.findall(r"^## (.+)$", text, re.MULTILINE)}  # fmt: skip
    assert {anchor for _, anchor, _, _ in rows} <= headings
    for card in text.split("\n## ")[1:]:
        for part in ("Use", "Network", "Data", "Training", "Figures", "Limits", "Terms"):
            assert f"**{part}.**" in card, card.partition("\n")[0]
