"""The finished levels of a transfer on disk, from which an interrupted one is resumed."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

from geostyle.errors import InputError
from geostyle.io.checkpoint import load_checkpoint, save_checkpoint
from geostyle.texture.optimizer import Step
from geostyle.texture.pyramid import Finished, LevelHistory

KIND = "texture-levels"


def save_levels(path: str | Path, finished: Finished) -> None:
    """Write finished levels, whole or not at all; `load_levels` returns the same bit for bit."""
    history = [
        {"size": list(level.size), "steps": [list(astuple(step)) for step in level.steps]}
        for level in finished.history
    ]
    config = {"history": history, "seconds": finished.seconds}
    save_checkpoint(path, {"image": finished.image}, config, KIND)


def load_levels(path: str | Path) -> Finished:
    """Read a file that `save_levels` wrote.

    Raises: InputError where the file is damaged.
    """
    tensors, config = load_checkpoint(path, KIND, name="resume")
    try:
        history = [
            LevelHistory((int(height), int(width)), [Step(*step) for step in level["steps"]])
            for level in config["history"]
            for height, width in [level["size"]]
        ]
        return Finished(tensors["image"], history, float(config["seconds"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"resume: expected finished levels in {str(path)!r}, got none") from error
