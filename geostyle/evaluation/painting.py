"""Scores of paintings by any method: statistics, use of the style, structure, color."""

from __future__ import annotations

import csv
import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from geostyle.coords import Size, resize, size_of
from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor
from geostyle.io.files import read_json
from geostyle.io.images import load_picture
from geostyle.io.originals import FILES as ORIGINALS
from geostyle.texture.hypercolumns import LAYERS, hypercolumns, layer_scales
from geostyle.texture.losses import gram, relative_error

GRAM_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
SHAPE_LAYERS = ("relu3_1", "relu3_2", "relu3_3", "relu4_1")
POSITIONS = 2048  # of the hypercolumns, drawn from each picture
SHAPE_POSITIONS = 1024
COLUMNS = ("content", "tex_style", "result")
RESULT_SUFFIXES = (".png", ".tif", ".jpg", ".webp")


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
def score_painting(
    painting: Painting, network: FeatureExtractor, *, seed: int = 0
) -> PaintingScore:
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
    """Return max(mean_i min_j C_ij, mean_j min_i C_ij) of the cosine distances of rows."""
    distances = 1 - F.normalize(a, dim=1) @ F.normalize(b, dim=1).T
    return max(float(distances.amin(1).mean()), float(distances.amin(0).mean()))


def read_list(path: Path, argument: str = "list") -> Iterator[Painting]:
    """Yield the paintings of a CSV file with the columns content, tex_style and result.

    Paths are relative to the file; lines that begin with # are skipped.

    Args:
        argument: that names the file, for errors.

    Raises: InputError for a file without lines, a missing column or picture.
    """
    try:
        lines = [
            line
            for line in path.read_text(encoding="utf-8-sig").splitlines()
            if line.strip() and not line.startswith("#")
        ]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{argument}: expected a readable CSV file, got {str(path)!r}") from error
    rows = csv.DictReader(lines)
    missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        raise InputError(
            f"{argument}: expected the columns {', '.join(COLUMNS)} in {str(path)!r}, "
            f"got none named {missing[0]}"
        )
    listed = [[row[name] or "" for name in COLUMNS] for row in rows]
    if not listed:
        raise InputError(f"{argument}: expected paintings in {str(path)!r}, got none")
    for names in listed:
        pictures = [load_picture(path.parent / name, name=argument).tensor for name in names]
        yield Painting(_name(names[0], names[1]), *pictures)


def read_runs(folder: Path, argument: str = "runs") -> Iterator[Painting]:
    """Yield the paintings of finished runs below a folder: warped content, style and result.

    Runs without a texture style, or with several, are left out. A painting is named after
    the pictures that its run was given.

    Raises: InputError where no run is left.
    """
    found = 0
    for warped in sorted(folder.glob("*/warped.png")):
        run = warped.parent
        styles = sorted(run.glob("inputs/tex_style*.png"))
        files = [run / f"result{suffix}" for suffix in RESULT_SUFFIXES]
        results = [file for file in files if file.is_file()]
        if len(styles) != 1 or not results or (run / ".unfinished").exists():
            continue
        found += 1
        pictures = [
            load_picture(file, name=argument).tensor for file in (warped, styles[0], results[0])
        ]
        yield Painting(_name_of(run), *pictures)
    if not found:
        raise InputError(
            f"{argument}: expected finished runs with one texture style each below "
            f"{str(folder)!r}, got none"
        )


def read_paintings(path: Path, argument: str) -> Iterator[Painting]:
    """Yield the paintings of a CSV file or a folder of runs; see `read_list` and `read_runs`."""
    return read_runs(path, argument) if path.is_dir() else read_list(path, argument)


def score_all(
    paintings: Iterable[Painting],
    network: FeatureExtractor,
    *,
    seed: int = 0,
    on_painting: Callable[[], object] = lambda: None,
) -> dict[str, PaintingScore]:
    """Return the scores by name; later paintings of the same name are numbered from 2."""
    found: dict[str, PaintingScore] = {}
    times: Counter[str] = Counter()
    for painting in paintings:
        times[painting.name] += 1
        number = times[painting.name]
        name = painting.name if number == 1 else f"{painting.name} ({number})"
        found[name] = score_painting(painting, network, seed=seed)
        on_painting()
    return found


def ratios(
    scores: Mapping[str, PaintingScore], baseline: Mapping[str, PaintingScore]
) -> dict[str, float]:
    """Return the median ratio of each score to the baseline's, over the names in both.

    Raises: InputError where they have no name in common.
    """
    common = [name for name in scores if name in baseline]
    if not common:
        raise InputError(
            f"baseline: expected paintings named as the scored ones, such as {next(iter(scores))!r}"
            f", got {next(iter(baseline))!r}"
        )
    mine, other = ([asdict(one[name]) for name in common] for one in (scores, baseline))
    return {
        key: statistics.median(a[key] / max(b[key], 1e-9) for a, b in zip(mine, other, strict=True))
        for key in mine[0]
    }


def medians(scores: Mapping[str, PaintingScore]) -> dict[str, float]:
    """Return the median over paintings of every score, by its name."""
    rows = [asdict(score) for score in scores.values()]
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def table(scores: Mapping[str, PaintingScore], relative: Mapping[str, float] | None = None) -> str:
    """Return one line per painting, one of medians, and one of the ratios to a baseline."""
    names = [field.name for field in fields(PaintingScore)]
    rows: dict[str, Mapping[str, float]] = {name: asdict(one) for name, one in scores.items()}
    rows |= {"median": medians(scores)}
    if relative is not None:
        rows |= {"ratio to baseline": relative}
    width = max(len(name) for name in rows)
    lines = ["".ljust(width) + "".join(name.rjust(14) for name in names)]
    for name, row in rows.items():
        lines.append(name.ljust(width) + "".join(f"{row[key]:14.3f}" for key in names))
    return "\n".join(lines)


def color_moments(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean (3,) and covariance (3, 3) in CIE Lab of (1, 3, H, W), sRGB in [0, 1]."""
    import kornia.color  # slow to load

    lab = kornia.color.rgb_to_lab(picture.cpu().double())[0].flatten(1)
    return lab.mean(1), torch.cov(lab, correction=0)


def _name(content: str, tex_style: str) -> str:
    return f"{Path(content).stem} x {Path(tex_style).stem}"


def _name_of(run: Path) -> str:
    """Return the name of a run's pictures where it recorded them, otherwise that of its folder."""
    file = run / ORIGINALS
    files = read_json(file, name="runs") if file.is_file() else {}
    try:
        content, tex_style = (files[name]["path"] for name in ("content", "tex_style-1"))
        return _name(content, tex_style)
    except (KeyError, TypeError):
        return run.name


def _flat(columns: Tensor) -> Tensor:
    """Flatten (1, C, h, w) to (h·w, C)."""
    return columns[0].flatten(1).T


def _sample(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    return rows[torch.randperm(len(rows), generator=generator)[:count]]


def _self_distances(rows: Tensor) -> Tensor:
    """Return cosine distances (N, N) between rows (N, C), each row of the result of sum 1."""
    unit = F.normalize(rows, dim=1)
    distances = (1 - unit @ unit.T).clamp_min(0)
    return distances / distances.sum(1, keepdim=True).clamp_min(1e-8)


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T


def _fit(size: Size, long_side: int) -> Size:
    factor = long_side / max(size)
    return max(16, math.floor(size[0] * factor + 0.5)), max(16, math.floor(size[1] * factor + 0.5))
