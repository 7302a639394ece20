"""The page's warp is the library's: maps, strength, and fold guard, in a real browser."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from geostyle.warps import WarpParameters, fold_mask, make_family
from geostyle.warps.base import RandomRanges
from geostyle.warps.folds import _corner_determinants, _slopes
from tests.studio.helpers import PATIENCE_MS

pytestmark = pytest.mark.timeout(600)
SIZE = (60, 80)  # at which they are compared
FULL = 1024  # px of the long side that the bound refers to
BOUND_PX = 0.25
EDGE = 0.05  # of the mean determinant
FAMILIES = ("affine+tps", "tps", "affine", "homography", "biquadratic")

# Through the renderer's own mesh: triangles interpolate between its vertices, as WebGL does.
PAGE = """async (warps) => {
  const { scaled } = await import('/static/families.js');
  const { guarded } = await import('/static/guard.js');
  const { FINE_CELLS: CELLS, gridOf, shownBy } = await import('/static/renderer.js');
  const [height, width] = SIZE;
  return warps.map(({ warp, strength }) => {
    const shown = shownBy(guarded(scaled(warp, strength), [height, width]), gridOf(CELLS));
    const at = (row, column, axis) => shown[2 * (row * (CELLS + 1) + column) + axis];
    const found = [];
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
      const [u, v] = [((x + .5) / width) * CELLS, ((y + .5) / height) * CELLS];
      const [c, r] = [Math.floor(u), Math.floor(v)];
      const [p, q] = [u - c, v - r];
      for (const axis of [0, 1]) {
        const [a, b, d, e] = [at(r, c, axis), at(r, c + 1, axis), at(r + 1, c, axis),
          at(r + 1, c + 1, axis)];
        found.push(p + q <= 1 ? a + p * (b - a) + q * (d - a)
          : e + (1 - p) * (d - e) + (1 - q) * (b - e));
      }
    }
    return found;
  });
}""".replace("SIZE", str(list(SIZE)))

EDITS = """async (edits) => {
  const { Drag, identity } = await import('/static/editing.js');
  const { mapOf } = await import('/static/families.js');
  return edits.map(([x, y, dx, dy, reach]) => {
    const drag = new Drag(identity([768, 1024]), [[x, y]], reach);
    const warp = drag.moved(dx, dy);
    return { warp, held: drag.held, shown: mapOf(warp)(x + dx, y + dy) };
  });
}"""


@pytest.fixture(scope="module")
def page(browser: Any, address: str) -> Any:
    context = browser.new_context()
    one = context.new_page()
    one.set_default_timeout(PATIENCE_MS)
    one.goto(address, wait_until="commit")
    one.goto(address.partition("?")[0] + "static/login.css")  # the same origin, nothing running
    yield one
    context.close()


def distances(page: Any, warps: list[WarpParameters], strengths: list[float]) -> np.ndarray:
    """Largest distance of each of the page's warps from the library's, in pixels at `FULL`."""
    given = [
        {
            "warp": {
                **{"family": w.family, "lattice": w.lattice, "theta": w.theta.tolist()},
                **{"output_size": w.output_size, "content_size": w.content_size},
            },
            "strength": strength,
        }
        for w, strength in zip(warps, strengths, strict=True)
    ]
    half = torch.tensor([FULL / 2, FULL * SIZE[0] / SIZE[1] / 2])
    worst = []
    for warp, strength, found in zip(warps, strengths, page.evaluate(PAGE, given), strict=True):
        theirs, own = torch.tensor(found).reshape(1, *SIZE, 2), warp.grid(SIZE, strength)
        # At the very edge of a fold the sign hangs on the last digit.
        corners = _corner_determinants(*_slopes(own)).amin(1)
        clear = corners > EDGE * corners.mean()
        assert not (fold_mask(theirs) & clear).any()
        worst.append(float(((theirs - own) * half).norm(dim=-1).max()))
    return np.array(worst)


def test_random_warps_are_those_of_the_library(page: Any) -> None:
    rng, warps, strengths = np.random.default_rng(0), [], []
    for number in range(60):
        name, lattice = FAMILIES[number % 5], (6, 4, 10)[number % 3]
        theta = make_family(name, lattice).draw(rng, (768, 1024), RandomRanges())
        warps.append(WarpParameters(name, lattice, torch.tensor(theta), (768, 1024), (768, 1024)))
        strengths.append((1.0, 0.5, 1.5)[number // 5 % 3])
    worst = distances(page, warps, strengths)
    assert worst.max() < BOUND_PX, worst.round(3)


def test_edited_warps_are_those_of_the_library_and_never_fold(page: Any) -> None:
    rng = np.random.default_rng(1)
    edits = [
        [*rng.uniform(-0.8, 0.8, 2), *rng.uniform(-0.5, 0.5, 2), rng.uniform(0.2, 1)]
        for _ in range(40)
    ]
    answers = page.evaluate(EDITS, edits)
    warps = [
        WarpParameters("affine+tps", 6, torch.tensor(a["warp"]["theta"]), (768, 1024), (768, 1024))
        for a in answers
    ]
    assert 0 < sum(a["held"] for a in answers) < 40
    for (x, y, *_), answer in zip(edits, answers, strict=True):
        if not answer["held"]:  # what was at the start of the drag is at its end
            assert answer["shown"] == pytest.approx([x, y], abs=1e-4)
    worst = distances(page, warps, [1.0] * 40)
    assert worst.max() < BOUND_PX, worst.round(3)
