"""Reading of YAML files that may come from anywhere."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import yaml

from geostyle.errors import InputError, brief

MAX_YAML_BYTES = 100_000
ORIGINALS = Path("originals", "files.json")  # of a run folder, beside its settings.yaml

_log = logging.getLogger(__name__)


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


# Integers as YAML 1.2 has them: to 1.1, which PyYAML reads, 0100 is 64 and 10:30 is 630.
_INT = "tag:yaml.org,2002:int"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _INT]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    _INT, re.compile(r"[-+]?(0|[1-9][0-9]*|0x[0-9a-fA-F]+)$"), list("-+0123456789")
)


def read_yaml(path: Path) -> Mapping[str, Any]:
    """Read a mapping from a YAML file; empty where the file is.

    Raises: InputError, one line, for anything else, duplicate keys and aliases included.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_YAML_BYTES + 1)
        if len(data) > MAX_YAML_BYTES:
            raise ValueError(f"over {MAX_YAML_BYTES} bytes")
        values = yaml.load(data, Loader=_Loader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:160]
        raise InputError(
            f"config: expected a readable YAML file, got {brief(str(path))} ({reason})"
        ) from error
    if not isinstance(values, Mapping | None):
        raise InputError(f"config: expected a mapping of settings, got {brief(values)}")
    return values or {}


def read_originals(path: Path) -> dict[str, tuple[PurePath, Path]]:
    """The files of the run whose settings are at `path`: where each was, and where it is kept.

    Empty for other files of settings.
    """
    try:
        entries = json.loads((path.parent / ORIGINALS).read_text("utf-8")).items()
        return {
            name: (Path(entry["path"]), path.parent / (entry["copy"] or entry["path"]))
            for name, entry in entries
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def found_beside(originals: Mapping[str, tuple[PurePath, Path]], name: str, value: Any) -> Any:
    """A setting of a run's file of settings, paths of its files as they can be read from here.

    Args:
        originals: as `read_originals` returns them.
        name: of the setting.
        value: a path, a list of them, or anything else, which is returned as it is.
    """
    if isinstance(value, list):
        names = [f"{name}-{number}" for number in range(1, len(value) + 1)]
        pairs = zip(names, value, strict=True)
        return [found_beside(originals, *pair) for pair in pairs] if originals else value
    if not isinstance(value, str) or name not in originals:
        return value
    before, kept = originals[name]
    own = Path(value)
    asked_for = before.parts[-len(own.parts) :] == own.parts  # not another file, put in by hand
    if not asked_for or (own.absolute() == before and own.exists()) or not kept.is_file():
        return value
    _log.warning("%s: %s is taken from %s", name, value, kept)
    return str(kept)
