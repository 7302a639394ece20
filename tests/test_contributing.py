"""The examples of CONTRIBUTING.md, added to a copy of the package as the document says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pictures import picture_file

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RUN = """
import sys, geostyle
from pathlib import Path
from geostyle import cli
assert Path(geostyle.__file__).parent == Path.cwd() / "geostyle"
transfer, train = sys.argv[1].split(), sys.argv[2].split()
sys.exit(cli.run("transfer", transfer) or __import__("train_geo").main(train))
"""


def examples() -> list[tuple[str, str, str, str, str]]:
    """Each part of the document: its new file, the code, then table, file of the table, line."""
    return re.findall(
        r"```python\n# (geostyle/\S+)\n(.*?)```"
        r".*?The line, in `(\w+)` of `(\S+)`:\n\n```python\n(\s+\"(?:.*?))\n```",
        TEXT,
        re.DOTALL,
    )


def add(folder: Path) -> None:
    """Add every example to the package in `folder`: one new file and one line each."""
    for name, code, table, place, line in examples():
        path = folder / name
        assert not path.exists() and "\n" not in line
        path.write_text(code, encoding="utf-8")
        text = (folder / place).read_text(encoding="utf-8")
        changed, count = re.subn(rf"(\n{table}: .*? = \w+\(\n\s+{{\n)", rf"\1{line}\n", text)
        assert count == 1, f"{table} was not found in {place}"
        (folder / place).write_text(changed, encoding="utf-8")


def test_there_are_four_examples() -> None:
    tables = [table for _, _, table, _, _ in examples()]
    assert tables == ["FAMILIES", "COMPARING", "LOSSES", "PAINTERS"]


@pytest.mark.timeout(400)
def test_a_part_is_one_file_and_one_line(
    tmp_path: Path, tiny_pairs: Path, tiny_weights: Path
) -> None:
    weights = tiny_weights
    shutil.copytree(
        ROOT / "geostyle", tmp_path / "geostyle", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "train_geo.py", tmp_path)
    add(tmp_path)
    for seed, name in enumerate("abc"):
        picture_file(tmp_path / f"{name}.png", (48, 40), seed)
    transfer = (
        "--content c.png --geo-style a.png --tex-style b.png --geometry swirl --estimator nearest "
        f"--painter contrast --iterations 2 1 --match-sizes-px 64 --size 48 --weights {weights}"
    )
    train = (
        f"--data {tiny_pairs} --weights {weights} --loss worst --match-px 64 --width 8 --steps 2 "
        "--network-lattice 3 --batch 2 --warmup 1 --validate-every 2 --save-every 2"
    )
    done = subprocess.run(
        [sys.executable, "-c", RUN, transfer, train],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "00001-transfer"
    theta = json.loads((run / "theta.json").read_text())
    assert theta["family"] == "swirl" and len(theta["theta"]["swirl"]) == 1
    settings = (run / "settings.yaml").read_text()
    for choice in ("estimator: nearest", "painter: contrast"):
        assert choice in settings
    trained = tmp_path / "runs" / "00002-train-geo"
    assert "loss: worst" in (trained / "settings.yaml").read_text()
    assert (trained / "geonet.safetensors").is_file()
