"""Reading of YAML files that may come from anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from geostyle.errors import InputError, brief

MAX_YAML_BYTES = 100_000


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
