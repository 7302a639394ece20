"""The colors of places in textures."""

from __future__ import annotations

import numpy as np
import pytest

from geostyle.report.sources import color_code, drawn, source_panels

GRAY = np.full((40, 60, 3), 128, np.uint8)


def places(number: float = 0.0, side: int = 40) -> np.ndarray:
    y, x = np.meshgrid(*2 * [np.linspace(-1, 1, side)], indexing="ij")
    return np.stack([np.full_like(x, number), x, y])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_two_distant_places_look_alike(count: int) -> None:
    codes = [color_code(places(number, 9), count).reshape(-1, 3) for number in range(count)]
    where = [places(number, 9).reshape(3, -1).T * [4, 1, 1] for number in range(count)]
    code, where = np.concatenate(codes), np.concatenate(where)
    apart = np.linalg.norm(where[:, None] - where[None], axis=-1)
    colors = np.linalg.norm(code[:, None] - code[None], axis=-1)
    assert colors[apart > 0.9].min() > 0.03


def test_what_is_not_painted_is_gray() -> None:
    shown = drawn(GRAY, places(-1), 2)
    assert np.ptp(shown.astype(int), axis=-1).max() <= 2


def test_a_result_painted_after_the_whole_texture_in_place_looks_like_it() -> None:
    source = np.concatenate([places(), np.full((1, 40, 40), 0.5)])
    result, style = source_panels(source, GRAY, [GRAY])
    assert result.image.shape == GRAY.shape and "0.50" in result.note
    assert np.abs(result.image.astype(int) - style.image).mean() < 6
