"""Drawn scenes: small gouaches with clear subjects, offline contents for the data generator.

Every function takes the long side in pixels and returns an RGB picture (H, W, 3) in [0, 1].
"""

from __future__ import annotations

import numpy as np
from brush import Array, Brush, Canvas, color, edge_angle, mix, noise, ramp, smoothstep

ASPECT = 4 / 3


class Sheet:
    """A picture in the making: shapes laid over one another, then painted with small brushes."""

    def __init__(self, size_px: int, seed: int) -> None:
        self.size = (max(int(round(size_px / ASPECT)), 16), size_px)
        self.unit = size_px / 384
        self.rng = np.random.default_rng(seed)
        y, x = np.mgrid[: self.size[0], :size_px].astype(np.float32)
        self.x, self.y = (x + 0.5) / self.size[0], (y + 0.5) / self.size[0]
        self.pixel = 1 / self.size[0]
        self.picture: Array = np.ones((*self.size, 3), np.float32)
        self.cloudy = noise(self.size, 90 * self.unit, self.rng, 4)
        self.grainy = noise(self.size, 9 * self.unit, self.rng, 3)

    def lay(self, distance: Array, paint: Array, soft: float = 1.0) -> None:
        """Cover where `distance` (picture heights) is negative, with an edge `soft` pixels wide."""
        edge = 0.5 * soft * self.pixel
        self.picture = mix(
            self.picture, paint, smoothstep(edge, -edge, distance.astype(np.float32))
        )

    def shade(self, tone: Array, codes: list[str], rough: float = 0.05) -> Array:
        """Colors along a ramp for a tone in [0, 1], a little uneven."""
        return ramp(np.clip(tone + rough * self.grainy + 0.04 * self.cloudy, 0, 1), codes)

    def ball(self, u: float, v: float, across: float, down: float, codes: list[str]) -> None:
        """A rounded body lit from the upper left, with its shadow on the ground."""
        p, q = (self.x - u) / across, (self.y - v) / down
        fall = np.hypot(p - 0.45, (q - 0.85) / 0.32)
        self.picture = self.picture * (1 - 0.42 * smoothstep(1.25, 0.3, fall))[..., None]
        light = 0.62 - 0.40 * p - 0.45 * q - 0.35 * np.clip(p * p + q * q - 0.35, 0, 1)
        paint = self.shade(light, codes)
        shine = np.exp(-(((p + 0.36) ** 2 + (q + 0.42) ** 2) / 0.030))
        self.lay(
            (np.hypot(p, q) - 1) * min(across, down), mix(paint, color("ffffff"), 0.75 * shine)
        )

    def box(self, left: float, right: float, top: float, bottom: float) -> Array:
        """Distance to a rectangle."""
        return np.maximum(
            np.abs(self.x - (left + right) / 2) - (right - left) / 2,
            np.abs(self.y - (top + bottom) / 2) - (bottom - top) / 2,
        )

    def paint(self) -> Array:
        """The sheet gone over with three small brushes."""
        sway = 0.3 + 0.6 * self.cloudy
        picture = np.clip(self.picture, 0, 1).astype(np.float32)
        angle = edge_angle(picture, max(5 * self.unit, 1), sway.astype(np.float32))
        canvas = Canvas(picture, self.rng, detail=2)
        for brush in (
            Brush(8, 36, spacing=0.75, jitter=3, bristle=2.5, stop=0.16, load=0.7),
            Brush(4.5, 24, spacing=0.8, threshold=0.06, jitter=2.5, bristle=2, stop=0.12, load=0.6),
            Brush(
                2.6, 12, spacing=0.9, threshold=0.08, jitter=1.5, bristle=1.5, stop=0.10, load=0.5
            ),
        ):
            canvas.layer(picture, angle, brush.scaled(self.unit))
        return canvas.finish(relief=0.8, gloss=0.05)


