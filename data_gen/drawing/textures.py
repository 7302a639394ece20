"""Texture exemplars: small stationary surfaces for texture synthesis and for the data generator.

Every function takes the side in pixels and returns a square RGB picture (S, S, 3) in [0, 1].
"""

from __future__ import annotations

import cv2
import numpy as np
from brush import Array, cells, color, mix, noise, ramp, relax, relief, seeds, smoothstep, tint


def plane(size_px: int) -> tuple[tuple[int, int], Array, Array, float]:
    """Size (S, S), coordinates x and y in [0, 1] and the scale against 256 px."""
    y, x = (np.mgrid[:size_px, :size_px].astype(np.float32) + 0.5) / size_px
    return (size_px, size_px), x, y, size_px / 256


def pebbles(size_px: int = 256) -> Array:
    """River pebbles: rounded, overlapping, each of its own stone."""
    rng = np.random.default_rng(31)
    size, _, _, unit = plane(size_px)
    rows, columns = np.mgrid[:size_px, :size_px].astype(np.float32)
    height = np.zeros(size, np.float32)
    sheet = (
        np.ones((*size, 3), np.float32)
        * color("2c2620")
        * (1 + 0.12 * noise(size, 3 * unit, rng))[..., None]
    )
    grain = noise(size, 2.2 * unit, rng, 2)
    mottle = noise(size, 9 * unit, rng, 2)
    warp = 1.6 * unit * noise(size, 14 * unit, rng), 1.6 * unit * noise(size, 14 * unit, rng)
    stones = ["b8a890", "8c8478", "6a6c70", "cfc4b2", "a07a5c", "7c5a48", "586068", "e0dace"]
    for reach in (13.0, 9.0, 6.5):
        for u, v in seeds(size, 1.75 * reach * unit, rng):
            theta, long = rng.uniform(0, np.pi), reach * unit * rng.uniform(0.8, 1.25)
            flat = rng.uniform(0.6, 0.9)
            row, column = (int(np.clip(at, 0, size_px - 1)) for at in (v, u))
            if reach < 13 and height[row, column] > 0.25:
                continue  # smaller stones fill what the larger ones left
            far = int(1.8 * long + 6 * unit) + 1
            near = (
                slice(max(row - far, 0), row + far + 1),
                slice(max(column - far, 0), column + far + 1),
            )
            du, dv = (columns + warp[0])[near] - u, (rows + warp[1])[near] - v
            p = du * np.cos(theta) + dv * np.sin(theta)
            q = dv * np.cos(theta) - du * np.sin(theta)
            r = (np.abs(p / long) ** 2.4 + np.abs(q / long / flat) ** 2.4) ** (1 / 2.4)
            dome = np.sqrt(np.clip(1 - r**2, 0, 1)) * (0.55 + 0.035 * reach)
            above = smoothstep(1.0, 1.0 - 1.6 / long, r) * (dome > height[near] - 0.15)
            band = np.sin(q / long * rng.uniform(4, 11) + 0.8 * mottle[near]) * rng.uniform(0, 0.06)
            stone = tint(color(str(rng.choice(stones))), rng, 4)
            stone = stone * (1 + 0.05 * grain + 0.06 * mottle)[near][..., None] + band[..., None]
            shadow = smoothstep(1.35, 0.9, np.hypot(p + 0.2 * long, q + 0.2 * long) / long)
            ground = sheet[near] * (1 - 0.30 * shadow * (1 - above))[..., None]
            sheet[near] = mix(ground, stone * (0.62 + 0.5 * np.clip(dome, 0, 1))[..., None], above)
            height[near] = np.where(above > 0.5, dome, height[near])
    return relief(sheet, height * 7 * unit + 0.12 * grain, 0.55)


