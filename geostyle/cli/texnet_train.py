"""train a network that makes samples of one texture, or repaints pictures, from noise

The run folder gets texnet.safetensors for ``geostyle texnet-sample``, a preview sheet,
metrics.jsonl, and the state that ``--resume`` goes on from.
"""

from __future__ import annotations

from collections.abc import Sequence

from geostyle.cli._training import run_training
from geostyle.training.texture_network import TextureTrainer, TextureTrainSettings


def main(argv: Sequence[str]) -> int:
    """Train (or go on training); 0 when the network is written."""
    return run_training(
        "texnet-train",
        "Train a feed-forward generator of one texture; with --mode stylize, of paintings.",
        TextureTrainSettings,
        TextureTrainer,
        argv,
        apply="texnet-sample",
    )
