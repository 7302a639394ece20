"""Settings: declared, checked, built from values that are given, written as YAML."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import logging
import math
import numbers
import os
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from geostyle.config.yaml_files import found_beside, read_originals, read_yaml
from geostyle.errors import InputError, brief

S = TypeVar("S")
_hints_of: Callable[[Any], dict[str, Any]] = functools.cache(typing.get_type_hints)
# Settings and values under names of earlier versions, which saved runs, networks and scripts hold.
FORMER_NAMES = {
    "centre": "center",
    "mixture": "tex_weights",
    "model": "network",
    "net": "network",
    "net_lattice": "network_lattice",
    "optimiser": "optimizer",
    "stylise": "stylize",
    "stylised": "stylized",
}
# Settings by what other programs call them, the likeliest first.
MEANT = {
    **dict.fromkeys(("gpu", "cuda", "cpu", "use-gpu", "gpu-id", "no-cuda", "mps"), ("device",)),
    **dict.fromkeys(("style", "style-image", "texture", "style-path"), ("tex-style",)),
    **dict.fromkeys(("input", "image", "source", "content-image", "in"), ("content", "paths")),
    **dict.fromkeys(("out", "outdir", "output-dir", "save", "output-path", "o"), ("output",)),
    **dict.fromkeys(("steps", "iters", "num-iterations", "n-iter", "epochs", "iter", "max-iter"),
                    ("iterations", "steps")),
    **dict.fromkeys(("width", "height", "resolution", "image-size", "img-size", "imsize", "res"),
                    ("size", "size-px")),
    **dict.fromkeys(("model", "backbone", "network", "net"), ("features", "network")),
    **dict.fromkeys(("style-weight", "alpha", "strength"), ("tex-strength", "geo-strength")),
    **dict.fromkeys(("learning-rate", "step"), ("lr",)),
    **dict.fromkeys(("original-colors", "keep-color", "keep-colors", "color"), ("preserve-color",)),
    **dict.fromkeys(("mask", "style-mask"), ("tex-mask", "content-mask")),
    **dict.fromkeys(("fp16", "half", "amp", "bf16", "dtype"), ("precision",)),
    **dict.fromkeys(("ram", "memory", "vram"), ("memory-gb",)),
    **dict.fromkeys(("check", "test", "dryrun"), ("dry-run",)),
    **dict.fromkeys(("random-seed", "manual-seed"), ("seed",)),
    **dict.fromkeys(("blend-weights", "style-weights", "style-blend-weights"), ("tex-weights",)),
}  # fmt: skip
TYPE_NAMES = {int: "an integer", float: "a finite number", bool: "true or false", str: "text",
              Path: "a path"}  # fmt: skip

_log = logging.getLogger(__name__)
_logged: set[str] = set()


def current_name(name: str, *, tell: bool = True) -> str:
    """Return today's name of a setting or value that may carry one of an earlier version.

    With `tell`, the first use of each former name logs one line that gives the present one.
    """
    new = FORMER_NAMES.get(name, name)
    if tell and new != name and name not in _logged:
        _logged.add(name)
        _log.warning("%s is now called %s", name, new)
    return new


def current_names(values: Any) -> Any:
    """Return nested mappings, such as a checkpoint holds, with today's names for their keys."""
    if not isinstance(values, Mapping):
        return values
    return {current_name(k, tell=False): current_names(v) for k, v in values.items()}


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
    """Check the type, range and choices of every field; call it from `__post_init__`.

    Integers given for floats, lists for tuples and strings for paths are converted in place.

    Raises: InputError naming the field, what was expected and what came.
    """
    hints = _hints_of(type(settings))
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


