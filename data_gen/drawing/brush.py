"""A small studio: smooth noise, orientation fields, bristle brush strokes and paint relief.

Pictures are float32 RGB arrays (H, W, 3) in [0, 1]; points are (x, y) in pixels, the center of the
first pixel at 0; angles are in radians, measured from x (right) towards y (down).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SHIFT = 4  # sub-pixel bits of OpenCV's drawing functions


def noise(
    size: tuple[int, int], scale_px: float, rng: np.random.Generator, octaves: int = 1
) -> Array:
    """Smooth random field (H, W) of zero mean and unit deviation, features of `scale_px` pixels.

    Every further octave halves the feature size and the amplitude.
    """
    height, width = size
    field = np.zeros(size, np.float32)
    for octave in range(octaves):
        step = max(scale_px / 2**octave, 1.0)
        lattice = rng.standard_normal((int(height / step) + 4, int(width / step) + 4)).astype(
            np.float32
        )
        y, x = np.mgrid[:height, :width].astype(np.float32) / np.float32(step) + 1
        field += cv2.remap(lattice, x, y, cv2.INTER_CUBIC) / 2**octave
    return (field - field.mean()) / max(float(field.std()), 1e-6)


def smoothstep(low: float, high: float, value: Array) -> Array:
    """Cubic ramp from 0 at `low` to 1 at `high`; `low` may be the larger."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def mix(first: Array, second: Array, amount: Array | float) -> Array:
    """Blend of two pictures, colors or fields; `amount` (H, W) or a number, 0 gives `first`."""
    weight = np.asarray(amount, np.float32)
    weight = weight[..., None] if weight.ndim == 2 and np.ndim(first) != 2 else weight
    return (np.asarray(first) * (1 - weight) + np.asarray(second) * weight).astype(np.float32)


def color(code: str) -> Array:
    """RGB triple in [0, 1] from 'rrggbb'."""
    return np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)], np.float32) / 255


def ramp(value: Array, codes: Sequence[str]) -> Array:
    """Colors (..., 3) along evenly spaced stops for a value in [0, 1], interpolated in Lab."""
    stops = to_lab(np.stack([color(c) for c in codes])[None])[0]
    at = np.linspace(0, 1, len(codes))
    lab = np.stack([np.interp(value, at, stops[:, i]) for i in range(3)], -1).astype(np.float32)
    return to_rgb(lab.reshape(-1, 1, 3)).reshape(lab.shape)


def to_lab(rgb: Array) -> Array:
    """CIE Lab of an RGB picture (H, W, 3)."""
    return cv2.cvtColor(np.ascontiguousarray(rgb, np.float32), cv2.COLOR_RGB2LAB)


def to_rgb(lab: Array) -> Array:
    """RGB of a Lab picture (H, W, 3), clipped to [0, 1]."""
    return np.clip(cv2.cvtColor(np.ascontiguousarray(lab, np.float32), cv2.COLOR_LAB2RGB), 0, 1)


def recolor(
    picture: Array,
    tubes: dict[str, str],
    *,
    softness: float = 16.0,
    keep: float = 0.6,
    blur: float = 0.8,
) -> Array:
    """Exchange colors as a painter would: {'color seen': 'color from the tube'}.

    Each pixel follows the tubes whose seen color is nearest, blended over a Lab distance of
    `softness`; lightness keeps its relief, chroma keeps `keep` of its local variation.
    """
    lab = to_lab(picture)
    seen, used = (
        to_lab(np.stack([color(c) for c in codes])[None])[0]
        for codes in (tubes.keys(), tubes.values())
    )
    judged = cv2.GaussianBlur(lab, (0, 0), blur) * np.array([0.7, 1, 1], np.float32)
    far = ((judged[:, :, None] - seen * np.array([0.7, 1, 1])) ** 2).sum(-1)
    weight = np.exp(-(far - far.min(-1, keepdims=True)) / (2 * softness**2))
    weight /= weight.sum(-1, keepdims=True)
    relief = lab - weight @ seen
    return to_rgb(weight @ used + relief * np.array([1.0, keep, keep]))