def lighthouse(size_px: int = 384) -> Array:
    """A striped lighthouse on a cliff above a rough sea at evening."""
    s = Sheet(size_px, 41)
    x, y = s.x, s.y
    s.picture = s.shade(
        1.35 * y + 0.10 * s.cloudy, ["2f4a86", "6f86b8", "f0b890", "ffd8a0", "ffe6b8"]
    )
    cloud = smoothstep(
        0.2, 1.2, s.cloudy + 1.2 * np.sin(14 * y + 2 * x) * 0.4 - 1.5 * np.abs(y - 0.25)
    )
    s.picture = mix(s.picture, s.shade(0.9 - y, ["b0708a", "f8c8a8", "fff0d8"]), 0.8 * cloud)
    waves = 0.5 + 0.5 * np.sin(
        70 * (y - 0.55) ** 1 / (0.5 + y) + 2.2 * np.sin(9 * x + 14 * y) + 0.8 * s.grainy
    )
    s.lay(
        0.60 - y,
        s.shade(0.15 + 0.55 * waves + 0.25 * (0.8 - y), ["123a5c", "1f5f86", "4a94aa", "bfe0d8"]),
    )
    cliff = np.maximum(
        0.66 + 0.22 * (x - 0.55) ** 2 + 0.028 * s.grainy - y,
        x - 0.83 - 0.05 * s.grainy - 0.25 * (y - 0.66),
    )
    strata = 0.5 + 0.35 * np.sin(60 * (y + 0.12 * x) + 1.5 * s.grainy) - 0.5 * (x - 0.4)
    s.lay(cliff, s.shade(strata, ["3a2a2c", "7a5848", "b08a68", "dcc09a"]))
    s.lay(
        np.maximum(cliff, y - 0.70 - 0.03 * s.grainy),
        s.shade(0.5 + 0.3 * s.grainy, ["3a5a2c", "6f8f3c", "a8b85a"]),
    )
    h = (0.68 - y) / 0.50
    half = 0.075 - 0.028 * h
    tower = np.maximum(np.abs(x - 0.48) - half, np.abs(h - 0.5) * 0.50 - 0.25)
    round_ = 0.78 - 0.42 * (x - 0.48) / half
    stripe = np.sin(2 * np.pi * (h * 3 + 0.1 * (x - 0.48) / half)) > 0
    s.lay(
        tower,
        np.where(
            stripe[..., None],
            s.shade(round_, ["5a1420", "c8302c", "f07058"]),
            s.shade(round_, ["8a8a9a", "e8e4dc", "fffaf0"]),
        ),
    )
    s.lay(s.box(0.415, 0.545, 0.165, 0.185), color("2a2a3a"))
    s.lay(
        s.box(0.445, 0.515, 0.10, 0.168),
        mix(color("ffe890"), color("fffbe0"), smoothstep(0.05, 0.0, np.hypot(x - 0.48, y - 0.135))),
    )
    for u in (0.446, 0.48, 0.514):
        s.lay(s.box(u - 0.004, u + 0.004, 0.10, 0.168), color("2a2a3a"))
    s.lay(
        np.maximum(np.abs(x - 0.48) - 0.9 * (y - 0.045), y - 0.102),
        s.shade(round_, ["5a1420", "b02830", "e86050"]),
    )
    for v in (0.30, 0.47):
        s.lay(np.hypot((x - 0.48) / 0.8, y - v) - 0.017, color("1f2436"))
    s.lay(
        s.box(0.60, 0.74, 0.60, 0.70), s.shade(0.9 - 2 * (x - 0.6), ["b0a08a", "f0e6d0", "fffaf0"])
    )
    s.lay(
        np.maximum(np.abs(x - 0.67) - 0.095 - 0.9 * (y - 0.60), np.abs(y - 0.57) - 0.035),
        s.shade(0.8 - 2 * (x - 0.6), ["6a2418", "b84a2c", "e07a4a"]),
    )
    s.lay(s.box(0.63, 0.655, 0.63, 0.665), color("2f4a6a"))
    s.lay(s.box(0.69, 0.715, 0.625, 0.70), color("3a5a4a"))
    beam = smoothstep(
        0.02, 0.0, np.abs(y - 0.135 + 0.10 * (x - 0.48)) - 0.16 * np.abs(x - 0.48)
    ) * (x > 0.5)
    s.picture = mix(s.picture, color("fff2b8"), 0.30 * beam * smoothstep(1.2, 0.5, x))
    return s.paint()