def resolve(
    settings_class: type[S],
    yaml_path: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> S:
    """Build settings from defaults < YAML file < overrides.

    The file nests as `dump_yaml` writes it; the overrides are flat, by field name.

    Raises: InputError for an unknown key (with a suggestion), a wrong type, a value out of range.
    """
    known = {path: hint for path, _, hint, _ in walk(settings_class)}
    names = {field.name: path for path, field, _, _ in leaves(settings_class)}
    given: dict[str, Any] = {}
    read = {} if yaml_path is None else flatten(read_yaml(own_path(yaml_path)))
    originals = {} if yaml_path is None else read_originals(own_path(yaml_path))
    for key, value in read.items():
        path = key if key in known else ".".join(map(current_name, key.split(".")))
        if path not in known:
            raise InputError(f"unknown setting {brief(key)}{suggestion(key, known)}")
        if path in given:
            raise InputError(f"{path}: expected it once, got it twice, also as {key}")
        if not _is_settings(known[path]):
            given[path] = found_beside(originals, path.rpartition(".")[2], value)
        elif value not in (None, {}):  # an empty section reads as None
            raise InputError(f"{key}: expected a mapping of settings, got {brief(value)}")
    for key, value in (overrides or {}).items():
        name = key if key in names else current_name(key)
        if name not in names:
            raise InputError(f"unknown setting {brief(key)}{suggestion(key, names)}")
        given[names[name]] = value
    return _build(settings_class, None, given, "")


def to_dict(settings: Any) -> dict[str, Any]:
    """Turn settings into plain nested dictionaries of YAML and JSON types."""
    names = (field.name for field in dataclasses.fields(settings))
    return {name: _plain(getattr(settings, name)) for name in names}


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dictionaries, such as `to_dict` gives, as one with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        nested = isinstance(value, Mapping) and value
        part = flatten(value, f"{name}.") if nested else {name: value}
        if twice := flat.keys() & part.keys():
            raise InputError(f"{min(twice)}: expected it once, got it twice")
        flat |= part
    return flat


def dump_yaml(settings: Any) -> str:
    """Write settings as YAML text that `resolve` reads back to the same settings."""
    return yaml.safe_dump(to_dict(settings), sort_keys=False, allow_unicode=True)


def walk(
    settings_class: type, defaults: Any = None, prefix: str = ""
) -> Iterator[tuple[str, dataclasses.Field[Any], Any, Any]]:
    """Yield dotted name, field, type and default of all settings, a section before its own."""
    hints = _hints_of(settings_class)
    for field in dataclasses.fields(settings_class):
        default = getattr(defaults, field.name, field.default)
        yield prefix + field.name, field, hints[field.name], default
        if _is_settings(hints[field.name]):
            yield from walk(hints[field.name], default, f"{prefix}{field.name}.")


def leaves(settings_class: type) -> Iterator[tuple[str, dataclasses.Field[Any], Any, Any]]:
    """Yield the same of all settings that are not sections."""
    return (item for item in walk(settings_class) if not _is_settings(item[2]))


def _build(cls: type[S], default: S | None, given: Mapping[str, Any], prefix: str) -> S:
    """Build one section: its default, with the values given by dotted name.

    A section whose class has `implied` may add values that follow from those given.
    """
    if implied := getattr(cls, "implied", None):
        given = {**given, **implied(given, prefix)}
    hints, values = _hints_of(cls), dict[str, Any]()
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        path, hint = prefix + field.name, hints[field.name]
        own = getattr(default, field.name, field.default)
        if _is_settings(hint):
            values[field.name] = _build(hint, own, given, f"{path}.")
        elif path in given:
            values[field.name] = _from_text(given[path], hint)
        elif own is dataclasses.MISSING:
            raise InputError(f"{path}: expected a value, got none")
    if default is None:
        return cls(**values)
    return dataclasses.replace(default, **values)  # type: ignore[type-var]


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean …?" with the known name that is closest to `word`, or nothing."""
    # Compared without prefixes first: a key in the wrong section is a near miss, too.
    last = {_bare(name.rsplit(".", 1)[-1]): name for name in known}
    plain = _bare(word.rsplit(".", 1)[-1])
    meant = [name for name in MEANT.get(plain, ()) if name in last]
    # Short words are alike by chance.
    close = meant or difflib.get_close_matches(
        plain, last, n=1, cutoff=0.75 if len(plain) < 6 else 0.65
    )
    return f"; did you mean {last[close[0]]!r}?" if close else ""


def _bare(name: str) -> str:
    """A flag or a setting's name without dashes at its start, with dashes inside."""
    return name.lstrip("-").replace("_", "-").lower()


def _is_settings(hint: Any) -> bool:
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


def without_none(hint: Any) -> Any:
    """Return the type of an optional setting without the None."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next(arg for arg in typing.get_args(hint) if arg is not type(None))
    return hint


def _from_text(value: Any, hint: Any) -> Any:
    """Read numbers from strings (flags; `1e-3`, a string to YAML), leaving the unreadable as is."""
    kind = without_none(hint)
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
    kind: Any = without_none(hint)
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
        if isinstance(value, (str, os.PathLike)) and os.fsdecode(value):
            return own_path(value)
    elif isinstance(value, kind):
        return value
    raise InputError(f"{name}: expected {_describe(hint)}, got {brief(value)}")


def _check_range(field: dataclasses.Field[Any], value: Any) -> None:
    low, high, choices = (field.metadata.get(key) for key in ("min", "max", "choices"))
    for item in value if isinstance(value, tuple) else (value,):
        if item is None:
            continue
        if choices is not None and item not in choices:
            expected = ", ".join(map(repr, choices))
            hint = suggestion(str(item), [str(choice) for choice in choices])
            raise InputError(f"{field.name}: expected one of {expected}, got {brief(item)}{hint}")
        if (low is not None and item < low) or (high is not None and item > high):
            raise InputError(f"{field.name}: expected {range_text(low, high)}, got {brief(item)}")


def own_path(value: str | os.PathLike[str]) -> Path:
    """A path as settings and flags name it: a leading ``~`` is the user's home."""
    path = Path(os.fsdecode(value))
    with contextlib.suppress(RuntimeError):  # no such user: a plain name
        return path.expanduser()
    return path


def range_text(low: float | None, high: float | None) -> str:
    """Return an inclusive range in words; at least one of its ends is not None."""
    if low is None or high is None:
        return f"at least {low}" if high is None else f"at most {high}"
    return f"{low} to {high}"


def _describe(hint: Any) -> str:
    kind = without_none(hint)
    if typing.get_origin(kind) is tuple:
        items = typing.get_args(kind)
        count = "a list" if Ellipsis in items else f"a list of {len(items)}"
        words = f"{count} ({_describe(items[0])} each)"
    else:
        words = TYPE_NAMES.get(kind, kind.__name__)
    return words + (" or none" if kind is not hint else "")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
