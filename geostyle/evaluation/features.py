"""Comparison of a small feature network (the student) with VGG-19 (the reference).

Texture: both networks paint the same held-out pairs by the same schedule, the reference scores
both, and the matches of hypercolumns that both find are compared. Geometry: both serve the robust
estimator on the same keypoints. Speed: both take the same optimizer steps.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from geostyle.coords import resize, size_of
from geostyle.data.crops import bundled_pictures
from geostyle.device import resolve_device, resolve_precision
from geostyle.errors import InputError
from geostyle.evaluation import pck
from geostyle.evaluation.keypoints import read_pf_willow
from geostyle.evaluation.matches import match_agreement
from geostyle.features.extractor import (
    BUNDLED_LITE,
    CONVS_PER_BLOCK,
    FeatureExtractor,
    load_features,
)
from geostyle.io.images import (
    check_shape_kept,
    fit_size,
    is_validation,
    list_pictures,
    load_picture,
)
from geostyle.matching import GeometrySettings
from geostyle.texture import Score, TextureSettings, score, transfer_texture
from geostyle.texture.objective import TextureObjective
from geostyle.texture.schedule import style_size
from geostyle.texture.settings import CONTENT_LAYER, STYLE_LAYERS

GEOMETRY_LAYER = "pool4"
DEEPEST = "relu5_1"
LAYERS = (*STYLE_LAYERS, CONTENT_LAYER, GEOMETRY_LAYER)
STEP_ROUNDS = 5  # timed steps of each network, after one to warm up


@dataclass(frozen=True)
class PaintedPair:
    """One pair painted under both networks, with scores under the reference.

    Attributes:
        content, tex_style: (1, 3, H, W), the pictures as they were used.
        images: the results, "reference" and "student".
        start: score of the content itself.
        scores: of the results.
    """

    content: Tensor
    tex_style: Tensor
    images: dict[str, Tensor]
    start: Score
    scores: dict[str, Score]

    @property
    def fall(self) -> float:
        """Fall of the total score under the student, as a share of that under the reference."""
        falls = {k: self.start.total - s.total for k, s in self.scores.items()}
        return falls["student"] / falls["reference"]

    @property
    def style_ratio(self) -> float:
        """Style score of the student's result over that of the reference's."""
        return self.scores["student"].style / self.scores["reference"].style


def held_out_pairs(images: Path | None, styles: Path | None, count: int) -> list[tuple[Path, Path]]:
    """Return pairs of pictures that no training reads: a tenth of each folder (`is_validation`).

    Args:
        images, styles: folders; None takes the bundled pictures, none of which a training reads.
        count: pairs, spread over the folders; pictures repeat where there are too few.

    Raises: InputError where a folder holds none.
    """
    chosen = []
    for folder, name, bundled in ((images, "images", "content"), (styles, "styles", "styles")):
        if folder is None:
            found = bundled_pictures(bundled)
        else:
            found = list_pictures(folder, recursive=True, name=name)
            found = [path for path in found if is_validation(path)]
        if not found:
            raise InputError(f"{name}: expected held-out pictures in {str(folder)!r}, got none")
        step = max(1, len(found) // count)
        chosen.append([found[i * step % len(found)] for i in range(count)])
    return list(zip(*chosen, strict=True))


def load_canvas(path: Path, size_px: int) -> Tensor:
    """Return a photograph (1, 3, H, W) with a long side of `size_px`."""
    content = load_picture(path, name="images")
    check_shape_kept(content.size, size_px)
    return resize(content.tensor, fit_size(content.size, size_px)).clamp(0, 1)


def load_texture(path: Path) -> Tensor:
    """Return a painting (1, 3, h, w) as it is."""
    return load_picture(path, name="styles").tensor


def like_canvas(texture: Tensor, canvas: Tensor) -> Tensor:
    """Return a texture (1, 3, h, w) at the size in which a canvas (1, 3, H, W) is to show it."""
    return resize(texture, style_size(texture, size_of(canvas), 1.0)).clamp(0, 1)


def paint_pair(
    canvas: Tensor,
    texture: Tensor,
    painters: dict[str, FeatureExtractor],
    scorer: FeatureExtractor,
    settings: TextureSettings,
) -> PaintedPair:
    """Paint a canvas under every network of `painters` and score the results under `scorer`."""
    scaled = like_canvas(texture, canvas)
    images = {k: transfer_texture(canvas, texture, p, settings).image for k, p in painters.items()}
    scores = {k: score(image, canvas, scaled, scorer) for k, image in images.items()}
    return PaintedPair(canvas, scaled, images, score(canvas, canvas, scaled, scorer), scores)


@torch.no_grad()
def product_similarity(
    image: Tensor, student: FeatureExtractor, reference: FeatureExtractor
) -> dict[str, float]:
    """Return the cosine between two networks' tables of inner products of all positions, by layer.

    Gram losses and correlations depend on features through these products only; 1 means equal up to
    scale. At pool4 the products are those of centered unit vectors, as matching uses them.

    Source: Kornblith et al., "Similarity of Neural Network Representations Revisited", section 3
        (the products' Frobenius inner product equals ‖F F'ᵀ‖²).
    """
    found = [network(image, LAYERS) for network in (student, reference)]
    similar = {}
    for layer in LAYERS:
        ours, theirs = (features[layer][0].double().flatten(1) for features in found)
        if layer == GEOMETRY_LAYER:
            ours, theirs = (normalize(f - f.mean(1, keepdim=True), dim=0) for f in (ours, theirs))
        energy = (ours @ ours.mT).norm() * (theirs @ theirs.mT).norm()
        similar[layer] = float((ours @ theirs.mT).norm().square() / energy)
    return similar


def multiply_adds(network: FeatureExtractor, layers: Sequence[str] = LAYERS) -> float:
    """Return multiply-adds per pixel of the picture through relu5_1, taps of `layers` included."""
    total = 0.0
    for block, n_convs in enumerate(CONVS_PER_BLOCK[network.name], start=1):
        for i in range(1, n_convs + 1):
            conv = network.convs[f"conv{block}_{i}"]
            assert isinstance(conv, torch.nn.Conv2d)
            total += conv.weight.numel() / 4 ** (block - 1)
            if f"relu{block}_{i}" == DEEPEST:
                break
    for layer in layers if network.taps else ():
        total += network.channels(layer) ** 2 / network.stride(layer) ** 2
    return total


def step_seconds(
    painters: dict[str, FeatureExtractor], content: Tensor, tex_style: Tensor
) -> dict[str, float]:
    """Return the median seconds of one loss and gradient under each network, taken in turns."""
    objectives = {k: TextureObjective(p, [tex_style], content) for k, p in painters.items()}
    taken: dict[str, list[float]] = {k: [] for k in painters}
    for number in range(STEP_ROUNDS + 1):
        for name, objective in objectives.items():
            image = content.clone().requires_grad_(True)
            began = time.monotonic()
            torch.autograd.grad(objective(image)[0], image)
            if number:  # the first warms up
                taken[name].append(time.monotonic() - began)
    return {k: statistics.median(v) for k, v in taken.items()}


def keypoint_scores(root: Path, networks: dict[str, FeatureExtractor]) -> dict[str, float]:
    """Return PCK@0.1 in per cent of the robust estimator on the pairs of `root`, by network."""
    pairs = read_pf_willow(root)
    found = {}
    for name, network in networks.items():
        predictions = pck.predict(pairs, network, GeometrySettings(frame="geo"), ["robust"])
        rows = pck.score(pairs, predictions, name)
        found[name] = next(r.pck for r in rows if r.class_name == "all" and r.alpha == 0.1)
    return found


def load_networks(
    weights: Path | None, reference: str, reference_weights: Path | None, device: str
) -> tuple[dict[str, FeatureExtractor], dict[str, float]]:
    """Load the student and the reference, in float32 and in this machine's fastest precision.

    Args:
        weights: file of the student; None is the bundled one.
        reference, reference_weights: name and weights file of the reference.
        device: of all networks.

    Returns: networks by name and precision (`step_seconds` times them all), and figures of the
        student's file.
    """
    where = resolve_device(device)
    fast = resolve_precision("auto", where)

    def load_reference(**options: Any) -> FeatureExtractor:
        return load_features(reference, weights=reference_weights, device=where, **options)

    began = time.monotonic()
    student = load_features("lite", weights=weights, device=where)
    figures = {
        "megabytes": (weights or BUNDLED_LITE).stat().st_size / 1e6,
        "load_s": time.monotonic() - began,
    }
    networks = {
        "reference_float32_contiguous": load_reference(channels_last=False),
        "reference_float32": load_reference(),
        "reference_fast": load_reference(dtype=fast),
        "student_float32": student,
        "student_fast": load_features("lite", weights=weights, device=where, dtype=fast),
    }
    ratio = multiply_adds(networks["reference_float32"]) / multiply_adds(student)
    return networks, figures | {"multiply_adds_ratio": ratio}


@dataclass(frozen=True)
class Report:
    """All figures by section, in JSON types, and the painted pairs."""

    figures: dict[str, Any]
    painted: list[PaintedPair]


def measure(
    networks: dict[str, FeatureExtractor],
    pairs: Sequence[tuple[Path, Path]],
    settings: TextureSettings,
    *,
    size_px: int = 256,
    step_px: int = 512,
    paint: bool = True,
    pf_willow: Path | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> Report:
    """Measure everything.

    Args:
        networks: see `load_networks`.
        pairs: (content, texture style) files; see `held_out_pairs`.
        settings: the schedule by which both networks paint.
        size_px, step_px: long side of the painted pictures, and of those that steps are timed on.
        paint: whether the pairs are painted, which takes minutes each.
        pf_willow: folder of keypoint pairs; without it geometry is left out.
        say: called with one line per pair.
    """
    painters, exact = (
        {who: networks[f"{who}_{precision}"] for who in ("reference", "student")}
        for precision in ("fast", "float32")
    )
    painted: list[PaintedPair] = []
    similar, matches = [], []
    for number, (content, style) in enumerate(pairs, start=1):
        canvas, texture = load_canvas(content, size_px), load_texture(style)
        both = exact["student"], exact["reference"]
        similar.append(product_similarity(canvas, *both))
        matches.append(match_agreement(canvas, like_canvas(texture, canvas), *both))
        if not paint:
            continue
        pair = paint_pair(canvas, texture, painters, exact["reference"], settings)
        painted.append(pair)
        say(
            f"{number}/{len(pairs)} {content.stem} × {style.stem}: fall {100 * pair.fall:.1f} %, "
            f"style {pair.style_ratio:.2f} ×"
        )
    figures: dict[str, Any] = {
        "product_similarity": {
            layer: statistics.median(row[layer] for row in similar) for layer in LAYERS
        },
        "matches": {k: statistics.mean(row[k] for row in matches) for k in matches[0]},
    }
    if painted:
        drawn = {"pairs": len(painted), "size_px": size_px}
        figures["texture"] = drawn | _texture_figures(painted)
    if pf_willow is not None:
        say("keypoints of both networks")
        figures["geometry"] = keypoint_scores(pf_willow, exact)
    figures["step_s"] = _step_figures(networks, pairs[0], step_px)
    return Report(figures, painted)


def _texture_figures(painted: Sequence[PaintedPair]) -> dict[str, float]:
    figures = {
        "fall_share": statistics.median(pair.fall for pair in painted),
        "fall_share_worst": min(pair.fall for pair in painted),
        "style_ratio": statistics.median(pair.style_ratio for pair in painted),
    }
    for who in ("reference", "student"):
        scores = [pair.scores[who] for pair in painted]
        for term in ("total", "style", "content"):
            figures[f"{who}_{term}"] = statistics.median(getattr(s, term) for s in scores)
        for layer in STYLE_LAYERS:
            figures[f"{who}_{layer}"] = statistics.median(s.style_layers[layer] for s in scores)
    return figures


def _step_figures(
    networks: dict[str, FeatureExtractor], pair: tuple[Path, Path], step_px: int
) -> dict[str, float]:
    content, style = (
        resize(load_picture(path, name="images").tensor, (step_px, step_px)).clamp(0, 1)
        for path in pair
    )
    seconds = step_seconds(networks, content, style)
    best = min(seconds["student_fast"], seconds["student_float32"])
    quickest = min(seconds["reference_fast"], seconds["reference_float32"])
    return seconds | {
        "size_px": step_px,
        "speed_up_over_float32": seconds["reference_float32_contiguous"] / best,
        "speed_up_over_fastest": quickest / best,
    }


def table(figures: dict[str, Any]) -> str:
    """Return the figures as text, one per line."""
    lines = []
    for section, values in figures.items():
        lines += [f"{section}.{name}".ljust(44) + f"{value:.4g}" for name, value in values.items()]
    return "\n".join(lines)
