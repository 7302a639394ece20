"""train a network that repaints any picture in one style in one pass

The run folder gets fast.safetensors for ``geostyle fast-apply``, a preview sheet, metrics.jsonl,
and the state that ``--resume`` goes on from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from geostyle.cli._training import save_preview, train_command
from geostyle.training.settings import FastTrainSettings

if TYPE_CHECKING:
    from geostyle.distributed import Processes
    from geostyle.training.feedforward import FastLearner


def main(argv: Sequence[str]) -> int:
    """Train, or go on training; return 0 when the network is written."""
    return train_command(
        "geostyle fast-train",
        "Train a feed-forward network that repaints any picture in one style, on photographs.",
        FastTrainSettings,
        learner,
        argv,
        on_validation=save_preview,
    )


def learner(settings: FastTrainSettings, processes: Processes) -> FastLearner:
    """Return the network in training; `torch` is loaded no sooner."""
    from geostyle.training.feedforward import FastLearner

    return FastLearner(settings, processes)