def village(size_px: int = 384) -> Array:
    """Crooked houses climbing a hill to a church, under summer clouds."""
    s = Sheet(size_px, 42)
    x, y, rng = s.x, s.y, s.rng
    s.picture = s.shade(1.2 * y, ["3f86c8", "7ab8e4", "c8e6f0", "f4f2dc"])
    for u, v, wide in (
        (0.28, 0.16, 0.20),
        (0.95, 0.12, 0.26),
        (1.22, 0.27, 0.14),
        (0.62, 0.25, 0.12),
    ):
        puff = 0.030 * s.grainy + 0.045 * s.cloudy
        far = (
            np.hypot((x - u) / 2.4, y - v) - 0.42 * wide + puff + 0.5 * np.clip(y - v - 0.02, 0, 1)
        )
        s.lay(far, s.shade(0.85 - 2.2 * (y - v + 0.04), ["98a8c4", "e8ecf0", "ffffff"]), 9)
    hill = 0.62 - 0.20 * np.exp(-(((x - 0.75) / 0.42) ** 2)) - y
    s.lay(hill + 0.06, s.shade(0.7 - y + 0.2 * np.sin(20 * x), ["3a6a5a", "6a9a6a", "a0c088"]))
    s.lay(
        hill,
        s.shade(1.2 - y + 0.15 * np.sin(34 * y + 8 * x), ["2f5a2c", "5f8f34", "a8c050", "e0d878"]),
    )
    for row, v in enumerate((0.50, 0.60, 0.72, 0.87)):
        u = -0.05 + 0.06 * row + rng.uniform(0, 0.05)
        while u < 1.36:
            wide = (0.085 + 0.028 * row) * rng.uniform(0.85, 1.2)
            foot = (
                v + 0.04 * np.abs(u - 0.7) * (3 - row) + 0.10 * (abs(u - 0.75) - 0.3) * (row == 0)
            )
            tall, lean = wide * rng.uniform(0.75, 1.15), rng.uniform(-0.10, 0.10)
            if row == 0 and abs(u - 0.75) > 0.35:
                u += wide
                continue
            p = x - u - wide / 2 + lean * (y - foot)
            wall = np.maximum(np.abs(p) - wide / 2 * 0.92, np.maximum(y - foot, foot - tall - y))
            codes = [
                ["a88a6a", "f0dcb8"],
                ["b0746a", "f4c8b0"],
                ["8a98a8", "dfe8ec"],
                ["b89a50", "f8e098"],
                ["94a488", "e0ead0"],
            ][rng.integers(5)]
            s.lay(
                wall, s.shade(0.55 - 2.5 * p / wide * 0.1, [codes[0], codes[1], codes[1], "fff8e8"])
            )
            s.lay(np.maximum(wall, -p + 0.22 * wide), color(codes[0]) * np.float32(0.86))
            for du in (-0.26, 0.02):
                for dv in (0.30, 0.68) if tall > 0.9 * wide else (0.5,):
                    pane = np.maximum(
                        np.abs(p - du * wide) - 0.075 * wide,
                        np.abs(y - foot + tall * dv) - 0.12 * tall,
                    )
                    s.lay(pane - 0.02 * wide, color("fdf6e6"))
                    s.lay(pane, s.shade(0.3 + 4 * (y - foot + tall * dv), ["22304a", "4a6a8a"]))
            gable = foot - tall
            roof = np.maximum(
                np.abs(p) - 0.58 * wide - 0.55 * (y - gable),
                np.maximum(y - gable - 0.01, gable - 0.52 * wide - y),
            )
            tiles = 0.5 + 0.2 * np.sin(360 * (y - gable) / (1 + row) + 0.5 * s.grainy) - 2.5 * p
            s.lay(
                roof,
                s.shade(
                    tiles,
                    [
                        ["5a1f18", "b0482c", "e88a54"],
                        ["4a2a24", "8a5a40", "c89a70"],
                        ["33384a", "5f6a80", "98a8b4"],
                    ][rng.integers(3)],
                ),
            )
            stack = u + wide * rng.uniform(0.6, 0.75)
            s.lay(
                s.box(stack, stack + 0.14 * wide, gable - 0.50 * wide, gable - 0.18 * wide),
                color("8a4a3a"),
            )
            u += wide * rng.uniform(0.98, 1.22)
        for _ in range(7):
            u, r = rng.uniform(0, 1.33), (0.022 + 0.010 * row) * rng.uniform(0.8, 1.4)
            bush = np.hypot(x - u, (y - v - 0.03) * 1.1) - r + 0.010 * s.grainy
            s.lay(
                bush,
                s.shade(
                    0.55 - 9 * (x - u + y - v - 0.03), ["1f3f24", "3f6f30", "7fa840", "c8d870"]
                ),
                2,
            )
    # the church
    s.lay(
        s.box(0.72, 0.775, 0.18, 0.44),
        s.shade(0.9 - 9 * (x - 0.72), ["8a7a6a", "e8dcc8", "fffaf0"]),
    )
    s.lay(
        np.maximum(np.abs(x - 0.7475) - 0.36 * (y - 0.05), y - 0.185),
        s.shade(0.7 - 9 * (x - 0.7475), ["2f3a50", "5a7088", "a0b4c0"]),
    )
    s.lay(np.hypot(x - 0.7475, y - 0.235) - 0.017, color("fffdf0"))
    s.lay(s.box(0.741, 0.754, 0.28, 0.33), color("2a3040"))
    return s.paint()


