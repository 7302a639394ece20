"""distill the bundled feature network from VGG-19"""

from __future__ import annotations

from collections.abc import Sequence

from geostyle.cli._training import train_command
from geostyle.training.distillation import DistillLearner, DistillSettings


def main(argv: Sequence[str]) -> int:
    """Train, or go on training, a student network; return 0 when its file is written."""
    return train_command(
        "geostyle distill",
        "Distill VGG-19 into a small network with the same layer names.",
        DistillSettings,
        DistillLearner,
        argv,
    )
