"""``python -m geostyle <verb>``."""

from __future__ import annotations

import sys

from geostyle.cli import main

if __name__ == "__main__":
    sys.exit(main())
