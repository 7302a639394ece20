"""What a run says and saves of its warp, and of warps to choose from."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from geostyle import pipeline
from geostyle.io.images import save_picture, to_uint8
from geostyle.io.runs import RunFolder
from geostyle.matching import Candidate
from geostyle.pipeline import Bent, TransferSettings
from geostyle.report.run_files import PREVIEW_FILE, save_grid
from geostyle.report.sheet import Panel, save_sheet

PREVIEW_PX = 320  # long side of a warp on the sheet to choose from


def describe(bent: Bent) -> str:
    """The warp in a few words."""
    if bent.parameters is None:
        return "no warp"
    sure = bent.parameters.confidence
    held_back = bent.parameters.meta.get("message")
    return "".join(
        [
            bent.parameters.family,
            "" if sure is None else f", confidence {sure:.2f}",
            f"; {held_back}" if held_back else "",
        ]
    )


def save_geometry(run: RunFolder, bent: Bent, bit_depth: int) -> None:
    """Save the warped picture and, where there is a warp, its parameters and grid."""
    run.keep_metrics(lambda line: False)
    save_picture(bent.image, run.file("warped.png"), bit_depth=bit_depth)
    if bent.parameters is not None and bent.warp is not None:
        bent.parameters.save(run.file("theta.json"))
        save_grid(run.file("grid.safetensors"), bent.warp.grid)
        run.log(
            stage="geometry", family=bent.parameters.family, confidence=bent.parameters.confidence
        )


def save_choices(
    run: RunFolder,
    choices: Sequence[Candidate],
    content: Tensor,
    bent: Bent,
    settings: TransferSettings,
) -> None:
    """Save the warps to choose from, and the sheet that shows them."""
    size_px = min(PREVIEW_PX, max(bent.image.shape[-2:]))
    row = []
    for number, choice in enumerate(choices, 1):
        parameters = choice.estimate.parameters
        parameters.save(run.file(f"choices/{number}.json"))
        warped = pipeline.warp(
            content,
            parameters,
            strength=settings.geo_strength,
            size_px=size_px,
            extend=settings.extend,
        )
        note = f"{choice.label}, {choice.estimate.confidence:.2f}"
        row.append(Panel(f"{number}", to_uint8(warped.image), note))
    columns = min(len(row), math.ceil(math.sqrt(len(row) * 1.5)))
    rows = [row[i : i + columns] for i in range(0, len(row), columns)]
    save_sheet(rows, run.file(PREVIEW_FILE), PREVIEW_PX)
