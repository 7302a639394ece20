"""Send pictures that nobody would choose through the whole transfer, and look at what comes out.

    python tests/reliability/degenerate.py [--output runs/degenerate] [--only NAME] [--large 8000]

Plain colors, one picture three times, strips of 16:1, 16 px on the short side, thousands of pixels
on the long one: each must end with a picture of the right size, without folds, in range; a sheet of
all is written to look at. `make degenerate` runs it.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a clone needs no installation

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn.functional import pad  # noqa: E402

import geostyle  # noqa: E402
from geostyle.coords import base_grid, resize  # noqa: E402
from geostyle.io.images import fit_size, load_picture, save_picture  # noqa: E402
from geostyle.warps.folds import fold_mask  # noqa: E402

ASSETS = Path(str(resources.files("geostyle"))) / "assets" / "pictures"
CELL = 192  # side of a picture on the sheet


@dataclass(frozen=True)
class Case:
    """One transfer. Each picture is (1, 3, H, W); `plain` and `still`: the result must be close to
    a plain color, or to the content.
    """

    name: str
    content: Tensor
    geo_style: Tensor
    tex_style: Tensor
    size_px: int | None = None
    iterations: tuple[int, ...] = (40, 30, 20, 10)
    plain: bool = False
    still: bool = False


def cases(large: int) -> Iterator[Case]:
    """All of them, the quick ones first."""
    cup, cat = (picture(f"content/{name}.jpg", 192) for name in ("coffee", "chelsea"))
    night, mosaic = (picture(f"styles/{name}.jpg", 192) for name in ("night", "mosaic"))
    gray, red = torch.full((1, 3, 128, 160), 0.5), color(0.8, 0.1, 0.1)
    black, white = torch.zeros(1, 3, 128, 160), torch.ones(1, 3, 128, 160)
    yield Case("plain content", red, cat, night)
    yield Case("plain geometry", cup, gray, night)
    yield Case("plain texture", cup, cat, red)
    yield Case("black everything", black, black, black, plain=True)
    yield Case("white everything", white, white, white, plain=True)
    yield Case("black content", black, white, mosaic)
    yield Case("one picture three times", cup, cup, cup, still=True)
    yield Case("content as geometry", cup, cup, night)
    yield Case("content as texture", cup, cat, cup)
    noise = torch.rand(1, 3, 128, 160, generator=torch.Generator().manual_seed(0))
    yield Case("noise everywhere", noise, noise.flip(3), noise.flip(2))
    strip = picture("scenes/village.jpg", 512)[..., 100:132, :]
    yield Case("16:1 content", resize(strip, (32, 512)), cat, night)
    yield Case("1:16 content", resize(strip, (32, 512)).mT.contiguous(), cat, mosaic)
    yield Case("16:1 geometry", cup, resize(strip, (16, 256)), night)
    yield Case("16:1 texture", cup, cat, resize(strip, (16, 256)))
    yield Case("16 px short side", resize(cup, (16, 24)), cat, night)
    tiny = [resize(x, (16, 16)) for x in (cup, cat, night)]
    yield Case("16 px everything", tiny[0], tiny[1], tiny[2])
    if large:
        big = picture("scenes/village.jpg", None)
        height = round(large * big.shape[2] / big.shape[3])
        big = resize(big, (height, large), "bilinear")
        yield Case(f"{large} px content, 512 px result", big, cat, night)
        yield Case(f"{large} px content as geometry", cup, big, night)
        yield Case(f"{large} px texture", cup, cat, big)
        thin = big[..., height // 2 : height // 2 + large // 16, :].contiguous()
        yield Case(f"{large} px result, 16:1", thin, cat, night, large, (12, 6, 3, 2))


def picture(name: str, side: int | None) -> Tensor:
    """A bundled picture with a long side of `side`."""
    found = load_picture(ASSETS / name).tensor
    if side is None:
        return found
    share = side / max(found.shape[2:])
    return resize(found, (round(found.shape[2] * share), round(found.shape[3] * share)))


def color(*rgb: float) -> Tensor:
    """A plain picture."""
    return torch.tensor(rgb).reshape(1, 3, 1, 1).repeat(1, 1, 128, 160)


def run(case: Case) -> tuple[str, Tensor]:
    """Transfer; what was found, in one line, and the pictures in a row."""
    started = time.monotonic()
    result = geostyle.transfer(
        case.content,
        geo_style=case.geo_style,
        tex_style=case.tex_style,
        size_px=case.size_px,
        iterations=case.iterations,
        device="cpu",
    )
    image, grid = result.tensor, result.geometry.grid
    height, width = case.content.shape[2:]
    limit = case.size_px or min(512, max(height, width))
    shape = fit_size((height, width), limit)
    assert (image.shape[2], image.shape[3]) == shape, (image.shape, shape)
    assert image.isfinite().all() and image.min() >= 0 and image.max() <= 1
    assert grid is None or not fold_mask(grid).any()
    moved = (
        0.0
        if grid is None
        else float((grid - base_grid((grid.shape[1], grid.shape[2]))).abs().mean())
    )
    spread = float(image.std((2, 3)).mean())
    change = float((image - resize(case.content, (shape[0], shape[1]))).abs().mean())
    if case.plain:
        assert spread < 0.02, spread
    if case.still:
        assert moved < 0.02 and change < 0.08, (moved, change)
    text = (
        f"{case.name:<32} {shape[1]:>5}x{shape[0]:<5} moved {moved:.3f}  spread {spread:.3f}  "
        f"change {change:.3f}  {time.monotonic() - started:5.0f} s  "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB"
    )
    row = [case.content, case.geo_style, case.tex_style, result.geometry.tensor, image]
    return text, torch.cat([on_cell(x) for x in row], 3)


def on_cell(image: Tensor) -> Tensor:
    """Shrunk into a square of gray."""
    share = CELL / max(image.shape[2:])
    height, width = (max(1, round(side * share)) for side in image.shape[2:])
    small = resize(image, (height, width)).clamp(0, 1)
    return pad(small, (2, CELL - width + 2, 2, CELL - height + 2), value=0.7)


def main() -> int:
    """Run all; write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("runs/degenerate"))
    parser.add_argument("--only", help="cases whose name contains this")
    parser.add_argument("--large", type=int, default=8000, help="pixels; 0 leaves large ones out")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.output.mkdir(parents=True, exist_ok=True)
    rows = []
    for case in cases(args.large):
        if args.only and args.only not in case.name:
            continue
        text, row = run(case)
        print(text, flush=True)
        rows.append(row)
        save_picture(torch.cat(rows, 2), args.output / "sheet.png")
    print(f"sheet: {args.output / 'sheet.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
