"""train a network that repaints any picture in one style at once

The run folder gets fast.safetensors for ``geostyle fast-apply``, a preview sheet, metrics.jsonl,
and the state that ``--resume`` goes on from.
"""

from __future__ import annotations

from collections.abc import Sequence

from geostyle.cli._training import run_training
from geostyle.training.fast_network import FastTrainer, FastTrainSettings


def main(argv: Sequence[str]) -> int:
    """Train (or go on training); 0 when the network is written."""
    return run_training(
        "fast-train",
        "Train a feed-forward network that repaints any picture in one style, on photographs.",
        FastTrainSettings,
        FastTrainer,
        argv,
        apply="fast-apply",
    )
