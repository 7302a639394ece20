"""What a transfer keeps in its run folder while it paints, so that it can be resumed.

    .unfinished/canvas.safetensors       the picture to repaint, unrounded
    .unfinished/levels.safetensors       the levels that are finished

The folder goes when the run is complete.
"""

from __future__ import annotations

import shutil

from torch import Tensor

from geostyle.errors import InputError
from geostyle.io.checkpoint import load_checkpoint, save_checkpoint
from geostyle.io.runs import RunFolder
from geostyle.texture import Finished, state

FOLDER = ".unfinished"
CANVAS, LEVELS = f"{FOLDER}/canvas.safetensors", f"{FOLDER}/levels.safetensors"
CANVAS_KIND = "canvas"


def is_complete(run: RunFolder) -> bool:
    """Whether nothing is left to be done."""
    return run.file("report.html").is_file() and not run.file(FOLDER).exists()


def save_canvas(run: RunFolder, canvas: Tensor, shares: Tensor | None = None) -> None:
    """Note that geometry is done, the picture (1, 3, H, W) it ended with, and who paints where.

    Args: shares, (n, 1, H, W), of each texture style in each pixel where there are masks.
    """
    if not run.file(CANVAS).is_file():
        tensors = {"image": canvas} if shares is None else {"image": canvas, "shares": shares}
        save_checkpoint(run.file(CANVAS), tensors, {}, CANVAS_KIND)


def load_canvas(run: RunFolder) -> tuple[Tensor | None, Tensor | None]:
    """What `save_canvas` was given; None twice where geometry is still to be done.

    Raises: InputError where it is damaged.
    """
    if not run.file(CANVAS).is_file():
        return None, None
    tensors, _ = load_checkpoint(run.file(CANVAS), CANVAS_KIND, name="resume")
    if not {"image"} <= set(tensors) <= {"image", "shares"}:
        raise InputError(f"resume: expected a picture in {str(run.file(CANVAS))!r}, got none")
    return tensors["image"], tensors.get("shares")


def save_levels(run: RunFolder, finished: Finished) -> None:
    """Keep the finished levels."""
    state.save_levels(run.file(LEVELS), finished)


def load_levels(run: RunFolder) -> Finished | None:
    """The finished levels, None without any; what was logged of later ones is dropped.

    Raises: InputError where they are damaged.
    """
    known = run.file(LEVELS).is_file()
    finished = state.load_levels(run.file(LEVELS)) if known else None
    done = len(finished.history) if finished else 0
    run.keep_metrics(lambda line: line.get("stage") != "texture" or line.get("level", 0) < done)
    return finished


def clear(run: RunFolder) -> None:
    """Note that the run is complete."""
    run.file(LEVELS).unlink(missing_ok=True)  # first: levels without their canvas would mislead
    shutil.rmtree(run.file(FOLDER), ignore_errors=True)
