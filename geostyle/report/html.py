"""The HTML report of a run, made from the files of its folder alone."""

from __future__ import annotations

import base64
import math
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from geostyle.config import flatten
from geostyle.io.files import write_bytes, write_text
from geostyle.report.plots import draw_grid, loss_plot, texture_steps
from geostyle.report.run_files import RunFiles, read_run
from geostyle.report.sheet import Panel, contact_sheet, encode, fit, join, save_sheet
from geostyle.report.sources import source_panels

MAX_EMBEDDED_PX = 1024
SOURCE_PX = 512  # height of source.png's pictures


def write_report(folder: str | Path) -> Path:
    """Write contact_sheet.png and report.html of a run folder, from its other files only.

    Where the run has a source map, source.png shows it.

    Returns: the path of report.html.
    Raises: InputError where it is no run folder.
    """
    run = read_run(folder)
    rows, sources = panels(run), _sources(run)
    if sources:
        save_sheet([sources], run.folder / "source.png", SOURCE_PX)
    sheet = contact_sheet([*rows, sources] if sources else rows)
    write_bytes(run.folder / "contact_sheet.png", encode(sheet, "PNG"))
    loader = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    source = resources.files("geostyle") / "assets" / "report.html"
    html = loader.from_string(source.read_text(encoding="utf-8")).render(
        name=run.folder.name,
        rows=[[(panel, data_uri(panel.image)) for panel in row] for row in rows],
        sources=[(panel, data_uri(panel.image)) for panel in sources],
        compare=_comparison(run),
        choices=data_uri(run.choices) if run.choices is not None else None,
        geometry=_geometry_facts(run),
        plot=Markup(loss_plot(run.metrics)) if texture_steps(run.metrics) else None,
        settings=_rows(run.settings),
        environment=_rows(run.environment),
        files=sorted(
            str(path.relative_to(run.folder).as_posix())
            for path in run.folder.rglob("*")
            if path.is_file() and path.name != "report.html"
            if not any(part.startswith(".") for part in path.relative_to(run.folder).parts)
        ),
    )
    path = run.folder / "report.html"
    write_text(path, html)
    return path


def panels(run: RunFiles) -> list[list[Panel]]:
    """Return the pictures of a run as rows that read like sums: geometry above, texture below."""
    rows = [[_panel("content", run.content)]]
    painted = run.result is not None and bool(run.tex_styles)
    if run.grid is not None:
        rows[0] += _geo_styles(run)
        read = run.content[:, ::-1].copy() if run.theta.get("mirrored") else run.content
        overlay = draw_grid(read, run.grid, run.control_points)
        rows[0] = join([*rows[0], Panel("grid over content", overlay, _warp_note(run.theta))])
        if run.warped is not None:
            warped = _panel("warped", run.warped)
            if painted:
                rows.append([warped])
            else:
                rows[0].append(replace(warped, sign="→"))
    if run.result is not None and painted:
        if len(run.tex_styles) == 1:
            rows[-1].append(_panel("texture style", run.tex_styles[0]))
        else:
            weights = _weights(run.settings.get("tex_weights"), len(run.tex_styles))
            for number, (style, weight) in enumerate(zip(run.tex_styles, weights, strict=True), 1):
                rows[-1].append(Panel(f"texture style {number}", style, f"weight {weight:.2g}"))
        steps = texture_steps(run.metrics)
        note = f"style loss {steps[-1]['style']:.3f}" if steps else ""
        rows[-1] = join([*rows[-1], Panel("result", run.result, note)])
        if run.tex_masks:
            rows.append([Panel(f"mask {i}", m) for i, m in enumerate(run.tex_masks, start=1)])
    if run.geo_regions:
        rows.append([Panel(f"region {i}", m) for i, m in enumerate(run.geo_regions, start=1)])
    return rows


def _geo_styles(run: RunFiles) -> list[Panel]:
    """Return the panels of the geometry styles, of several with their shares of the warp."""
    if len(run.geo_styles) == 1:
        return [_panel("geometry style", run.geo_styles[0])]
    weights = _weights((run.theta.get("meta") or {}).get("mixed"), len(run.geo_styles))
    return [
        Panel(f"geometry style {number}", style, f"share {weight:.2g}")
        for number, (style, weight) in enumerate(zip(run.geo_styles, weights, strict=True), 1)
    ]


def data_uri(image: np.ndarray) -> str:
    """Return a picture (H, W, 3) uint8 as a JPEG in a ``data:`` address, at most 1024 px long."""
    height, width = image.shape[:2]
    picture = fit(image, (min(MAX_EMBEDDED_PX, height), min(MAX_EMBEDDED_PX, width)))
    return "data:image/jpeg;base64," + base64.b64encode(encode(picture, "JPEG")).decode("ascii")


def _sources(run: RunFiles) -> list[Panel]:
    """Return the pictures of the source map; none without one."""
    if run.source is None or run.result is None or not run.tex_styles:
        return []
    return source_panels(run.source, run.result, run.tex_styles)


def _comparison(run: RunFiles) -> tuple[str, str, str] | None:
    """Return the name of the picture before, it and the one after; None without two pictures."""
    last = run.result if run.result is not None else run.warped
    if last is None:
        return None
    aspects = [image.shape[1] / image.shape[0] for image in (last, run.content)]
    if abs(aspects[0] - aspects[1]) < 0.02:
        return "content", data_uri(run.content), data_uri(last)
    if run.warped is not None and run.warped is not last:
        return "warped content", data_uri(run.warped), data_uri(last)
    return None


def _geometry_facts(run: RunFiles) -> dict[str, str]:
    """Return facts about the warp as rows of a table; empty without a warp."""
    if run.grid is None:
        return {}
    given = {"warp": run.theta.get("family"), "confidence": run.theta.get("confidence")}
    facts = {key: value for key, value in given.items() if value is not None}
    facts |= run.theta.get("meta") or {}
    if run.theta.get("mirrored"):
        facts["content"] = "mirrored first"
    outside = float((np.abs(run.grid) > 1).any(-1).mean())
    facts["beyond the content"] = f"{outside:.1%} of the result, filled in"
    return {
        key: f"{value:.3g}" if isinstance(value, float) else str(value)
        for key, value in facts.items()
    }


def _warp_note(theta: dict[str, Any]) -> str:
    parts = [str(theta.get("family", ""))]
    if theta.get("confidence") is not None:
        parts.append(f"confidence {theta['confidence']:.2f}")
    return ", ".join(filter(None, parts))


def _weights(given: Any, count: int) -> list[float]:
    """Return weights that sum to 1, equal where the settings hold nothing usable."""
    numbers = given if isinstance(given, list) and len(given) == count else [1.0] * count
    if not all(isinstance(n, (int, float)) and 0 <= n < math.inf for n in numbers):
        numbers = [1.0] * count
    return [n / (sum(numbers) or 1.0) for n in numbers]


def _panel(title: str, image: np.ndarray) -> Panel:
    return Panel(title, image, f"{image.shape[1]}×{image.shape[0]}")


def _rows(values: dict[str, Any]) -> dict[str, str]:
    """Return nested settings as text by dotted name."""
    found = {name: "–" if value is None else value for name, value in flatten(values).items()}
    return {
        name: " ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in found.items()
    }
