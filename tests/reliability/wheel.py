"""Install a wheel as a stranger would, and make a first picture: `make wheel-test`.

A new environment in a temporary folder outside the clone, without development packages; an empty
package cache; no HOME. Three commands lead to the picture. Further ones check that nothing but the
wheel is needed.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

MOST_MB = 40
KEPT = re.compile(r"PATH|LANG|PIP_(?!CACHE).*")


def main() -> int:
    """Run the trial; 0 when the picture is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--size", default="96", help="long side of the picture, px")
    parser.add_argument("--extras", nargs="*", default=[], help="extras to install, such as onnx")
    args = parser.parse_args()
    wheel = args.wheel.resolve()
    megabytes = wheel.stat().st_size / 1e6
    print(f"wheel: {wheel.name}, {megabytes:.1f} MB")
    assert megabytes <= MOST_MB
    extras = f"[{','.join(args.extras)}]" if args.extras else ""
    with tempfile.TemporaryDirectory(prefix="wheel-") as name:
        folder = Path(name)
        quick = ["--size", args.size, "--iterations", "4", "4", "--split", "2"]
        call(folder, [sys.executable, "-m", "venv", "env"])
        call(folder, ["env/bin/pip", "install", "--quiet", "--no-cache-dir", f"{wheel}{extras}"])
        call(folder, ["env/bin/geostyle", "demo", *quick])
        picture = folder / "runs" / "00001-transfer" / "result.png"
        assert picture.stat().st_size > 1000
        check_alone(folder)
    print(f"picture: made by the third command at {args.size} px")
    return 0


def check_alone(folder: Path) -> None:
    """Check that the wheel was what ran, and that its other commands work from it alone."""
    shown = call(folder, ["env/bin/geostyle", "--version"])
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", shown)
    place = call(folder, ["env/bin/python", "-c", "import geostyle; print(geostyle.__file__)"])
    assert "site-packages" in place, place
    assert "pytest" not in call(folder, ["env/bin/pip", "list"])
    call(folder, ["env/bin/geostyle", "pictures", "pictures"])
    photo = "pictures/content/chelsea.jpg"
    call(folder, ["env/bin/geostyle", "fast-apply", "night", photo, "cat.jpg", "--size", "96"])
    call(folder, ["env/bin/geostyle", "texnet-sample", "pebbles", "--size", "96"])
    call(folder, ["env/bin/geostyle", "completion", "bash"])
    files = {path.name for path in folder.iterdir()}
    assert files == {"env", "runs", "pictures", "cat.jpg", "tmp"}, files


def call(folder: Path, command: Sequence[str]) -> str:
    """Run a command in `folder` with an environment that names no home and no cache."""
    (folder / "tmp").mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)}
    environment |= {"TMPDIR": str(folder / "tmp"), "OMP_NUM_THREADS": "1"}
    started = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    words = " ".join(Path(word).name if "/" in word else word for word in command)
    print(f"$ {words}  ({time.monotonic() - started:.0f} s)", flush=True)
    if done.returncode:
        print(done.stdout[-3000:], done.stderr[-3000:], sep="\n")
        raise SystemExit(1)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
