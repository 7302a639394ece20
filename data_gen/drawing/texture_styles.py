"""Texture styles: small works in six techniques, every one drawn from nothing but numbers.

Every function takes the long side in pixels and returns an RGB picture (H, W, 3) in [0, 1].
"""

from __future__ import annotations

import cv2
import numpy as np
from brush import (
    Array,
    Brush,
    Canvas,
    cells,
    color,
    lookup,
    mix,
    noise,
    ramp,
    relax,
    seeds,
    smoothstep,
    to_lab,
    to_rgb,
    trace,
)


def plane(width_px: int, aspect: float) -> tuple[tuple[int, int], Array, Array]:
    """Size (H, W) and coordinates of a picture: x in [0, aspect], y in [0, 1], y down."""
    height = max(int(round(width_px / aspect)), 16)
    y, x = np.mgrid[:height, :width_px].astype(np.float32)
    return (height, width_px), (x + 0.5) / height, (y + 0.5) / height


def along(stream: Array) -> Array:
    """Angle (H, W) of the contours of a stream function."""
    gy, gx = np.gradient(cv2.GaussianBlur(stream, (0, 0), 1.0))
    return np.arctan2(-gx, gy).astype(np.float32)


def night(size_px: int = 512) -> Array:
    """Oil, thick: a night sky that turns around its stars, over hills and a lake."""
    rng = np.random.default_rng(21)
    size, x, y = plane(size_px, 1.28)
    unit = size_px / 512
    # the wind is the sum of a drift and of whirls; color runs in bands along it
    wind = 0.9 * y + 0.06 * np.sin(5 * x + 1) + 0.02 * noise(size, 90 * unit, rng)
    for u, v, reach, strength in (
        (0.52, 0.30, 0.17, 0.30),
        (0.83, 0.40, 0.11, -0.20),
        (0.20, 0.50, 0.10, 0.13),
        (0.98, 0.12, 0.13, 0.13),
    ):
        r2 = ((x - u) ** 2 + (y - v) ** 2) / reach**2
        wind = wind + strength * np.exp(-r2 / 2)
    band = 0.5 + 0.5 * np.sin(58 * wind + 1.2 * noise(size, 60 * unit, rng))
    band = 0.75 * band + 0.25 * smoothstep(-1.5, 1.5, noise(size, 40 * unit, rng, 2))
    sky = ramp(band, ["0f1a4a", "16307c", "2352a8", "3f7fc8", "7fb4dc", "cfe0dc"])
    sky = mix(sky, color("131b52"), 0.45 * smoothstep(0.35, 0.0, y))
    stream = wind.copy()
    stars = [
        (0.12, 0.13, 0.050),
        (0.31, 0.22, 0.036),
        (0.36, 0.07, 0.030),
        (0.66, 0.10, 0.042),
        (0.80, 0.22, 0.030),
        (0.09, 0.35, 0.032),
        (0.68, 0.50, 0.030),
        (1.19, 0.42, 0.036),
        (1.02, 0.33, 0.024),
    ]
    for u, v, radius in [*stars, (1.10, 0.15, 0.095)]:
        r = np.hypot(x - u, y - v) / radius
        glow = np.exp(-((r / 1.5) ** 2))
        rings = 0.5 + 0.5 * np.cos(5.2 * r)
        halo = ramp(
            np.clip(1.12 - r / 2.6 + 0.12 * rings, 0, 1),
            ["2a5aa8", "7fae9c", "e8c84a", "ffd84a", "fff6c8"],
        )
        sky = mix(sky, halo, np.clip(1.5 * glow, 0, 1))
        near = np.clip(2.0 * np.exp(-((r / 2.0) ** 2)), 0, 1)
        stream = stream * (1 - near) + near * r * 0.1
    angle = along(stream)
    # land: three ridges and a lake that carries the light
    land = np.zeros(size, np.float32)
    picture = sky
    for level, rise, codes, seed in (
        (0.70, 0.055, ["1c2a5c", "35589a", "5f8cb8"], 3.0),
        (0.77, 0.050, ["14244a", "1f5560", "4a8a78"], 8.0),
    ):
        ridge = level + rise * (np.sin(4.1 * x + seed) + 0.5 * np.sin(9.7 * x + 2 * seed))
        inside = smoothstep(0.0, 0.006, y - ridge)
        slope = (
            9 * (y - ridge)
            + 0.6 * np.sin(14 * x - 20 * (y - ridge))
            + 0.3 * noise(size, 26 * unit, rng)
        )
        picture = mix(picture, ramp(np.clip(0.75 - slope * 0.4, 0, 1), codes), inside)
        turned = along(y - ridge + 0.06 * np.sin(9 * x + seed))
        angle = np.where(inside > 0.5, turned, angle)
        land = np.maximum(land, inside)
    shore = 0.86 + 0.012 * np.sin(6 * x)
    water = smoothstep(0.0, 0.008, y - shore)
    ripple = 0.5 + 0.5 * np.sin(150 * y + 5 * np.sin(7 * x) + 2.2 * noise(size, 30 * unit, rng))
    lake = ramp(0.55 * ripple + 0.1, ["0d1640", "1a3a86", "3f78b8", "9cc8d8"])
    for u in (0.12, 0.31, 0.66, 0.83, 1.10):
        gleam = np.exp(-(((x - u) / 0.045) ** 2)) * smoothstep(0.15, 0.8, ripple)
        lake = mix(lake, ramp(ripple, ["e0a030", "ffdf70"]), 0.95 * gleam)
    picture = mix(picture, lake, water)
    angle = np.where(water > 0.5, 0.12 * np.sin(8 * x + 9 * y), angle)
    # lamps of a village on the shore
    for u in np.linspace(0.28, 0.62, 8) + rng.uniform(-0.015, 0.015, 8):
        spark = np.exp(-(((x - u) ** 2 + ((y - 0.845) * 0.8) ** 2) / 0.008**2))
        picture = mix(picture, color("ffd860"), np.clip(1.6 * spark, 0, 1))
    # a tree like a dark flame
    stem = 0.17 + 0.018 * np.sin(9 * y + 1)
    wide = (
        0.085 * np.clip(y - 0.40, 0, None) ** 0.62 * (1 + 0.22 * np.sin(34 * y + 12 * (x - stem)))
    )
    tree = smoothstep(0.006, -0.006, np.abs(x - stem) - wide)
    flame = 0.5 + 0.5 * np.sin(70 * (x - stem) + 16 * y + noise(size, 30 * unit, rng))
    picture = mix(picture, ramp(flame, ["0c1a1c", "1a3a2c", "2f5a34", "6a7a34"]), tree)
    leaves = np.pi / 2 + 0.45 * np.sin(24 * y) * np.sign(x - stem)
    angle = np.where(tree > 0.5, leaves, angle).astype(np.float32)

    canvas = Canvas(np.ones((*size, 3), np.float32) * color("1c2c5a"), rng, detail=2)
    for brush in (
        Brush(15, 60, spacing=0.7, jitter=4, bristle=3, stop=0.5),
        Brush(
            8.5,
            46,
            spacing=0.85,
            threshold=0.05,
            jitter=7,
            bristle=4,
            stop=0.34,
            load=1.1,
            wander=0.06,
        ),
        Brush(
            5.5,
            26,
            spacing=1.0,
            threshold=0.13,
            jitter=6,
            bristle=4,
            stop=0.26,
            load=1.1,
            wander=0.06,
        ),
    ):
        canvas.layer(picture, angle, brush.scaled(unit))
    return canvas.finish(relief=1.2)


