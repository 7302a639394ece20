"""State that a transfer keeps in its run folder while it paints, so that it can be resumed.

    .unfinished/canvas.safetensors       the picture to repaint, unrounded
    .unfinished/levels.safetensors       the finished levels

The folder is removed when the run is complete.
"""

from __future__ import annotations

import shutil
from dataclasses import astuple

from geostyle.errors import InputError
from geostyle.io.checkpoint import load_checkpoint, save_checkpoint
from geostyle.io.runs import RunFolder
from geostyle.pipeline import GeometryResult, Resume
from geostyle.report.run_files import RESULT_FILES
from geostyle.texture import Finished, SourceGuide
from geostyle.texture.optimizer import Step
from geostyle.texture.pyramid import LevelHistory

FOLDER = ".unfinished"
CANVAS, LEVELS = f"{FOLDER}/canvas.safetensors", f"{FOLDER}/levels.safetensors"
CANVAS_KIND, LEVELS_KIND = "canvas", "texture-levels"


def is_complete(run: RunFolder) -> bool:
    """Return True where nothing is left to be done."""
    made = any(run.file(name).is_file() for name in ("report.html", *RESULT_FILES))
    return made and not run.file(FOLDER).exists()


def save_canvas(run: RunFolder, geometry: GeometryResult) -> None:
    """Save what painting starts from: the canvas, where it shows the content, masks and guides."""
    if run.file(CANVAS).is_file():
        return
    tensors = {"image": geometry.tensor}
    if geometry.masks is not None:
        tensors["masks"] = geometry.masks
    if geometry.alpha is not None:
        tensors["alpha"] = geometry.alpha
    if geometry.inside is not None:
        tensors["inside"] = geometry.inside
    for number, guide in enumerate(geometry.guides):
        if guide is not None:
            tensors[f"guides.{number}.positions"] = guide.positions
            tensors[f"guides.{number}.confidence"] = guide.confidence
    save_checkpoint(run.file(CANVAS), tensors, {"guides": len(geometry.guides)}, CANVAS_KIND)


def load_canvas(run: RunFolder) -> Resume | None:
    """The state that `save_canvas` saved; None where geometry is still to be done.

    Raises: InputError where it is damaged.
    """
    if not run.file(CANVAS).is_file():
        return None
    tensors, config = load_checkpoint(run.file(CANVAS), CANVAS_KIND, name="resume")
    masks = tensors.pop("masks", tensors.pop("shares", None))  # the latter in runs of version 0.1
    inside, alpha = tensors.pop("inside", None), tensors.pop("alpha", None)
    guides = list[SourceGuide | None]()
    for number in range(int(config.get("guides", 0))):
        positions = tensors.pop(f"guides.{number}.positions", None)
        confidence = tensors.pop(f"guides.{number}.confidence", None)
        if positions is None or confidence is None:
            guides.append(None)
        else:
            guides.append(SourceGuide(positions, confidence))
    if set(tensors) != {"image"}:
        raise InputError(f"resume: expected a picture in {str(run.file(CANVAS))!r}, got none")
    return Resume(tensors["image"], masks, inside, tuple(guides), alpha=alpha)


def save_levels(run: RunFolder, finished: Finished) -> None:
    """Save the finished levels; `load_levels` returns the same bit for bit."""
    history = [
        {"size": list(level.size), "steps": [list(astuple(step)) for step in level.steps]}
        for level in finished.history
    ]
    config = {"history": history, "seconds": finished.seconds}
    save_checkpoint(run.file(LEVELS), {"image": finished.image}, config, LEVELS_KIND)


def load_levels(run: RunFolder) -> Finished | None:
    """The finished levels, None without any; what was logged of later ones is dropped.

    Raises: InputError where they are damaged.
    """
    path, finished = run.file(LEVELS), None
    if path.is_file():
        tensors, config = load_checkpoint(path, LEVELS_KIND, name="resume")
        try:
            history = [
                LevelHistory((int(height), int(width)), [Step(*step) for step in level["steps"]])
                for level in config["history"]
                for height, width in [level["size"]]
            ]
            finished = Finished(tensors["image"], history, float(config["seconds"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"resume: expected finished levels in {str(path)!r}, got none"
            ) from error
    done = len(finished.history) if finished else 0
    run.keep_metrics(lambda line: line.get("stage") != "texture" or line.get("level", 0) < done)
    return finished


def clear(run: RunFolder) -> None:
    """Mark the run as complete."""
    run.file(LEVELS).unlink(missing_ok=True)  # first: levels are of no use without their canvas
    shutil.rmtree(run.file(FOLDER), ignore_errors=True)
