"""Typed settings: frozen dataclasses whose values come from defaults < YAML file < command line."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import logging
import math
import numbers
import re
import reprlib
import sys
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml

from geostyle.errors import InputError

S = TypeVar("S")
MAX_YAML_BYTES = 100_000
# Settings and values under names of earlier versions, which saved runs, networks and scripts hold.
FORMER_NAMES = {
    "centre": "center",
    "net_lattice": "network_lattice",
    "net": "network",
    "optimiser": "optimizer",
    "stylise": "stylize",
    "stylised": "stylized",
}

_log = logging.getLogger(__name__)
_told: set[str] = set()


def current_name(name: str, *, tell: bool = True) -> str:
    """Return today's name of a setting or value that may carry one of an earlier version.

    With `tell`, the first use of each former name logs one line that gives the present one.
    """
    new = FORMER_NAMES.get(name, name)
    if tell and new != name and name not in _told:
        _told.add(name)
        _log.warning("%s is now called %s", name, new)
    return new


def current_names(values: Any, *, tell: bool = True) -> Any:
    """Return nested mappings with today's names for their keys."""
    if isinstance(values, Mapping):
        return {
            current_name(k, tell=tell) if isinstance(k, str) else k: current_names(v, tell=tell)
            for k, v in values.items()
        }
    return values


def setting(
    default: Any = dataclasses.MISSING,
    *,
    help: str = "",
    min: float | None = None,
    max: float | None = None,
    choices: Sequence[Any] | None = None,
    flag: str | None = None,
    repeat: bool = False,
    bare: Any = None,
) -> Any:
    """Declare one field of a settings dataclass.

    `min` and `max` are inclusive and, like `choices`, hold for every element of a tuple; `flag`
    replaces the command-line name, which otherwise is the field's own with dashes. `repeat` lets
    the flag of a tuple be given several times, and a single value in YAML stand for a list of one.
    `bare` is what the flag means without a value.
    An instance of another settings dataclass as `default` nests it: its flags carry no prefix.
    """
    meta = {"help": help, "min": min, "max": max, "choices": choices, "flag": flag,
            "repeat": repeat, "bare": bare}  # fmt: skip
    return dataclasses.field(default=default, metadata=meta)


def check(settings: Any) -> None:
    """Hold every field to its type, range and choices; call it from `__post_init__`.

    Integers given for floats, lists for tuples and strings for paths are converted in place.

    Raises: InputError naming the field, what was expected and what came.
    """
    hints = typing.get_type_hints(type(settings))
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.metadata.get("repeat") and not isinstance(value, (list, tuple, type(None))):
            value = (value,)
        choices = field.metadata.get("choices")
        if choices and isinstance(value, str) and value not in choices:
            value = current_name(value)
        value = _checked(field.name, value, hints[field.name])
        _check_range(field, value)
        object.__setattr__(settings, field.name, value)


def add_arguments(parser: argparse.ArgumentParser, settings_class: type) -> None:
    """Add a flag for every setting, nested ones included; flags not given leave no attribute.

    The help shows each section under a heading of its own.
    """
    sections = dict(_sections(settings_class))
    groups = {name: parser.add_argument_group(name) for name in sections.values() if name}
    for field, hint, default in _leaves(settings_class):
        options: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS}
        choices = field.metadata.get("choices")
        kind = _without_none(hint)
        if kind is bool:
            options["action"] = argparse.BooleanOptionalAction
        else:
            word = "{" + ",".join(map(str, choices)) + "}" if choices else _word(kind)
            if typing.get_origin(kind) is tuple:
                items = typing.get_args(kind)
                options["nargs"] = "+" if Ellipsis in items else len(items)
                options["action"] = "extend" if field.metadata.get("repeat") else "store"
                word = word if choices else _word(items[0])
            options["metavar"] = word.upper() if not choices else word
            if (bare := field.metadata.get("bare")) is not None:
                options |= {"nargs": "?", "const": bare}
        flag = field.metadata.get("flag") or "--" + field.name.replace("_", "-")
        group = groups.get(sections[field.name], parser)
        group.add_argument(flag, help=_help(field, default), **options)


def overrides(args: argparse.Namespace, settings_class: type) -> dict[str, Any]:
    """Pick from parsed arguments those that belong to the settings and were given."""
    names = {field.name for field, _, _ in _leaves(settings_class)}
    return {key: value for key, value in vars(args).items() if key in names}


def resolve(
    settings_class: type[S],
    yaml_path: str | Path | None = None,
    cli_overrides: Mapping[str, Any] | None = None,
) -> S:
    """Build settings from defaults < YAML file < command line.

    The file nests as `dump_yaml` writes it; the overrides are flat, by field name.

    Raises: InputError for an unknown key (with a suggestion), a wrong type, a value out of range.
    """
    values = {} if yaml_path is None else current_names(read_yaml(Path(yaml_path)))
    rest = current_names(dict(cli_overrides or {}))
    settings = _build(settings_class, {}, values, rest, list(_paths(settings_class)), "")
    for key in rest:
        raise _unknown(str(key), [field.name for field, _, _ in _leaves(settings_class)])
    return settings