def pond(size_px: int = 512) -> Array:
    """Oil, broken color: water lilies between the reflections of willows."""
    rng = np.random.default_rng(22)
    size, x, y = plane(size_px, 1.28)
    unit = size_px / 512
    drift = noise(size, 130 * unit, rng, 3)
    # reflections hang straight down, so the noise is stretched upright and broken sideways
    upright = cv2.resize(noise((max(size[0] // 5, 8), size[1]), 34 * unit, rng, 2), size[::-1])
    tone = 0.50 + 0.20 * upright + 0.12 * drift
    water = ramp(np.clip(tone, 0, 1), ["16304a", "23586a", "3f7f7c", "7aa8a0", "b9c4cc", "e8cdd4"])
    dusk = ramp(
        np.clip(0.5 + 0.3 * drift + 0.25 * np.sin(3 * x + 2), 0, 1),
        ["4a4a9a", "9a86c4", "f0b8b0", "ffe0a8"],
    )
    picture = mix(water, dusk, 0.75 * smoothstep(-0.1, 1.1, upright + 0.5 * np.sin(2.6 * x + 1)))
    willow = smoothstep(0.55, 0.0, y + 0.12 * drift) * smoothstep(-0.4, 0.5, upright)
    picture = mix(
        picture,
        ramp(
            np.clip(0.5 + 0.3 * noise(size, 12 * unit, rng), 0, 1), ["173a34", "3f6f3a", "a8b850"]
        ),
        willow,
    )
    angle = (0.08 * drift).astype(np.float32)
    angle = np.where(willow > 0.5, np.pi / 2 + 0.2 * drift, angle).astype(np.float32)

    canvas = Canvas(np.ones((*size, 3), np.float32) * color("4a6a7a"), rng, detail=2)
    canvas.layer(picture, angle, Brush(18, 60, spacing=0.7, jitter=6, bristle=4).scaled(unit))
    canvas.layer(
        picture, angle, Brush(9, 34, spacing=0.9, jitter=9, bristle=4, stop=0.4).scaled(unit)
    )
    # rafts of pads, flatter and denser with distance
    pads, petals, turn = picture.copy(), [], angle.copy()
    cover = np.zeros(size, np.float32)
    for u, v, reach in (
        (0.30, 0.80, 0.20),
        (1.02, 0.66, 0.17),
        (0.60, 0.50, 0.13),
        (0.16, 0.40, 0.11),
        (1.12, 0.36, 0.10),
        (0.82, 0.92, 0.12),
        (0.78, 0.25, 0.08),
        (0.40, 0.24, 0.07),
    ):
        for _ in range(int(9 + 40 * reach)):
            du, dv = rng.normal(0, reach * 0.55), rng.normal(0, reach * 0.16)
            radius = (0.016 + 0.030 * (v + dv)) * rng.uniform(0.7, 1.25)
            r = np.hypot(x - u - du, (y - v - dv) * 2.6) / radius
            pad = smoothstep(1.0, 0.82, r)
            leaf = ramp(
                np.clip(0.55 - 0.5 * (y - v - dv) / radius + 0.1 * rng.normal() + 0 * r, 0, 1),
                ["1f4a3a", "3f8a5a", "8fb860", "d8d890"],
            )
            pads = mix(pads, leaf, pad)
            cover = np.maximum(cover, pad)
            if rng.random() < 0.42:
                petals.append((u + du, v + dv - 0.3 * radius, radius))
    turn = np.where(cover > 0.4, 0.05 * drift, turn).astype(np.float32)
    work = Brush(6.5, 24, spacing=0.8, threshold=0.07, jitter=7, bristle=4, stop=0.25, load=1.1)
    canvas.layer(pads, turn, work.scaled(unit))
    # flowers: a fan of petals each, dark side first
    spines, hues = [], []
    for u, v, radius in sorted(petals, key=lambda p: p[1]):
        shade = rng.choice(["f8c8d8", "fdf0e8", "f08aa8", "fff4c8", "e87aa0"])
        for theta in [*np.linspace(-2.7, -0.45, 7), -1.57, -1.1, -2.0]:
            reach = radius * rng.uniform(0.55, 0.8)
            t = np.linspace(0.1, 1, 6)[:, None] * reach
            spines.append(np.array([u, v]) + t * np.array([np.cos(theta), 0.72 * np.sin(theta)]))
            hues.append(color(shade) * rng.uniform(0.82, 1.0))
        spines.append(
            np.array([u, v - 0.1 * radius]) + np.linspace(-0.15, 0.15, 6)[:, None] * [radius, 0]
        )
        hues.append(color("ffd23c"))
    canvas.strokes(
        np.array(spines, np.float32) * size[0] - 0.5,
        np.tile([0, 6], (len(spines), 1)),
        np.array(hues, np.float32),
        max(5.5 * unit, 1.2),
        bristle=3,
        load=1.25,
    )
    return canvas.finish(relief=1.1)


def carve(light: Array, angle: Array, areas: Array, gap: float, rng: np.random.Generator) -> Array:
    """Paper laid bare (H, W) in [0, 1] by gouge cuts along `angle`, wider where `light` is high.

    Cuts keep `gap` pixels apart and end where they meet another cut or another of the `areas`
    (H, W, int).
    """
    detail, size = 3, light.shape
    bare = np.zeros((size[0] * detail, size[1] * detail), np.uint8)
    taken = np.zeros(bare.shape, np.uint8)
    starts = np.concatenate([seeds(size, gap * 0.7, rng) for _ in range(3)])
    starts = starts[lookup(light, starts) > 0.04]
    paths = trace(
        angle, starts, gap * 18, gap * 0.4, rng.normal(0, 0.03, len(starts)).astype(np.float32)
    )
    home, tone = lookup(areas, starts)[:, None], lookup(light, paths)
    open_ = (lookup(areas, paths) == home) & (tone > 0.03)
    # leaving the frame ends a cut as well
    open_ &= ((paths > -gap) & (paths < np.array(size[::-1]) + gap)).all(-1)
    limit = rng.integers(paths.shape[1] // 6, paths.shape[1] // 2 + 1, (len(paths), 2))
    middle = paths.shape[1] // 2
    for path, free, width, (back, ahead) in zip(paths, open_, tone, limit, strict=True):
        at = np.clip(np.rint((path + 0.5) * detail - 0.5).astype(int), 0, None)
        column, row = np.minimum(at, np.array(taken.shape[::-1]) - 1).T
        free = free & (taken[row, column] == 0)
        if not free[middle]:
            continue
        low, high = middle, middle
        while low > middle - back and free[low - 1]:
            low -= 1
        while high < middle + ahead and free[high]:
            high += 1
        if high - low < 6:
            continue
        line = path[low:high]
        s = np.linspace(0, 1, len(line))
        # the tool enters slowly and leaves with a flick
        taper = np.minimum(np.minimum(s / 0.35, 1) ** 0.8, np.minimum((1 - s) / 0.12, 1) ** 0.5)
        half = 0.5 * gap * (0.16 + 0.80 * width[low:high]) * taper * rng.uniform(0.85, 1.1)
        half = half + 0.05 * gap * taper * rng.normal(0, 1, len(line))
        tangent = np.gradient(line, axis=0)
        tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True) + 1e-6
        normal = np.stack([-tangent[:, 1], tangent[:, 0]], -1) * half[:, None]
        edge = np.concatenate([line + normal, (line - normal)[::-1]])
        points = np.rint(((edge + 0.5) * detail - 0.5) * 16).astype(np.int32)
        cv2.fillPoly(bare, [points], 255, cv2.LINE_AA, 4)
        spine = np.rint((line + 0.5) * detail - 0.5).astype(np.int32)
        cv2.polylines(taken, [spine], False, 255, max(int(1.75 * gap * detail), 1))
    small = cv2.resize(bare, size[::-1], interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255


def woodcut(size_px: int = 512) -> Array:
    """Relief print in four inks: a red sun over mountains, pines and a lake, cut with a gouge."""
    rng = np.random.default_rng(23)
    size, x, y = plane(size_px, 1.28)
    unit = size_px / 512
    wobble = 0.004 * noise(size, 30 * unit, rng, 2)
    r = np.hypot(x - 0.80, y - 0.30)
    # sky: rings around the sun, banded by long clouds
    rings = np.arctan2(y - 0.30, x - 0.80) + np.pi / 2
    cloud = np.sin(22 * y + 1.5 * np.sin(3.1 * x) + 0.5) * smoothstep(0.62, 0.2, y)
    light = np.clip(1.08 - 0.62 * r, 0.30, 1) * (0.62 + 0.38 * smoothstep(-0.5, 0.6, cloud))
    angle = np.where(cloud > 0.25, 0.15 * np.cos(3.1 * x), rings)
    areas = np.where(cloud > 0.25, 1, 0)

    # far range, lit from the sun's side
    def peaks(*spots: tuple[float, float, float]) -> tuple[Array, Array]:
        tops = np.stack(
            [v + steep * np.abs(x - u + 0.02 * np.sin(30 * y)) for u, v, steep in spots]
        )
        nearest = tops.argmin(0)
        return tops.min(0) + wobble, np.choose(
            nearest, [x - u + 0.045 * np.sin(26 * (y - v)) for u, v, _ in spots]
        )

    for number, (spots, base) in enumerate(
        [
            (((0.36, 0.24, 0.95), (0.07, 0.40, 0.8), (0.64, 0.45, 0.75), (1.22, 0.40, 0.8)), 0.72),
            (((0.16, 0.56, 0.45), (1.02, 0.53, 0.5), (0.55, 0.63, 0.35)), 0.76),
        ]
    ):
        top, side = peaks(*spots)
        inside = (y > top) & (y < base)
        lit = smoothstep(-0.004, 0.004, side)
        snow = smoothstep(0.14, 0.05, y - top) if number == 0 else np.zeros(size, np.float32)
        tone = np.where(lit > 0.5, 0.86 + 0.14 * snow, 0.20 + 0.55 * snow) - 0.22 * number
        light = np.where(inside, tone, light)
        light = np.where(np.abs(y - top) < 0.006, 0.0, light)
        lean = np.where(side > 0, 0.95, -0.95 + np.pi) + 0.25 * np.sin(40 * side)
        angle = np.where(inside, lean, angle)
        areas = np.where(inside, 2 + 2 * number + (lit > 0.5), areas)
    # lake with the sun's road
    lake = y > 0.745
    road = np.exp(-(((x - 0.80) / (0.05 + 0.25 * (y - 0.74))) ** 2))
    ripple = 0.5 + 0.5 * np.sin(
        170 * np.clip(y - 0.74, 0, None) ** 0.8 + 3 * np.sin(5 * x) + noise(size, 40 * unit, rng)
    )
    light = np.where(lake, np.clip(0.36 + 0.42 * ripple + 0.6 * road, 0, 1), light)
    angle = np.where(lake, 0.05 * np.sin(9 * x + 20 * y), angle)
    areas = np.where(lake, 8, areas)
    # near bank and pines
    bank = 0.93 - 0.05 * np.sin(2.6 * x + 0.3) + 2 * wobble
    near = y > bank
    light = np.where(near, 0.42 * smoothstep(0.004, 0.05, y - bank), light)
    angle = np.where(near, -1.2 + 0.5 * np.sin(13 * x), angle)
    areas = np.where(near, 9, areas)
    pines = np.zeros(size, bool)
    for u, foot, tall in (
        (0.10, 0.97, 0.62),
        (0.24, 0.96, 0.42),
        (1.17, 0.97, 0.50),
        (0.345, 0.95, 0.26),
        (1.06, 0.95, 0.28),
    ):
        h = (foot - y) / tall
        tier = (h * 7.5) % 1.0
        wide = 0.19 * tall * (1.02 - h) * (0.35 + 0.65 * (1 - tier) ** 0.8) + 0.006
        wide = wide * (1 + 0.07 * noise(size, 16 * unit, rng))
        tree = (np.abs(x - u + wobble) < wide) & (h > 0.08) & (h < 1)
        tree |= (np.abs(x - u) < 0.012 * (1.2 - h)) & (h > -0.05) & (h < 1.04)
        light = np.where(tree, np.where((x > u + 0.25 * wide) & (tier < 0.72), 0.30, 0.0), light)
        angle = np.where(tree, 0.75 * np.sign(x - u) + 0.15, angle)
        areas = np.where(tree, 10, areas)
        pines |= tree
    bare = carve(
        light.astype(np.float32), angle.astype(np.float32), areas, max(4.6 * unit, 2.0), rng
    )
    disc = smoothstep(0.128, 0.124, r + wobble) * (areas < 2)
    bare = np.maximum(bare, np.maximum(disc, smoothstep(0.142, 0.138, r + wobble) * (areas < 2)))

    # a pine stands out by the bright rim that the gouge leaves around it
    gap = cv2.distanceTransform((~pines).astype(np.uint8), cv2.DIST_L2, 5) / unit
    rim = (
        smoothstep(0.4, 1.0, gap)
        * smoothstep(2.8, 1.8, gap + 0.8 * noise(size, 9 * unit, rng))
        * (y < bank)
    )
    bare = np.maximum(bare, 0.95 * rim)

    fiber = noise(size, 3 * unit, rng) * 0.5 + cv2.resize(
        noise((size[0], max(size[1] // 8, 8)), 2 * unit, rng), size[::-1]
    )
    paper = color("f2e6cc") * (1 + 0.014 * fiber[..., None])
    grain = 0.90 + 0.025 * noise(size, 2.2 * unit, rng) + 0.035 * noise(size, 40 * unit, rng)

    def press(sheet: Array, ink: str, cover: Array, shift: tuple[float, float]) -> Array:
        """One block: ink over the sheet, out of register, thin where the wood was dry."""
        move = np.array([[1, 0, shift[0] * unit], [0, 1, shift[1] * unit]], np.float32)
        moved = cv2.warpAffine(
            cover.astype(np.float32), move, size[::-1], borderMode=cv2.BORDER_REPLICATE
        )
        return (sheet * (1 - np.clip(moved * grain, 0, 1)[..., None] * (1 - color(ink)))).astype(
            np.float32
        )

    sheet = press(paper, "3a78b0", smoothstep(0.42, 0.0, y) * 0.85 * (1 - disc), (0, 0))
    sheet = press(sheet, "f0a860", smoothstep(0.40, 0.66, y) * (areas < 2) * 0.8, (0.5, 0))
    sheet = press(
        sheet,
        "6aa8a8",
        smoothstep(0.74, 1.0, y) * (areas >= 8) * 0.8 + 0.30 * ((areas > 1) & (areas < 8)),
        (1.0, 0.6),
    )
    sheet = press(sheet, "d8301c", disc * 1.05 + 0.55 * road * (areas == 8), (-0.9, 0.7))
    return np.clip(press(sheet, "141c30", (1 - bare) * 1.12, (0, 0)), 0, 1)


def mosaic(size_px: int = 512) -> Array:
    """Byzantine mosaic: two fish in a whirling sea under a golden sky."""
    rng = np.random.default_rng(24)
    size, x, y = plane(size_px, 1.28)
    unit, tile = size_px / 512, max(9.5 * size_px / 512, 3.0)
    horizon = 0.26 + 0.025 * np.sin(6 * x)
    sea = y > horizon
    stream = y + 0.05 * np.sin(7 * x + 1) * smoothstep(0.2, 0.5, y)
    for u, v, reach, strength in (
        (0.28, 0.80, 0.14, 0.25),
        (1.08, 0.46, 0.12, -0.22),
        (0.72, 0.93, 0.10, -0.15),
    ):
        stream = stream + strength * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * reach**2))
    band = 0.5 + 0.5 * np.sin(44 * stream)
    picture = ramp(band, ["0e2a54", "145a86", "1f8a9c", "6cc4b8", "e4f0dc"])
    sun = np.hypot(x - 0.30, y - 0.02)
    rays = 0.5 + 0.5 * np.cos(26 * np.arctan2(y - 0.02, x - 0.30))
    gold = ramp(
        np.clip(
            0.25 + 0.5 * rays * smoothstep(0.9, 0.1, sun) + 0.3 * smoothstep(0.4, 0.1, sun), 0, 1
        ),
        ["9a6a1c", "c8942c", "ecc04c", "fbe69a"],
    )
    gold = mix(gold, color("d84a20"), smoothstep(0.135, 0.13, sun))
    gold = mix(gold, color("f08a30"), smoothstep(0.085, 0.08, sun))
    picture = np.where(sea[..., None], picture, gold)
    guide = np.where(sea, stream, sun)
    for u, v, scale, lean, codes in (
        (0.48, 0.50, 0.30, 0.22, ["6a1420", "b8301c", "e8642a", "f8b04a", "fbe8b0"]),
        (0.88, 0.74, 0.27, -0.25, ["3a1a44", "8a2a5a", "d8506a", "f8a088", "fde6cc"]),
    ):
        p = ((x - u) * np.cos(lean) + (y - v) * np.sin(lean)) / scale
        q = ((y - v) * np.cos(lean) - (x - u) * np.sin(lean)) / scale + 0.10 * np.sin(2.4 * p)
        girth = 0.36 * np.sqrt(np.clip(1 - ((p + 0.12) / 0.88) ** 2, 0, 1)) * (1 - 0.25 * p)
        body = np.abs(q) - girth
        tail = (
            (p > 0.60)
            & (p < 1.12)
            & (np.abs(q) < 0.06 + 0.80 * (p - 0.60))
            & (np.abs(q) > 1.3 * (p - 0.88))
        )
        fin = (np.abs(p - 0.02 - 0.5 * np.abs(q)) < 0.30 - 0.45 * (np.abs(q) - 0.3)) & (
            np.abs(q) < 0.56
        )
        inside = (body < 0) | tail | fin
        scales = 0.5 + 0.5 * np.sin(17 * p + 6 * np.cos(9 * q))
        paint = ramp(np.clip(0.55 + 0.75 * q + 0.30 * (scales - 0.5), 0, 1), codes)
        paint = np.where(
            (tail | (fin & (body > 0)))[..., None],
            ramp(0.5 + 0.5 * np.sin(24 * q), codes[1:4]),
            paint,
        )
        gill = np.abs(np.hypot(p + 0.86, q) - 0.36) < 0.035
        paint = np.where((gill & (body < 0))[..., None], color(codes[0]), paint)
        eye = np.hypot(p + 0.74, q + 0.07)
        paint = np.where((eye < 0.105)[..., None], color("fdf6e0"), paint)
        paint = np.where((eye < 0.058)[..., None], color("101018"), paint)
        edge = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 5)
        picture = np.where((edge < 0.75 * tile)[..., None], color("16183a"), picture)
        picture = np.where(inside[..., None], paint, picture)
        guide = np.where(edge < 1.6 * tile, edge / size[0], guide)
        guide = np.where(inside, np.where(tail, p, q + 0.15 * p), guide)
    picture = picture.astype(np.float32)
    angle = along(guide.astype(np.float32))

    # tiles settle on a half-size sheet, then are cut at three times the size
    points = seeds(size, tile, rng)
    for step in range(14):
        owner = cells(points, size, lookup(angle, points), 1.7 * tile, square=step >= 4)
        points = relax(points, owner)
    detail = 3
    fine = (size[0] * detail, size[1] * detail)
    turn = lookup(angle, points) + rng.normal(0, 0.05, len(points)).astype(np.float32)
    owner = cells((points + 0.5) * detail - 0.5, fine, turn, 1.7 * tile * detail, square=True)
    step_x, step_y = owner != np.roll(owner, 1, 1), owner != np.roll(owner, 1, 0)
    depth = (
        cv2.distanceTransform((~(step_x | step_y)).astype(np.uint8), cv2.DIST_L2, 5) / detail / unit
    )
    hues = to_lab(lookup(cv2.GaussianBlur(picture, (0, 0), 0.8), points)[None])[0]
    hues = hues + rng.normal(0, 1, hues.shape) * np.array([4.5, 3.0, 4.0])
    stone = to_rgb(hues[None].astype(np.float32))[0][owner]
    # every stone is set at its own tilt, so it catches the light in its own way
    tilt = rng.normal(0, 0.055, (len(points), 3)).astype(np.float32)
    y3, x3 = np.mgrid[: fine[0], : fine[1]].astype(np.float32)
    local_x = (x3 / detail - points[owner, 0]) / tile
    local_y = (y3 / detail - points[owner, 1]) / tile
    sheen = tilt[owner, 0] + 2.2 * (tilt[owner, 1] * local_x + tilt[owner, 2] * local_y)
    sheen = sheen + 0.022 * noise(fine, 2.2 * detail * unit, rng, 2)
    bevel = smoothstep(0.5, 1.9, depth)
    gy, gx = np.gradient(cv2.GaussianBlur(bevel, (0, 0), 0.4 * detail))
    relief = -(gx + 1.3 * gy) * detail * unit
    stone = stone * (1 + sheen + 0.30 * relief)[..., None]
    grout = color("3a342f") * (1 + 0.10 * noise(fine, 2.0 * detail, rng))[..., None]
    laid = mix(
        grout, stone, smoothstep(0.45, 1.0, depth + 0.10 * noise(fine, 3 * detail * unit, rng))
    )
    return np.clip(cv2.resize(laid, size[::-1], interpolation=cv2.INTER_AREA), 0, 1)


def glass(size_px: int = 512) -> Array:
    """Leaded glass: the sun rises behind hills, a river and irises."""
    rng = np.random.default_rng(25)
    (height, width), _, _ = plane(size_px, 1.28)
    unit, detail = size_px / 512, 2
    size = (height * detail, width * detail)
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    x, y = (x + 0.5) / size[0], (y + 0.5) / size[0]
    # the cartoon: areas, their colors and the direction of their panes
    r = np.hypot(x - 0.66, y - 0.40)
    ring = np.digitize(r + 0.004 * np.sin(7 * x) * np.sin(9 * y), [0.12, 0.21, 0.33, 0.48, 0.66])
    areas, guide = ring.copy(), r.copy()
    tone = np.stack(
        [color(c) for c in ("ffec9a", "ffc848", "f8922c", "e8542e", "b03a66", "5a3a92")]
    )[ring]
    for k, (level, rise, freq, phase, code) in enumerate(
        (
            (0.50, 0.045, 5.0, 1.0, "5a78d0"),
            (0.60, 0.050, 3.6, 3.6, "2f9a9a"),
            (0.71, 0.040, 4.4, 0.4, "5aa040"),
        )
    ):
        top = level + rise * (np.sin(freq * x + phase) + 0.4 * np.sin(2.3 * freq * x))
        inside = y > top
        areas, guide = np.where(inside, 10 + k, areas), np.where(inside, y - top, guide)
        tone = np.where(inside[..., None], color(code), tone)
    course = 0.66 + 0.34 * np.sin(7 * (y - 0.52)) * np.clip(y - 0.50, 0, None)
    broad = 0.014 + 0.55 * np.clip(y - 0.56, 0, None) ** 1.5
    river = (np.abs(x - course) < broad) & (y > 0.56)
    areas, guide = np.where(river, 20, areas), np.where(river, (x - course) / broad * 0.1, guide)
    tone = np.where(
        river[..., None],
        ramp(np.clip(1.6 - 2.2 * np.abs(x - course) / broad, 0, 1), ["2f78d0", "8ad0f0", "ffe0a0"]),
        tone,
    )
    label = 30
    for u, foot, head, sway, size_ in (
        (0.14, 1.05, 0.50, 0.05, 0.115),
        (0.30, 1.05, 0.66, -0.04, 0.095),
        (1.10, 1.05, 0.56, -0.06, 0.11),
        (0.98, 1.05, 0.74, 0.03, 0.085),
    ):
        rise = np.clip((foot - y) / (foot - head), 0, 1)
        for lean, length in ((-0.16, 0.75), (0.14, 0.62), (0.0, 1.0)):
            spine = u + sway * rise**2 + lean * rise**1.7
            blade = (
                np.abs(x - spine) < 0.020 * np.sqrt(np.clip(1 - rise / length, 0, 1)) + 0.004
            ) & (rise < length)
            blade &= y > head
            areas, guide = np.where(blade, label, areas), np.where(blade, x - spine, guide)
            tone = np.where(blade[..., None], color("2f7a3a" if lean else "7ab83a"), tone)
            label += 1
        cx, cy = u + sway, head
        for theta, long, wide, code in (
            (-1.57, 1.0, 0.42, "8a5ad8"),
            (-2.5, 0.9, 0.36, "a88af0"),
            (-0.64, 0.9, 0.36, "a88af0"),
            (2.55, 1.0, 0.40, "6a3ac0"),
            (0.59, 1.0, 0.40, "6a3ac0"),
            (1.57, 0.95, 0.44, "c0a0ff"),
            (1.57, 0.42, 0.16, "ffd23c"),
        ):
            p = ((x - cx) * np.cos(theta) + (y - cy) * np.sin(theta)) / (size_ * long)
            q = ((y - cy) * np.cos(theta) - (x - cx) * np.sin(theta)) / (size_ * wide)
            petal = (
                (p > 0)
                & (p < 1)
                & (
                    np.abs(q)
                    < 1.25 * np.sqrt(np.clip(p, 0, 1)) * np.sqrt(np.clip(1 - p, 0, 1)) * 1.4
                )
            )
            areas, guide = np.where(petal, label, areas), np.where(petal, q * size_, guide)
            tone = np.where(
                petal[..., None],
                mix(color(code), color("fff0d0"), 0.45 * smoothstep(0.5, 0.0, p)),
                tone,
            )
            label += 1
    angle = along(guide.astype(np.float32))
    # panes: cells inside every area, longer along its guide
    pane = 34 * unit * detail
    points = seeds(size, pane, rng)
    for step in range(6):
        owner = cells(points, size, lookup(angle, points), 3 * pane, stretch=1.6, areas=areas)
        points = relax(points, owner) if step < 5 else points
    pair = areas.astype(np.int64) * (len(points) + 1) + owner
    names, pane_of = np.unique(pair, return_inverse=True)
    pane_of = pane_of.reshape(size)
    seam = (pane_of != np.roll(pane_of, 1, 1)) | (pane_of != np.roll(pane_of, 1, 0))
    seam[0], seam[:, 0] = False, False
    depth = cv2.distanceTransform((~seam).astype(np.uint8), cv2.DIST_L2, 5) / detail / unit
    bold = areas != np.roll(areas, 1, 1)
    bold |= areas != np.roll(areas, 1, 0)
    bold[0], bold[:, 0] = False, False
    outline = cv2.distanceTransform((~bold).astype(np.uint8), cv2.DIST_L2, 5) / detail / unit

    # every pane is its own sheet of glass: hue, streaks, seeds, thickness
    lab = to_lab(tone.astype(np.float32))
    shift = (rng.normal(0, 1, (len(names), 3)) * np.array([8, 7, 7])).astype(np.float32)
    lab = lab + cv2.GaussianBlur(shift[pane_of], (0, 0), 0.6)
    wave = noise(size, 26 * unit * detail, rng, 2)
    drift = rng.uniform(-40, 40, (len(names), 2)).astype(np.float32)[pane_of] * unit * detail
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    turn = angle + 0.25 * wave
    streak = noise(size, 9 * unit * detail, rng, 2)
    for _ in range(3):  # smear the noise along the panes
        streak = 0.5 * streak + 0.25 * sum(
            cv2.remap(
                streak,
                columns + s * np.cos(turn) + drift[..., 0] * 0,
                rows + s * np.sin(turn),
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REFLECT,
            )
            for s in (-6 * unit * detail, 6 * unit * detail)
        )
    seedy = smoothstep(2.1, 2.6, noise(size, 3.2 * unit * detail, rng))
    thick = smoothstep(0, 13, depth)
    glow = np.exp(-((r / 0.42) ** 2))
    lab[..., 0] += 7 * streak + 5 * wave + 10 * seedy - 17 * (1 - thick) + 13 * glow
    lab[..., 1:] *= (1.12 - 0.10 * streak)[..., None]
    light = to_rgb(lab)
    halo = cv2.GaussianBlur(light, (0, 0), 7 * unit * detail)
    light = 1 - (1 - light) * (1 - 0.16 * halo)
    # lead: a round profile, lit from the upper left, dull with age
    reach = np.minimum(depth / 1.75, outline / 2.7)
    lead = smoothstep(1.12, 0.88, reach + 0.05 * noise(size, 9 * unit * detail, rng))
    profile = cv2.GaussianBlur(
        np.sqrt(np.clip(1 - np.clip(reach, 0, 1) ** 2, 0, 1)), (0, 0), 0.7 * detail * unit
    )
    gy, gx = np.gradient(profile)
    sheen = (
        0.13
        - 0.20 * (gx + 1.2 * gy) * detail * unit
        + 0.015 * noise(size, 2.5 * detail * unit, rng)
    )
    metal = np.clip(sheen, 0.02, 0.6)[..., None] * np.array([0.95, 1.0, 1.1])
    sheet = mix(np.clip(light, 0, 1).astype(np.float32), metal.astype(np.float32), lead)
    return np.clip(cv2.resize(sheet, (width, height), interpolation=cv2.INTER_AREA), 0, 1)


def watercolor(size_px: int = 512) -> Array:
    """Watercolor and ink: poppies, washes left to run into one another on rough paper."""
    rng = np.random.default_rng(26)
    size, x, y = plane(size_px, 1.28)
    unit = size_px / 512
    rough = 0.6 * noise(size, 3.0 * unit, rng, 2) + 0.4 * noise(size, 7 * unit, rng)
    sheet = color("f8f3e6") * np.ones((*size, 3), np.float32)
    wide = (2 * size[0], 2 * size[1])
    outlines = [noise(wide, scale * unit, rng, 4) for scale in (60, 46, 34, 26)]

    def ragged() -> Array:
        """A window of one of a few fractal fields, mirrored at random."""
        top, left = rng.integers(0, size[0] + 1), rng.integers(0, size[1] + 1)
        window = outlines[rng.integers(4)][top : top + size[0], left : left + size[1]]
        return window[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]

    def wash(
        sheet: Array,
        shape: Array,
        code: str,
        strength: float,
        *,
        bleed: float = 0.02,
        edge: float = 0.5,
        coats: int = 10,
    ) -> Array:
        """A wash inside `shape` < 0 (distance in picture heights): ragged coats, rim, grain.

        Source: coats of ragged outlines after Hobbs, How to hack a painting, 2016; rim and
        granulation after Curtis et al., Computer-generated watercolor, 1997.
        """
        far = shape + bleed * ragged()
        coat = np.zeros(size, np.float32)
        for _ in range(coats):
            coat += smoothstep(0.005, -0.005, far + bleed * (0.35 * ragged() + rng.normal(0, 0.25)))
        coat /= coats
        rim = np.clip(coat - cv2.GaussianBlur(coat, (0, 0), 4.5 * unit), 0, 1)
        pool = 0.5 + 0.5 * smoothstep(-1.6, 1.6, cv2.GaussianBlur(ragged(), (0, 0), 8 * unit) * 1.6)
        grain = 1 + 0.16 * rough
        density = strength * (coat * pool + edge * 2.2 * rim) * grain
        absorb = -np.log(np.clip(color(code), 0.02, 0.98))  # Beer's law: washes multiply
        return (sheet * np.exp(-np.clip(density, 0, None)[..., None] * absorb)).astype(np.float32)

    # wet-in-wet ground
    for u, v, reach, code, strength in (
        (0.25, 0.22, 0.30, "7fb4d8", 0.75),
        (0.95, 0.18, 0.34, "f4b860", 0.65),
        (0.60, 0.35, 0.26, "e8a0b0", 0.5),
        (1.10, 0.62, 0.30, "8ab8c8", 0.6),
        (0.20, 0.72, 0.32, "b8cc70", 0.7),
        (0.70, 0.85, 0.36, "7fae6a", 0.8),
        (1.18, 0.92, 0.22, "5f9a7a", 0.8),
        (0.05, 0.45, 0.16, "b8a0d0", 0.5),
    ):
        far = np.hypot(x - u, (y - v) * 1.2) - reach
        sheet = wash(sheet, far, code, strength, bleed=0.07, edge=0.35)
    flowers = [
        (0.36, 0.40, 0.155, -0.3),
        (0.80, 0.30, 0.175, 0.2),
        (1.06, 0.55, 0.115, 0.5),
        (0.17, 0.62, 0.095, -0.6),
        (0.60, 0.62, 0.10, 0.1),
    ]
    stems = []
    for u, v, radius, lean in flowers:
        t = np.linspace(0, 1, 60)
        foot = 0.62 + (u - 0.62) * 0.75
        stem_x = u + (foot - u) * t + 0.05 * np.sin(np.pi * t) * (1 if lean > 0 else -1)
        stem_y = v + radius * 0.5 + (1.05 - v - radius * 0.5) * t
        stems.append(np.stack([stem_x, stem_y], -1))
        near = np.interp(y, stem_y, stem_x, left=9.0)
        sheet = wash(sheet, np.abs(x - near) - 0.006, "4f7a34", 1.0, bleed=0.0035, coats=5)
    for u, v, long, theta in (
        (0.47, 0.86, 0.20, -2.2),
        (0.73, 0.80, 0.22, -0.8),
        (0.96, 0.90, 0.17, -0.5),
        (0.28, 0.88, 0.16, -2.7),
        (0.60, 0.95, 0.2, -1.4),
    ):
        p = (x - u) * np.cos(theta) + (y - v) * np.sin(theta)
        q = (y - v) * np.cos(theta) - (x - u) * np.sin(theta) + 0.9 * p * (p - long)
        beyond = np.maximum(np.maximum(-p, p - long), 0)
        far = np.abs(q) - 0.036 * np.sin(np.pi * np.clip(p / long, 0, 1)) ** 0.8 + beyond + 0.004
        sheet = wash(sheet, far, rng.choice(["4a7a3c", "6f9a48", "3a6a50"]), 1.0, bleed=0.005)
    for u, v, radius, _ in flowers:  # lift the ground with a damp brush where the red must glow
        lifted = smoothstep(1.05, 0.75, np.hypot(x - u, (y - v) * 1.15) / radius)
        sheet = mix(sheet, color("faf2e2"), 0.75 * lifted)
    for u, v, radius, lean in flowers:
        for k, theta in enumerate(lean + np.array([2.6, 0.5, -1.1, -2.3, 1.57])):
            cx, cy = u + 0.42 * radius * np.cos(theta), v + 0.36 * radius * np.sin(theta)
            a = np.arctan2(y - cy, x - cx)
            far = np.hypot(x - cx, (y - cy) * 1.15) - radius * (0.62 + 0.06 * np.sin(5 * a + 2 * k))
            code = ["e8402c", "f06a34", "d82a38", "f4503a", "e03020"][k]
            sheet = wash(sheet, far, code, 0.50, bleed=0.012, edge=0.8)
        heart = np.hypot(x - u, (y - v) * 1.2) - 0.20 * radius
        sheet = wash(sheet, heart, "3a1a3a", 1.5, bleed=0.012, edge=0.3)
    # splashes
    for code in ("e8402c", "4f7a34", "7fb4d8", "f4b860"):
        far = np.full(size, 9.0, np.float32)
        for u, v, drop in zip(
            rng.uniform(0, 1.28, 12), rng.uniform(0, 1, 12), rng.exponential(0.004, 12), strict=True
        ):
            far = np.minimum(far, np.hypot(x - u, y - v) - min(drop, 0.012) - 0.0015)
        sheet = wash(sheet, far, code, 0.8, bleed=0.0012, coats=3)

    # ink: a pen whose width follows the pressure, drawn three times as large
    detail = 3
    ink = np.zeros((size[0] * detail, size[1] * detail), np.uint8)

    def pen(points: Array, weight: float) -> None:
        pressure = np.convolve(rng.uniform(0.45, 1.25, len(points) + 8), np.ones(9) / 9, "valid")
        at = (points * size[0] * detail * 16).astype(np.int32)
        for a, b, p in zip(at, at[1:], pressure, strict=False):
            cv2.line(
                ink,
                a.tolist(),
                b.tolist(),
                255,
                max(int(round(weight * p * detail * unit)), 1),
                cv2.LINE_AA,
                4,
            )

    for stem in stems:
        pen(stem + [0.007, 0] + np.cumsum(rng.normal(0, 0.0005, stem.shape), 0), 1.5)
    for u, v, radius, lean in flowers:
        for k, theta in enumerate(lean + np.array([2.6, 0.5, -1.1, -2.3, 1.57])):
            cx, cy = u + 0.42 * radius * np.cos(theta), v + 0.36 * radius * np.sin(theta)
            a = theta + np.linspace(-1.9, 1.5, 90) + rng.normal(0, 0.1)
            rim = radius * (0.60 + 0.06 * np.sin(5 * a + 2 * k) + 0.02 * np.sin(23 * a))
            wobble = np.cumsum(rng.normal(0, 0.0007, (90, 2)), 0)
            pen(np.stack([cx + rim * np.cos(a), cy + rim / 1.15 * np.sin(a)], -1) + wobble, 1.5)
            for _ in range(3):  # folds of the petal
                b = theta + rng.normal(0, 0.5)
                t = np.linspace(0.35, rng.uniform(0.6, 0.9), 24)[:, None] * radius
                pen(
                    np.array([u, v])
                    + t * np.array([np.cos(b), np.sin(b) / 1.15])
                    + 0.02 * radius * np.sin(9 * t / radius),
                    0.9,
                )
        for _ in range(26):  # stamens
            b, reach = rng.uniform(0, 2 * np.pi), radius * rng.uniform(0.20, 0.34)
            tip = np.array([u + reach * np.cos(b), v + reach * np.sin(b) / 1.2])
            pen(
                np.linspace([u + 0.1 * radius * np.cos(b), v + 0.1 * radius * np.sin(b)], tip, 6),
                0.8,
            )
            cv2.circle(
                ink,
                np.rint(tip * size[0] * detail).astype(int).tolist(),
                max(int(1.5 * detail * unit), 1),
                255,
                -1,
                cv2.LINE_AA,
            )
    line = cv2.resize(ink, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    line = line * np.clip(1.0 + 0.12 * rough, 0, 1)
    sheet = mix(sheet, color("1c1a28"), 0.88 * line)
    gy, gx = np.gradient(cv2.GaussianBlur(rough, (0, 0), 0.8))
    return np.clip(sheet * (1 - 0.05 * (gx + gy) * 2 * unit)[..., None], 0, 1).astype(np.float32)


STYLES = (night, pond, woodcut, mosaic, glass, watercolor)
