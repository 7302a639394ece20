"""Settings of the texture stage."""

from __future__ import annotations

from dataclasses import dataclass

from geostyle.config import setting
from geostyle.errors import InputError
from geostyle.texture.optimizer import OptimizerSettings

MIN_TEX_SCALE = 0.05
MIN_TILE_PX = 32


@dataclass(frozen=True)
class TextureSettings(OptimizerSettings):
    """How texture is transferred; the defaults are the ones the benchmark measures."""

    iterations: tuple[int, ...] = setting(
        (40, 30, 20, 60),
        help="steps at each level, coarse to fine; their number is the number of levels",
    )
    content_weight: float = setting(
        0.1, help="weight of the content loss beside the style loss", min=0.0
    )
    coarse_content: float = setting(
        5.0,
        help="factor on the content weight below the full size: content lost there takes many "
        "steps at full size to recover",
        min=0.0,
    )
    tex_strength: float = setting(
        1.0, help="texture strength: 0 keeps the content, above 1 exaggerates", min=0.0, max=10.0
    )
    tex_scale: float = setting(
        1.0, help="size of the texture's features; 1: long sides equal", min=MIN_TEX_SCALE, max=8.0
    )
    gram_weight: float = setting(1.0, help="weight of Gram matrices in the texture loss", min=0.0)
    wasserstein_weight: float = setting(
        0.0,
        help="weight of the Gaussian Wasserstein distance: larger motifs, truer color, slow steps",
        min=0.0,
    )
    moment_weight: float = setting(
        0.0, help="weight of channel means and deviations in the texture loss", min=0.0
    )
    tv_weight: float = setting(0.0, help="weight of total variation (smooths)", min=0.0)
    finish: tuple[int, ...] = setting(
        (24,),
        min=0,
        help="with --features lite+vgg19, how many last steps of a level VGG-19 takes; one number "
        "for each of the last levels, the finest one last",
    )
    init: str = setting(
        "content", help="where the coarsest level starts", choices=("content", "noise")
    )
    detail: float = setting(
        1.0,
        help="share of the content's own detail added when a level is doubled",
        min=0.0,
        max=2.0,
    )
    stop_after: tuple[int, ...] = setting(
        (),
        help="steps after which each level ends; a run within a time budget records them, "
        "so that it can be repeated",
        min=0,
    )
    tile_px: int = setting(
        0,
        help="longest side that is painted whole; larger pictures are cut into tiles of this "
        "size, without seams (0: only where memory is short)",
        min=0,
    )
    tile_blocks: int = setting(
        2, help="blocks of the network that run in tiles; more take less memory", min=1, max=5
    )
    memory_gb: float = setting(
        0.0, help="memory the process may take, GB (0: what is free)", min=0.0
    )

    smooth = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.gram_weight + self.wasserstein_weight + self.moment_weight:
            raise InputError("gram_weight: expected a texture loss with a weight above 0, got none")
        if self.tile_px and self.tile_px < MIN_TILE_PX:
            raise InputError(f"tile_px: expected 0 or at least {MIN_TILE_PX}, got {self.tile_px}")
        # A size at which two networks take turns has two levels.
        if self.stop_after and not 1 <= len(self.stop_after) / len(self.iterations) <= 2:
            raise InputError(
                f"stop_after: expected one number for each of iterations, {len(self.iterations)}, "
                f"got {len(self.stop_after)}"
            )