def edge_angle(
    picture: Array, sigma: float, fallback: Array | float = 0.0, trust: float = 1.0
) -> Array:
    """Angle (H, W) along the edges of a picture, from its smoothed structure tensor.

    Where the picture is flat the angle turns to `fallback`; a smaller `trust` turns sooner.
    """
    gray = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (0, 0), max(sigma / 4, 0.5))
    gx, gy = cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1)
    # the double angle makes opposite directions agree; gradients turn by 90 degrees into edges
    cos2 = cv2.GaussianBlur(gy * gy - gx * gx, (0, 0), sigma)
    sin2 = cv2.GaussianBlur(-2 * gx * gy, (0, 0), sigma)
    flat = float(np.percentile(np.hypot(cos2, sin2), 50)) / max(trust, 1e-6) + 1e-9
    cos2, sin2 = cos2 + flat * np.cos(2 * fallback), sin2 + flat * np.sin(2 * fallback)
    return (0.5 * np.arctan2(sin2, cos2)).astype(np.float32)


@dataclass(frozen=True)
class Brush:
    """One layer of strokes; lengths in pixels of the finished picture."""

    width: float  # across the stroke
    length: float  # longest stroke
    spacing: float = 0.6  # distance of neighboring strokes in widths
    threshold: float = 0.0  # paint only where the layer below is off by more (RGB distance)
    stop: float = 0.25  # end a stroke where the subject's color has changed by more
    jitter: float = 4.0  # random change of lightness and hue between strokes, in Lab units
    bristle: float = 3.0  # the same between the bristles of one stroke
    load: float = 1.0  # thickness of the paint
    wander: float = 0.10  # random turn of each stroke (radians)

    def scaled(self, unit: float) -> Brush:
        """The same brush for a picture `unit` times as large."""
        return replace(self, width=max(self.width * unit, 2.0), length=self.length * unit)


def seeds(size: tuple[int, int], spacing: float, rng: np.random.Generator) -> Array:
    """Jittered grid of points (N, 2) covering a picture of `size`, in random order."""
    height, width = size
    y, x = np.mgrid[spacing / 2 : height : spacing, spacing / 2 : width : spacing]
    points = np.stack([x.ravel(), y.ravel()], -1)
    points = points + rng.uniform(-0.5, 0.5, points.shape) * spacing
    return rng.permutation(points).astype(np.float32)


def lookup(field: Array, points: Array) -> Array:
    """Nearest value of `field` (H, W, ...) at `points` (..., 2), clamped to the frame."""
    x = np.clip(np.rint(points[..., 0]).astype(int), 0, field.shape[1] - 1)
    y = np.clip(np.rint(points[..., 1]).astype(int), 0, field.shape[0] - 1)
    return field[y, x]


def trace(
    angle: Array, start: Array, length: float, step: float, turn: Array | float = 0.0
) -> Array:
    """Paths (N, K, 2) through an orientation field, grown from `start` (N, 2) to both sides."""
    half = max(int(round(length / step / 2)), 1)
    sides = []
    for sign in (-1.0, 1.0):
        at, theta = start.copy(), lookup(angle, start) + turn
        heading = sign * np.stack([np.cos(theta), np.sin(theta)], -1)
        side = []
        for _ in range(half):
            at = at + step * heading
            side.append(at)
            theta = lookup(angle, at) + turn
            ahead = np.stack([np.cos(theta), np.sin(theta)], -1)
            ahead *= np.where((ahead * heading).sum(-1, keepdims=True) < 0, -1.0, 1.0)
            heading = 0.5 * heading + 0.5 * ahead  # keeps the hand from turning abruptly
            heading /= np.linalg.norm(heading, axis=-1, keepdims=True) + 1e-6
        sides.append(side)
    path = sides[0][::-1] + [start] + sides[1]
    return np.stack(path, 1).astype(np.float32)


def cells(
    points: Array,
    size: tuple[int, int],
    angle: Array,
    reach: float,
    *,
    square: bool = False,
    stretch: float = 1.0,
    areas: Array | None = None,
) -> Array:
    """Index (H, W) of the nearest point, each (N, 2) with its own metric, turned by `angle` (N,).

    `reach` bounds the search in pixels. `square` measures the larger of the two sides, which gives
    tiles instead of round cells; `stretch` makes them longer along the angle. With `areas`
    (H, W, int) a point only owns pixels of the area it lies in.
    Source: Hausner, Simulating decorative mosaics, 2001.
    """
    best = np.full(size, np.inf, np.float32)
    owner = np.zeros(size, np.int32)
    areas = np.zeros(size, np.int32) if areas is None else areas
    homes = lookup(areas, points)
    for n, ((u, v), turn) in enumerate(zip(points, angle, strict=True)):
        top, left = max(int(v - reach), 0), max(int(u - reach), 0)
        block = slice(top, int(v + reach) + 2), slice(left, int(u + reach) + 2)
        y, x = np.ogrid[block]
        y, x = y[: size[0] - top] - v, x[:, : size[1] - left] - u
        p = np.abs(x * np.cos(turn) + y * np.sin(turn))
        q = np.abs(y * np.cos(turn) - x * np.sin(turn))
        far = np.maximum(p / stretch, q) if square else np.hypot(p / stretch, q)
        far = np.where(areas[block] == homes[n], far, np.inf)
        view = best[block]
        closer = far < view
        view[closer] = far[closer]
        owner[block][closer] = n
    return owner


