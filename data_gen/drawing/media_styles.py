"""Texture styles, continued: dots of broken color, flat gouache and charcoal, drawn from numbers.

Every function takes the long side in pixels and returns an RGB picture (H, W, 3) in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from brush import (
    SHIFT,
    Array,
    Canvas,
    color,
    lookup,
    mix,
    noise,
    ramp,
    seeds,
    smoothstep,
    to_lab,
    to_rgb,
    trace,
)
from texture_styles import plane


def polygon(x: Array, y: Array, corners: list[tuple[float, float]]) -> Array:
    """Signed distance (H, W) to a polygon in picture heights, negative inside."""
    inside = np.zeros(x.shape, bool)
    far = np.full(x.shape, 9.0, np.float32)
    for (u, v), (s, t) in zip(corners, [*corners[1:], corners[0]], strict=True):
        along = ((x - u) * (s - u) + (y - v) * (t - v)) / ((s - u) ** 2 + (t - v) ** 2 + 1e-9)
        along = np.clip(along, 0, 1)
        far = np.minimum(far, np.hypot(x - u - along * (s - u), y - v - along * (t - v)))
        if t != v:
            inside ^= ((v > y) != (t > y)) & (x < (s - u) * (y - v) / (t - v) + u)
    return np.where(inside, -far, far).astype(np.float32)


def riverside(size: tuple[int, int], x: Array, y: Array, rng: np.random.Generator) -> Array:
    """The subject of `pointillism`: sails on a river in the late afternoon, trees on the bank."""
    unit = size[1] / 512
    cloud = noise(size, 90 * unit, rng, 3)

    def soft(far: Array, width: float = 0.004) -> Array:
        return smoothstep(width, -width, far)

    sky = ramp(
        np.clip(y / 0.40 + 0.05 * cloud, 0, 1),
        ["4f8ad0", "78a8dc", "a4c4e0", "ecd4bc", "f6c88c"],
    )
    sky = mix(sky, color("fbeede"), 0.65 * smoothstep(0.3, 1.4, cloud) * smoothstep(0.4, 0.1, y))
    picture = mix(sky, color("fff0b8"), np.exp(-(((x - 1.02) ** 2 + (y - 0.30) ** 2) / 0.13**2)))
    # far bank, with houses that catch the sun
    hill = 0.335 - 0.035 * np.sin(4.4 * x - 1.2) - 0.012 * np.sin(11 * x) + 0.004 * cloud
    tone = np.clip(0.5 + 0.25 * cloud + 2.5 * (y - hill), 0, 1)
    picture = mix(picture, ramp(tone, ["4a5aa8", "5a80a8", "6f9c7c"]), soft(hill - y))
    for u, wide, tall in ((0.58, 0.035, 0.035), (0.645, 0.026, 0.05), (1.05, 0.03, 0.036)):
        wall = np.maximum(np.abs(x - u) - wide, np.abs(y - 0.418 + tall / 2) - tall / 2)
        picture = mix(picture, color("fdeacc"), soft(wall, 0.003))
        roof = polygon(
            x, y,
            [(u - wide - 0.008, 0.418 - tall), (u, 0.39 - tall), (u + wide + 0.008, 0.418 - tall)],
        )  # fmt: skip
        picture = mix(picture, color("e0764a"), soft(roof, 0.003))
    # the river carries the sky
    flecks = cv2.resize(noise((size[0], size[1] // 5), 9 * unit, rng, 2), size[::-1])
    ripple = smoothstep(-1.2, 1.2, flecks)
    depth = np.clip((y - 0.42) / 0.5, 0, 1)
    river = ramp(
        np.clip(depth + 0.16 * (ripple - 0.5) + 0.04 * cloud, 0, 1),
        ["d8c8bc", "94b4d0", "5a94c8", "3874b4", "2a5a9c"],
    )
    glitter = np.exp(-(((x - 1.02) / (0.05 + 0.16 * depth)) ** 2)) * smoothstep(0.35, 0.8, ripple)
    river = mix(river, color("fff2c4"), 0.9 * glitter)
    river = mix(river, color("5f7c94"), 0.5 * smoothstep(0.06, 0.0, y - 0.42) * ripple)
    picture = mix(picture, river, smoothstep(0.0, 0.004, y - 0.418))
    for u, v, tall, sail in (
        (0.735, 0.535, 0.30, "fff8ec"),
        (0.975, 0.470, 0.15, "f79048"),
        (0.540, 0.450, 0.085, "fdf2e4"),
        (1.165, 0.436, 0.06, "fdf2e4"),
    ):
        mirrored = np.exp(-(((x - u) / (0.2 * tall)) ** 2)) * soft(v - y)
        mirrored = mirrored * np.exp(-(((y - v) / (0.8 * tall)) ** 2))
        mirrored = mirrored * smoothstep(0.2, 0.7, ripple)
        picture = mix(picture, color(sail), 0.85 * mirrored)
        main = [(u + 0.01, v - tall), (u + 0.02, v - 0.03), (u + 0.40 * tall, v - 0.03)]
        jib = [(u - 0.005, v - 0.9 * tall), (u - 0.005, v - 0.03), (u - 0.27 * tall, v - 0.03)]
        shade = np.clip((x - u) / (0.4 * tall), 0, 1)[..., None] * (color("c8b4d8") - 1) * 0.6 + 1
        picture = mix(picture, color(sail) * shade, soft(polygon(x, y, main), 0.003))
        picture = mix(picture, color(sail) * 0.94, soft(polygon(x, y, jib), 0.003))
        hull = np.hypot((x - u - 0.03 * tall) / (0.36 * tall), (y - v + 0.018) / (0.075 * tall)) - 1
        picture = mix(picture, color("7a3040"), soft(np.where(y > v - 0.025, hull, 1.0), 0.08))
    # near bank: sun and the long shadow of the trees
    bank = 0.97 - 0.36 * smoothstep(1.15, -0.1, x) + 0.012 * np.sin(9 * x)
    grass = noise(size, 22 * unit, rng, 2)
    lawn = ramp(np.clip(0.55 + 0.2 * grass, 0, 1), ["8a9c34", "b8c044", "e4d864"])
    shadow = smoothstep(0.25, -0.25, np.sin(6.5 * (x - 1.6 * y) + 1.1) + 0.35 * grass - 0.15)
    shadow = np.maximum(shadow, smoothstep(0.62, 0.30, x + 0.35 * y + 0.03 * grass))
    lawn = mix(lawn, ramp(np.clip(0.5 + 0.25 * grass, 0, 1), ["244a64", "33706a"]), 0.88 * shadow)
    picture = mix(picture, lawn, soft(bank - y))
    edge = smoothstep(0.03, 0.0, np.abs(y - bank - 0.008))
    picture = mix(picture, color("d8c478"), 0.55 * edge * (1 - shadow))
    # trees: masses of leaves over leaning trunks
    for u, foot, lean, wide in ((0.135, 0.83, 0.05, 0.024), (0.375, 0.76, -0.03, 0.014)):
        stem = u + lean * (foot - y) / 0.6
        trunk = np.abs(x - stem) - wide * (0.75 + 0.6 * smoothstep(foot - 0.10, foot, y))
        bark = ramp(np.clip(0.5 + (x - stem) / wide * 0.5, 0, 1), ["3a2850", "6a4a6a", "c88a58"])
        picture = mix(picture, bark, soft(np.maximum(trunk, y - foot)))
    for u, v, reach in (
        (0.06, 0.13, 0.20), (0.26, 0.07, 0.17), (0.14, 0.30, 0.13), (0.30, 0.24, 0.09),
        (0.41, 0.31, 0.085), (0.36, 0.40, 0.065), (0.45, 0.22, 0.055), (-0.02, 0.38, 0.10),
    ):  # fmt: skip
        r = np.hypot(x - u, (y - v) * 1.12) / reach + 0.16 * noise(size, 16 * unit, rng, 2)
        lit = np.clip(0.45 + 0.55 * ((x - u) - 0.8 * (y - v)) / reach + 0.12 * grass, 0, 1)
        leaf = ramp(lit, ["1f3a5c", "28605a", "4f8c44", "a4b83c", "ecd860"])
        picture = mix(picture, leaf, smoothstep(1.0, 0.90, r))
    # a walker with a red parasol
    u, foot = 0.62, 0.915
    dress = polygon(
        x, y,
        [(u - 0.085, foot), (u - 0.050, foot - 0.09), (u - 0.020, foot - 0.13),
         (u - 0.028, foot - 0.19), (u + 0.024, foot - 0.19), (u + 0.018, foot - 0.13),
         (u + 0.055, foot)],
    )  # fmt: skip
    shade = np.clip(0.5 + (x - u) / 0.06, 0, 1)
    picture = mix(picture, ramp(shade, ["2a2064", "5a4a9c", "b494c4"]), soft(dress, 0.003))
    picture = mix(picture, color("f0b890"), soft(np.hypot(x - u, y - foot + 0.212) - 0.019, 0.003))
    hat = np.hypot((x - u) / 0.026, (y - foot + 0.230) / 0.011) - 1
    picture = mix(picture, color("3a2450"), soft(hat, 0.1))
    dome = np.hypot((x - u - 0.02) / 0.105, (y - foot + 0.235) / 0.075) - 1
    red = ramp(np.clip(0.5 + (x - u - 0.02) / 0.14, 0, 1), ["a02050", "e0403c", "ff8a50"])
    picture = mix(picture, red, soft(np.where(y < foot - 0.235, dome, 1.0), 0.05))
    return picture


def pointillism(size_px: int = 512) -> Array:
    """Oil, dots of divided color: sails on a river, after the manner of the 1880s."""
    rng = np.random.default_rng(27)
    size, x, y = plane(size_px, 1.28)
    unit, detail = size_px / 512, 4
    subject = riverside(size, x, y, rng)
    canvas = Canvas(np.ones((*size, 3), np.float32) * color("e8dcc4"), rng, detail=detail)
    paint = canvas.paint
    for width, gap, share in ((7.4, 5.4, 0.15), (6.0, 4.6, 0.28), (4.8, 4.3, 0.34)):
        points = seeds(size, gap * unit, rng)
        soft = cv2.GaussianBlur(subject, (0, 0), 0.25 * width * unit)
        lab = to_lab(lookup(soft, points)[None])[0]
        hue, chroma = np.arctan2(lab[:, 2], lab[:, 1]), np.hypot(lab[:, 1], lab[:, 2])
        # Colors divide: neighbors on the wheel, complements, the sun's orange, the sky's blue.
        kind = rng.choice(5, len(points), p=[1 - share, 0.34 * share, 0.22 * share, 0.24 * share,
                                             0.20 * share])  # fmt: skip
        hue = hue + rng.normal(0, 0.16, len(points))
        hue += np.where(kind == 1, rng.choice([-0.75, 0.75], len(points)), 0)
        hue += np.where(kind == 2, np.pi, 0)
        hue = np.where(kind == 3, 1.15 + rng.normal(0, 0.2, len(points)), hue)
        hue = np.where(kind == 4, -1.25 + rng.normal(0, 0.25, len(points)), hue)
        chroma = 1.15 * chroma + np.where(kind == 0, 3, 12) + rng.normal(0, 4, len(points))
        chroma = np.where(kind == 2, 0.75 * chroma, chroma)
        light = lab[:, 0] + rng.normal(0, 4.5, len(points)) + 5 * (kind == 3) - 6 * (kind == 4)
        dots = np.stack([light, chroma * np.cos(hue), chroma * np.sin(hue)], -1)
        rgb = to_rgb(dots[None].astype(np.float32))[0] * 255
        for (u, v), paint_color, load in zip(
            points, rgb, rng.uniform(0.75, 1.1, len(points)), strict=True
        ):
            center = ((np.array([u, v]) + 0.5) * detail - 0.5) * (1 << SHIFT)
            radius = 0.5 * width * unit * detail * load * (1 << SHIFT)
            axes = np.array([radius * rng.uniform(0.95, 1.2), radius * rng.uniform(0.75, 0.95)])
            turn = float(rng.uniform(0, 180))
            value = paint_color * rng.uniform(0.97, 1.03)
            for scale, height in ((1.0, 110), (0.72, 165), (0.4, 190)):  # a rounded dab
                cv2.ellipse(
                    paint,
                    np.rint(center).astype(int).tolist(),
                    np.rint(axes * scale).astype(int).tolist(),
                    turn, 0, 360,
                    (*np.clip(value, 0, 255).tolist(), height * load), -1, cv2.LINE_AA, SHIFT,
                )  # fmt: skip
    return canvas.finish(relief=0.4, gloss=0.04)


def streaks(p: Array, q: Array, length: float, width: float, rng: np.random.Generator) -> Array:
    """Noise (H, W) drawn out along `p`: marks of a brush, of a length and width in units of p."""
    lattice = rng.standard_normal((512, 512)).astype(np.float32)
    column = np.mod(p / length + 7, 500).astype(np.float32)
    row = np.mod(q / width + 7, 500).astype(np.float32)
    return cv2.remap(lattice, column, row, cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)


def gouache(size_px: int = 512) -> Array:
    """Gouache: a village between hills, flat opaque shapes whose edges run dry on the paper."""
    rng = np.random.default_rng(28)
    detail = 2
    (height, width), x, y = plane(size_px * detail, 1.28)
    unit = size_px * detail / 512
    size = (height, width)
    tooth = 0.7 * noise(size, 2.4 * unit, rng, 2) + 0.5 * noise(size, 5 * unit, rng)
    wobble = 0.0022 * noise(size, 26 * unit, rng, 3)
    sheet = color("efe2c8") * (1 + 0.012 * tooth)[..., None]

    def lay(
        sheet: Array, far: Array, code: str, *, p: Array = x, q: Array = y, dry: float = 0.3,
        cover: float = 1.0, grain: float = 1.0,
    ) -> Array:  # fmt: skip
        """Paint of one color where `far` < 0, brushed along `p`; `dry` of it misses the paper."""
        brush = streaks(p, q, 0.16, 0.0050, rng)
        edge = far + wobble + 0.0016 * brush + 0.0010 * tooth
        inside = smoothstep(0.0016, -0.0016, edge)
        # The brush runs dry toward the rim: paint is left on the tooth of the paper only.
        starved = smoothstep(-0.030, 0.004, far) * dry
        missed = smoothstep(0.1, 0.5, starved * 1.5 - 0.55 + 0.32 * brush - 0.26 * tooth)
        tone = 1 + grain * (0.022 * brush + 0.010 * tooth + 0.02 * streaks(p, q, 0.5, 0.03, rng))
        layer = np.clip(color(code) * tone[..., None], 0, 1)
        return mix(sheet, layer, cover * inside * (1 - missed))

    def scumble(sheet: Array, far: Array, code: str, p: Array, q: Array, amount: float) -> Array:
        """Dry paint dragged over an area: broken streaks of one color."""
        brush = streaks(p, q, 0.20, 0.0055, rng)
        near = smoothstep(0.012, -0.035, far)
        hit = smoothstep(0.55, 0.85, near * amount + 0.30 * brush + 0.22 * tooth)
        return mix(sheet, color(code), 0.95 * hit * (far < 0.012))

    # sky, in flat bands
    sheet = lay(sheet, y - 0.75, "f3cf9c", dry=0.0)
    for level, code in ((0.33, "efb98a"), (0.235, "e9c9a6"), (0.15, "a9c4b8"), (0.07, "7fa9a8")):
        rim = level + 0.018 * np.sin(5 * x + 40 * level) + 0.008 * np.sin(13 * x + 9 * level)
        sheet = lay(sheet, y - rim, code, q=y - rim, dry=0.75)
    sheet = lay(sheet, np.hypot(x - 0.93, y - 0.265) - 0.115, "e5603f", dry=0.25)
    for u, v, wide, tall in ((0.28, 0.17, 0.20, 0.030), (0.60, 0.10, 0.15, 0.022),
                             (1.00, 0.29, 0.19, 0.016), (0.44, 0.25, 0.12, 0.015)):  # fmt: skip
        cloud = (np.hypot((x - u) / wide, (y - v) / tall) - 1) * tall
        cloud = np.where(y > v + 0.4 * tall, np.maximum(cloud, y - v - 0.4 * tall), cloud)
        sheet = lay(sheet, cloud, "f7ead2", dry=0.9)
        sheet = scumble(sheet, np.maximum(cloud, v - y), "e9a98c", x, y, 0.35)
    # hills: a light side, a dark side

    def rise(u: float, tall: float, wide: float) -> Array:
        return tall * np.exp(-(((x - u) / wide) ** 2))

    for ridge, light, dark, seed in (
        (0.36 - rise(0.30, 0.10, 0.17) - rise(0.66, 0.06, 0.13), "8aa6ae", "5f8394", 1.0),
        (0.47 - rise(1.10, 0.10, 0.23) - rise(0.05, 0.05, 0.2), "7d9c7c", "3f7370", 2.0),
        (0.58 - rise(0.16, 0.07, 0.24) - 0.02 * np.sin(5 * x), "c9a648", "8f8f45", 3.0),
    ):
        q = y - ridge
        sheet = lay(sheet, -q, light, q=q, dry=0.35)
        side = np.sin(9.5 * x + 2.1 * seed + 5 * q + 0.6 * np.sin(23 * x + seed)) + 0.25
        sheet = lay(sheet, np.maximum(0.05 * side, 0.006 - q), dark, p=x + 2 * q, q=q - 0.4 * x,
                    dry=0.8)  # fmt: skip
        sheet = scumble(sheet, np.maximum(-q, q - 0.10), light, x, q, 0.42)
    # fields, one strip behind the other
    for number, (level, lean, code, furrow) in enumerate((
        (0.60, 0.02, "e3b653", "c98a3c"), (0.665, -0.05, "6f9a68", "3f7370"),
        (0.73, 0.07, "e8a04a", "c9683f"), (0.83, -0.06, "4f8270", "25505a"),
        (0.915, 0.05, "e0b04c", "b9703a"),
    )):  # fmt: skip
        q = y - level - lean * (x - 0.64) - 0.012 * np.sin(6 * x + number)
        sheet = lay(sheet, -q, code, q=q, dry=0.3)
        sheet = scumble(sheet, 0.014 - q, furrow, x, q, 0.55 if number % 2 else 0.36)
    # a road up to the village
    run = np.clip((y - 0.60) / 0.42, 0, 1)
    middle = 0.60 + 0.16 * np.sin(3.4 * run + 0.2) * run + 0.12 * run
    road = np.abs(x - middle) - 0.010 - 0.085 * run**1.4
    sheet = lay(sheet, np.maximum(road, 0.602 - y), "f2dfba", p=y, q=x, dry=0.5)
    sheet = scumble(sheet, np.maximum(np.abs(x - middle - 0.05 * run) - 0.03 * run, 0.64 - y),
                    "d9a982", y, x, 0.45)  # fmt: skip

    def house(sheet: Array, u: float, v: float, wide: float, tall: float, roof: str) -> Array:
        """A house with its foot at (u, v): a lit front, a side in shade, a roof."""
        deep, peak = 0.62 * wide, v - tall - 0.55 * wide
        left = [(u - wide, v), (u - wide, v - tall), (u - wide / 2, peak), (u, v - tall), (u, v)]
        right = [(u, v), (u, v - tall), (u + deep, v - tall), (u + deep, v)]
        eaves = v - tall + 0.004
        top = [(u + 0.006, eaves), (u - wide / 2, peak - 0.002),
               (u + deep - wide / 2, peak - 0.002), (u + deep + 0.008, eaves)]  # fmt: skip
        sheet = lay(sheet, polygon(x, y, left), "f6e8cc", p=y, q=x, dry=0.2, grain=0.6)
        sheet = lay(sheet, polygon(x, y, right), "b9856a", p=y, q=x, dry=0.2, grain=0.6)
        sheet = lay(sheet, polygon(x, y, top), roof, p=x, q=y, dry=0.3)
        for du, dv in ((-0.72, 0.62), (-0.32, 0.62), (-0.52, 0.12)):
            pane = np.maximum(np.abs(x - u - du * wide) - 0.085 * wide,
                              np.abs(y - v + dv * tall) - 0.13 * tall)  # fmt: skip
            sheet = lay(sheet, pane, "27424f", dry=0.0)
        return sheet

    for u, v, wide, tall, roof in (
        (0.34, 0.600, 0.052, 0.050, "c9503a"), (0.80, 0.602, 0.055, 0.048, "c9503a"),
        (0.47, 0.598, 0.036, 0.130, "27424f"), (0.43, 0.628, 0.058, 0.056, "dd6a45"),
        (0.565, 0.622, 0.050, 0.070, "c9503a"), (0.71, 0.640, 0.064, 0.062, "dd6a45"),
        (0.30, 0.655, 0.062, 0.060, "b9443a"),
    ):  # fmt: skip
        sheet = house(sheet, u, v, wide, tall, roof)
    # round trees and cypresses
    for u, v, reach, code, lit in (
        (0.185, 0.640, 0.050, "3f7370", "7d9c7c"), (0.245, 0.665, 0.036, "25505a", "4f8270"),
        (0.875, 0.640, 0.044, "3f7370", "c9a648"), (0.535, 0.668, 0.026, "25505a", "7d9c7c"),
        (1.10, 0.690, 0.058, "4f8270", "c9a648"), (1.19, 0.72, 0.047, "25505a", "7d9c7c"),
        (0.06, 0.735, 0.070, "25505a", "7d9c7c"),
    ):  # fmt: skip
        crown = np.hypot(x - u, (y - v + reach) * 1.12) - reach * (1 + 0.1 * np.sin(
            7 * np.arctan2(y - v + reach, x - u) + 40 * u))  # fmt: skip
        trunk = np.maximum(np.abs(x - u) - 0.09 * reach, np.abs(y - v) - 0.5 * reach)
        sheet = lay(sheet, trunk, "5a3a34", p=y, q=x, dry=0.2)
        sheet = lay(sheet, crown, code, p=x + y, q=y - x, dry=0.55)
        sheet = scumble(sheet, np.hypot(x - u - 0.3 * reach, y - v + 1.25 * reach) - 0.72 * reach,
                        lit, x + y, y - x, 0.55)  # fmt: skip
    for u, v, tall in ((0.965, 0.70, 0.25), (1.015, 0.715, 0.19), (0.655, 0.66, 0.13),
                       (0.155, 0.86, 0.40), (0.235, 0.90, 0.30), (1.235, 0.95, 0.34)):  # fmt: skip
        h = np.clip((v - y) / tall, 0, 1)
        wide = 0.135 * tall * np.sqrt(np.clip(h, 0, 1)) * (1 - h) ** 0.75 * 1.55
        tree = np.maximum(np.abs(x - u) - wide, np.maximum(y - v, v - tall - y))
        sheet = lay(sheet, tree, "1f3d4a", p=y, q=x, dry=0.35)
        lit = np.maximum(np.abs(x - u - 0.35 * wide) - 0.45 * wide, v - 0.93 * tall - y)
        sheet = scumble(sheet, lit, "4f8270", y, x, 0.45)
    small = cv2.resize(sheet, (width // detail, height // detail), interpolation=cv2.INTER_AREA)
    return np.clip(small, 0, 1).astype(np.float32)


def avenue(
    size: tuple[int, int], x: Array, y: Array, rng: np.random.Generator
) -> tuple[Array, Array, list[tuple[float, float, float]]]:
    """The subject of `charcoal`: darkness, direction of strokes, and (x, foot, scale) of trees."""
    unit = size[1] / 512
    u, v = 0.70, 0.555  # vanishing point
    cloud = noise(size, 110 * unit, rng, 4)
    tone = 0.30 - 0.42 * np.clip(y, 0, v) + 0.10 * cloud
    tone = tone - 0.22 * np.exp(-(((x - u - 0.04) / 0.34) ** 2 + ((y - v + 0.1) / 0.26) ** 2))
    angle = -0.75 + 0.35 * noise(size, 160 * unit, rng, 2)
    hill = v - 0.035 - 0.03 * np.sin(4.2 * x + 0.3) - 0.008 * np.sin(15 * x)
    tone = np.where(y > hill, 0.36 + 0.05 * cloud, tone)
    angle = np.where(y > hill, -0.25, angle)
    # fields and a road run to the vanishing point
    below = np.maximum(y - v, 1e-3)
    ray = (x - u) / below
    ground = y > v
    field = 0.26 + 0.10 * np.sin(7 * ray) * smoothstep(0.0, 0.2, below) + 0.08 * cloud
    tone = np.where(ground, field + 0.25 * smoothstep(0.05, 0.0, below), tone)
    angle = np.where(ground, np.arctan2(below, x - u), angle)
    road = ground & (ray > -0.95) & (ray < 0.72)
    tone = np.where(road, 0.05 + 0.06 * smoothstep(0.2, 0.0, below), tone)
    verge = np.minimum(np.abs(ray + 0.95), np.abs(ray - 0.72)) * below
    tone = np.where(ground & (verge < 0.012 + 0.04 * below), 0.52, tone)
    for turn in (-0.22, -0.13, 0.12, 0.19):  # ruts
        tone = np.where(road & (np.abs(ray - 4.2 * turn) < 0.035), 0.24, tone)
    trees = []
    for k in range(6, -1, -1):
        scale = 0.66**k * 1.12
        trees.append((u - 1.30 * 0.42 * scale, v + 0.36 * scale, scale))
        trees.append((u + 1.06 * 0.42 * scale, v + 0.36 * scale, scale * 0.94))
    for s, foot, scale in trees:  # shadows of the left row and of crowns lie across the road
        if s < u:
            band = np.abs(y - foot - 0.05 * (x - s)) - 0.026 * scale
            cast = smoothstep(0.006, -0.006, band + 0.008 * cloud) * (x > s) * (ray < 0.8) * ground
            tone = np.maximum(tone, 0.56 * cast)
            angle = np.where(cast > 0.5, 0.05, angle)
    for s, foot, scale in trees:
        h = foot - y
        trunk = np.abs(x - s - 0.015 * scale * np.sin(9 * h / scale)) - scale * (
            0.021 + 0.022 * np.exp(-np.clip(h, 0, None) / (0.05 * scale)))  # fmt: skip
        stem = (trunk < 0) & (h > 0) & (h < 0.62 * scale)
        dark = 0.95 - 0.35 * smoothstep(0.2, 1.0, (x - s) / (0.021 * scale))
        tone = np.where(stem, dark - 0.25 * (1.12 - scale), tone)
        angle = np.where(stem, np.pi / 2 - 0.1, angle)
        for _ in range(9):
            du, dv = rng.normal(0, 0.13 * scale), rng.normal(0, 0.12 * scale)
            reach = rng.uniform(0.09, 0.16) * scale
            cu, cv = s + du, foot - 0.72 * scale + dv
            r = np.hypot(x - cu, (y - cv) * 1.15) / reach
            r = r + 0.20 * noise(size, max(15 * scale, 4) * unit, rng, 2)
            lit = 0.5 + 0.5 * ((x - cu) * np.sign(u - s) - 0.9 * (y - cv)) / reach
            leaf = 0.86 - 0.62 * np.clip(lit, 0, 1) - 0.16 * (1.12 - scale)
            tone = np.where(r < 1, leaf, tone)
            angle = np.where(r < 1, -0.9 + 0.9 * (x - cu) / reach, angle)
    return np.clip(tone, 0, 1).astype(np.float32), angle.astype(np.float32), trees


def charcoal(size_px: int = 512) -> Array:
    """Charcoal: a road between trees; rubbed tone, strokes on the tooth of the paper, erasing."""
    rng = np.random.default_rng(29)
    detail = 2
    (height, width), x, y = plane(size_px * detail, 1.28)
    size, unit = (height, width), size_px * detail / 512
    tone, angle, trees = avenue(size, x, y, rng)
    tooth = 0.8 * noise(size, 1.4 * unit, rng) + 0.35 * noise(size, 3.2 * unit, rng)
    laid = cv2.resize(noise((height, max(width // 10, 8)), 2.2 * unit, rng), (width, height))
    tooth = tooth + 0.25 * laid  # the paper has ribs

    def draw(paths: Sequence[Array], values: Array, thick: float) -> Array:
        """Strokes (K, 2) in pixels, each of constant pressure out of `values` (N,)."""
        layer = np.zeros(size, np.float32)
        for path, value in zip(paths, values, strict=True):
            line = np.rint(path * (1 << SHIFT)).astype(np.int32)
            wide = max(int(round(thick * rng.uniform(0.75, 1.2))), 1)
            cv2.polylines(layer, [line], False, float(value), wide, cv2.LINE_AA, SHIFT)
        return layer

    # rubbed with a finger: soft, without grain
    rubbed = cv2.GaussianBlur(tone, (0, 0), 5 * unit)
    rubbed = rubbed * (0.85 + 0.12 * noise(size, 30 * unit, rng, 2))
    pressure = np.zeros(size, np.float32)
    sticks = ((8.0, 8.0, 50, 0.42), (4.5, 6.0, 40, 0.50), (2.0, 4.2, 30, 0.70))
    for wide, gap, long, share in sticks:
        start = seeds(size, gap * unit, rng)
        dark = lookup(tone, start)
        keep = dark > rng.uniform(0.06, 0.5, len(start))
        start, dark = start[keep], dark[keep]
        turn = rng.normal(0, 0.13, len(start)).astype(np.float32)
        paths = trace(angle, start, long * unit, 2.5 * unit, turn)
        # A stroke ends where the tone changes.
        held = np.abs(lookup(tone, paths) - dark[:, None]) < 0.16
        middle, points = paths.shape[1] // 2, np.arange(paths.shape[1])
        low = np.where(~held & (points < middle), points + 1, 0).max(-1)
        high = np.where(~held & (points > middle), points, paths.shape[1]).min(-1) - 1
        index = np.clip(points[None], low[:, None], np.maximum(high, low)[:, None])
        paths = np.take_along_axis(paths, index[..., None], 1)
        layer = draw(paths, share * (0.06 + dark) * rng.uniform(0.5, 1.35, len(dark)), wide * unit)
        pressure = pressure + cv2.GaussianBlur(layer, (0, 0), 0.12 * wide * unit)

    # vine charcoal, sharpened: branches, grass, a walker
    lines, weights = [], []

    def branch(u: float, v: float, theta: float, long: float, weight: float, depth: int) -> None:
        bend = np.cumsum(rng.normal(0, 0.06, 12)) + theta
        step = long / 12
        turns = np.stack([np.cos(bend), np.sin(bend)], -1)
        path = np.array([u, v]) + step * np.cumsum(turns, 0)
        for part in range(4):  # thinner toward the tip
            lines.append(path[3 * part : 3 * part + 4] * height)
            weights.append(weight * (1.15 - 0.22 * part))
        if depth:
            for at in rng.choice(np.arange(4, 12), 3, replace=False):
                lean = bend[at] + rng.choice([-1, 1]) * rng.uniform(0.35, 0.8)
                branch(*path[at], lean, 0.62 * long, 0.6 * weight, depth - 1)

    for s, foot, scale in trees:
        if scale > 0.3:
            for theta in (-2.1, -1.75, -1.45, -1.1):
                branch(s, foot - 0.48 * scale, theta, 0.26 * scale, 3.4 * scale, 2)
    for _ in range(900):  # grass of the verges
        below = 0.44 * rng.random() ** 0.6 + 0.02
        side = rng.choice([-0.98, 0.75]) + rng.normal(0, 0.06)
        u, v = 0.70 + side * below, 0.555 + below
        reach = 0.10 * below * rng.uniform(0.4, 1.2)
        blade = np.linspace(0, 1, 12)[:, None]
        lean = rng.normal(0, 0.35)
        bow = blade**2 * [0.3 * lean * reach, 0]
        grass = np.array([u, v]) + blade * [lean * reach, -reach] + bow
        lines.append(grass * height)
        weights.append(0.5 + 1.6 * below)
    fine = np.zeros(size, np.float32)
    for weight in np.unique(np.round(weights, 1)):
        chosen = [line for line, w in zip(lines, weights, strict=True) if round(w, 1) == weight]
        fine = np.maximum(fine, draw(chosen, rng.uniform(0.6, 1.0, len(chosen)), weight * unit))
    for du, dv, wide, tall in ((0.0, 0.034, 0.0105, 0.026), (0.001, 0.0, 0.0062, 0.0075),
                               (0.0, 0.050, 0.0125, 0.020), (-0.004, 0.078, 0.0038, 0.018),
                               (0.007, 0.075, 0.0038, 0.017)):  # fmt: skip
        body = np.hypot((x - 0.665 - du) / wide, (y - 0.590 - dv) / tall)
        fine = np.maximum(fine, smoothstep(1.15, 0.9, body))
    fine = np.maximum(fine, 0.8 * smoothstep(0.0045, 0.002, np.abs(y - 0.685 - 0.05 * (x - 0.66))) *
                      ((x > 0.662) & (x < 0.735)))  # fmt: skip

    # kneaded rubber lifts light out of the tone
    lifted = np.zeros(size, np.float32)
    for number in range(16):
        u, v = rng.uniform(0.25, 1.25), rng.uniform(0.03, 0.45)
        long, theta = rng.uniform(0.05, 0.16), -0.62 + rng.normal(0, 0.06)
        t = np.linspace(-0.5, 0.5, 9)[:, None] * long
        path = (np.array([u, v]) + t * [np.cos(theta), np.sin(theta)]) * height
        lifted = np.maximum(lifted, draw(path[None], np.array([rng.uniform(0.35, 0.75)]),
                                         (4 + number % 5) * unit))  # fmt: skip
    for _ in range(60):
        s, foot, scale = trees[rng.integers(8, len(trees))]
        u = s + np.sign(0.70 - s) * abs(rng.normal(0.06, 0.05)) * scale
        v = foot - (0.74 + rng.normal(0, 0.10)) * scale
        path = (np.array([u, v]) + np.linspace(0, 0.05 * scale, 5)[:, None] * [0.8, 0.6]) * height
        lifted = np.maximum(lifted, draw(path[None], np.array([0.7]), 3 * scale * unit))
    lifted = cv2.GaussianBlur(lifted, (0, 0), 1.3 * unit) * (0.85 - 0.15 * tooth)

    # Charcoal stays on the peaks of the paper, and the pressure decides how far down.
    peak = 1 / (1 + np.exp(-2.0 * tooth))
    pressure = pressure * (1 - 0.85 * lifted)
    held = 0.62 * (peak - 0.62) * smoothstep(0.0, 0.12, pressure)
    grain = smoothstep(0.02, 1.15, pressure + held)
    crisp = smoothstep(0.05, 0.6, fine - 0.12 - 0.13 * tooth)
    rubbed = np.clip(rubbed * (1 - lifted), 0, 1)
    dark = 1 - (1 - 0.46 * rubbed) * (1 - 0.90 * grain) * (1 - 0.85 * crisp)
    dark = np.clip(dark + 0.012 * tooth * (0.3 + dark), 0, 1)
    # the sheet keeps a bare, smeared margin
    rim = np.minimum(np.minimum(x, 1.28 - x), np.minimum(y, 1 - y))
    rim = rim + 0.004 * noise(size, 22 * unit, rng, 3)
    dark = dark * (0.05 + 0.95 * smoothstep(0.012, 0.030, rim))
    sheet = mix(color("f0ebe0") * (1 + 0.010 * tooth)[..., None], color("1b1a1a"), dark)
    small = cv2.resize(sheet, (width // detail, height // detail), interpolation=cv2.INTER_AREA)
    return np.clip(small, 0, 1).astype(np.float32)


STYLES = (pointillism, gouache, charcoal)
