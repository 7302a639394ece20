"""Drawings of a run: the sampling grid over the content, and the losses over all steps."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch

from geostyle.coords import normalized_to_pixel
from geostyle.warps import WarpParameters

# The losses that are drawn, with their colors and line widths.
TERMS = {"total": ("#c8641e", 2.2), "style": ("#3577b8", 1.4), "content": ("#5b9a4b", 1.4)}
WHITE, ACCENT, GRAY = (255, 255, 255), (255, 150, 40), "#888888"
LINES_ALONG_LONG_SIDE = 15
STYLE: dict[Any, Any] = {
    **{"svg.fonttype": "none", "svg.hashsalt": "geostyle", "font.size": 10},
    **{"axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": GRAY},
    **{"axes.labelcolor": GRAY, "xtick.color": GRAY, "ytick.color": GRAY},
    **{"legend.frameon": False, "legend.labelcolor": GRAY},
}


def draw_grid(
    content: np.ndarray, grid: np.ndarray, control_points: np.ndarray | None = None
) -> np.ndarray:
    """Draw a regular lattice of the output over the content, where the sampling grid reads it.

    Args:
        content: (H, W, 3) uint8.
        grid: (h, w, 2), the backward map: output pixel → normalized content (x, y).
        control_points: (K, 2), normalized content points that a spline's control points map to.

    Returns: (H', W', 3) uint8, the content (enlarged where it is small) under the bent lattice;
        the outline of the output is drawn in orange, and control points as orange dots.
    """
    factor = max(1, round(800 / max(content.shape[:2])))
    size = (content.shape[0] * factor, content.shape[1] * factor)
    canvas = cv2.resize(content, size[::-1], interpolation=cv2.INTER_CUBIC)
    points = normalized_to_pixel(torch.from_numpy(grid).double(), size).numpy()
    step = max(grid.shape[:2]) / LINES_ALONG_LONG_SIDE
    rows, columns = (
        np.linspace(0, side - 1, max(3, round(side / step) + 1)).round().astype(int)
        for side in grid.shape[:2]
    )
    lines = [points[row] for row in rows[1:-1]] + [points[:, column] for column in columns[1:-1]]
    outline = np.concatenate([points[0], points[:, -1], points[-1, ::-1], points[::-1, 0]])
    width = max(1, round(max(size) / 500))
    shaded = canvas.copy()
    for line in [*lines, outline]:
        _polyline(shaded, line, (0, 0, 0), width + 2 * max(1, width // 2 + 1))
    canvas = cv2.addWeighted(shaded, 0.45, canvas, 0.55, 0)
    for line in lines:
        _polyline(canvas, line, WHITE, width)
    _polyline(canvas, outline, ACCENT, 2 * width)
    if control_points is not None:
        for dot in normalized_to_pixel(torch.from_numpy(control_points).double(), size).numpy():
            _dot(canvas, dot, WHITE, 4.5 * width)
            _dot(canvas, dot, ACCENT, 3.5 * width)
    return canvas


def control_points_of(parameters: WarpParameters) -> np.ndarray | None:
    """Return a warp's control points in the content, normalized (K, 2); None without any."""
    family = parameters.warp_family
    points = getattr(family, "control_points", None)
    if points is None:
        return None
    return family.map(parameters.theta.double()[None], points[None])[0].numpy()


def texture_steps(metrics: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl that the texture stage wrote."""
    return [line for line in metrics if line.get("stage") == "texture" and line.get("total")]


def loss_plot(metrics: Sequence[dict[str, Any]]) -> str:
    """Draw the losses over all steps as SVG, with a label and every second level shaded."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        from matplotlib.figure import Figure
        from matplotlib.ticker import NullFormatter

        steps = texture_steps(metrics)
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        axes = figure.subplots()
        for term, (color, width) in TERMS.items():
            # A start from the content itself has no content loss, which no logarithm can show.
            values = [float(line[term] or 0) or float("nan") for line in steps]
            if any(value > 0 for value in values):
                axes.plot(range(len(values)), values, color=color, lw=width, label=term)
        levels = [line["level"] for line in steps]
        starts = [i for i, level in enumerate(levels) if not i or level != levels[i - 1]]
        for band, (start, end) in enumerate(zip(starts, [*starts[1:], len(steps)], strict=True)):
            if band % 2:
                axes.axvspan(start - 0.5, end - 0.5, color=GRAY, alpha=0.12, lw=0)
            height, width_px = steps[start]["size"]
            place: dict[str, Any] = {
                "xycoords": ("data", "axes fraction"),
                "textcoords": "offset points",
            }
            middle = ((start + end - 1) / 2, 1.0)
            label = f"{width_px}×{height}"
            axes.annotate(label, middle, (0, 4), **place, ha="center", color=GRAY, fontsize=9)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(-0.5, max(len(steps) - 0.5, 0.5))
        axes.set_xlabel("step")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        axes.grid(axis="y", color=GRAY, alpha=0.2)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]


def _polyline(
    canvas: np.ndarray, points: np.ndarray, color: tuple[int, int, int], width: int
) -> None:
    """Draw (N, 2) pixel points, antialiased, with sixteenths of a pixel kept."""
    # Far-off points would overflow OpenCV's fixed-point arithmetic; none of them is visible anyway.
    fixed = np.clip(points, -1e5, 1e5) * 16
    cv2.polylines(canvas, [fixed.round().astype(np.int32)], False, color, width, cv2.LINE_AA, 4)


def _dot(canvas: np.ndarray, point: np.ndarray, color: tuple[int, int, int], radius: float) -> None:
    """Draw a filled circle about a pixel point (2,), antialiased, with sixteenths kept."""
    x, y = (np.clip(point, -1e5, 1e5) * 16).round().astype(int).tolist()
    cv2.circle(canvas, (x, y), round(16 * radius), color, -1, cv2.LINE_AA, 4)
