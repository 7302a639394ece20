"""Train the geometry network: correlation of two pictures → warp.

    python train_geo.py                                on the pairs that data_gen/make.py made
    python train_geo.py --config configs/geometry/train_geo.yaml --data PAIRS
    python train_geo.py --resume [RUN]                 go on with a run, the newest by default
    torchrun --nproc_per_node 2 -- train_geo.py ...    several processes, one result

The same as ``geostyle train-geo``, which is in geostyle/cli/train_geo.py.
"""

from __future__ import annotations

import sys
from functools import partial

from geostyle.cli import guarded
from geostyle.cli.train_geo import main

if __name__ == "__main__":
    hint = "--resume goes on from the saved state"
    sys.exit(guarded("train_geo.py", partial(main, prog="train_geo.py"), sys.argv[1:], hint))
