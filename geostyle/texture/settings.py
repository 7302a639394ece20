"""Settings of the texture stage."""

from __future__ import annotations

from dataclasses import dataclass

from geostyle.config import check, setting
from geostyle.errors import InputError

MIN_TEX_SCALE = 0.05


@dataclass(frozen=True)
class TextureSettings:
    """How texture is transferred; the defaults are the ones the benchmark measures."""

    content_weight: float = setting(
        0.1, help="weight of the content loss beside the style loss", min=0.0
    )
    tex_strength: float = setting(
        1.0, help="texture strength: 0 keeps the content, above 1 exaggerates", min=0.0, max=10.0
    )
    tex_scale: float = setting(
        1.0, help="size of the texture's features, 1 = long sides alike", min=MIN_TEX_SCALE, max=8.0
    )
    moment_weight: float = setting(
        0.0, help="weight of mean and deviation beside Gram matrices", min=0.0
    )
    tv_weight: float = setting(0.0, help="weight of total variation (smooths)", min=0.0)
    optimiser: str = setting("lbfgs", help="optimiser", choices=("lbfgs", "adam"))
    iterations: tuple[int, ...] = setting(
        (120, 80, 50, 30),
        help="steps at each level, coarse to fine; their number is the number of levels",
    )
    history: int = setting(10, help="pairs of vectors L-BFGS remembers", min=1, max=100)
    lr: float = setting(0.03, help="Adam's first step size", min=0.0)
    init: str = setting(
        "content", help="where the coarsest level starts", choices=("content", "noise")
    )
    detail: float = setting(
        0.7,
        help="share of the content's own detail added when a level is doubled",
        min=0.0,
        max=2.0,
    )
    plateau: float = setting(
        0.0,
        help="stop a level when 10 steps gain less than this share (0: never)",
        min=0.0,
        max=0.5,
    )
    time_budget_s: float = setting(
        0.0, help="seconds the texture stage may take (0: no limit)", min=0.0
    )

    def __post_init__(self) -> None:
        check(self)
        if not self.iterations or min(self.iterations) < 0:
            raise InputError(
                f"iterations: expected a non-negative number a level, got {list(self.iterations)}"
            )
