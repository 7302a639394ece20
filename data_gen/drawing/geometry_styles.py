"""Geometry styles: photographs bent by a thin-plate spline on a 4x4 lattice, then painted in oil.

A bend maps the painting's frame to the photograph's frame, both [-1, 1]^2 with x right and y down,
so the true warp of every painting is known and lies in the family that geostyle fits.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from brush import Array, Brush, Canvas, color, edge_angle, mix, noise, recolor, smoothstep
from numpy.typing import NDArray

Points = NDArray[np.float64]
LATTICE = 4


def lattice() -> Points:
    """The 16 control points (16, 2) of the painting's frame, row by row."""
    y, x = np.meshgrid(*[np.linspace(-1, 1, LATTICE)] * 2, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], -1)


def bent_coffee(p: Points) -> Points:
    """The cup leans over and runs down across its saucer, as soft as a watch in the sun."""
    x, y = p.T
    return np.stack(
        [
            0.92 * x - 0.42 * np.sin(2.0 * (y + 0.2)) * np.cos(0.9 * x) - 0.06,
            0.90 * y + 0.20 * np.sin(2.2 * x) + 0.02,
        ],
        -1,
    )


def bent_chelsea(p: Points) -> Points:
    """The head tilts, broadens at the eyes and narrows to the chin."""
    x, y = p.T
    u, v = x - 0.05, y + 0.1
    turn, wide = -0.20, 1.5  # the frame is 1.5 times as wide as high
    swell = 1 - 0.42 * np.exp(-(u**2 + (y + 0.15) ** 2) / 0.55)
    return np.stack(
        [
            (u * np.cos(turn) - v * np.sin(turn) / wide) * swell + 0.20 + 0.10 * y,
            (u * wide * np.sin(turn) + v * np.cos(turn)) * swell - 0.15 + 0.20 * u**2,
        ],
        -1,
    )


def bent_astronaut(p: Points) -> Points:
    """A narrow head on a long neck, gently inclined."""
    x, y = p.T
    longer = y - 0.18 * (1 + np.tanh((y + 0.3) / 0.5)) + 0.05
    return np.stack(
        [
            x * (1.06 - 0.12 * y) - 0.26 * np.cos(2.0 * (y + 0.1)) + 0.10,
            longer + 0.16 * x * np.clip(0.6 - y, 0, 2),
        ],
        -1,
    )


def bent_rocket(p: Points) -> Points:
    """The rocket and its towers sway like reeds."""
    x, y = p.T
    up = 0.5 - 0.5 * y
    return np.stack(
        [
            0.95 * x - 0.65 * up**2 + 0.15 * np.sin(2.4 * (y + 0.2)) + 0.12,
            0.93 * y + 0.06 * x * (1 - y),
        ],
        -1,
    )


def spline(bend: Callable[[Points], Points], points: Points) -> Points:
    """Thin-plate spline through `bend` at the lattice, evaluated at `points` (N, 2)."""
    knots = lattice()

    def kernel(a: Points) -> Points:
        square = ((a[:, None] - knots) ** 2).sum(-1)
        return square * np.log(np.maximum(square, 1e-300))

    border = np.c_[np.ones(len(knots)), knots]
    system = np.block([[kernel(knots), border], [border.T, np.zeros((3, 3))]])
    weight = np.linalg.solve(system, np.r_[bend(knots), np.zeros((3, 2))])
    return np.c_[kernel(points), np.ones(len(points)), points] @ weight


