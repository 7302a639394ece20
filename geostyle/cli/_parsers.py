"""The parsers of all commands, which shell completion and the command reference are made from."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from importlib import import_module

from geostyle.cli import verbs
from geostyle.cli.evaluate import BENCHMARKS
from geostyle.config import Parser, parser_of


@dataclass(frozen=True)
class Flag:
    """A flag or a positional argument of a command.

    Attributes:
        names: its spellings, or for a positional its metavar.
        choices: words it accepts; empty where it accepts anything.
        takes_value: whether a word follows the flag.
        text: its help.
        value: what stands for the value in the help.
        group: heading of the help that it is listed under, empty for the first.
    """

    names: tuple[str, ...]
    choices: tuple[str, ...]
    takes_value: bool
    text: str
    value: str
    group: str


def parsers() -> dict[str, Parser]:
    """Return the parser of each command by its words: "transfer", "evaluate pf-willow"."""
    found = {}
    for verb in verbs():
        module = import_module(f"geostyle.cli.{verb.replace('-', '_')}")
        found[verb] = parser_of(module.main)
        if verb == "evaluate":
            for benchmark, name in BENCHMARKS.items():
                run = import_module(f"geostyle.cli.{name}").run
                found[f"evaluate {benchmark}"] = parser_of(partial(run, benchmark))
    return found


def flags(parser: Parser) -> list[Flag]:
    """Return the arguments of a parser in the order of its help, hidden ones left out."""
    found = []
    for group in parser._action_groups:
        for action in group._group_actions:
            if action.help == argparse.SUPPRESS:
                continue
            title = group.title if group.title not in ("positional arguments", "options") else ""
            found.append(_flag(parser, action, title or ""))
    return found


def _flag(parser: Parser, action: argparse.Action, group: str) -> Flag:
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    choices: tuple[str, ...] = tuple(map(str, action.choices or ()))
    if not choices and metavar.startswith("{"):
        choices = tuple(metavar.strip("{}").split(","))
    names = tuple(action.option_strings) or (metavar,)
    text = (action.help or "") % {"prog": parser.prog, "default": action.default}
    return Flag(names, choices, action.nargs != 0, text, metavar, group)
