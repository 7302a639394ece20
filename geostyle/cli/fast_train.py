"""train a network that repaints any picture in one style in one pass

The run folder gets fast.safetensors for ``geostyle fast-apply``, a preview sheet, metrics.jsonl,
and the state that ``--resume`` goes on from.
"""

from __future__ import annotations

from collections.abc import Sequence

from geostyle.cli._training import save_preview, train_command
from geostyle.training.feedforward import FastLearner, FastTrainSettings


def main(argv: Sequence[str]) -> int:
    """Train, or go on training; return 0 when the network is written."""
    return train_command(
        "geostyle fast-train",
        "Train a feed-forward network that repaints any picture in one style, on photographs.",
        FastTrainSettings,
        FastLearner,
        argv,
        on_validation=save_preview,
    )