def still_life(size_px: int = 384) -> Array:
    """A green bottle, a blue jug and fruit on a striped cloth."""
    s = Sheet(size_px, 43)
    x, y = s.x, s.y
    s.picture = s.shade(0.55 - 0.35 * x + 0.14 * s.cloudy, ["3a2430", "7a4a48", "b88468", "e0b890"])
    table = 0.58 + 0.02 * x - y
    stripe = np.sin(34 * (x - 0.66) / (0.35 + y)) > 0.55
    cloth = np.where(
        stripe[..., None],
        s.shade(1.1 - 0.5 * x, ["7a2430", "b83a40"]),
        s.shade(1.15 - 0.45 * x - 0.2 * np.sin(9 * x + 5 * y) ** 2, ["b8b0b8", "f0e8d8", "fffaf0"]),
    )
    s.lay(table, cloth)
    s.lay(np.abs(table) - 0.006, color("8a6a60"), 3)
    # bottle
    half = 0.068 - 0.046 * smoothstep(0.36, 0.24, y) + 0.006 * (np.abs(y - 0.115) < 0.012)
    bottle = np.maximum(
        np.abs(x - 0.36) - half, np.maximum(0.10 - y, y - 0.72 + 0.012 * ((x - 0.36) / 0.07) ** 2)
    )
    p = (x - 0.36) / half
    s.picture = (
        s.picture
        * (1 - 0.4 * smoothstep(1.2, 0.2, np.hypot((x - 0.46) / 0.16, (y - 0.715) / 0.04)))[
            ..., None
        ]
    )
    s.lay(
        bottle,
        s.shade(
            0.45 - 0.35 * p + 0.3 * np.exp(-(((p - 0.65) / 0.2) ** 2)),
            ["0c2418", "1f5a34", "4f9a4a", "b8d888"],
        ),
    )
    s.lay(
        np.maximum(bottle + 0.004, np.abs(y - 0.52) - 0.085),
        s.shade(0.8 - 0.4 * p, ["a08a68", "f0e2c0", "fff8e4"]),
    )
    s.lay(
        np.maximum(bottle + 0.010, np.maximum(np.abs(y - 0.52) - 0.028, np.abs(p) - 0.6)),
        color("a83a34"),
    )
    s.lay(np.maximum(np.abs(p + 0.55) - 0.09, np.maximum(0.16 - y, y - 0.42)), color("e8f4d8"), 3)
    # jug
    body = np.hypot((x - 0.93) / 0.145, (y - 0.56) / 0.185)
    handle = np.abs(np.hypot((x - 1.075) / 0.075, (y - 0.48) / 0.105) - 1) * 0.07 - 0.015
    s.picture = (
        s.picture
        * (1 - 0.4 * smoothstep(1.2, 0.2, np.hypot((x - 1.05) / 0.26, (y - 0.74) / 0.05)))[
            ..., None
        ]
    )
    codes = ["10224a", "24508c", "5a94cc", "d8ecf8"]
    s.lay(np.where(x > 0.98, handle, 1.0), s.shade(0.4 - 2 * (x - 1.08), codes))
    neck = np.maximum(
        np.abs(x - 0.93) - 0.085 - 0.35 * np.clip(0.34 - y, 0, 1), np.abs(y - 0.37) - 0.085
    )
    p = (x - 0.93) / 0.14
    tone = (
        0.55
        - 0.42 * p
        + 0.30 * np.exp(-(((p + 0.45) / 0.16) ** 2))
        - 0.25 * np.clip(p * p - 0.4, 0, 1)
    )
    jug = np.minimum((body - 1) * 0.145, neck)
    s.lay(jug, s.shade(tone, codes))
    s.lay(
        np.maximum(jug, np.abs(np.abs(y - 0.55) - 0.055) - 0.010),
        s.shade(tone + 0.3, ["a8a8b8", "f8f4e8", "ffffff"]),
    )
    s.lay(
        np.hypot((x - 0.93) / 0.105, (y - 0.287) / 0.022) - 1, color("0c1830"), 0.02 / s.pixel * 4
    )
    s.ball(0.62, 0.70, 0.105, 0.100, ["6a1418", "c8281f", "f0603a", "ffc070"])
    s.ball(0.79, 0.79, 0.100, 0.094, ["8a5a10", "e0a020", "f8d048", "fff0a0"])
    s.ball(0.20, 0.80, 0.092, 0.086, ["3a5a14", "7fa828", "b8d048", "eef4a0"])
    s.ball(0.42, 0.85, 0.098, 0.090, ["8a3a0c", "e87a1c", "f8a83c", "ffe090"])
    s.ball(1.14, 0.85, 0.085, 0.080, ["4a1030", "8a2448", "c05878", "f0b0b8"])
    for u, v in ((0.62, 0.615), (0.20, 0.725), (1.14, 0.785)):
        s.lay(
            np.maximum(np.abs(x - u - 0.25 * (v - y)) - 0.0045, np.abs(y - v + 0.012) - 0.024),
            color("3a2414"),
        )
    leaf = np.hypot(
        (x - 0.665 + 0.4 * (y - 0.585)) / 0.045, (y - 0.585 + 0.25 * (x - 0.66)) / 0.017
    )
    s.lay((leaf - 1) * 0.017, s.shade(0.6 - 6 * (y - 0.585), ["2a5020", "5a8f30", "a8c860"]))
    return s.paint()


