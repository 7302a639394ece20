"""Train the geometry network: correlation of two pictures → warp.

    python train_geo.py                                on the pairs that data_gen/make.py made
    python train_geo.py --config configs/geometry/train_geo.yaml --data PAIRS
    python train_geo.py --resume [RUN]                 go on with a run, the newest by default
    python train_geo.py --run RUN ...                  go on with RUN, or start it: for scripts
    torchrun --nproc_per_node 2 -- train_geo.py ...    several processes, one result

Each run is a numbered folder with its settings, metrics.jsonl, a plot, the state to resume from
and geonet.safetensors, the best network so far, for `transfer.py --estimator regression`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from geostyle.cli import guarded
from geostyle.cli._training import train_command
from geostyle.training.geometry import GeometryLearner, TrainSettings


def main(argv: Sequence[str]) -> int:
    """Train, or go on training; return 0 when all steps are taken."""
    description = "Train the geometry network."
    return train_command("train_geo.py", description, TrainSettings, GeometryLearner, argv)


if __name__ == "__main__":
    hint = "--resume goes on from the saved state"
    sys.exit(guarded("train_geo.py", main, sys.argv[1:], hint))
