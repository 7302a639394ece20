"""Contact sheet, loss plot and HTML report of a run, made from the files of its folder alone."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
import torch
from markupsafe import Markup
from PIL import Image, ImageDraw, ImageFont
from safetensors.numpy import load_file
from safetensors.torch import save

from geostyle.config import flatten, read_yaml
from geostyle.coords import normalized_to_pixel
from geostyle.errors import InputError
from geostyle.io.files import read_metrics, write_bytes, write_text
from geostyle.io.images import load_picture, to_uint8
from geostyle.warps import WarpParameters

GRID_FILE = "grid.safetensors"
PREVIEW_FILE = "preview.png"  # the warps to choose from
TERMS = ("total", "style", "content")
RESULT_FILES = ("result.png", "result.tif", "result.jpg", "result.webp")
PAPER, INK, MUTED, ACCENT = (250, 249, 246), (34, 34, 36), (128, 126, 122), (255, 150, 40)
LINES_ALONG_LONG_SIDE = 15
MAX_EMBEDDED_PX = 1024


@dataclass(frozen=True)
class Panel:
    """One captioned picture: `image` is (H, W, 3) uint8; `sign` joins it to the one before."""

    title: str
    image: np.ndarray
    note: str = ""
    sign: str = ""

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.image.shape[1] / self.image.shape[0]


@dataclass(frozen=True)
class RunFiles:
    """What a run folder holds; None or empty for what this run did not make."""

    folder: Path
    content: np.ndarray
    geo_style: np.ndarray | None
    tex_styles: list[np.ndarray]
    tex_masks: list[np.ndarray]
    warped: np.ndarray | None
    result: np.ndarray | None
    grid: np.ndarray | None
    theta: dict[str, Any]
    settings: dict[str, Any]
    environment: dict[str, Any]
    metrics: list[dict[str, Any]]
    control_points: np.ndarray | None
    choices: np.ndarray | None


def save_grid(path: Path, grid: torch.Tensor) -> None:
    """Write a sampling grid (1, H, W, 2) as safetensors, whole or not at all."""
    write_bytes(path, save({"grid": grid.detach().cpu().float().contiguous()}))


def read_run(folder: str | Path) -> RunFiles:
    """Read the files of a run folder.

    Raises: InputError where it is no run folder, or one of its files is damaged.
    """
    folder = Path(folder)
    if not (folder / "inputs" / "content.png").is_file():
        raise InputError(f"run: expected a run folder, got {str(folder)!r} (no inputs/content.png)")

    def picture(name: str) -> np.ndarray | None:
        path = folder / name
        return to_uint8(load_picture(path, name=name).tensor) if path.is_file() else None

    def several(name: str) -> list[np.ndarray]:
        paths = [f"inputs/{name}.png", *(f"inputs/{name}-{i}.png" for i in range(1, 100))]
        return [found for found in map(picture, paths) if found is not None]

    def text(name: str) -> str:
        path = folder / name
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    def mapping(name: str) -> dict[str, Any]:
        value = json.loads(text(name) or "{}")
        if not isinstance(value, dict):
            raise InputError(f"run: expected a mapping in {str(folder / name)!r}")
        return value

    content = picture("inputs/content.png")
    assert content is not None
    try:
        settings, metrics_path = folder / "settings.yaml", folder / "metrics.jsonl"
        saved = folder / "theta.json"
        metrics = read_metrics(metrics_path) if metrics_path.is_file() else []
        for line in texture_steps(metrics):
            numbers = [line["level"], *line["size"], *(line[k] or 0 for k in TERMS)]
            if len(numbers) != 6 or not all(isinstance(n, int | float) for n in numbers):
                raise InputError(f"run: expected figures of a step in {str(metrics_path)!r}")
        theta = mapping("theta.json")
        parts = theta.get("meta") or {}, theta.get("confidence") or 0
        if not isinstance(parts[0], dict) or not isinstance(parts[1], int | float):
            raise InputError(f"run: expected a warp in {str(folder / 'theta.json')!r}")
        return RunFiles(
            folder,
            content,
            picture("inputs/geo_style.png"),
            several("tex_style"),
            several("tex_mask"),
            picture("warped.png"),
            next(filter(lambda found: found is not None, map(picture, RESULT_FILES)), None),
            _read_grid(folder / GRID_FILE),
            theta,
            dict(read_yaml(settings)) if settings.is_file() else {},
            mapping("environment.json"),
            metrics,
            control_points_of(WarpParameters.load(saved)) if "theta" in theta else None,
            picture(PREVIEW_FILE),
        )
    except InputError:
        raise
    except Exception as error:  # whatever a damaged file makes its reader raise
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"run: expected whole files in {str(folder)!r}, got: {reason}") from error


def _read_grid(path: Path) -> np.ndarray | None:
    if not path.is_file():
        return None
    grid = load_file(path)["grid"]
    if grid.ndim != 4 or grid.shape[0] != 1 or grid.shape[3] != 2 or not np.isfinite(grid).all():
        raise InputError(f"run: expected a finite grid (1, H, W, 2) in {str(path)!r}")
    return grid[0]


def write_report(folder: str | Path) -> Path:
    """Write contact_sheet.png and report.html of a run folder, from its other files only.

    Returns: the path of report.html.
    Raises: InputError where it is no run folder.
    """
    run = read_run(folder)
    rows = panels(run)
    write_bytes(run.folder / "contact_sheet.png", _encode(contact_sheet(rows), "PNG"))
    loader = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    source = resources.files("geostyle") / "assets" / "report.html"
    html = loader.from_string(source.read_text(encoding="utf-8")).render(
        name=run.folder.name,
        rows=[[(panel, data_uri(panel.image)) for panel in row] for row in rows],
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
    """The pictures of a run as rows that read like sums: geometry above, texture below."""
    rows = [[Panel("content", run.content, _dimensions(run.content))]]
    painted = run.result is not None and bool(run.tex_styles)
    if run.grid is not None:
        if run.geo_style is not None:
            rows[0].append(Panel("geometry style", run.geo_style, _dimensions(run.geo_style)))
        read = run.content[:, ::-1].copy() if run.theta.get("mirrored") else run.content
        overlay = draw_grid(read, run.grid, run.control_points)
        rows[0] = join([*rows[0], Panel("grid over content", overlay, _warp_note(run.theta))])
        if run.warped is not None:
            warped = Panel("warped", run.warped, _dimensions(run.warped))
            if painted:
                rows.append([warped])
            else:
                rows[0].append(replace(warped, sign="→"))
    if run.result is not None and run.tex_styles:
        weights = _weights(run.settings.get("tex_weights"), len(run.tex_styles))
        for number, style in enumerate(run.tex_styles):
            alone = len(run.tex_styles) == 1
            title = "texture style" if alone else f"texture style {number + 1}"
            note = _dimensions(style) if alone else f"weight {weights[number]:.2g}"
            rows[-1].append(Panel(title, style, note))
        steps = texture_steps(run.metrics)
        note = f"style loss {steps[-1]['style']:.3f}" if steps else ""
        rows[-1] = join([*rows[-1], Panel("result", run.result, note)])
        if run.tex_masks:
            rows.append([Panel(f"mask {i}", m) for i, m in enumerate(run.tex_masks, start=1)])
    return rows


def join(row: Sequence[Panel]) -> list[Panel]:
    """The panels as a sum: a plus sign before each but the first, an arrow before the last."""
    signs = ["", *["+"] * (len(row) - 2), "→"]
    return [replace(panel, sign=sign) for panel, sign in zip(row, signs, strict=False)]


def draw_grid(
    content: np.ndarray, grid: np.ndarray, control_points: np.ndarray | None = None
) -> np.ndarray:
    """Draw over the content where a regular lattice of the output comes from.

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
        _polyline(canvas, line, (255, 255, 255), width)
    _polyline(canvas, outline, ACCENT, 2 * width)
    if control_points is not None:
        dots = normalized_to_pixel(torch.from_numpy(control_points).double(), size).numpy()
        for dot in dots:
            _dot(canvas, dot, (255, 255, 255), 4.5 * width)
            _dot(canvas, dot, ACCENT, 3.5 * width)
    return canvas


