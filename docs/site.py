"""Pages that are made when the site is built: commands, gallery, changes, contributing."""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path
from typing import Any

import yaml
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]


def on_files(files: Files, config: Any) -> Files:
    """Add the pages; see https://www.mkdocs.org/dev-guide/plugins/#on_files."""
    sys.path.insert(0, str(ROOT))  # a clone needs no installation
    pages = {
        "reference/commands.md": commands(),
        "gallery.md": gallery(),
        "changelog.md": of_the_root("CHANGELOG.md"),
        "contributing.md": of_the_root("CONTRIBUTING.md"),
    }
    for place, text in pages.items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_content(content: str, **_: Any) -> str:
    """End a paragraph before code in docstrings with one colon."""
    return content.replace("::</p>", ":</p>")


def commands() -> str:
    """The reference of all commands, from their parsers."""
    from geostyle.cli import verbs
    from geostyle.cli._parsers import flags, parsers

    known = parsers()
    lines = ["# Commands", "", "Made from the parsers of version " + _version() + "."]
    lines += [
        "Each command takes its settings from defaults, then the file of `--config`, then flags.",
        "",
    ]
    lines += ["| command | |", "|---|---|"]
    for verb, text in verbs().items():
        lines.append(f"| [`geostyle {verb}`](#geostyle-{verb}) | {_cell(text)} |")
    for command, parser in known.items():
        lines += ["", f"## geostyle {command}", ""]
        lines += [_prose(parser.description or verbs().get(command, "")), ""]
        if command == "demo":
            lines += ["Takes the flags of [`geostyle transfer`](#geostyle-transfer).", ""]
            continue
        group = None
        for flag in flags(parser):
            if flag.group != group:
                group = flag.group
                lines += ["", f"**{group}**" if group else "", "", "| flag | |", "|---|---|"]
            names = ", ".join(f"`{name}`" for name in flag.names)
            value = f" `{' | '.join(flag.choices) or flag.value}`" if flag.takes_value else ""
            if not flag.names[0].startswith("-"):
                value = f" `{' | '.join(flag.choices)}`" if flag.choices else ""
            lines.append(f"| {_cell(names + value)} | {_cell(html.escape(flag.text))} |")
    return "\n".join(lines)


def gallery() -> str:
    """The gallery, from its table of commands."""
    entries = yaml.safe_load((ROOT / "examples" / "gallery.yaml").read_text(encoding="utf-8"))
    lines = [
        "# Gallery",
        "",
        f"{len(entries)} results made from bundled pictures alone, each by the command below it. "
        "`geostyle pictures pictures` copies the pictures that the commands name; `make gallery`, "
        "in a clone, draws the masks and makes all results again.",
    ]
    missing = 0
    for name, entry in entries.items():
        lines += ["", f"### {name.replace('-', ' ')}", "", entry["text"], ""]
        if (ROOT / "docs" / "gallery" / f"{name}.jpg").is_file():
            lines += [f"![{entry['text']}](gallery/{name}.jpg){{ loading=lazy }}", ""]
        else:
            missing += 1
        lines.append("    " + entry["command"])
    if missing:
        lines.insert(3, f"\nThis copy of the site lacks {missing} of the pictures.")
    return "\n".join(lines)


def of_the_root(name: str) -> str:
    """A document of the repository's root, its links as seen from `docs/`."""
    text = (ROOT / name).read_text(encoding="utf-8")

    def placed(match: re.Match[str]) -> str:
        label, target = match.groups()
        if "://" in target or target.startswith("#"):
            return match[0]
        if target.startswith("docs/"):
            return f"[{label}]({target.removeprefix('docs/')})"
        pages = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
        return f"[{label}]({pages[target]})" if target in pages else label

    return re.sub(r"\[([^]\n]+)\]\(([^)\s]+)\)", placed, text)


def _version() -> str:
    from geostyle import __version__

    return __version__


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _prose(text: str) -> str:
    """A description; lines that are commands stay lines."""
    lines = text.strip().splitlines()
    return "\n".join(
        f"    {line}" if re.match(r"(geostyle|torchrun|bash|zsh|fish) ", line) else line
        for line in (lines if lines else [""])
    )
