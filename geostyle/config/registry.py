"""Tables of parts by name: warp families, estimators, losses, painters.

A line of a table is a name and the place of its code. Adding a part is one file and one line; see
CONTRIBUTING.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Generic, TypeVar, cast

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """A read-only mapping whose values are imported when they are first asked for.

    Args:
        places: by name, where the class or function is: ``"geostyle.warps.affine.Affine"``.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self.places = dict(places)

    def __getitem__(self, name: str) -> T:
        module, _, attribute = self.places[name].rpartition(".")
        return cast(T, getattr(import_module(module), attribute))

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)
