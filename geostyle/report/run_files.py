"""The files of a run folder that a report is made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file
from safetensors.torch import save

from geostyle.config import read_yaml
from geostyle.errors import InputError
from geostyle.io.files import read_json, read_metrics, write_bytes
from geostyle.io.images import load_picture, to_uint8
from geostyle.report.plots import TERMS, control_points_of, texture_steps
from geostyle.warps import WarpParameters

GRID_FILE = "grid.safetensors"
SOURCE_FILE = "source.safetensors"
PREVIEW_FILE = "preview.png"  # the warps to choose from
RESULT_FILES = ("result.png", "result.tif", "result.jpg", "result.webp")


@dataclass(frozen=True)
class RunFiles:
    """The contents of a run folder; None or empty for files that this run did not make.

    Pictures are (H, W, 3) uint8, the grid is (H, W, 2), control points are (K, 2), the source map
    is (4, h, w).
    """

    folder: Path
    content: np.ndarray
    geo_styles: list[np.ndarray]
    geo_regions: list[np.ndarray]
    tex_styles: list[np.ndarray]
    tex_masks: list[np.ndarray]
    warped: np.ndarray | None
    result: np.ndarray | None
    grid: np.ndarray | None
    source: np.ndarray | None
    theta: dict[str, Any]
    settings: dict[str, Any]
    environment: dict[str, Any]
    metrics: list[dict[str, Any]]
    control_points: np.ndarray | None
    choices: np.ndarray | None


def save_grid(path: Path, grid: torch.Tensor) -> None:
    """Write a sampling grid (1, H, W, 2) as safetensors, whole or not at all."""
    write_bytes(path, save({"grid": grid.detach().cpu().float().contiguous()}))


def save_source(path: Path, source_map: torch.Tensor) -> None:
    """Write a source map (4, h, w) as safetensors, whole or not at all."""
    write_bytes(path, save({"source": source_map.detach().cpu().float().contiguous()}))


def read_run(folder: str | Path) -> RunFiles:
    """Read the files of a run folder.

    Raises: InputError where it is no run folder, or one of its files is damaged.
    """
    folder = Path(folder)
    if not (folder / "inputs" / "content.png").is_file():
        raise InputError(f"run: expected a run folder, got {str(folder)!r} (no inputs/content.png)")
    try:
        return _read(folder)
    except InputError:
        raise
    except Exception as error:  # whatever a damaged file makes its reader raise
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"run: expected whole files in {str(folder)!r}, got: {reason}") from error


def _read(folder: Path) -> RunFiles:
    def pictures(*names: str) -> list[np.ndarray]:
        found = [name for name in names if (folder / name).is_file()]
        return [
            to_uint8(load_picture(folder / name, name=name, keeps_alpha=True).tensor)
            for name in found
        ]

    def picture(*names: str) -> np.ndarray | None:
        return next(iter(pictures(*names)), None)

    def several(name: str) -> list[np.ndarray]:
        return pictures(f"inputs/{name}.png", *(f"inputs/{name}-{i}.png" for i in range(1, 100)))

    def mapping(name: str) -> dict[str, Any]:
        return read_json(folder / name) if (folder / name).is_file() else {}

    settings, metrics_path = folder / "settings.yaml", folder / "metrics.jsonl"
    metrics = read_metrics(metrics_path) if metrics_path.is_file() else []
    for line in texture_steps(metrics):
        numbers = [line["level"], *line["size"], *(line[term] or 0 for term in TERMS)]
        if len(numbers) != 6 or not all(isinstance(n, int | float) for n in numbers):
            raise InputError(f"run: expected figures of a step in {str(metrics_path)!r}")
    saved, theta = folder / "theta.json", mapping("theta.json")
    parts = theta.get("meta") or {}, theta.get("confidence") or 0
    if not isinstance(parts[0], dict) or not isinstance(parts[1], int | float):
        raise InputError(f"run: expected a warp in {str(saved)!r}")
    return RunFiles(
        folder=folder,
        content=pictures("inputs/content.png")[0],
        geo_styles=several("geo_style"),
        geo_regions=several("geo_regions"),
        tex_styles=several("tex_style"),
        tex_masks=several("tex_mask"),
        warped=picture("warped.png"),
        result=picture(*RESULT_FILES),
        grid=_read_grid(folder / GRID_FILE),
        source=_read_source(folder / SOURCE_FILE),
        theta=theta,
        settings=dict(read_yaml(settings)) if settings.is_file() else {},
        environment=mapping("environment.json"),
        metrics=metrics,
        control_points=control_points_of(WarpParameters.load(saved)) if "theta" in theta else None,
        choices=picture(PREVIEW_FILE),
    )


def _read_grid(path: Path) -> np.ndarray | None:
    if not path.is_file():
        return None
    grid = load_file(path)["grid"]
    if grid.ndim != 4 or grid.shape[0] != 1 or grid.shape[3] != 2 or not np.isfinite(grid).all():
        raise InputError(f"run: expected a finite grid (1, H, W, 2) in {str(path)!r}")
    return grid[0]


def _read_source(path: Path) -> np.ndarray | None:
    if not path.is_file():
        return None
    source = load_file(path)["source"]
    if source.ndim != 3 or source.shape[0] != 4 or not source.size or not np.isfinite(source).all():
        raise InputError(f"run: expected a finite source map (4, h, w) in {str(path)!r}")
    return source