def boats(size_px: int = 384) -> Array:
    """Sailing boats in a bay, with their reflections."""
    s = Sheet(size_px, 44)
    x, y = s.x, s.y
    s.picture = s.shade(1.6 * y + 0.12 * s.cloudy, ["5a9ad0", "a8d0e8", "f0e8d0", "fce0b0"])
    s.lay(
        0.40
        - 0.09 * np.exp(-(((x - 0.2) / 0.22) ** 2))
        - 0.06 * np.exp(-(((x - 1.05) / 0.3) ** 2))
        + 0.006 * s.grainy
        - y,
        s.shade(0.8 - y, ["4a6080", "7a90a8", "b0bcc4"]),
    )
    ripple = 0.5 + 0.5 * np.sin(
        110 * np.clip(y - 0.42, 0, 1) ** 0.75 + 1.6 * np.sin(7 * x + 9 * y) + 1.2 * s.grainy
    )
    sea = s.shade(
        0.20 + 0.42 * ripple + 0.35 * (0.75 - y), ["12385a", "2a709c", "5fa8c4", "c8e4e0"]
    )
    s.lay(0.44 - y, sea)
    for u, foot, tall, sail, hull in (
        (1.08, 0.52, 0.26, ["c88a3a", "f4c870", "fff0c0"], ["2a3a4a", "5a7080"]),
        (0.16, 0.56, 0.30, ["a8a8b0", "eeeae0", "fffdf4"], ["5a2a1c", "a05030"]),
        (0.62, 0.70, 0.56, ["8a2420", "d84a30", "f89068"], ["2a1810", "7a4a2c"]),
        (1.05, 0.86, 0.42, ["b8b4b0", "f4eee0", "ffffff"], ["6a1c1c", "b8382c"]),
    ):
        for mirror in (True, False):
            v = 2 * foot - y + 0.010 * (ripple - 0.5) if mirror else y
            u_ = x - u + (0.016 * np.sin(120 * y + 2 * s.grainy) if mirror else 0)
            k = tall
            deck = foot - 0.10 * k
            belly = np.maximum(
                np.abs(u_ - 0.02 * k) - 0.36 * k + 1.1 * np.clip(v - deck, 0, 1),
                np.maximum(deck - 0.03 * (u_ / k) ** 2 * k - v, v - foot),
            )
            main = np.maximum(
                np.maximum(
                    -u_ + 0.012, u_ - 0.34 * k * np.clip((v - foot + k) / (0.86 * k), 0, 1) ** 0.8
                ),
                v - deck + 0.03 * k,
            )
            jib = np.maximum(
                np.maximum(
                    u_ + 0.016, -u_ - 0.30 * k * np.clip((v - foot + 0.92 * k) / (0.80 * k), 0, 1)
                ),
                v - deck + 0.02 * k,
            )
            layers = [
                (
                    np.maximum(
                        np.abs(u_) - 0.008 * k - 0.001, np.maximum(foot - 1.05 * k - v, v - deck)
                    ),
                    s.shade(0 * x + 0.5, ["4a3020", "6a4830"]),
                ),
                (main, s.shade(0.75 - 1.6 * u_ / k + 0.25 * np.sin(11 * v / k), sail)),
                (jib, s.shade(0.95 + 1.2 * u_ / k, sail)),
                (belly, s.shade(0.8 - 5 * (v - deck) / k, [hull[0], hull[1], "e8e0d0"])),
            ]
            for far, paint in layers:
                if mirror:
                    fade = 0.75 * smoothstep(0.10, 0.75, ripple) + 0.1
                    cover = smoothstep(0.003, -0.003, np.maximum(far, foot - y)) * fade
                    s.picture = mix(s.picture, paint * np.float32(0.85), cover)
                else:
                    s.lay(far, paint)
    for u, v in ((0.32, 0.18), (0.40, 0.14), (0.86, 0.10), (0.47, 0.22)):
        wing = np.abs(y - v - 0.25 * np.abs(x - u) + 5 * (x - u) ** 2) - 0.0035
        s.lay(np.maximum(wing, np.abs(x - u) - 0.038), color("3a4450"))
    return s.paint()