def to_dict(settings: Any) -> dict[str, Any]:
    """Turn settings into plain nested dictionaries of YAML and JSON types."""
    names = (field.name for field in dataclasses.fields(settings))
    return {name: _plain(getattr(settings, name)) for name in names}


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries, such as `to_dict` gives, as one with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def dump_yaml(settings: Any) -> str:
    """Write settings as YAML text that `resolve` reads back to the same settings."""
    return yaml.safe_dump(to_dict(settings), sort_keys=False, allow_unicode=True)


class Parser(argparse.ArgumentParser):
    """An argument parser that fails with one line and exit code 2, and suggests flags."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, refusing unknown flags and reading flags of earlier versions."""
        words = sys.argv[1:] if args is None else list(args)
        parsed, extra = self.parse_known_args([_current_flag(word) for word in words], namespace)
        if extra:
            word = extra[0].split("=")[0]
            self.error(f"unknown argument {word!r}{_suggestion(word, self._flags())}")
        return parsed

    def error(self, message: str) -> NoReturn:
        """Print one line to stderr and exit with code 2."""
        print(f"{self.prog}: error: {' '.join(message.split())}", file=sys.stderr)
        raise SystemExit(2)

    def _flags(self) -> Iterator[str]:
        for action in self._actions:
            yield from action.option_strings
            if isinstance(action, argparse._SubParsersAction):
                for child in action.choices.values():
                    yield from child._option_string_actions


def _current_flag(word: str) -> str:
    """Return a command-line word with the flag it may hold under today's name."""
    match = re.fullmatch(r"--(no-)?([a-z-]+)(=.*)?", word, re.DOTALL)
    if match is None:
        return word
    name = current_name(match[2].replace("-", "_")).replace("_", "-")
    return f"--{match[1] or ''}{name}{match[3] or ''}"


def _leaves(
    settings_class: type, defaults: Any = None
) -> Iterator[tuple[dataclasses.Field[Any], Any, Any]]:
    """Walk all fields that are not sections: the field, its type, its default."""
    hints = typing.get_type_hints(settings_class)
    for field in dataclasses.fields(settings_class):
        default = getattr(defaults, field.name, field.default)
        if _is_settings(hints[field.name]):
            yield from _leaves(hints[field.name], default)
        else:
            yield field, hints[field.name], default


def _sections(settings_class: type, section: str = "") -> Iterator[tuple[str, str]]:
    """Walk the names of all settings that are not sections, with the section each stands in."""
    for name, hint in typing.get_type_hints(settings_class).items():
        if _is_settings(hint):
            yield from _sections(hint, name)
        else:
            yield name, section


def _build(
    cls: type[S],
    defaults: Mapping[str, Any],
    values: Any,
    rest: dict[str, Any],
    known: list[str],
    prefix: str,
) -> S:
    """Build one section from defaults < values < rest, taking out of `rest` what it uses."""
    if not isinstance(values, Mapping):
        raise InputError(f"{prefix[:-1]}: expected a mapping of settings, got {_show(values)}")
    hints = typing.get_type_hints(cls)
    given = dict(defaults)
    for key in values:
        if key not in hints:
            raise _unknown(prefix + str(key), known)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        name, hint = field.name, hints[field.name]
        default = given.get(name, field.default)
        if _is_settings(hint):
            # An empty section of the file reads as None.
            section = {} if values.get(name) is None else values[name]
            base = {f.name: getattr(default, f.name) for f in dataclasses.fields(hint)}
            given[name] = _build(hint, base, section, rest, known, f"{prefix}{name}.")
        elif name in rest:
            given[name] = _from_text(rest.pop(name), hint)
        elif name in values:
            given[name] = _from_text(values[name], hint)
        elif default is field.default_factory is dataclasses.MISSING:
            raise InputError(f"{prefix}{name}: expected a value, got none")
    return cls(**given)


def _paths(settings_class: type, prefix: str = "") -> Iterator[str]:
    for name, hint in typing.get_type_hints(settings_class).items():
        yield prefix + name
        if _is_settings(hint):
            yield from _paths(hint, f"{prefix}{name}.")


def _unknown(key: str, known: list[str]) -> InputError:
    return InputError(f"unknown setting {_show(key)}{_suggestion(key, known)}")


def _suggestion(word: str, known: Iterable[str]) -> str:
    # Compared without prefixes first: a key in the wrong section is a near miss, too.
    last = {name.rsplit(".", 1)[-1]: name for name in known}
    close = difflib.get_close_matches(word.rsplit(".", 1)[-1], last, n=1)
    return f"; did you mean {last[close[0]]!r}?" if close else ""


def _is_settings(hint: Any) -> bool:
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next(arg for arg in typing.get_args(hint) if arg is not type(None))
    return hint


