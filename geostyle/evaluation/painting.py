"""Scores of paintings, whoever made them: statistics, use of the style, structure, color."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from geostyle.coords import Size, resize, size_of
from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor
from geostyle.io.images import load_picture
from geostyle.texture.colors import color_moments
from geostyle.texture.hypercolumns import LAYERS, hypercolumns, layer_scales
from geostyle.texture.losses import gram, relative_error

GRAM_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
SHAPE_LAYERS = ("relu3_1", "relu3_2", "relu3_3", "relu4_1")
POSITIONS = 2048  # of the hypercolumns, drawn from each picture
SHAPE_POSITIONS = 1024
COLUMNS = ("content", "tex_style", "result")


@dataclass(frozen=True)
class PaintingScore:
    """Errors of one painting; lower is better.

    Attributes:
        gram: mean over relu1_1 … relu4_1 of ‖G(x) − G(s)‖² / ‖G(s)‖².
        remd: relaxed earth mover's distance between hypercolumns of the painting and of the style,
            cosine, 0 to 2. Finite samples leave it above 0: compare with `remd_floor`.
        remd_floor: the same distance between two samples of the style.
        selfsim: mean absolute difference between the rows of the self-distance matrices of painting
            and content, each row of sum 1, 0 to 2.
        color_mean: distance between the mean colors of painting and style in CIE Lab (ΔE*ab).
        color_spread: Frobenius distance between the square roots of their covariances in CIE Lab.
    """

    gram: float
    remd: float
    remd_floor: float
    selfsim: float
    color_mean: float
    color_spread: float


@dataclass(frozen=True)
class Painting:
    """A painting and what it was made from; all (1, 3, H, W), sRGB in [0, 1].

    Attributes:
        name: for tables.
        content: the picture whose structure is kept: the warped content where there was a warp.
        tex_style: the exemplar.
        result: the painting; `content` is resized to it.
    """

    name: str
    content: Tensor
    tex_style: Tensor
    result: Tensor


@torch.no_grad()
def score_painting(painting: Painting, network: FeatureExtractor, *, seed: int = 0) -> PaintingScore:
    """Score a painting.

    Args:
        painting: see `Painting`. The style is read at the long side of the result.
        network: the project quotes VGG-19 in float32.
        seed: of the positions that are compared.

    Source: Kolkin et al., "Style Transfer by Relaxed Optimal Transport and Self-Similarity",
        equations 5 and 9; Gatys, Ecker, Bethge, equation 5.
    Differs: layers of the hypercolumns are scaled to a root mean square of 1 over the style.
    """
    result = painting.result.clamp(0, 1)
    size = size_of(result)
    content = resize(painting.content, size).clamp(0, 1)
    style = resize(painting.tex_style, _fit(size_of(painting.tex_style), max(size))).clamp(0, 1)
    generator = torch.Generator().manual_seed(seed)
    scales = layer_scales([style], network, LAYERS)
    of_style = _flat(hypercolumns(style, network, scales))
    of_result = _flat(hypercolumns(result, network, scales))
    first, second = (_sample(of_style, POSITIONS, generator) for _ in range(2))
    remd = relaxed_earth_movers_distance(_sample(of_result, POSITIONS, generator), first)
    mine, goal = network(result, GRAM_LAYERS), network(style, GRAM_LAYERS)
    grams = [float(relative_error(gram(mine[k]), gram(goal[k]))) for k in GRAM_LAYERS]
    shape = {layer: scales[layer] for layer in SHAPE_LAYERS}
    rows = [_flat(hypercolumns(picture, network, shape)) for picture in (result, content)]
    chosen = torch.randperm(len(rows[0]), generator=generator)[:SHAPE_POSITIONS]
    distances = [_self_distances(row[chosen]) for row in rows]
    colors = [color_moments(picture) for picture in (result, style)]
    return PaintingScore(
        gram=sum(grams) / len(grams),
        remd=remd,
        remd_floor=relaxed_earth_movers_distance(second, first),
        selfsim=float((distances[0] - distances[1]).abs().sum(1).mean()),
        color_mean=float((colors[0][0] - colors[1][0]).norm()),
        color_spread=float((_root(colors[0][1]) - _root(colors[1][1])).norm()),
    )


def relaxed_earth_movers_distance(a: Tensor, b: Tensor) -> float:
    """max(mean_i min_j C_ij, mean_j min_i C_ij) of the cosine distances of (N, C) and (M, C)."""
    distances = 1 - F.normalize(a, dim=1) @ F.normalize(b, dim=1).T
    return max(float(distances.amin(1).mean()), float(distances.amin(0).mean()))


def read_list(path: Path) -> Iterator[Painting]:
    """Paintings of a CSV file with the columns content, tex_style and result.

    Paths are relative to the file; lines that begin with # are skipped.

    Raises: InputError for a missing column or picture.
    """
    try:
        lines = [
            line
            for line in path.read_text(encoding="utf-8-sig").splitlines()
            if line.strip() and not line.startswith("#")
        ]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"list: expected a readable CSV file, got {str(path)!r}") from error
    rows = csv.DictReader(lines)
    missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        raise InputError(
            f"list: expected the columns {', '.join(COLUMNS)} in {str(path)!r}, "
            f"got none named {missing[0]}"
        )
    for row in rows:
        pictures = {
            name: load_picture(path.parent / str(row[name] or ""), name=name).tensor
            for name in COLUMNS
        }
        yield Painting(Path(str(row["result"])).name, **pictures)


def read_runs(folder: Path) -> Iterator[Painting]:
    """Paintings of the finished runs below a folder: their warped content, style and result.

    Runs without a texture style, or with several, are left out.

    Raises: InputError where no run is left.
    """
    found = 0
    for result in sorted(folder.glob("*/result.*")):
        run = result.parent
        styles = sorted(run.glob("inputs/tex_style*.png"))
        warped = run / "warped.png"
        if len(styles) != 1 or not warped.is_file() or result.suffix == ".json":
            continue
        found += 1
        yield Painting(
            run.name,
            content=load_picture(warped, name="runs").tensor,
            tex_style=load_picture(styles[0], name="runs").tensor,
            result=load_picture(result, name="runs").tensor,
        )
    if not found:
        raise InputError(
            f"runs: expected runs with one texture style each below {str(folder)!r}, got none"
        )


def medians(scores: Sequence[PaintingScore]) -> dict[str, float]:
    """Median over paintings of every figure, by name."""
    rows = [asdict(score) for score in scores]
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def table(scores: dict[str, PaintingScore]) -> str:
    """One line per painting and a last one of medians, as text."""
    names = [field.name for field in fields(PaintingScore)]
    width = max(8, *(len(name) for name in scores))
    lines = ["".ljust(width) + "".join(name.rjust(14) for name in names)]
    rows = {name: asdict(score) for name, score in scores.items()}
    for name, row in [*rows.items(), ("median", medians(list(scores.values())))]:
        lines.append(name.ljust(width) + "".join(f"{row[key]:14.3f}" for key in names))
    return "\n".join(lines)


def _flat(columns: Tensor) -> Tensor:
    """(1, C, h, w) → (h·w, C)."""
    return columns[0].flatten(1).T


def _sample(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    return rows[torch.randperm(len(rows), generator=generator)[:count]]


def _self_distances(rows: Tensor) -> Tensor:
    """Cosine distances (N, N) between rows (N, C), each row of the result of sum 1."""
    unit = F.normalize(rows, dim=1)
    distances = (1 - unit @ unit.T).clamp_min(0)
    return distances / distances.sum(1, keepdim=True).clamp_min(1e-8)


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T


def _fit(size: Size, long_side: int) -> Size:
    factor = long_side / max(size)
    return max(16, math.floor(size[0] * factor + 0.5)), max(16, math.floor(size[1] * factor + 0.5))
