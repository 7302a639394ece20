"""Packages whose public names are loaded on first use, so that importing them is instant."""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any


class _LazyPackage(ModuleType):
    """A package that knows where its names are defined, and imports them when they are asked for.

    Source: PEP 562, by a class instead of two functions: where a submodule is called like one of
        the names, importing it would put the submodule in the name's place.
    """

    _homes: dict[str, str]

    def __getattr__(self, name: str) -> Any:
        if name not in self._homes:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = getattr(import_module(self._homes[name]), name)
        super().__setattr__(name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in self._homes and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._homes})


def lazy_names(package: str) -> None:
    """Make the names that a package imports under ``if TYPE_CHECKING`` load on first use.

    Those imports are what type checkers read; they are read here too, so that each name stands
    there once. Names of `geostyle` become public (``__all__``).

    Args: package, its ``__name__``; called by its ``__init__.py``.
    """
    module = sys.modules[package]
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    blocks = [node.body for node in tree.body if isinstance(node, ast.If)]
    imports = [line for block in blocks for line in block if isinstance(line, ast.ImportFrom)]
    homes = {alias.name: str(line.module) for line in imports for alias in line.names}
    homes = {name: home for name, home in homes.items() if home.startswith("geostyle.")}
    public = [name for name in vars(module).get("__all__", ()) if name not in homes]
    vars(module).update(_homes=homes, __all__=sorted({*public, *homes}))
    module.__class__ = _LazyPackage