def relax(points: Array, owner: Array) -> Array:
    """Every point moved to the centroid of its cell (Lloyd's step)."""
    number = len(points)
    y, x = np.mgrid[: owner.shape[0], : owner.shape[1]]
    area = np.bincount(owner.ravel(), minlength=number)
    center = [np.bincount(owner.ravel(), c.ravel().astype(float), number) for c in (x, y)]
    moved = np.stack(center, -1) / np.maximum(area, 1)[:, None]
    return np.where(area[:, None] > 0, moved, points).astype(np.float32)


def relief(picture: Array, height: Array, depth: float = 0.3, gloss: float = 0.0) -> Array:
    """The picture lit from the upper left as if its surface stood `height` (H, W) pixels high."""
    gy, gx = np.gradient(cv2.GaussianBlur(height.astype(np.float32), (0, 0), 0.6))
    slope = np.clip(-(0.6 * gx + 0.8 * gy), -1.5, 1.5)
    lit = picture * (1 + depth * slope)[..., None] + gloss * np.clip(slope - 0.45, 0, 1)[..., None]
    return np.clip(lit, 0, 1).astype(np.float32)


def tint(rgb: Array, rng: np.random.Generator, spread: float) -> Array:
    """A color moved at random by about `spread` Lab units."""
    lab = to_lab(rgb[None, None]) + rng.normal(0, spread, 3) * np.array([1.6, 0.7, 0.9])
    return to_rgb(lab.astype(np.float32))[0, 0]


