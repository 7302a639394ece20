"""train the geometry network: correlation of two pictures → warp

geostyle train-geo                                     on the pairs that make-pairs made
geostyle train-geo --config FILE.yaml --data PAIRS
geostyle train-geo --resume [RUN]                      go on with a run, the newest by default
geostyle train-geo --run RUN ...                       go on with RUN, or start it: for scripts
torchrun --nproc_per_node 2 -m -- geostyle train-geo ...  several processes, one result

Each run is a numbered folder with its settings, metrics.jsonl, a plot, the state to resume from
and geonet.safetensors, the best network so far, for ``geostyle transfer --estimator regression``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from geostyle.cli._training import train_command
from geostyle.training.settings import TrainSettings

if TYPE_CHECKING:
    from geostyle.distributed import Processes
    from geostyle.training.geometry import GeometryLearner


def main(argv: Sequence[str], prog: str = "geostyle train-geo") -> int:
    """Train, or go on training; return 0 when all steps are taken."""
    description = "Train the geometry network."
    return train_command(prog, description, TrainSettings, learner, argv)


def learner(settings: TrainSettings, processes: Processes) -> GeometryLearner:
    """Return the network in training; `torch` is loaded no sooner."""
    from geostyle.training.geometry import GeometryLearner

    return GeometryLearner(settings, processes)
