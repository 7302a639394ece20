"""train a network that makes samples of one texture, or repaints pictures, from noise

The run folder gets texnet.safetensors for ``geostyle texnet-sample``, a preview sheet,
metrics.jsonl, and the state that ``--resume`` goes on from.
"""

from __future__ import annotations

from collections.abc import Sequence

from geostyle.cli._training import save_preview, train_command
from geostyle.training.feedforward import TextureLearner, TextureTrainSettings


def main(argv: Sequence[str]) -> int:
    """Train, or go on training; return 0 when the network is written."""
    return train_command(
        "geostyle texnet-train",
        "Train a feed-forward generator of one texture; with --mode stylize, of paintings.",
        TextureTrainSettings,
        TextureLearner,
        argv,
        on_validation=save_preview,
    )