def balloons(size_px: int = 384) -> Array:
    """Hot-air balloons over a valley of fields at sunrise."""
    s = Sheet(size_px, 45)
    x, y = s.x, s.y
    s.picture = s.shade(
        1.25 * y + 0.08 * s.cloudy, ["5a6ac0", "a890d0", "f4b0b0", "ffd8a0", "fff0c8"]
    )
    for k, (level, codes) in enumerate(
        (
            (0.62, ["6a6aa0", "9a90b8"]),
            (0.69, ["4a6a80", "80a098"]),
            (0.77, ["3f6a3c", "8fae54", "e0d070"]),
        )
    ):
        top = (
            level + 0.035 * np.sin(5 * x + 2.2 * k) + 0.018 * np.sin(13 * x + k) + 0.004 * s.grainy
        )
        s.lay(top - y, s.shade(0.9 - 3 * (y - top), codes))
    field = np.floor(9 * (x - 0.66) / (0.15 + (y - 0.66))) + 3 * np.floor(
        7 * np.sqrt(np.clip(y - 0.76, 0, 1))
    )
    rows = 0.5 + 0.5 * np.sin(60 * (x - 0.66) / (0.12 + y - 0.66))
    paints = [
        s.shade(0.25 + 0.5 * rows, c)
        for c in (
            ["4a7a34", "9ac058"],
            ["a8882c", "f0d868"],
            ["6a4a34", "b88a5c"],
            ["2f5f3c", "6f9f54"],
        )
    ]
    patch = np.choose((field.astype(int) * 7 % 4)[..., None], paints)
    s.lay(0.80 + 0.02 * np.sin(6 * x) - y, patch.astype(np.float32))
    s.lay(
        np.abs(x - 0.50 - 0.5 * (y - 0.78) - 0.10 * np.sin(16 * y))
        - 0.10 * np.clip(y - 0.77, 0, 1)
        - 0.003,
        s.shade(0.9 - 0.3 * y, ["5a8ac0", "d8ecf4"]),
    )
    for u, v, r, pair in (
        (0.44, 0.34, 0.225, ("c82c2c", "f8c840")),
        (0.98, 0.24, 0.150, ("2458a8", "f4f0e4")),
        (1.14, 0.56, 0.090, ("e8702c", "6a2a7a")),
        (0.13, 0.20, 0.085, ("2f8a6a", "fae69a")),
        (0.73, 0.58, 0.060, ("b83a6a", "f8d0c0")),
        (0.16, 0.62, 0.050, ("3a4aa0", "f0a040")),
    ):
        p, q = (x - u) / r, (y - v) / r
        wide = np.where(
            q < 0.1,
            np.sqrt(np.clip(1 - (q - 0.1) ** 2 / 1.21, 0, 1)),
            1 - 0.52 * (np.clip(q - 0.1, 0, None) / 1.15) ** 1.35,
        )
        wide = np.where((q > 1.25) | (q < -1.0), 0, np.nan_to_num(wide, nan=1.0))
        gore = np.arcsin(np.clip(p / np.maximum(wide, 0.05), -1, 1)) * 10 / np.pi + 0.15
        which = (np.floor(gore) % 2)[..., None]
        light = (
            0.70
            - 0.42 * p
            - 0.22 * q
            - 0.3 * np.clip(np.abs(p / np.maximum(wide, 0.05)) - 0.7, 0, 1)
        )
        seam = 1 - 0.16 * smoothstep(0.10, 0.0, np.abs(gore - np.round(gore)))
        a = [
            s.shade(0.8 * light, [c, c, c, "fff0d8"])
            * (0.55 + 0.50 * np.clip(light, 0, 1))[..., None]
            for c in pair
        ]
        envelope = (np.where(which > 0, a[0], a[1]) * seam[..., None]).astype(np.float32)
        zone = ((q > 0.10) & (q < 0.30))[..., None]
        envelope = np.where(zone, (a[1] if r > 0.1 else a[0]) * np.float32(0.96), envelope).astype(
            np.float32
        )
        s.lay((np.abs(p) - wide) * r * 0.8 + 9 * (wide == 0), envelope)
        for side in (-1, 1):
            rope = np.abs(p - side * (0.42 - 0.9 * (q - 1.25))) * r - 0.0022
            s.lay(np.maximum(rope, np.maximum(1.22 - q, q - 1.56) * r), color("4a3a34"))
        s.lay(
            np.maximum(np.abs(p) - 0.16, np.abs(q - 1.66) - 0.12) * r,
            s.shade(0.6 - 2 * p, ["4a2a18", "8a5a34", "c89a60"]),
        )
    mist = smoothstep(0.09, 0.0, np.abs(y - 0.70 - 0.02 * s.cloudy)) * 0.35
    s.picture = mix(s.picture, color("fff0dc"), mist)
    return s.paint()


