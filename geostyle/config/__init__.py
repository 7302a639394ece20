"""Typed settings: frozen dataclasses whose values come from defaults < YAML file < command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geostyle.config.lazy import lazy_names

if TYPE_CHECKING:
    from geostyle.config.command_line import Parser as Parser
    from geostyle.config.command_line import parse as parse
    from geostyle.config.command_line import parser_of as parser_of
    from geostyle.config.settings import FORMER_NAMES as FORMER_NAMES
    from geostyle.config.settings import check as check
    from geostyle.config.settings import current_names as current_names
    from geostyle.config.settings import dump_yaml as dump_yaml
    from geostyle.config.settings import flatten as flatten
    from geostyle.config.settings import leaves as leaves
    from geostyle.config.settings import own_path as own_path
    from geostyle.config.settings import resolve as resolve
    from geostyle.config.settings import setting as setting
    from geostyle.config.settings import to_dict as to_dict
    from geostyle.config.yaml_files import MAX_YAML_BYTES as MAX_YAML_BYTES
    from geostyle.config.yaml_files import read_yaml as read_yaml

lazy_names(__name__)
