"""Settings of matched painting."""

from __future__ import annotations

from dataclasses import dataclass, replace

from geostyle.config import check, setting

# Steps of a quick painting, relative to the usual number.
QUICK_STEPS = 3 / 8


@dataclass(frozen=True)
class MatchedSettings:
    """Settings of matched painting beside `TextureSettings`."""

    guidance: float = setting(
        0.5, min=0.0, max=1.0, help="how strongly matches keep to the place that the warp points to"
    )
    quick: bool = setting(False, help="paint in about a third of the time, with softer strokes")
    split: int = setting(
        45, min=0, help="last steps, which match the texture layer by layer, anew in every step"
    )
    step_size: float = setting(0.01, min=0.0, help="first step size of matched painting")
    split_step_size: float = setting(0.7, min=0.0, help="step size of the last steps, relative")
    kept: float = setting(
        0.6,
        min=0.0,
        max=1.0,
        help="share of the content in the picture that is matched; the rest is the painting so far",
    )
    tone: float = setting(
        0.5, min=0.0, help="how strongly matches keep to the content's light and color"
    )
    tone_held: float = setting(
        0.4,
        min=0.0,
        max=1.0,
        help="share of the content's own light and color, in the texture's palette, where the "
        "content is preserved most",
    )
    fine_held: float = setting(
        0.35,
        min=0.0,
        max=1.0,
        help="share of the content's own features where it has fine structure, such as eyes",
    )
    turns: int = setting(4, min=1, max=4, help="quarter turns in which the texture is matched")
    spread: float = setting(
        0.3, min=0.0, max=1.0, help="how much the use of all parts of the texture is evened out"
    )
    color_weight: float = setting(1.0, min=0.0, help="weight of the matched colors")
    statistics_weight: float = setting(
        2.25, min=0.0, help="weight of the texture's Gram matrices in matched painting"
    )
    shape_weight: float = setting(0.25, min=0.0, help="weight of the content's self-similarity")
    feature_weight: float = setting(
        0.02, min=0.0, help="weight of the content's own features at relu4_2"
    )
    hold_structure: float = setting(
        2.0, min=0.0, help="how much more the content is preserved where it has fine structure"
    )
    hold_unlike: float = setting(
        2.0,
        min=0.0,
        help="how much more the content is preserved where no part of the texture is similar",
    )

    def __post_init__(self) -> None:
        check(self)

    def quickened(self, iterations: tuple[int, ...]) -> tuple[MatchedSettings, tuple[int, ...]]:
        """Settings and steps of a quick painting."""
        fewer = tuple(-(-round(1000 * steps * QUICK_STEPS) // 1000) for steps in iterations)
        changed = replace(self, split=-(-self.split // 4), turns=1, step_size=1.5 * self.step_size)
        return changed, fewer
