"""Send ten thousand warps through the guard at output size, and count folded pixels.

    python tests/reliability/folds.py [--count 10500] [--size 512] [--images FOLDER] [--json FILE]

Random thetas of every family, adversarial ones, and estimates from pictures (bundled ones, or those
of a folder) under every setting that shapes them, at strengths up to 5: each goes the way that a
theta of a run goes, and its dense grid is checked by code that shares nothing with the guard's.
The exit status is 0 where nothing folds. `make folds` runs it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from geostyle.coords import resize  # noqa: E402
from geostyle.errors import InputError  # noqa: E402
from geostyle.features.extractor import FeatureExtractor, load_features  # noqa: E402
from geostyle.io.images import list_pictures, load_picture  # noqa: E402
from geostyle.matching import Description, GeometrySettings, describe, estimate_from  # noqa: E402
from geostyle.warps import RandomRanges, WarpParameters, make_family  # noqa: E402

FAMILIES = ("affine", "tps", "affine+tps", "homography", "biquadratic")
SHAPES = ((1, 1), (2, 3), (3, 2), (1, 4), (9, 16))  # of outputs
KEPT = 24  # pictures that are described
Case = tuple[str, WarpParameters, float]


def main() -> int:
    """Draw, guard, check, count."""
    parser = argparse.ArgumentParser(description="Count folds behind the guard.")
    parser.add_argument("--count", type=int, default=10_500, help="warps in all")
    parser.add_argument(
        "--estimated", type=float, default=0.1, help="share of them estimated from pictures (slow)"
    )
    parser.add_argument("--size", type=int, default=512, help="long side of the dense grid, px")
    parser.add_argument("--images", type=Path, help="folder of pictures; default: bundled ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    started, cases, folded, refused = time.monotonic(), *(Counter[str]() for _ in range(3))
    worst = np.inf
    for kind, parameters, strength in tqdm(draw(options), total=options.count, unit="warp"):
        size = tuple(max(2, round(s * options.size / max(parameters.output_size)))
                     for s in parameters.output_size)  # fmt: skip
        try:
            grid = parameters.grid((size[0], size[1]), strength).float()[0].numpy()
        except InputError:  # powers of what turns the picture over are refused
            refused[kind] += 1
            continue
        bad, least = folds(grid)
        cases[kind] += 1
        folded[kind] += bad
        worst = min(worst, least)
        if bad:
            print(f"FOLDED {bad} px: {kind}, strength {strength}: {parameters}", flush=True)
    figures = {
        "warps": sum(cases.values()),
        "refused": sum(refused.values()),
        "folded_px": sum(folded.values()),
        "least_determinant": float(worst),
        "size_px": options.size,
        "kinds": {kind: {"warps": n, "folded_px": folded[kind]} for kind, n in cases.items()},
        "seconds": round(time.monotonic() - started, 1),
    }
    print(json.dumps(figures, indent=1))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 1 if folded.total() else 0


def folds(grid: np.ndarray) -> tuple[int, float]:
    """Pixels of `grid` (H, W, 2) with a triangle turned over, and the least signed area relative to
    the mean, both by numpy in float64; NaN counts as folded.
    """
    g = grid.astype(np.float64)
    a, b, c, d = g[:-1, :-1], g[:-1, 1:], g[1:, :-1], g[1:, 1:]
    areas = np.stack([_cross(b - a, c - a), _cross(d - b, a - b), _cross(a - c, d - c),
                      _cross(c - d, b - d)])  # fmt: skip
    bad = ~(areas > 0).all(0)
    mean = np.abs(areas).mean()
    return int(bad.sum()), float(areas.min() / mean) if mean else float("nan")


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]


def draw(options: argparse.Namespace) -> Iterator[Case]:
    """Warps of all kinds, each with the strength it is applied at."""
    rng = np.random.default_rng(options.seed)
    estimates = round(options.count * options.estimated)
    yield from estimated(rng, estimates, options.images)
    makers = (drawn, wild, one_point, checkerboard, thin, borderline, twisted)
    for number in range(options.count - estimates):
        yield makers[number % len(makers)](rng)


def parameters(rng: np.random.Generator, name: str, lattice: int, theta: Tensor) -> WarpParameters:
    """A warp between frames of one of the shapes."""
    sizes = [tuple(60 * s for s in SHAPES[rng.integers(len(SHAPES))]) for _ in range(2)]
    return WarpParameters(name, lattice, theta.float().clamp(-1e6, 1e6), *sizes)  # type: ignore[arg-type]


def strength(rng: np.random.Generator) -> float:
    """A strength as people set it."""
    return float(rng.choice([0.25, 1.0, 1.0, 1.5, 2.0, 5.0]))


def drawn(rng: np.random.Generator) -> Case:
    """As training draws them, but three times as far."""
    name, lattice = str(rng.choice(FAMILIES)), int(rng.integers(2, 9))
    ranges = RandomRanges(45.0, 60.0, (0.4, 2.0), 0.6, 1.2, 0.5, 0.4)
    theta = torch.from_numpy(make_family(name, lattice).draw(rng, (90, 120), ranges))
    return f"random {name}", parameters(rng, name, lattice, theta), strength(rng)


def wild(rng: np.random.Generator) -> Case:
    """Noise of any size."""
    name, lattice = str(rng.choice(("tps", "biquadratic"))), int(rng.integers(2, 12))
    count = make_family(name, lattice).n_params
    theta = torch.from_numpy(rng.normal(size=count) * 10 ** rng.uniform(-2, 5))
    return f"noise {name}", parameters(rng, name, lattice, theta), strength(rng)


def one_point(rng: np.random.Generator) -> Case:
    """One control point dragged far, as by hand."""
    lattice = int(rng.integers(2, 9))
    theta = torch.zeros(6 + 2 * lattice**2)
    theta[6 + int(rng.integers(2 * lattice**2))] = float(rng.normal() * 10 ** rng.uniform(-1, 3))
    return "one control point", parameters(rng, "affine+tps", lattice, theta), strength(rng)


def checkerboard(rng: np.random.Generator) -> Case:
    """Neighboring control points pushed against one another."""
    lattice = int(rng.integers(3, 12))
    signs = torch.tensor([(-1.0) ** (i + j) for i in range(lattice) for j in range(lattice)])
    push = torch.from_numpy(rng.normal(size=2)) * rng.uniform(0.3, 3) / lattice
    theta = (signs[:, None] * push).flatten()
    return "checkerboard", parameters(rng, "tps", lattice, theta), strength(rng)


def thin(rng: np.random.Generator) -> Case:
    """Affine maps that are nearly flat, nearly half turns, or huge."""
    a = rng.normal(size=(2, 2)) * 10 ** rng.uniform(-3, 3)
    if np.linalg.det(a) <= 0:
        a[0] *= -1
    if np.linalg.det(a) <= 1e-9 * np.abs(a).max() ** 2:
        a = a + np.eye(2) * np.abs(a).max()
    matrix = np.column_stack((a - np.eye(2), rng.normal(size=2)))
    theta = torch.from_numpy(matrix.reshape(6))
    return "thin affine", parameters(rng, "affine", 4, theta), 1.0


def borderline(rng: np.random.Generator) -> Case:
    """Splines a hair before or behind their first fold."""
    lattice = int(rng.integers(3, 9))
    family = make_family("tps", lattice)
    theta = torch.from_numpy(rng.normal(size=family.n_params)) / lattice
    low, high = 0.0, 4.0
    for _ in range(16):
        middle = (low + high) / 2
        dense = family.grid(middle * theta[None], (65, 65))[0].numpy()
        low, high = (low, middle) if folds(dense)[0] else (middle, high)
    scale = low * (1 + float(rng.choice([-1e-3, -1e-6, 1e-6, 1e-3, 1e-2])))
    return "borderline", parameters(rng, "tps", lattice, scale * theta), 1.0


def twisted(rng: np.random.Generator) -> Case:
    """Whirls: the middle turned, the border held."""
    lattice = int(rng.integers(4, 10))
    family = make_family("tps", lattice)
    p = family.control_points  # type: ignore[attr-defined]
    turn = rng.uniform(-1, 1) * np.pi * (1 - p.norm(dim=1).clamp(max=1))
    moved = torch.stack((p[:, 0] * turn.cos() - p[:, 1] * turn.sin(),
                         p[:, 0] * turn.sin() + p[:, 1] * turn.cos()), 1)  # fmt: skip
    return "whirl", parameters(rng, "tps", lattice, (moved - p).flatten()), strength(rng)


def estimated(rng: np.random.Generator, count: int, images: Path | None) -> Iterator[Case]:
    """Estimates between pictures of all shapes, real, flat, noisy, mirrored and upside down."""
    extractor = load_features("lite")
    known = described(extractor, images)
    for _ in range(count):
        a, b = (known[int(i)] for i in rng.integers(len(known), size=2))
        settings = GeometrySettings(
            estimator="refined" if rng.random() < 0.3 else "robust",
            looks=1,
            geometry=str(rng.choice(FAMILIES)),
            frame=str(rng.choice(("content", "geo"))),
            lattice=int(rng.integers(2, 10)),
            smoothing=float(10 ** rng.uniform(-6, -2)),
            prior=float(10 ** rng.uniform(-4, 0)),
            max_rotation_deg=float(rng.uniform(0, 180)),
            max_scale=float(rng.uniform(1, 10)),
            max_anisotropy=float(rng.uniform(1, 10)),
            max_stretch=float(rng.uniform(1.2, 100)),
            keep_position=bool(rng.random() < 0.3),
            fade=bool(rng.random() < 0.3),
        )
        found = estimate_from(a, b, settings).parameters
        yield f"estimated {settings.geometry}", found, strength(rng)


def described(extractor: FeatureExtractor, images: Path | None) -> list[Description]:
    """Descriptions of pictures: some as they are, some spoilt."""
    folder = Path(str(resources.files("geostyle"))) / "assets" / "pictures"
    paths = list_pictures(images, recursive=True) if images else sorted(folder.rglob("*.jpg"))
    paths = paths[:: max(1, len(paths) // KEPT)][:KEPT]
    pictures = [load_picture(path).tensor for path in paths]
    generator = torch.Generator().manual_seed(0)
    pictures += [p.flip(-1) for p in pictures[:3]] + [p.flip(-2) for p in pictures[:3]]
    pictures += [torch.full((1, 3, 96, 128), 0.5), torch.rand(1, 3, 96, 128, generator=generator)]
    pictures += [resize(pictures[0], size) for size in ((16, 300), (300, 16), (16, 16))]
    return [describe(p.clamp(0, 1), extractor, GeometrySettings()) for p in pictures]


if __name__ == "__main__":
    sys.exit(main())
