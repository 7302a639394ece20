"""train a network that makes samples of one texture, or repaints pictures, from noise

The run folder gets texnet.safetensors for ``geostyle texnet-sample``, a preview sheet,
metrics.jsonl, and the state that ``--resume`` goes on from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from geostyle.cli._training import save_preview, train_command
from geostyle.training.settings import TextureTrainSettings

if TYPE_CHECKING:
    from geostyle.distributed import Processes
    from geostyle.training.feedforward import TextureLearner


def main(argv: Sequence[str]) -> int:
    """Train, or go on training; return 0 when the network is written."""
    return train_command(
        "geostyle texnet-train",
        "Train a feed-forward generator of one texture; with --mode stylize, of paintings.",
        TextureTrainSettings,
        learner,
        argv,
        on_validation=save_preview,
    )


def learner(settings: TextureTrainSettings, processes: Processes) -> TextureLearner:
    """Return the network in training; `torch` is loaded no sooner."""
    from geostyle.training.feedforward import TextureLearner

    return TextureLearner(settings, processes)
