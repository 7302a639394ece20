"""The long trials of reliability/ know the commands and formats as they are now."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "reliability"))


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
