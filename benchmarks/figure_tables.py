"""Tables of the figures: functions from the values of a figure to rows of text, header first."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

Rows = list[list[str]]
Table = Callable[[Any], Rows]
# Of a column: its header, the path of its value in a record, and a format.
Column = tuple[str, str, str]


def value(values: Any, path: str) -> Any:
    """Return the value at a path of keys and numbers in lists, joined by slashes.

    A step ``key=text,key=text`` chooses from a list the first record with these fields.
    """
    for step in path.split("/") if path else ():
        if isinstance(values, dict):
            values = values[step]
        elif "=" in step:
            wanted = dict(part.split("=", 1) for part in step.split(","))
            values = next(
                one for one in values if all(str(one[key]) == own for key, own in wanted.items())
            )
        else:
            values = values[int(step)]
    return values


def written(found: Any, form: str) -> str:
    """Return a value as text: by a format such as ``.2f``, or one with braces; – for None."""
    if found is None:
        return "–"
    text = form.format(found) if "{" in form else format(found, form)
    return re.sub(r"(?<=\d)%", " %", text)


def fixed(header: Sequence[str], *rows: Sequence[Any]) -> Table:
    """Return a table of given rows: of text, and of pairs of a path and a format."""

    def cell(values: Any, given: Any) -> str:
        return given if isinstance(given, str) else written(value(values, given[0]), given[1])

    def table(values: Any) -> Rows:
        return [list(header), *([cell(values, given) for given in row] for row in rows)]

    return table


def records(path: str, *columns: Column) -> Table:
    """Return a table of a list of records, a row each; of a mapping with its keys as "name"."""

    def table(values: Any) -> Rows:
        found = value(values, path)
        if isinstance(found, dict):
            found = [{"name": name, **one} for name, one in found.items()]
        rows = [[written(value(one, key), form) for _, key, form in columns] for one in found]
        return [[header for header, _, _ in columns], *rows]

    return table


def layers(path: str, *rows: tuple[str, str, str]) -> Table:
    """Return a table with a column for each layer of a mapping, and rows as of `records`."""

    def table(values: Any) -> Rows:
        found = value(values, path)
        return [
            ["", *found],
            *(
                [label, *(written(value(one, key), form) for one in found.values())]
                for label, key, form in rows
            ),
        ]

    return table


def keypoints(labels: dict[str, str], alpha: float = 0.1) -> Table:
    """Return a table of PCK: estimators by label, all pairs with their interval, then classes."""

    def table(values: Any) -> Rows:
        found = {(r["estimator"], r["class"]): r for r in values["rows"] if r["alpha"] == alpha}
        kinds = [kind for kind in dict.fromkeys(kind for _, kind in found) if kind != "all"]
        rows = [["", "all pairs", *kinds]]
        for name, label in labels.items():
            if (name, "all") in found:
                every = found[name, "all"]
                spread = "" if every["ci95"] is None else " [{:.1f}, {:.1f}]".format(*every["ci95"])
                rows.append([label, f"{every['pck']:.1f}{spread}"])
                rows[-1] += [f"{found[name, kind]['pck']:.1f}" for kind in kinds]
        return rows

    return table


def synthetic(labels: dict[str, str]) -> Table:
    """Return a table of grid errors as shares of that without a warp, stylized and plain."""

    def table(values: Any) -> Rows:
        found = {(r["estimator"], r["target"], r["family"]): r for r in values["rows"]}
        kinds = [f for f in dict.fromkeys(family for _, _, family in found) if f != "all"]
        rows = [["", "stylized", *(f"of it {kind}" for kind in kinds), "plain"]]
        for name, label in labels.items():
            if (name, "stylized", "all") in found:
                cells = [("stylized", kind) for kind in ("all", *kinds)] + [("plain", "all")]
                shares = [found[name, target, kind]["share"] for target, kind in cells]
                rows.append([label, *(written(share, ".1%") for share in shares)])
        return rows

    return table


def markdown(rows: Rows) -> str:
    """Return rows as a table in Markdown."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
