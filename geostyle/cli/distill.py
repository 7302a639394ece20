"""distill the bundled feature network from VGG-19"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from geostyle.cli._training import train_command
from geostyle.training.settings import DistillSettings

if TYPE_CHECKING:
    from geostyle.distributed import Processes
    from geostyle.training.distillation import DistillLearner


def main(argv: Sequence[str]) -> int:
    """Train, or go on training, a student network; return 0 when its file is written."""
    return train_command(
        "geostyle distill",
        "Distill VGG-19 into a small network with the same layer names.",
        DistillSettings,
        learner,
        argv,
    )


def learner(settings: DistillSettings, processes: Processes) -> DistillLearner:
    """Return the network in training; `torch` is loaded no sooner."""
    from geostyle.training.distillation import DistillLearner

    return DistillLearner(settings, processes)
