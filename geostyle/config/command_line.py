"""The command line of every verb and script: flags from settings, one-line errors."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import re
import sys
import typing
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from geostyle.config.settings import (
    TYPE_NAMES,
    current_name,
    leaves,
    own_path,
    range_text,
    resolve,
    suggestion,
    without_none,
)

S = TypeVar("S")
CONFIG_VARIABLE = "GEOSTYLE_CONFIG"  # names a YAML file, used where --config is not given

_log = logging.getLogger(__name__)


def parse(
    settings_class: type[S],
    argv: Sequence[str],
    *,
    prog: str,
    description: str | None,
    positional: Mapping[str, str] | None = None,
    add_flags: Callable[[argparse.ArgumentParser], None] | None = None,
    resumed: Callable[[argparse.Namespace, dict[str, Any]], S | None] | None = None,
) -> tuple[S, argparse.Namespace]:
    """Return a command's settings, from defaults < YAML file < flags, and all its arguments.

    Every command has ``--config YAML``, in place of which the variable GEOSTYLE_CONFIG may name
    the file, and ``--dry-run``.

    Args:
        argv: words of the command line after the command.
        prog, description: of the help.
        positional: settings that may also be given without their flag, and argparse's `nargs`.
        add_flags: adds arguments that are no settings, such as ``--resume``.
        resumed: given the arguments and the settings among them, returns the settings of a run to
            go on with, or None where the arguments name none.

    Raises: InputError for unusable settings, SystemExit for unusable arguments.
    """
    parser = Parser(prog=prog, description=description)
    for name, nargs in (positional or {}).items():
        parser.add_argument(
            name, nargs=nargs, default=argparse.SUPPRESS, metavar=name.upper(),
            help=f"the same as --{name}",
        )  # fmt: skip
    parser.add_argument(
        "--config", type=own_path, metavar="YAML",
        help=f"file of settings, such as a run's settings.yaml; default: ${CONFIG_VARIABLE}",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="check and print, then stop")
    if add_flags:
        add_flags(parser)
    _add_settings(parser, settings_class)
    args = parser.parse_args(argv)
    names = {field.name for _, field, _, _ in leaves(settings_class)}
    given = {name: value for name, value in vars(args).items() if name in names}
    settings = resumed(args, given) if resumed else None
    if settings is None:
        path = args.config
        if path is None and (path := os.environ.get(CONFIG_VARIABLE) or None):
            _log.warning("settings from %s, which %s names", path, CONFIG_VARIABLE)
        settings = resolve(settings_class, path, given)
    return settings, args


def _add_settings(parser: argparse.ArgumentParser, settings_class: type) -> None:
    """Add a flag for every setting, nested ones included; flags not given leave no attribute.

    The help shows each section under a heading of its own.
    """
    groups: dict[str, Any] = {"": parser}
    for path, field, hint, default in leaves(settings_class):
        options: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS}
        choices, kind = field.metadata.get("choices"), without_none(hint)
        if kind is bool:
            options["action"] = argparse.BooleanOptionalAction
        else:
            if typing.get_origin(kind) is tuple:
                items = typing.get_args(kind)
                options["nargs"] = "+" if Ellipsis in items else len(items)
                options["action"] = "extend" if field.metadata.get("repeat") else "store"
                kind = items[0]
            word = TYPE_NAMES.get(kind, "value").split()[-1].upper()
            options["metavar"] = "{" + ",".join(map(str, choices)) + "}" if choices else word
            if (bare := field.metadata.get("bare")) is not None:
                options |= {"nargs": "?", "const": bare}
        flag = field.metadata.get("flag") or "--" + field.name.replace("_", "-")
        section = path.rpartition(".")[0].rpartition(".")[2]
        if section not in groups:
            groups[section] = parser.add_argument_group(section)
        groups[section].add_argument(flag, help=_help(field, default), **options)


class Built(Exception):
    """Carries a parser out of the command that built it; see `parser_of`."""

    def __init__(self, parser: Parser) -> None:
        super().__init__(parser.prog)
        self.parser = parser


def parser_of(command: Callable[[list[str]], Any]) -> Parser:
    """Return the parser that a command builds, without running the command."""
    Parser.only_build = True
    try:
        command([])
    except Built as built:
        return built.parser
    finally:
        Parser.only_build = False
    raise TypeError(f"{command} has no parser")


class Parser(argparse.ArgumentParser):
    """An argument parser that fails with one line and exit code 2, and suggests flags."""

    only_build = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})
        self.add_argument("--version", action=_Version, help="show the version and exit")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, refusing unknown flags and reading flags of earlier versions."""
        if Parser.only_build:
            raise Built(self)
        known, words = self._option_string_actions, sys.argv[1:] if args is None else args
        words = [_current_flag(word, known) for word in words]
        parsed, extra = self.parse_known_args(words, namespace)
        if extra:
            word = extra[0].split("=")[0]
            before = known.get(words[max(0, words.index(extra[0]) - 1)])
            if isinstance(before, argparse.BooleanOptionalAction):
                on, off = before.option_strings[:2]
                self.error(f"unknown argument {word!r}; {on} takes no value, {off} turns it off")
            self.error(f"unknown argument {word!r}{suggestion(word, known)}")
        self._tell_twice(words)
        return parsed

    def _tell_twice(self, words: Sequence[str]) -> None:
        """Say in one line which flags are given several times, where only the last counts."""
        found: dict[int, list[str]] = {}
        for word in words:
            action = self._option_string_actions.get(word.partition("=")[0])
            if action is not None and type(action).__name__ != "_ExtendAction":
                found.setdefault(id(action), []).append(word)
        if twice := [flags[-1].partition("=")[0] for flags in found.values() if len(flags) > 1]:
            _log.warning("%s: given several times; the last counts", ", ".join(twice))

    def error(self, message: str) -> NoReturn:
        """Print one line to stderr and exit with code 2."""
        print(f"{self.prog}: error: {' '.join(message.split())}", file=sys.stderr)
        raise SystemExit(2)


class _Version(argparse.Action):
    """Print the version of geostyle."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        options |= {"nargs": 0, "default": argparse.SUPPRESS}
        super().__init__(option_strings, argparse.SUPPRESS, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from geostyle import __version__

        print(__version__)
        parser.exit()


def _current_flag(word: str, known: Container[str]) -> str:
    """Return a command-line word, a flag of an earlier version under today's name."""
    flag, equals, value = word.partition("=")
    match = re.fullmatch(r"--(no-)?([a-z-]+)", flag)
    if match is None or flag in known:
        return word
    name = current_name(match[2].replace("-", "_")).replace("_", "-")
    return f"--{match[1] or ''}{name}{equals}{value}"


def _help(field: dataclasses.Field[Any], default: Any) -> str:
    """Return the help of a setting's flag, with its range and default."""
    low, high, choices = (field.metadata.get(key) for key in ("min", "max", "choices"))
    notes = [] if low is high is None or choices else [range_text(low, high)]
    if isinstance(default, bool):
        default = "on" if default else "off"
    elif isinstance(default, tuple):
        default = " ".join(map(str, default))
    if default is not dataclasses.MISSING and default not in (None, ""):
        notes.append(f"default {default}")
    text = field.metadata.get("help", "") + (f" ({'; '.join(notes)})" if notes else "")
    return text.replace("%", "%%")