def owl(size_px: int = 384) -> Array:
    """An owl on a branch before the moon."""
    s = Sheet(size_px, 46)
    x, y, rng = s.x, s.y, s.rng
    s.picture = s.shade(0.9 - 0.8 * y + 0.16 * s.cloudy, ["1a2444", "2a3f6c", "4a6a94", "6f90ac"])
    moon = np.hypot(x - 0.90, y - 0.36)
    s.picture = mix(s.picture, color("d8d8b8"), 0.55 * np.exp(-((moon / 0.42) ** 2)))
    s.lay(
        moon - 0.29,
        s.shade(0.75 + 0.25 * s.cloudy - 0.3 * (x - 0.9), ["c8b888", "f0e4b8", "fffbe4"]),
        2,
    )
    px = x - 0.62
    # trunk and branch
    bark = s.shade(
        0.5 + 0.3 * np.sin(50 * x + 6 * np.sin(7 * y) + s.grainy) - 0.3,
        ["1c1418", "3f2c28", "6f5040", "a08060"],
        0.10,
    )
    s.lay(np.maximum(x - 0.13 - 0.03 * np.sin(7 * y) - 0.01 * s.grainy, -1 - y), bark)
    branch = np.abs(y - 0.855 + 0.05 * np.sin(4 * x + 1) + 0.008 * s.grainy) - 0.040 + 0.014 * x
    s.lay(
        branch,
        s.shade(
            0.6 - 9 * (y - 0.84) + 0.15 * np.sin(90 * x + 30 * y),
            ["1c1418", "4a342c", "8a6850", "c0a078"],
            0.10,
        ),
    )
    # tail and body
    s.lay(
        np.maximum(np.abs(px) - 0.085 - 0.05 * (0.95 - y), np.abs(y - 0.87) - 0.10),
        s.shade(0.5 + 0.4 * np.sin(80 * px), ["2c1c18", "6a4a34", "a88058"]),
    )
    body = np.hypot(px / 0.225, (y - 0.585) / 0.30) - 1
    column, row = px / 0.042, (y - 0.40) / 0.042
    r_id = np.floor(row)
    u = column + 0.5 * (r_id % 2)
    fu, fv = u - np.floor(u) - 0.5, row - r_id
    tip = np.hypot(fu / 0.55, fv / 1.0)
    breast = s.shade(
        0.85
        - 0.5 * smoothstep(0.75, 1.0, tip)
        - 0.4 * smoothstep(0.10, 0.0, np.abs(fu))
        - 0.35 * np.abs(px) / 0.2,
        ["4a2c1c", "a87848", "e8cc9c", "fff2d4"],
        0.07,
    )
    s.lay(body * 0.22, breast, 3)
    for side in (-1, 1):
        wing = (
            np.hypot(
                (px - side * (0.185 - 0.10 * np.clip(y - 0.6, 0, 1))) / 0.085, (y - 0.60) / 0.235
            )
            - 1
        )
        rows = np.sin(44 * (y + 0.35 * side * px)) * 0.30 + 0.12 * np.sin(90 * px)
        s.lay(
            wing * 0.085,
            s.shade(
                0.42 + rows - 0.8 * side * (px - 0.18 * side),
                ["24161a", "5a3a2c", "94684a", "d0a878"],
                0.08,
            ),
            2,
        )
    head = np.hypot(px / 0.215, (y - 0.315) / 0.175) - 1
    tuft = np.abs(np.abs(px) - 0.165 - 0.25 * (0.2 - y)) - 0.5 * np.clip(y - 0.085, 0, 0.14)
    s.lay(
        np.maximum(tuft, np.maximum(0.085 - y, y - 0.26)),
        s.shade(0.4 + 1.5 * (y - 0.1), ["24161a", "5a3a2c", "94684a"]),
        2,
    )
    s.lay(
        head * 0.175,
        s.shade(
            0.42 - 0.5 * px + 0.3 * np.sin(60 * y + 40 * np.abs(px)),
            ["2c1c1c", "6a4630", "a87c54", "dcb88a"],
            0.09,
        ),
        3,
    )
    for side in (-1, 1):
        ex, ey = px - side * 0.088, y - 0.315
        r, a = np.hypot(ex, ey), np.arctan2(ey, ex)
        s.lay(
            r - 0.104,
            s.shade(
                0.85 - 3.4 * r + 0.16 * np.sin(34 * a),
                ["7a5034", "d8b080", "fbecc8", "fff8e4"],
                0.06,
            ),
            3,
        )
        s.lay(np.abs(r - 0.104) - 0.006 - 0.003 * s.grainy, color("2c1a18"), 3)
        s.lay(r - 0.060, color("1c1214"))
        s.lay(
            r - 0.053,
            s.shade(
                0.95 - 9 * np.abs(r - 0.035) + 0.08 * np.sin(40 * a),
                ["b85a10", "f49a1c", "ffd23c", "fff0a0"],
            ),
        )
        s.lay(r - 0.028, color("0c0a0e"))
        s.lay(np.hypot(ex + 0.016, ey + 0.018) - 0.010, color("ffffff"))
    beak = np.maximum(
        np.abs(px) - 0.036 * np.sqrt(np.clip((0.44 - y) / 0.09, 0, 1)),
        np.maximum(0.335 - y, y - 0.44),
    )
    s.lay(beak, s.shade(0.7 - 9 * px - 2 * (y - 0.36), ["2a160c", "b0621c", "f0b450"]))
    for side in (-1, 1):
        for k in (-1, 0, 1):
            claw = np.hypot((px - side * 0.075 - 0.024 * k) / 0.6, y - 0.852) - 0.022
            s.lay(claw, s.shade(0.6 - 9 * (y - 0.845), ["6a4a1c", "d0a040", "f8dc88"]))
    for _ in range(26):
        u, v = rng.uniform(0.1, 1.33), rng.uniform(0.0, 0.55)
        if np.hypot(u - 0.9, v - 0.36) > 0.33 and np.hypot(u - 0.62, v - 0.35) > 0.28:
            s.lay(np.hypot(x - u, y - v) - rng.uniform(0.0015, 0.005), color("fff6d0"), 2)
    for u, v, theta in (
        (0.05, 0.88, 0.3),
        (0.24, 0.80, -0.6),
        (1.10, 0.79, -0.5),
        (1.22, 0.88, 0.6),
        (1.30, 0.76, -1.0),
        (0.98, 0.89, 0.9),
    ):
        p = (x - u) * np.cos(theta) + (y - v) * np.sin(theta)
        q = (y - v) * np.cos(theta) - (x - u) * np.sin(theta)
        leaf = np.abs(q) - 0.55 * np.clip(p, 0, 1) * np.clip(1 - p / 0.11, 0, 1) + 9 * (p < 0)
        s.lay(leaf, s.shade(0.5 + 8 * q, ["1c3a30", "3f6a4a", "8fae6a"]), 1.5)
    return s.paint()


SCENES = (lighthouse, village, still_life, boats, balloons, owl)