def wood(size_px: int = 256) -> Array:
    """Planed pine: growth rings cut lengthwise around two knots."""
    rng = np.random.default_rng(32)
    size, x, y, unit = plane(size_px)
    ring = 11 * y + 0.30 * noise(size, 110 * unit, rng) + 0.7 * np.sin(2.2 * x + 1)
    for u, v, reach, strength in ((0.30, 0.34, 0.085, 1.5), (0.78, 0.72, 0.070, -1.4)):
        r2 = ((x - u) / 1.7) ** 2 + (y - v) ** 2
        ring = ring + strength * np.exp(-r2 / (2 * reach**2)) * 1.4
    saw = ring % 1.0
    late = smoothstep(0.25, 0.92, saw) * smoothstep(1.0, 0.96, saw)
    fiber = cv2.resize(noise((size_px, max(size_px // 14, 8)), 1.4 * unit, rng, 2), size)
    pores = smoothstep(
        1.4, 2.4, cv2.resize(noise((size_px, max(size_px // 9, 8)), 1.2 * unit, rng), size)
    )
    tone = 0.24 + 0.52 * late + 0.07 * fiber + 0.06 * noise(size, 60 * unit, rng) + 0.18 * pores
    for u, v, reach in ((0.30, 0.34, 0.038), (0.78, 0.72, 0.030)):
        r = np.hypot((x - u) / 1.35, y - v) / reach + 0.10 * noise(size, 9 * unit, rng)
        tone = mix(tone, 0.72 + 0.16 * np.sin(9 * r) + 0.05 * fiber, smoothstep(1.15, 0.85, r))
        tone = tone + 0.22 * np.exp(-(((r - 1.05) / 0.16) ** 2))
    sheet = ramp(np.clip(tone, 0, 1), ["efcf98", "dba866", "b97a3c", "84481f", "4a2410"])
    return relief(sheet, 0.5 * fiber - 0.6 * late - pores, 0.10)


def weave(size_px: int = 256) -> Array:
    """Twill: indigo warp and flax weft, thread by thread."""
    rng = np.random.default_rng(33)
    size, x, y, unit = plane(size_px)
    count = 24
    u = count * x + 0.05 * noise(size, 40 * unit, rng)
    v = count * y + 0.05 * noise(size, 40 * unit, rng)
    column, row = np.floor(u).astype(int), np.floor(v).astype(int)
    over = (column + row) % 4 < 2  # the warp is on top for two threads out of four
    across = np.where(over, u - column, v - row) - 0.5
    # a float is one raised arc over two threads of the other system
    start = np.where(over, (row + column) % 4, (column + row) % 4 - 2)
    s = (start + np.where(over, v - row, u - column)) / 2
    arc = np.sin(np.pi * np.clip(s, 0, 1)) ** 0.7
    height = np.sqrt(np.clip(1 - (across / 0.52) ** 2, 0, 1)) * (0.45 + 0.55 * arc)
    ply = np.sin(2 * np.pi * (1.6 * across + 3.2 * s)) * 0.5  # twisted yarn
    hue = np.where(over[..., None], color("2f4a84"), color("d9c49a"))
    shade_column, shade_row = rng.normal(1, 0.07, count + 3), rng.normal(1, 0.06, count + 3)
    worn = np.where(over, shade_column[column % (count + 3)], shade_row[row % (count + 3)])
    fuzz = noise(size, 1.6 * unit, rng, 2)
    sheet = hue * (worn * (0.40 + 0.62 * height + 0.07 * ply + 0.05 * fuzz))[..., None]
    return relief(sheet.astype(np.float32), 2.2 * unit * (height + 0.10 * ply) + 0.10 * fuzz, 0.30)


def scales(size_px: int = 256) -> Array:
    """Overlapping scales, green running into copper, with ribs and a dark seam."""
    rng = np.random.default_rng(34)
    size, x, y, unit = plane(size_px)
    across, down = 10, 13
    sheet = np.zeros((*size, 3), np.float32)
    height = np.zeros(size, np.float32)
    rib_noise = noise(size, 3 * unit, rng, 2)
    drift = noise(size, 120 * unit, rng)
    for row in range(down + 2, -3, -1):  # from the bottom, so every row covers the one below
        v = down * y - row
        u = across * x + 0.5 * (row % 2) + 0.03 * rng.normal()
        column = np.floor(u)
        p = u - column - 0.5
        edge = np.hypot(p / 0.54, np.clip(v - 0.35, 0, None) / 0.95)
        inside = smoothstep(1.0, 0.94, edge) * (v > -0.75)
        own = rng.normal(0, 1, across + 3)[(column.astype(int)) % (across + 3)]
        dome = np.sqrt(np.clip(1 - edge**2 * 0.9, 0, 1)) + 0.55 * v
        ribs = np.sin(22 * np.arctan2(p, v + 1.1)) * smoothstep(0.1, 0.7, edge)
        tone = 0.42 + 0.16 * drift + 0.10 * own + 0.16 * (1 - edge) + 0.05 * ribs + 0.03 * rib_noise
        scale = ramp(
            np.clip(tone, 0, 1), ["12302e", "1f5a4c", "4a8c5a", "b0a050", "d98a48", "f4c88a"]
        )
        scale = scale * (1 - 0.72 * smoothstep(0.80, 1.0, edge))[..., None]
        scale = scale * (0.45 + 0.55 * smoothstep(-0.6, 0.5, v))[..., None]
        sheet = mix(sheet, scale, inside)
        height = np.where(inside > 0.5, dome + 0.05 * ribs, height)
    return relief(sheet, 4 * unit * height, 0.32, gloss=0.20)


def cracked(size_px: int = 256) -> Array:
    """Sun-dried mud: curled plates between forking cracks."""
    rng = np.random.default_rng(35)
    size, _, _, unit = plane(size_px)
    rows, columns = np.mgrid[:size_px, :size_px].astype(np.float32)
    bend = [3.0 * unit * noise(size, 16 * unit, rng, 3) for _ in range(2)]

    def plates(pitch: float) -> Array:
        """Distance (pixels) to the cracks of a Voronoi net with ragged sides."""
        points = seeds(size, pitch, rng)
        owner = cells(points, size, np.zeros(len(points)), 2.5 * pitch)
        points = relax(points, owner)
        owner = cells(points, size, np.zeros(len(points)), 2.5 * pitch).astype(np.float32)
        owner = cv2.remap(
            owner,
            columns + bend[0],
            rows + bend[1],
            cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_REFLECT,
        )
        seam = (owner != np.roll(owner, 1, 1)) | (owner != np.roll(owner, 1, 0))
        seam[0], seam[:, 0] = False, False
        return cv2.distanceTransform((~seam).astype(np.uint8), cv2.DIST_L2, 5) / unit

    wide, fine = plates(44 * unit), plates(17 * unit)
    ragged = 0.5 * noise(size, 5 * unit, rng, 2)
    crack = np.maximum(
        smoothstep(3.1, 1.3, wide + ragged), 0.75 * smoothstep(1.5, 0.3, fine + 0.6 * ragged + 0.5)
    )
    curl = smoothstep(0, 13, wide) * (1 - 0.30 * smoothstep(8, 20, wide))
    grain = noise(size, 2 * unit, rng, 2)
    blotch = noise(size, 50 * unit, rng, 3)
    sheet = ramp(
        np.clip(0.58 + 0.10 * blotch + 0.05 * grain + 0.10 * curl, 0, 1),
        ["6a4a32", "9a7350", "c29c74", "e2c6a0"],
    )
    sheet = mix(sheet, color("1f140c"), 0.94 * crack)
    return relief(sheet, unit * (3.0 * curl - 3 * crack) + 0.28 * grain, 0.34)


def marble(size_px: int = 256) -> Array:
    """Veined marble: folded gray clouds, gold and slate veins."""
    rng = np.random.default_rng(36)
    size, x, y, unit = plane(size_px)
    rows, columns = np.mgrid[:size_px, :size_px].astype(np.float32)
    fold = [26 * unit * noise(size, 90 * unit, rng, 4) for _ in range(2)]

    def folded(field: Array, amount: float) -> Array:
        return cv2.remap(
            field,
            columns + amount * fold[0],
            rows + amount * fold[1],
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT,
        )

    cloud = folded(noise(size, 80 * unit, rng, 5), 1.0)
    sheet = ramp(
        np.clip(0.55 + 0.20 * cloud, 0, 1), ["5f7078", "98a8aa", "d4d8d2", "f4f1ea", "fffdf8"]
    )
    for width, code, strength, pitch in (
        (0.050, "3a4650", 0.75, 70),
        (0.035, "b88a44", 0.80, 95),
        (0.10, "8a979c", 0.45, 40),
        (0.03, "5a4a40", 0.5, 50),
    ):
        ridge = np.abs(folded(noise(size, pitch * unit, rng, 3), 0.8))
        fade = smoothstep(-1.0, 0.8, noise(size, 60 * unit, rng))
        sheet = mix(sheet, color(code), strength * np.exp(-ridge / width) * fade)
    grain = noise(size, 1.6 * unit, rng)
    return np.clip(sheet * (1 + 0.012 * grain)[..., None], 0, 1).astype(np.float32)


def sand(size_px: int = 256) -> Array:
    """Wind ripples in dune sand, forking and low-lit."""
    rng = np.random.default_rng(37)
    size, x, y, unit = plane(size_px)
    phase = (
        15 * y
        + 3.5 * x
        + 0.55 * noise(size, 70 * unit, rng, 2)
        + 0.16 * noise(size, 26 * unit, rng)
    )
    saw = phase % 1.0
    crest = np.where(saw < 0.72, saw / 0.72, (1 - saw) / 0.28)
    crest = cv2.GaussianBlur(
        (crest * crest * (3 - 2 * crest)).astype(np.float32), (0, 0), 1.2 * unit
    )
    grain = noise(size, 1.3 * unit, rng)
    dark = smoothstep(1.9, 2.4, noise(size, 1.3 * unit, rng))
    sheet = ramp(
        np.clip(0.30 + 0.46 * crest + 0.06 * grain, 0, 1), ["8a5c34", "c08a50", "e2b87c", "f8deb0"]
    )
    sheet = mix(sheet, color("4a3020"), 0.6 * dark)
    return relief(sheet, 4.2 * unit * crest + 0.22 * grain, 0.34)


def knit(size_px: int = 256) -> Array:
    """Stocking stitch in two wools, with a band of a third."""
    rng = np.random.default_rng(38)
    size, x, y, unit = plane(size_px)
    across, down = 13, 17
    sheet = np.ones((*size, 3), np.float32) * color("24141a")
    height = np.zeros(size, np.float32)
    fuzz = noise(size, 1.5 * unit, rng, 2)
    wave = 0.06 * noise(size, 60 * unit, rng)
    wools = {0: "a82c3a", 1: "a82c3a", 2: "f0e2c8", 3: "2f5a6a", 4: "f0e2c8", 5: "a82c3a"}
    for row in range(-2, down + 2):
        v = down * y - row + wave
        for side in (-1, 1):  # a stitch is two strands that meet in a V
            u = across * x + 0.3 * wave
            column = np.floor(u)
            p = (u - column - 0.5) - side * (0.245 - 0.10 * (v - 0.5))
            q = v - 0.5
            lean = side * 0.50
            a, b = (
                p * np.cos(lean) + 0.62 * q * np.sin(lean),
                0.62 * q * np.cos(lean) - p * np.sin(lean),
            )
            r = np.sqrt((a / 0.215) ** 2 + (b / 0.50) ** 2)
            inside = smoothstep(1.0, 0.90, r)
            dome = np.sqrt(np.clip(1 - r**2, 0, 1)) + 0.12 * v
            twist = np.sin(34 * (b + 0.55 * side * a))
            checker = (column + row) % 2
            kind = row % 12
            code = wools.get(kind - 3, "a82c3a") if 3 <= kind <= 8 else "a82c3a"
            base = np.where(
                (checker[..., None] > 0) & (kind in (5, 7)), color("f0e2c8"), color(code)
            )
            own = rng.normal(1, 0.05, across + 2)[column.astype(int) % (across + 2)]
            yarn = base * (own * (0.42 + 0.55 * dome + 0.09 * twist + 0.05 * fuzz))[..., None]
            above = inside * (dome > height - 0.6)
            sheet = mix(sheet, np.clip(yarn, 0, 1).astype(np.float32), above)
            height = np.where(above > 0.5, dome + 0.05 * twist, height)
    return relief(sheet, 3.0 * unit * height + 0.16 * fuzz, 0.26)


TEXTURES = (pebbles, wood, weave, scales, cracked, marble, sand, knit)
