"""Drawings of a run: the sampling grid over the content, and the losses over all steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
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
# Of the plot of the losses, in points: its margins and its size.
LEFT, TOP, PLOT_WIDTH, PLOT_HEIGHT = 44, 20, 514, 186


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
    """Draw the losses over all steps as SVG, with a label and every second level shaded.

    Written out: matplotlib takes longer to load than a small run to paint.
    """
    steps = texture_steps(metrics)
    # A start from the content itself has no content loss, which no logarithm can show.
    curves = {
        term: [(i, float(line[term])) for i, line in enumerate(steps) if (line[term] or 0) > 0]
        for term in TERMS
    }
    values = [v for curve in curves.values() for _, v in curve if math.isfinite(v)] or [1.0]
    low, high = math.log10(min(values)) - 0.02, math.log10(max(values)) + 0.02

    def x(step: float) -> float:
        return LEFT + (step + 0.5) / len(steps) * PLOT_WIDTH

    def y(value: float) -> float:
        return TOP + (high - math.log10(value)) / (high - low) * PLOT_HEIGHT

    parts = [*_bands(steps, x), *_axes(low, high, len(steps), x, y)]
    drawn = [term for term in TERMS if curves[term]]
    for row, term in enumerate(drawn):
        color, width = TERMS[term]
        line = " ".join(f"{x(i):.1f},{y(v):.1f}" for i, v in curves[term] if math.isfinite(v))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" {_width(width)}/>')
        height = TOP + PLOT_HEIGHT / 2 + 18 * (row - (len(drawn) - 1) / 2)
        right = LEFT + PLOT_WIDTH + 10
        parts.append(_line((right, height), (right + 20, height), color, width))
        parts.append(_text(right + 28, height + 3.5, term, "start"))
    size = (LEFT + PLOT_WIDTH + 90, TOP + PLOT_HEIGHT + 38)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" '
        f'font-family="sans-serif" font-size="10">{"".join(parts)}</svg>'
    )


def _bands(steps: Sequence[dict[str, Any]], x: Callable[[float], float]) -> Iterator[str]:
    """A label for each level, and a shade for every second one."""
    levels = [line["level"] for line in steps]
    starts = [i for i, level in enumerate(levels) if not i or level != levels[i - 1]]
    for band, (start, end) in enumerate(zip(starts, [*starts[1:], len(steps)], strict=True)):
        left, right = x(start - 0.5), x(end - 0.5)
        if band % 2:
            yield (
                f'<rect x="{left:.1f}" y="{TOP}" width="{right - left:.1f}" '
                f'height="{PLOT_HEIGHT}" fill="{GRAY}" fill-opacity="0.12"/>'
            )
        height, width = steps[start]["size"]
        yield _text((left + right) / 2, TOP - 6, f"{width}×{height}")


def _axes(
    low: float, high: float, n_steps: int, x: Callable[[float], float], y: Callable[[float], float]
) -> Iterator[str]:
    """Axes with ticks and labels: logarithms from `low` to `high` upward, steps to the right."""
    bottom = TOP + PLOT_HEIGHT
    yield _line((LEFT, TOP), (LEFT, bottom), GRAY)
    yield _line((LEFT, bottom), (LEFT + PLOT_WIDTH, bottom), GRAY)
    decades = range(math.floor(low), math.ceil(high) + 1)
    digits = (1, 2, 5) if high - low < 2 else (1,)
    for value in (digit * 10.0**decade for decade in decades for digit in digits):
        if low <= math.log10(value) <= high:
            yield _line((LEFT, y(value)), (LEFT + PLOT_WIDTH, y(value)), GRAY, 0.8, opacity=0.2)
            yield _text(LEFT - 6, y(value) + 3.5, f"{value:g}", "end")
    rough = max(1.0, n_steps / 6)
    unit = 10 ** math.floor(math.log10(rough))
    spacing = next(unit * digit for digit in (1, 2, 5, 10) if unit * digit >= rough)
    for step in range(0, n_steps, spacing):
        yield _line((x(step), bottom), (x(step), bottom + 4), GRAY)
        yield _text(x(step), bottom + 15, str(step))
    yield _text(LEFT + PLOT_WIDTH / 2, bottom + 31, "step")


def _line(
    start: tuple[float, float],
    end: tuple[float, float],
    color: str,
    width: float = 0.8,
    opacity: float = 1.0,
) -> str:
    (x1, y1), (x2, y2) = start, end
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{color}" {_width(width)} stroke-opacity="{opacity}"/>'


def _width(width: float) -> str:
    return f'stroke-width="{width}" stroke-linejoin="round"'


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{GRAY}" text-anchor="{anchor}">{text}</text>'


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