def bend_picture(picture: Array, bend: Callable[[Points], Points]) -> Array:
    """`picture` seen through a bend, mirrored beyond its frame."""
    height, width = picture.shape[:2]
    y, x = np.meshgrid(
        (2 * np.arange(height) + 1) / height - 1,
        (2 * np.arange(width) + 1) / width - 1,
        indexing="ij",
    )
    seen = spline(bend, np.stack([x.ravel(), y.ravel()], -1)).reshape(height, width, 2)
    at = (((seen + 1) * (width, height) - 1) / 2).astype(np.float32)
    bent = cv2.remap(
        picture, at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    return np.clip(bent, 0, 1)


def oil(
    subject: Array,
    ground: str,
    brushes: list[Brush],
    *,
    care: Array | float = 1.0,
    sweep: float = 0.6,
    sigma: float = 8.0,
    seed: int = 0,
) -> Array:
    """An oil painting of `subject`, from broad to fine brushes (sizes for a long side of 512 px).

    `sweep` is the general direction of the strokes where the subject gives none.
    """
    rng = np.random.default_rng(seed)
    size, unit = subject.shape[:2], max(subject.shape[:2]) / 512
    sway = sweep + 0.5 * noise(size, 130 * unit, rng)
    angle = edge_angle(subject, max(sigma * unit, 1.0), sway)
    canvas = Canvas(np.ones_like(subject) * color(ground), rng, detail=2)
    for brush in brushes:
        canvas.layer(subject, angle, brush.scaled(unit), care)
    return canvas.finish()


def spot(size: tuple[int, int], x: float, y: float, radius: float) -> Array:
    """1 around a point of the frame ([-1, 1]^2), falling to 0 at `radius` half heights."""
    height, width = size
    v, u = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    return smoothstep(radius, 0.6 * radius, np.hypot((u - x) * width / height, v - y))


def coffee(photo: Array) -> Array:
    """A melting espresso: ultramarine china on desert sand."""
    tubes = {
        "1d0e07": "1d1838",
        "2f0a04": "17234f",
        "531208": "1a2f6e",
        "801d0a": "2450a0",
        "ae2e11": "3f7cc4",
        "d8523a": "8cc4e4",
        "7a462b": "8a5a34",
        "9b4a23": "b98036",
        "bd5f2a": "dca444",
        "b96c3c": "e3b353",
        "c78757": "f0cc78",
        "d7a376": "f6dc98",
        "e58f37": "a4502a",
        "e5bf9b": "f3e2b4",
        "f6eadd": "fdf5de",
    }
    subject = bend_picture(recolor(photo, tubes, softness=8, keep=0.3), bent_coffee)
    brushes = [
        Brush(24, 150, bristle=3.5, jitter=3.5),
        Brush(14, 80, spacing=0.8, threshold=0.09, stop=0.18, jitter=3.5),
        Brush(7, 50, spacing=0.8, threshold=0.10, stop=0.15),
        Brush(3.8, 30, spacing=0.9, threshold=0.12, stop=0.12, load=0.8),
    ]
    china = 0.85 + 0.8 * spot(subject.shape[:2], -0.05, 0.0, 1.3)
    return oil(subject, "9a6a38", brushes, care=china, sweep=-0.5, seed=11)


def chelsea(photo: Array) -> Array:
    """A blue cat with golden eyes before a fire-red ground."""
    fur = {
        "261910": "0f1030",
        "51331c": "1a2260",
        "743c19": "2c3a8c",
        "7c5335": "2f4fa6",
        "936a4a": "3f6fc4",
        "a87744": "4f86cf",
        "9f7a63": "5b95d6",
        "b38864": "7db4e2",
        "b4927f": "a3c8ec",
        "d9b8a8": "dcecf6",
    }
    room = {
        "51331c": "3a0f2e",
        "6e5042": "7a1730",
        "84685d": "b3242c",
        "9e857c": "dc4a28",
        "baa49f": "f08a32",
        "d8c8c4": "f8c050",
    }
    eyes = {
        "261910": "120a18",
        "6e5a2a": "c87a14",
        "8d8a3c": "f4b81e",
        "b9a94e": "ffe063",
        "e0e0e0": "fffbe8",
    }
    nose = {"51331c": "4a1230", "b65a36": "ee4a30", "d98c6c": "f98a68"}
    size = photo.shape[:2]
    y, x = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j].astype(np.float32)
    wall = smoothstep(0.0, 0.14, x - 0.78 + 0.42 * np.clip(y - 0.2, 0, None) ** 1.2)
    wall = np.maximum(wall, smoothstep(0.0, 0.1, -0.86 - x - 0.14 * y))
    painted = mix(recolor(photo, fur, softness=9, keep=0.3), recolor(photo, room, softness=8), wall)
    for place in ((-0.235, -0.19, 0.235), (0.42, -0.095, 0.24)):
        painted = mix(painted, recolor(photo, eyes, keep=0.3), spot(size, *place))
    painted = mix(painted, recolor(photo, nose), spot(size, 0.17, 0.66, 0.20))
    subject = bend_picture(painted, bent_chelsea)
    brushes = [
        Brush(19, 90, bristle=3.5, jitter=4),
        Brush(10, 50, spacing=0.8, threshold=0.09, stop=0.2, jitter=4),
        Brush(5.5, 30, spacing=0.8, threshold=0.09, stop=0.15),
        Brush(3.0, 20, spacing=0.9, threshold=0.10, stop=0.12, load=0.8),
    ]
    return oil(subject, "3a2a52", brushes, sweep=0.9, seed=12)