class Canvas:
    """Pigment and paint height, drawn `detail` times finer than the finished picture."""

    def __init__(self, ground: Array, rng: np.random.Generator, detail: int = 3) -> None:
        self.size = ground.shape[:2]
        self.detail = detail
        self.rng = rng
        height, width = self.size
        fine = (width * detail, height * detail)
        rgb = cv2.resize(ground, fine, interpolation=cv2.INTER_LINEAR)
        self.paint = np.dstack([rgb * 255, np.full(rgb.shape[:2], 40.0)]).astype(np.uint8)

    def picture(self) -> Array:
        """The bare pigment (H, W, 3) at the finished size."""
        height, width = self.size
        small = cv2.resize(self.paint, (width, height), interpolation=cv2.INTER_AREA)
        return small[..., :3].astype(np.float32) / 255

    def strokes(
        self,
        paths: Array,
        ends: NDArray[np.int64],
        hues: Array,
        width: float,
        *,
        bristle: float = 3.0,
        load: float = 1.0,
    ) -> None:
        """Draw strokes in turn, each as parallel bristles with their own color, height and ends.

        `paths` (N, K, 2) are spines in pixels, evenly stepped; `ends` (N, 2) is the half-open range
        of points used, `hues` (N, 3) the colors, `width` the width of the tuft in pixels;
        `bristle` the spread of color within a stroke (Lab units), `load` the paint's thickness.
        """
        rng, scale = self.rng, self.detail
        number, points = paths.shape[:2]
        count = max(int(width * scale / 3.0), 3)
        across = np.linspace(-1, 1, count) + rng.uniform(-0.5, 0.5, (number, count)) / count
        tangent: Array = np.asarray(np.gradient(paths, axis=1))
        tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True) + 1e-6
        normal = np.stack([-tangent[..., 1], tangent[..., 0]], -1)
        sizes = rng.uniform(0.8, 1.15, (number, 1)) * width / 2 * 0.88
        lines = paths[:, None] + (across * sizes)[..., None, None] * normal[:, None]
        lines = np.rint(((lines + 0.5) * scale - 0.5) * (1 << SHIFT)).astype(np.int32)
        # rounded, ragged ends: outer bristles touch down later and lift sooner, one end more ragged
        span = (ends[:, 1] - ends[:, 0])[:, None]
        step = np.linalg.norm(paths[:, 1] - paths[:, 0], axis=-1)[:, None]
        inset = (
            (1 - np.sqrt(np.clip(1 - 0.92 * across**2, 0, 1))) * width / 2 / np.maximum(step, 0.1)
        )
        ragged = np.where(rng.random((number, 1)) < 0.5, 0.05, 0.22)
        first = ends[:, :1] + np.rint(inset + rng.uniform(0, 1, across.shape) * ragged * span)
        last = ends[:, 1:] - np.rint(
            inset + rng.uniform(0, 1, across.shape) * (0.27 - ragged) * span
        )
        first, last = first.astype(int), last.astype(int)
        # one drift of tone across the tuft and one grain per bristle
        tone = rng.normal(0, bristle, (number, 1)) * across + rng.normal(0, bristle, across.shape)
        lab = to_lab(hues[None])[0][:, None] + tone[..., None] * np.array([1.0, 0.25, 0.35])
        ridge = 0.55 + 0.35 * across**2 + rng.normal(0, 0.16, across.shape)
        height = 40 + 150 * load * rng.uniform(0.7, 1.1, (number, 1)) * ridge
        values = np.dstack([to_rgb(lab.astype(np.float32)) * 255, np.clip(height, 0, 255)]).tolist()
        thick = max(int(round(width * scale / count * 1.35)), 1)
        order = rng.permuted(np.tile(np.arange(count), (number, 1)), axis=1)
        for n in range(number):
            for i in order[n]:
                spine = lines[n, i, first[n, i] : last[n, i]]
                if len(spine) > 1:
                    cv2.polylines(
                        self.paint, [spine], False, values[n][i], thick, cv2.LINE_AA, SHIFT
                    )

    def layer(self, subject: Array, angle: Array, brush: Brush, care: Array | float = 1.0) -> None:
        """Cover the canvas with strokes that take their color from `subject` and follow `angle`.

        `care` (H, W) multiplies the errors that call a finer brush over the work again.

        Source: Hertzmann, Painterly rendering with curved brush strokes of multiple sizes, 1998.
        """
        rng = self.rng
        softened = cv2.GaussianBlur(subject, (0, 0), max(brush.width / 4, 0.5))
        start = seeds(self.size, brush.width * brush.spacing, rng)
        if brush.threshold > 0:
            error = np.linalg.norm(self.picture() - softened, axis=-1) * care
            error = cv2.GaussianBlur(error, (0, 0), max(brush.width / 3, 0.5))
            start = start[lookup(error, start) > brush.threshold]
        if len(start) == 0:
            return
        turn = rng.normal(0, brush.wander, len(start)).astype(np.float32)
        paths = trace(angle, start, brush.length, max(brush.width / 3, 1.2), turn)
        hues = lookup(softened, start)
        changed = np.linalg.norm(lookup(softened, paths) - hues[:, None], axis=-1) > brush.stop
        middle, points = paths.shape[1] // 2, paths.shape[1]
        index = np.arange(points)
        low = np.where(changed & (index < middle), index + 1, 0).max(-1)
        high = np.where(changed & (index > middle), index, points).min(-1)
        ends = np.stack([np.minimum(low, middle - 1), np.maximum(high, middle + 2)], -1)
        lab = to_lab(hues[None])[0]
        lab = lab + rng.normal(0, brush.jitter, lab.shape) * np.array([0.8, 0.7, 0.9])
        hues = to_rgb(lab[None].astype(np.float32))[0]
        self.strokes(paths, ends, hues, brush.width, bristle=brush.bristle, load=brush.load)

    def finish(self, relief: float = 1.0, gloss: float = 0.10) -> Array:
        """The picture (H, W, 3) in [0, 1] under a lamp at the upper left."""
        height: Array = self.paint[..., 3].astype(np.float32) / 255
        height = cv2.GaussianBlur(height, (0, 0), 0.35 * self.detail)
        depth = self.detail * relief / 2
        gx: Array = cv2.Sobel(height, cv2.CV_32F, 1, 0) * depth
        gy: Array = cv2.Sobel(height, cv2.CV_32F, 0, 1) * depth
        length = np.sqrt(gx * gx + gy * gy + 1)
        lamp = np.array([-0.45, -0.6, 0.66])
        shade = (-gx * lamp[0] - gy * lamp[1] + lamp[2]) / length
        half = lamp + (0, 0, 1)
        half /= np.linalg.norm(half)
        shine = np.clip((-gx * half[0] - gy * half[1] + half[2]) / length, 0, 1) ** 30
        shine -= half[2] ** 30
        rgb: Array = self.paint[..., :3].astype(np.float32) / 255
        rgb = rgb * (1 + 0.55 * (shade - lamp[2]))[..., None] + gloss * shine[..., None]
        height_px, width_px = self.size
        small = cv2.resize(np.clip(rgb, 0, 1), (width_px, height_px), interpolation=cv2.INTER_AREA)
        return np.clip(small, 0, 1).astype(np.float32)
