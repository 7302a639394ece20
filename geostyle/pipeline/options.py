"""The settings of a transfer as keyword arguments, for editors and type checkers.

Apart from the settings, which load without torch: the types of the arguments name it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import torch


class TransferOptions(TypedDict, total=False):
    """The settings of a transfer by name, those of its stages included."""

    size_px: int | None
    geo_strength: float
    extend: str
    preserve_color: str
    border_px: int
    mask_frame: str
    features: str
    weights: str | Path | None
    pooling: str
    device: str | torch.device
    precision: str
    seed: int
    painter: str
    geometry: str
    estimator: str
    geonet: Sequence[str | Path]
    looks: int
    mirror: str
    keep_position: bool
    frame: str
    match_sizes_px: Sequence[int]
    match_layers: Sequence[str]
    lattice: int
    smoothing: float
    prior: float
    max_rotation_deg: float
    max_scale: float
    max_anisotropy: float
    max_stretch: float
    max_outside: float
    max_lost: float
    conformal_weight: float
    choose: int
    fade: bool
    iterations: Sequence[int]
    optimizer: str
    history: int
    lr: float
    plateau: float
    time_budget_s: float
    content_weight: float | None
    coarse_content: float
    tex_strength: float
    tex_scale: float
    gram_weight: float
    wasserstein_weight: float
    moment_weight: float
    tv_weight: float
    finish: Sequence[int]
    init: str
    detail: float
    stop_after: Sequence[int]
    tile_px: int
    tile_blocks: int
    memory_gb: float
    guidance: float
    quick: bool
    split: int
    step_size: float
    split_step_size: float
    kept: float
    tone: float
    tone_held: float
    fine_held: float
    turns: int
    spread: float
    color_weight: float
    statistics_weight: float
    shape_weight: float
    feature_weight: float
    hold_structure: float
    hold_unlike: float