def _from_text(value: Any, hint: Any) -> Any:
    """Read numbers from strings (flags; `1e-3`, a string to YAML), leaving the unreadable as is."""
    kind = _without_none(hint)
    if isinstance(value, (list, tuple)) and typing.get_origin(kind) is tuple:
        return [_from_text(item, typing.get_args(kind)[0]) for item in value]
    if isinstance(value, str) and kind in (int, float):
        if value.lower() == "none" and kind is not hint:
            return None
        try:
            return kind(value)
        except ValueError:
            return value
    return value


def _checked(name: str, value: Any, hint: Any) -> Any:
    kind: Any = _without_none(hint)
    if value is None and kind is not hint:
        return None
    if typing.get_origin(kind) is tuple:
        items = typing.get_args(kind)
        is_list = isinstance(value, (list, tuple))
        if is_list and (Ellipsis in items or len(value) == len(items)):
            return tuple(_checked(name, item, items[0]) for item in value)
    elif kind is bool or _is_settings(kind):
        if isinstance(value, kind):
            return value
    elif kind in (int, float):
        number: Any = numbers.Integral if kind is int else numbers.Real
        with contextlib.suppress(OverflowError):  # an integer beyond every float
            is_number = isinstance(value, number) and not isinstance(value, bool)
            if is_number and math.isfinite(float(value)):
                return kind(value)
    elif kind is Path:
        if isinstance(value, (str, Path)) and str(value):
            return Path(value)
    elif isinstance(value, kind):
        return value
    raise InputError(f"{name}: expected {_describe(hint)}, got {_show(value)}")


def _check_range(field: dataclasses.Field[Any], value: Any) -> None:
    low, high, choices = (field.metadata.get(key) for key in ("min", "max", "choices"))
    for item in value if isinstance(value, tuple) else (value,):
        if item is None:
            continue
        if choices is not None and item not in choices:
            expected = ", ".join(map(repr, choices))
            hint = _suggestion(str(item), [str(choice) for choice in choices])
            raise InputError(f"{field.name}: expected one of {expected}, got {_show(item)}{hint}")
        if (low is not None and item < low) or (high is not None and item > high):
            raise InputError(f"{field.name}: expected {_range(low, high)}, got {_show(item)}")


def _range(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"at least {low}" if high is None else f"at most {high}"
    return f"{low} to {high}"


def _describe(hint: Any) -> str:
    kind = _without_none(hint)
    if typing.get_origin(kind) is tuple:
        items = typing.get_args(kind)
        count = "a list" if Ellipsis in items else f"a list of {len(items)}"
        words = f"{count} ({_describe(items[0])} each)"
    else:
        known = {int: "an integer", float: "a finite number", bool: "true or false", str: "text",
                 Path: "a path"}  # fmt: skip
        words = known.get(kind, kind.__name__)
    return words + (" or none" if kind is not hint else "")


def _word(kind: Any) -> str:
    return {int: "integer", float: "number", str: "text", Path: "path"}.get(kind, "value")


def _help(field: dataclasses.Field[Any], default: Any) -> str:
    low, high, choices = (field.metadata.get(key) for key in ("min", "max", "choices"))
    notes = [] if low is high is None or choices else [_range(low, high)]
    if isinstance(default, bool):
        default = "on" if default else "off"
    elif isinstance(default, tuple):
        default = " ".join(map(str, default))
    if default is not dataclasses.MISSING and default not in (None, ""):
        notes.append(f"default {default}")
    text = field.metadata.get("help", "") + (f" ({'; '.join(notes)})" if notes else "")
    return text.replace("%", "%%")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _show(value: Any) -> str:
    """Show any value on one short line, however large or deep it is."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 80
    try:
        return re.sub(r"\s+", " ", short.repr(value))
    except ValueError:  # Python refuses to print integers of thousands of digits
        return "a huge number"


class _Loader(yaml.SafeLoader):
    """Plain YAML: no duplicate keys, and no aliases, which can grow without bound."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        mapping = super().construct_mapping(node, deep=deep)
        if len(mapping) != len(node.value):
            raise yaml.YAMLError("a key is given twice")
        return mapping


def read_yaml(path: Path) -> Mapping[str, Any]:
    """Read a mapping from a YAML file; empty where the file is.

    Raises: InputError, one line, for anything else, duplicate keys and aliases included.
    """
    expected = "config: expected a readable YAML file, got"
    try:
        with path.open("rb") as file:
            data = file.read(MAX_YAML_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{expected} {_show(str(path))} ({reason})") from error
    if len(data) > MAX_YAML_BYTES:
        raise InputError(f"{expected} {_show(str(path))} (over {MAX_YAML_BYTES} bytes)")
    try:
        values = yaml.load(data, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"{expected} {_show(str(path))} ({reason})") from error
    if not isinstance(values, Mapping | None):
        raise InputError(f"config: expected a mapping of settings, got {_show(values)}")
    return values or {}
