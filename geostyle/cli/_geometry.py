"""Description and files of a run's warp, and of warps to choose from."""

from __future__ import annotations

import math
from collections.abc import Sequence

from geostyle.coords import size_of
from geostyle.io.images import Picture, to_uint8
from geostyle.io.runs import RunFolder
from geostyle.matching import Candidate
from geostyle.pipeline import GeometryResult, warp
from geostyle.report.run_files import PREVIEW_FILE, save_grid
from geostyle.report.sheet import Panel, save_sheet

PREVIEW_PX = 320  # long side of a warp on the sheet to choose from


def describe(geometry: GeometryResult) -> str:
    """The warp in a few words."""
    if geometry.parameters is None:
        return "no warp"
    confidence = geometry.confidence
    known = "" if confidence is None else f", confidence {confidence:.2f}"
    return "; ".join(filter(None, (f"{geometry.parameters.family}{known}", held_back(geometry))))


def held_back(geometry: GeometryResult) -> str:
    """Return in one line how the warp was held back; empty where it was not."""
    meta = {} if geometry.parameters is None else geometry.parameters.meta
    return "; ".join(str(meta[key]) for key in ("message", "held") if meta.get(key))


def save_geometry(run: RunFolder, geometry: GeometryResult, bit_depth: int) -> None:
    """Save the warped picture and, where there is a warp, its parameters and grid."""
    run.keep_metrics(lambda line: False)
    geometry.save(run.file("warped.png"), bit_depth=bit_depth)
    if geometry.parameters is not None and geometry.grid is not None:
        geometry.parameters.save(run.file("theta.json"))
        save_grid(run.file("grid.safetensors"), geometry.grid)
        family, confidence = geometry.parameters.family, geometry.confidence
        run.log(stage="geometry", family=family, confidence=confidence)


def save_choices(
    run: RunFolder, choices: Sequence[Candidate], content: Picture, geometry: GeometryResult
) -> None:
    """Save the warps to choose from, and the sheet that shows them."""
    assert geometry.settings is not None
    strength, extend = geometry.settings.geo_strength, geometry.settings.extend
    size_px = min(PREVIEW_PX, max(size_of(geometry.tensor)))
    row = []
    for number, choice in enumerate(choices, 1):
        theta = choice.estimate.parameters
        theta.save(run.file(f"choices/{number}.json"))
        warped = warp(content, theta, strength=strength, size_px=size_px, extend=extend)
        note = f"{choice.label}, {choice.estimate.confidence:.2f}"
        row.append(Panel(f"{number}", to_uint8(warped.tensor), note))
    columns = min(len(row), math.ceil(math.sqrt(len(row) * 1.5)))
    rows = [row[i : i + columns] for i in range(0, len(row), columns)]
    save_sheet(rows, run.file(PREVIEW_FILE), PREVIEW_PX)