def astronaut(photo: Array) -> Array:
    """A portrait with a long neck: teal suit, ochre skin, a room of rose and sage."""
    tubes = {
        "060303": "14152e",
        "372921": "2a2540",
        "746a69": "8a5a5c",
        "ada39f": "c98a6c",
        "ccc3bf": "e2ae82",
        "e9e3e5": "f7e6c0",
        "bf4822": "1f5f74",
        "a03018": "143f58",
        "e0714d": "3f93a0",
        "f3a080": "8cc8c0",
        "590c16": "5a3a14",
        "7e1718": "b98a24",
        "b02238": "e0b43c",
        "3e2460": "2f5a3c",
        "2c2c66": "2f5a3c",
        "5a4116": "4a1a1c",
        "937657": "8a3a28",
        "c8a878": "c06a3a",
        "dba88c": "e8a866",
        "b07a5c": "b86438",
        "f3d0bc": "f8d090",
    }
    subject = bend_picture(recolor(photo, tubes, softness=7, keep=0.4), bent_astronaut)
    brushes = [
        Brush(24, 120, bristle=3, jitter=3.5),
        Brush(14, 70, spacing=0.8, threshold=0.08, stop=0.18, jitter=3.5),
        Brush(7, 40, spacing=0.8, threshold=0.09, stop=0.14),
        Brush(3.5, 22, spacing=0.9, threshold=0.11, stop=0.11, load=0.6, jitter=2, bristle=2),
        Brush(2.0, 10, spacing=1.0, threshold=0.20, stop=0.09, load=0.4, jitter=1, bristle=1),
    ]
    face = 0.8 + 2.2 * spot(subject.shape[:2], -0.02, -0.5, 0.4)
    return oil(subject, "7a4a44", brushes, care=face, sweep=0.8, seed=13)


def rocket(photo: Array) -> Array:
    """A launch pad in a burning sky, everything swaying."""
    tubes = {
        "201b1a": "1a143c",
        "171e2f": "7a1c38",
        "1b2945": "c23424",
        "2a3959": "e8672a",
        "3a4d72": "f6a23c",
        "55627d": "f2c468",
        "32333f": "4a2260",
        "484d60": "8a3f70",
        "4a3f39": "33205a",
        "7b5f40": "a86a4a",
        "7d7367": "c9a983",
        "b88345": "ffd070",
        "d2c09d": "fff0c8",
        "f0bd4f": "fff3b0",
    }
    subject = bend_picture(recolor(photo, tubes, softness=6, keep=0.5, blur=0.6), bent_rocket)
    brushes = [
        Brush(17, 190, bristle=4, jitter=7, stop=0.3),
        Brush(10, 80, spacing=0.8, threshold=0.10, stop=0.2, jitter=5),
        Brush(5.5, 50, spacing=0.8, threshold=0.09, stop=0.16),
        Brush(3.0, 30, spacing=0.9, threshold=0.09, stop=0.13, load=0.7),
    ]
    return oil(subject, "6a2430", brushes, sweep=0.1, sigma=6, seed=14)


BENDS: dict[str, Callable[[Points], Points]] = {
    "coffee": bent_coffee,
    "chelsea": bent_chelsea,
    "astronaut": bent_astronaut,
    "rocket": bent_rocket,
}