def contact_sheet(rows: Sequence[Sequence[Panel]], height_px: int = 420) -> np.ndarray:
    """Set rows of panels on one sheet, aligned in columns.

    Args:
        rows: of panels; their signs, if any, stand in the gaps.
        height_px: the height of a panel; wide pictures lower it so that the sheet stays legible.

    Returns: (H, W, 3) uint8.
    """
    n_columns = max(map(len, rows))
    columns = [[row[i] for row in rows if i < len(row)] for i in range(n_columns)]
    joined = any(panel.sign for row in rows for panel in row)
    widest = [max(panel.aspect for panel in column) for column in columns]
    height = max(120, min(height_px, round(height_px * 1.5 * n_columns / sum(widest))))
    widths = [max(40, round(min(aspect, 2.4) * height)) for aspect in widest]
    gap, margin, caption = (64 if joined else 20), 40, 46
    sheet = Image.new(
        "RGB",
        (2 * margin + sum(widths) + gap * (n_columns - 1),
         2 * margin + len(rows) * (height + caption) + 24 * (len(rows) - 1)),
        PAPER,
    )  # fmt: skip
    draw = ImageDraw.Draw(sheet)
    bold, plain, sign = (
        _font("DejaVuSans-Bold", 19),
        _font("DejaVuSans", 15),
        _font("DejaVuSans", 38),
    )
    for r, row in enumerate(rows):
        top = margin + r * (height + caption + 24)
        for i, panel in enumerate(row):
            left = margin + sum(widths[:i]) + gap * i
            draw.text((left, top), panel.title, INK, bold)
            space = widths[i] - draw.textlength(panel.title, bold) - 14
            if draw.textlength(panel.note, plain) <= space:
                draw.text((left + widths[i], top + 3), panel.note, MUTED, plain, anchor="ra")
            else:
                draw.text((left, top + 25), panel.note, MUTED, plain)
            picture = _fit(panel.image, (height, widths[i]))
            sheet.paste(picture, (left + (widths[i] - picture.width) // 2, top + caption))
            before = (left - gap // 2, top + caption + height // 2)
            draw.text(before, panel.sign, MUTED, sign, anchor="mm")
    return np.asarray(sheet)


def save_sheet(
    rows: Sequence[Sequence[Panel]], path: Path, height_px: int = 320, *, joined: bool = False
) -> None:
    """Write a contact sheet as a PNG file, whole or not at all; `joined` makes each row a sum."""
    sheet = contact_sheet([join(row) for row in rows] if joined else rows, height_px)
    write_bytes(path, _encode(sheet, "PNG"))


def texture_steps(metrics: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl that the texture stage wrote."""
    return [line for line in metrics if line.get("stage") == "texture" and line.get("total")]


def loss_plot(metrics: Sequence[dict[str, Any]]) -> str:
    """The losses over all steps as an SVG drawing, one shaded band a level."""
    import matplotlib

    with matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "geostyle", "font.size": 10}
    ):
        from matplotlib.figure import Figure
        from matplotlib.ticker import NullFormatter

        steps = texture_steps(metrics)
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        axes = figure.subplots()
        looks = (("#c8641e", 2.2), ("#3577b8", 1.4), ("#5b9a4b", 1.4))
        for term, (color, width) in zip(TERMS, looks, strict=True):
            # A start from the content itself has no content loss, which no logarithm can show.
            values = [float(line[term] or 0) or float("nan") for line in steps]
            if any(value > 0 for value in values):
                axes.plot(range(len(values)), values, color=color, lw=width, label=term)
        starts = [
            i for i, line in enumerate(steps) if not i or line["level"] != steps[i - 1]["level"]
        ]
        for band, (start, end) in enumerate(zip(starts, [*starts[1:], len(steps)], strict=True)):
            if band % 2:
                axes.axvspan(start - 0.5, end - 0.5, color="#888888", alpha=0.12, lw=0)
            height, width_px = steps[start]["size"]
            axes.annotate(
                f"{width_px}×{height}",
                ((start + end - 1) / 2, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                color="#888888",
                fontsize=9,
            )
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(-0.5, max(len(steps) - 0.5, 0.5))
        axes.set_xlabel("step", color="#888888")
        axes.legend(frameon=False, labelcolor="#888888", loc="center left", bbox_to_anchor=(1, 0.5))
        axes.tick_params(which="both", colors="#888888")
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color("#888888")
        axes.grid(axis="y", color="#888888", alpha=0.2)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]


def data_uri(image: np.ndarray) -> str:
    """A picture (H, W, 3) uint8 as a JPEG within a ``data:`` address, at most 1024 px long."""
    picture = _fit(
        image, (min(MAX_EMBEDDED_PX, image.shape[0]), min(MAX_EMBEDDED_PX, image.shape[1]))
    )
    return "data:image/jpeg;base64," + base64.b64encode(_encode(picture, "JPEG")).decode("ascii")


def _comparison(run: RunFiles) -> tuple[str, str, str] | None:
    """Before and after for the slider, and what "before" is; None without two pictures."""
    last = run.result if run.result is not None else run.warped
    if last is None:
        return None
    same_frame = abs(last.shape[1] / last.shape[0] - run.content.shape[1] / run.content.shape[0])
    if same_frame < 0.02:
        return "content", data_uri(run.content), data_uri(last)
    if run.warped is not None and run.warped is not last:
        return "warped content", data_uri(run.warped), data_uri(last)
    return None


def _geometry_facts(run: RunFiles) -> dict[str, str]:
    """What there is to say about the warp, in rows for people; empty without one."""
    if run.grid is None:
        return {}
    outside = float((np.abs(run.grid) > 1).any(-1).mean())
    given = {"warp": run.theta.get("family"), "confidence": run.theta.get("confidence")}
    facts = {key: value for key, value in given.items() if value is not None}
    facts |= run.theta.get("meta") or {}
    if run.theta.get("mirrored"):
        facts["content"] = "mirrored first"
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
    """Shares of the texture styles, equal where the settings say nothing readable."""
    numbers = given if isinstance(given, list) and len(given) == count else [1.0] * count
    if not all(isinstance(n, (int, float)) and 0 <= n < math.inf for n in numbers):
        numbers = [1.0] * count
    return [n / (sum(numbers) or 1.0) for n in numbers]


def _dimensions(image: np.ndarray) -> str:
    return f"{image.shape[1]}×{image.shape[0]}"


def _polyline(
    canvas: np.ndarray, points: np.ndarray, color: tuple[int, int, int], width: int
) -> None:
    """Draw (N, 2) pixel points, antialiased, with sixteenths of a pixel kept."""
    # Far-off points would overflow OpenCV's fixed-point arithmetic; none of them shows anyway.
    fixed = np.clip(points, -1e5, 1e5) * 16
    cv2.polylines(canvas, [fixed.round().astype(np.int32)], False, color, width, cv2.LINE_AA, 4)


def _dot(canvas: np.ndarray, point: np.ndarray, color: tuple[int, int, int], radius: float) -> None:
    """Draw a filled circle about a pixel point (2,), antialiased, with sixteenths kept."""
    x, y = (np.clip(point, -1e5, 1e5) * 16).round().astype(int).tolist()
    cv2.circle(canvas, (x, y), round(16 * radius), color, -1, cv2.LINE_AA, 4)


def control_points_of(parameters: WarpParameters) -> np.ndarray | None:
    """Where a warp's control points lie in the content, normalized (K, 2); None without any."""
    family = parameters.warp_family
    points = getattr(family, "control_points", None)
    if points is None:
        return None
    return family.map(parameters.theta.double()[None], points[None])[0].numpy()


def _fit(image: np.ndarray, box: tuple[int, int]) -> Image.Image:
    """The picture at the largest size of its shape within `box` (H, W)."""
    height, width = image.shape[:2]
    scale = min(box[0] / height, box[1] / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(image)
    return picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS)


def _encode(image: np.ndarray | Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    options = {"quality": 92, "subsampling": 0} if kind == "JPEG" else {"compress_level": 4}
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """One of the fonts that matplotlib carries, so that sheets look alike on every machine."""
    import matplotlib

    return ImageFont.truetype(
        Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf", size
    )


def _rows(values: dict[str, Any]) -> dict[str, str]:
    """Nested settings as text by dotted name."""
    return {name: _text(value) for name, value in flatten(values).items()}


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "–" if value is None else str(value)
