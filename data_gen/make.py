"""Make training pairs for the geometry network: photographs warped, then repainted.

    python data_gen/make.py                                a small set, in minutes
    torchrun --nproc_per_node 4 data_gen/make.py ...       shared among processes

The same as ``geostyle make-pairs``, which is in geostyle/cli/make_pairs.py.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone needs no installation

from geostyle.cli import guarded  # noqa: E402
from geostyle.cli.make_pairs import main  # noqa: E402

if __name__ == "__main__":
    hint = "the same command goes on from here"
    sys.exit(guarded("make.py", partial(main, prog="make.py"), sys.argv[1:], hint))
