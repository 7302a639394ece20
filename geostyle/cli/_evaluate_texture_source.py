"""``geostyle evaluate texture-source``: whether keypoints are painted after the matching part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geostyle.cli._evaluate_keypoints import chosen
from geostyle.cli._evaluate_network import Network, parse, report
from geostyle.config import check, setting
from geostyle.errors import InputError
from geostyle.matching.settings import GeometrySettings
from geostyle.texture.matched_settings import MatchedSettings

ABOUT = "a folder that holds pairs.csv, as for pf-willow"


@dataclass(frozen=True)
class TextureSource:
    """Settings of the benchmark."""

    root: Path | None = setting(None, help="folder of PF-WILLOW, with its authors' layout")
    classes: tuple[str, ...] = setting((), help="classes to measure; default: all")
    limit: int = setting(0, min=0, help="pairs to measure, spread over all; 0: all")
    size_px: int = setting(256, min=32, help="long side of the matched pictures", flag="--size")
    seed: int = setting(0, min=0, help="seed of the estimate")
    network: Network = setting(Network())
    geometry: GeometrySettings = setting(GeometrySettings())
    matched: MatchedSettings = setting(MatchedSettings())

    def __post_init__(self) -> None:
        check(self)


def run(benchmark: str, argv: Sequence[str]) -> int:
    """Measure how often keypoints of a content take their texture from the matching part."""
    settings, dry_run = parse(
        benchmark,
        TextureSource,
        argv,
        "How often matched painting paints a keypoint after the right part of the texture: within "
        "0.1 of the box around its keypoints. Controls: the warp alone, and nearest neighbors "
        f"without guidance. Reads {ABOUT}.",
    )
    if dry_run:
        return 0
    if settings.root is None:
        raise InputError(f"root: expected --root with {ABOUT}, got nothing")
    from tqdm import tqdm

    from geostyle.evaluation import pck, texture_source
    from geostyle.evaluation.keypoints import read_pf_willow

    pairs = chosen(read_pf_willow(settings.root), settings.classes, settings.limit)
    network = settings.network.load()
    with tqdm(total=len(pairs), unit="pair", dynamic_ncols=True) as bar:
        errors = texture_source.measure(
            pairs,
            network,
            settings.matched,
            settings.geometry,
            size_px=settings.size_px,
            seed=settings.seed,
            on_pair=bar.update,
        )
    rows = pck.rows_of(pairs, errors, settings.network.features)
    share = texture_source.share_of_warp(errors)
    figures = pck.as_json(
        rows,
        benchmark=benchmark,
        features=settings.network.features,
        guidance=settings.matched.guidance,
        share_of_warp=share,
    )
    lines = f"{pck.table(rows)}\n{100 * share:.1f} % of what the warp alone reaches"
    report(lines, figures, settings.network.json)
    return 0
