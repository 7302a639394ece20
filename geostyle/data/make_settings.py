"""Settings of a set of training pairs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from geostyle.config import check, setting
from geostyle.device import PRECISIONS
from geostyle.errors import InputError
from geostyle.features.settings import NETWORKS

# These may change when a set is continued: no finished pair depends on them.
FREE = ("output", "count", "val_count", "workers")


@dataclass(frozen=True)
class MakeSettings:
    """Settings of a set of training pairs."""

    output: Path = setting(Path("data_gen/out/pairs"), help="folder of the set")
    images: Path | None = setting(None, help="folder of photographs; default: bundled ones")
    styles: Path | None = setting(None, help="folder of paintings; default: bundled ones")
    source: str = setting(
        "folder", choices=("folder", "voc2012"), help="photographs: --images, or downloaded"
    )
    count: int = setting(96, min=1, help="training pairs")
    val_count: int = setting(24, min=0, help="validation pairs, of other pictures and warps")
    warp: str = setting(
        "affine+tps",
        choices=("affine", "tps", "affine+tps"),
        help="family of the warps; validation pairs of affine+tps take turns with its two parts",
    )
    lattice: int = setting(3, min=2, max=16, help="control points of the spline per side")
    stylize: str = setting(
        "gatys",
        choices=("gatys", "matched", "fast", "none"),
        help="how I_b is repainted: by statistics, by matched painting, by fast style networks, or "
        "not at all",
    )
    networks: tuple[Path, ...] = setting(
        (), help="fast style networks, or folders of them, for fast; default: the bundled ones"
    )
    size_px: int = setting(240, min=32, max=2048, help="side of the pictures", flag="--size")
    features: str = setting("lite", choices=NETWORKS, help="network the repainting works under")
    weights: Path | None = setting(None, help="file of its weights; default: the usual ones")
    iterations: tuple[int, ...] = setting(
        (16, 12, 8), min=0, help="repainting steps at each level, coarse to fine"
    )
    content_weight: float = setting(
        0.3, min=0.0, help="weight of content beside style, for gatys; matched has its own"
    )
    seed: int = setting(0, min=0, max=2**31 - 1, help="random seed of all pairs")
    batch: int = setting(1, min=1, max=256, help="pairs repainted together; above 1 for GPUs")
    workers: int = setting(0, min=0, help="processes; 0: one per core, or one on a GPU")
    device: str = setting("auto", help="auto, cpu, cuda or mps")
    precision: str = setting("auto", choices=PRECISIONS, help="of the convolutions")

    def __post_init__(self) -> None:
        check(self)
        for name, count in (("count", self.count), ("val_count", self.val_count)):
            if count % self.batch:
                expected = f"a multiple of the batch ({self.batch})"
                raise InputError(f"{name}: expected {expected}, got {count}")
        if not self.iterations:
            raise InputError("iterations: expected at least one level, got none")
