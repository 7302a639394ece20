"""Settings of the texture stage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from geostyle.config import check, setting
from geostyle.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from geostyle.texture.optimizer import Stepper

# Layers of the scores, and by default of the losses.
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT_LAYER = "relu4_2"
PRESERVE_COLORS = ("off", "lab", "histogram")
MIN_TEX_SCALE = 0.05
MIN_TILE_PX = 32


@dataclass(frozen=True)
class OptimizerSettings:
    """Settings of the optimization of a picture's pixels, level by level.

    Subclasses may optimize another parametrization of the picture: they override `stepper`.
    """

    iterations: tuple[int, ...] = setting(
        (300,), help="steps at each level, coarse to fine; their number is the number of levels"
    )
    optimizer: str = setting("lbfgs", help="optimizer", choices=("lbfgs", "adam"))
    history: int = setting(10, help="vector pairs that L-BFGS stores", min=1, max=100)
    lr: float = setting(0.03, help="Adam's first step size, in pixel values", min=0.0)
    plateau: float = setting(
        0.0,
        help="stop a level when 10 steps gain less than this share (0: never)",
        min=0.0,
        max=0.5,
    )
    time_budget_s: float = setting(
        0.0, help="seconds that painting may take (0: no limit)", min=0.0
    )
    # Whether L-BFGS steps low frequencies further than high ones, and gray further than color.
    smooth = False
    # Whether the result is the best picture seen, or the last one.
    keeps_best = True

    def __post_init__(self) -> None:
        check(self)
        if not self.iterations or min(self.iterations) < 0:
            raise InputError(
                "iterations: expected a non-negative number for each level, "
                f"got {list(self.iterations)}"
            )

    def stepper(self, start: Tensor, steps: int) -> Stepper:
        """The state of a run of at most `steps` evaluations from `start` (B, 3, H, W)."""
        from geostyle.texture.optimizer import Adam, Lbfgs, smoother

        if self.optimizer == "adam":
            return Adam(self.lr, steps)
        history = min(self.history, max(1, steps))
        return Lbfgs(history, smoother(start)) if self.smooth else Lbfgs(history)


@dataclass(frozen=True)
class TextureSettings(OptimizerSettings):
    """Settings of painting; those of matched painting alone are `MatchedSettings`."""

    iterations: tuple[int, ...] = setting(
        (),
        min=0,
        help="steps at each level, coarse to fine; their number is the number of levels; default: "
        "80 80 60 50 for matched, 40 30 20 60 for gram",
    )
    content_weight: float | None = setting(
        None,
        min=0.0,
        help="how much the content is preserved: 0 is all paint, ten times the default hardly "
        "paints; default: 1 for matched, 0.1 for gram",
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

    def with_defaults(self, **defaults: Any) -> TextureSettings:
        """These settings with `defaults` in place of values that are left to the painter."""
        left = {name: value for name, value in defaults.items() if not _given(self, name)}
        return replace(self, **left) if left else self

    def __post_init__(self) -> None:
        check(self)
        if not self.gram_weight + self.wasserstein_weight + self.moment_weight:
            raise InputError("gram_weight: expected a texture loss with a weight above 0, got none")
        if self.tile_px and self.tile_px < MIN_TILE_PX:
            raise InputError(f"tile_px: expected 0 or at least {MIN_TILE_PX}, got {self.tile_px}")
        # Two networks take turns at one size; matched painting ends with a level more.
        n_sizes = len(self.iterations)
        if self.stop_after and n_sizes and not n_sizes <= len(self.stop_after) <= 2 * n_sizes + 1:
            raise InputError(
                f"stop_after: expected one number for each of iterations, {n_sizes}, "
                f"got {len(self.stop_after)}"
            )


def _given(settings: TextureSettings, name: str) -> bool:
    return getattr(settings, name) not in (None, ())
