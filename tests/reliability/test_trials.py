"""The long trials beside this file know the present commands and formats."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent))


def test_every_reader_accepts_a_file_that_nobody_damaged(tmp_path: Path) -> None:
    from readers import readers

    for reader in readers(tmp_path):
        if reader.name.startswith("report of") and not reader.name.endswith("settings.yaml"):
            continue  # one report is enough: they take a second each
        path = tmp_path / f"whole{reader.suffix}"
        path.write_bytes(reader.seeds[0])
        try:
            reader.read(path)
        except Exception as error:
            pytest.fail(f"{reader.name}: {error!r}")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["data_gen/make.py", "train_geo.py"])
def test_the_death_of_one_process_changes_nothing(tmp_path: Path, name: str) -> None:
    """Under torchrun: killed once for a second call, once for torchrun's own restart."""
    from torchrun import trial
    from workloads import workloads

    (workload,) = (w for w in workloads(tmp_path / "inputs") if w.name == name)
    trial(workload, tmp_path, 2, 2, random.Random(0))
