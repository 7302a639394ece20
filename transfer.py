"""Geometric style transfer: warp a picture after one, repaint it with the texture of another.

    python transfer.py --geo-style a.jpg --tex-style b.jpg

The same as ``python -m geostyle transfer``, which is in geostyle/cli/transfer.py.
"""

from __future__ import annotations

import sys

from geostyle.cli import run

if __name__ == "__main__":
    sys.exit(run("transfer", sys.argv[1:]))
