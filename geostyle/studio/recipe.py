"""Requests of the page, checked: settings by name, with paths in place of names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geostyle.errors import InputError, brief
from geostyle.studio.sessions import Session

# Settings that the page may choose; their ranges are checked where they are used.
GEOMETRY = ("geometry", "keep_position", "lattice", "mirror", "max_rotation_deg", "smoothing")
OPTIONS = (
    *GEOMETRY, "size_px", "geo_strength", "tex_strength", "tex_scale", "content_weight",
    "preserve_color", "guidance", "quick", "painter", "features", "choose", "seed", "extend",
)  # fmt: skip
MOST_TEXTURES, MOST_POINTS, MOST_THETA = 4, 200, 2 * 32**2 + 8


def options_of(recipe: Any, known: tuple[str, ...] = OPTIONS) -> dict[str, Any]:
    """The chosen settings of a recipe, by name.

    Raises: InputError for names that are not `known` and values that are no plain ones.
    """
    given = _mapping(recipe, "recipe").get("options") or {}
    options: dict[str, Any] = {}
    for name, value in _mapping(given, "options").items():
        if name not in OPTIONS:
            raise InputError(f"options: expected a setting of the studio, got {brief(name)}")
        if not isinstance(value, (bool, int, float, str)) or len(str(value)) > 40:
            raise InputError(f"{name}: expected a number or a word, got {brief(value)}")
        if name in known:
            options[name] = value
    return options


def pair_of(session: Session, recipe: Any) -> dict[str, Any]:
    """The pictures, masks and pins that a warp is found from, with paths.

    Raises: InputError for names that are not of the session.
    """
    recipe = _mapping(recipe, "recipe")
    found: dict[str, Any] = {"content": str(session.picture_path(recipe.get("content")))}
    masks = _mapping(recipe.get("masks") or {}, "masks")
    if recipe.get("geo") is not None:
        found["geo_style"] = str(session.picture_path(recipe["geo"]))
        for name in ("content", "geo"):
            if masks.get(name) is not None:
                found[f"{name}_mask"] = str(session.picture_path(masks[name]))
    if recipe.get("points"):
        found["points"] = _points(recipe["points"])
    return found


def given_of(session: Session, recipe: Any) -> dict[str, Any]:
    """All settings of a painting by name; `theta` and `points` as they came.

    Raises: InputError for anything that is not as the page sends it.
    """
    recipe = _mapping(recipe, "recipe")
    given = pair_of(session, recipe) | options_of(recipe)
    textures = _list(recipe.get("tex") or [], "tex", MOST_TEXTURES)
    if textures:
        given["tex_style"] = [str(session.picture_path(name)) for name in textures]
    masks = _mapping(recipe.get("masks") or {}, "masks").get("tex") or []
    drawn = [name for name in _list(masks, "masks", MOST_TEXTURES) if name is not None]
    if drawn and textures:
        given["tex_mask"] = [str(session.picture_path(name)) for name in drawn]
    if recipe.get("warp"):
        given["theta"] = _warp(recipe["warp"])
        # The warp is given: nothing is estimated, so nothing guides the estimate.
        for name in ("geo_style", "points", "content_mask", "geo_mask", "choose", *GEOMETRY):
            given.pop(name, None)
    if not textures and "theta" not in given and "geo_style" not in given and "points" not in given:
        raise InputError("recipe: expected a shape or a texture beside the content, got neither")
    return given


def _warp(given: Any) -> dict[str, Any]:
    warp = _mapping(given, "warp")
    theta = _list(warp.get("theta"), "theta", MOST_THETA)
    sizes = [_list(warp.get(name), name, 2) for name in ("output_size", "content_size")]
    if not all(isinstance(v, (int, float)) for v in theta):
        raise InputError("theta: expected numbers, got something else")
    if not all(len(size) == 2 and all(isinstance(s, int) for s in size) for size in sizes):
        raise InputError("output_size: expected [height, width], got something else")
    return warp


def _points(given: Any) -> dict[str, Any]:
    points = _mapping(given, "points")
    both = {}
    for name in ("content", "geo_style"):
        rows = _list(points.get(name), "points", MOST_POINTS)
        for row in rows:
            pair = _list(row, "points", 2)
            if len(pair) != 2 or not all(isinstance(v, (int, float)) for v in pair):
                raise InputError(f"points: expected [x, y], got {brief(row)}")
        both[name] = rows
    return both


def _mapping(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{name}: expected a mapping, got {brief(value)}")
    return dict(value)


def _list(value: Any, name: str, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise InputError(f"{name}: expected a list of at most {most}, got {brief(value)}")
    return value
