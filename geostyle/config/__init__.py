"""Typed settings: frozen dataclasses whose values come from defaults < YAML file < command line."""

from __future__ import annotations

from geostyle.config.command_line import Parser, parse, parser_of
from geostyle.config.settings import (
    FORMER_NAMES,
    check,
    current_names,
    dump_yaml,
    flatten,
    leaves,
    own_path,
    resolve,
    setting,
    to_dict,
)
from geostyle.config.yaml_files import MAX_YAML_BYTES, read_yaml

__all__ = [
    "FORMER_NAMES", "MAX_YAML_BYTES", "Parser", "check", "current_names",
    "dump_yaml", "flatten", "leaves", "own_path", "parse", "parser_of", "read_yaml", "resolve",
    "setting",
    "to_dict",
]  # fmt: skip
