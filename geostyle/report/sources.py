"""Pictures of where a painting took its paint from: a color for every place in the texture."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from geostyle.report.sheet import Panel, fit

# Longest side of a drawing.
LUMINANCE = 0.21, 0.72, 0.07  # of linear red, green and blue
DRAWN_PX = 1024
# Oklab: lightness and chroma of the code, and the hues of the right and of the lower edge; the
# left and the upper one have the opposite hues.
LIGHTNESS, CHROMA = 0.74, 0.17
HUES_DEG = (50.0, 320.0)
# Range of lightness and gap between hues where several styles share the circle of hues.
LIGHTEST, DARKEST, GAP = 0.88, 0.5, 0.25
# Share of a picture's own lightness that stays visible below the colors.
OWN_LIGHTNESS = 0.6
# Oklab to the cube roots of cone responses, and their cubes to linear sRGB.
TO_CONES = ((1, 0.3963377774, 0.2158037573), (1, -0.1055613458, -0.0638541728),
            (1, -0.0894841775, -1.2914855480))  # fmt: skip
TO_RGB = ((4.0767416621, -3.3077115913, 0.2309699292), (-1.2684380046, 2.6097574011, -0.3413193965),
          (-0.0041960863, -0.7034186147, 1.7076147010))  # fmt: skip
# Shares of linear red, green and blue in luminance.
LUMINANCE = (0.21, 0.72, 0.07)
NOT_PAINTED = (LIGHTNESS, 0.0, 0.0)


def source_panels(
    source: np.ndarray, result: np.ndarray, tex_styles: Sequence[np.ndarray]
) -> list[Panel]:
    """The result colored by where its paint came from, and the texture styles in the same code.

    Args:
        source: (4, h, w): number of the style (-1 where nothing is painted), normalized x and y in
            it, similarity; see `TextureResult.source_map`.
        result: (H, W, 3) uint8.
        tex_styles: (H, W, 3) uint8 each.
    """
    count = len(tex_styles)
    note = f"similarity {source[3].mean():.2f}"
    panels = [Panel("where the paint came from", drawn(result, source[:3], count), note)]
    for number, style in enumerate(tex_styles):
        title = "this place in the texture" if count == 1 else f"texture style {number + 1}"
        panels.append(Panel(title, drawn(style, _places(style, number), count)))
    return panels


def drawn(picture: np.ndarray, places: np.ndarray, count: int) -> np.ndarray:
    """A picture in the colors of places, with a share of its own light and dark.

    Args:
        picture: (H, W, 3) uint8.
        places: (3, h, w): number of the style, normalized x and y in it.
        count: number of styles.

    Returns: (H', W', 3) uint8, of the picture's shape, at most 1024 px long.
    """
    height, width = picture.shape[:2]
    picture = np.asarray(fit(picture, (min(DRAWN_PX, height), min(DRAWN_PX, width))))
    size = picture.shape[1], picture.shape[0]
    code = cv2.resize(color_code(places, count), size, interpolation=cv2.INTER_LINEAR)
    # The cube root of gray is nearly Oklab's lightness.
    own = np.cbrt((picture.astype(np.float32) / 255) ** 2.2 @ np.array(LUMINANCE, np.float32))
    code[..., 0] += OWN_LIGHTNESS * (own - own.mean())
    return _rgb(code)


def color_code(places: np.ndarray, count: int) -> np.ndarray:
    """Colors of places in textures: near places have like colors, far ones have different ones.

    Of one texture, the left edge is blue, the right one orange, the upper one green, the lower one
    pink. Several share the circle of hues: each has its own hues from left to right, and is light
    above and dark below.

    Args:
        places: (3, h, w): number of the style (-1 for none), normalized x and y in it.
        count: number of styles.

    Returns: (h, w, 3) float32, Oklab.
    """
    number, x, y = places[0], np.clip(places[1], -1, 1), np.clip(places[2], -1, 1)
    if count == 1:
        # From the square to the disk, so that no corner is more colorful than an edge.
        u, v = x * np.sqrt(1 - y**2 / 2), y * np.sqrt(1 - x**2 / 2)
        (right_a, right_b), (low_a, low_b) = (
            (np.cos(hue), np.sin(hue)) for hue in np.deg2rad(HUES_DEG)
        )
        a, b = u * right_a + v * low_a, u * right_b + v * low_b
        parts = [np.full_like(a, LIGHTNESS), CHROMA * a, CHROMA * b]
    else:
        turn = (number + (1 - GAP) * (x + 1) / 2) / count
        hue = 2 * np.pi * turn + np.deg2rad(HUES_DEG[0])
        lightness = LIGHTEST + (DARKEST - LIGHTEST) * (y + 1) / 2
        parts = [lightness, CHROMA * np.cos(hue), CHROMA * np.sin(hue)]
    code = np.stack(parts, -1).astype(np.float32)
    code[number < 0] = NOT_PAINTED
    return code


def _places(style: np.ndarray, number: int) -> np.ndarray:
    """(3, H, W): every pixel of a style as a place in it."""
    height, width = style.shape[:2]
    y, x = ((2 * np.arange(side) + 1) / side - 1 for side in (height, width))
    shape = height, width
    return np.stack(
        [np.full(shape, number), np.broadcast_to(x, shape), np.broadcast_to(y[:, None], shape)]
    )


def _rgb(code: np.ndarray) -> np.ndarray:
    """Oklab (H, W, 3) as sRGB uint8; colors beyond it are clipped.

    Source: Ottosson, "A perceptual color space for image processing", 2020.
    """
    linear = (code @ np.array(TO_CONES, np.float32).T) ** 3 @ np.array(TO_RGB, np.float32).T
    linear = linear.clip(0, 1)
    gamma = 1.055 * linear ** (1 / 2.4) - 0.055
    shown: np.ndarray = np.where(linear <= 0.0031308, 12.92 * linear, gamma)
    return (255 * shown).round().astype(np.uint8)
