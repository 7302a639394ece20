"""The record of a pair: lossless, strict, and helpful where there is none."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from geostyle.data.manifest import Pair, fingerprint, read_manifest, write_manifest
from geostyle.errors import InputError

PAIR = Pair(
    split="train",
    index=1234,
    seed=7,
    content="a/ä.jpg",
    content_box=(0.1, 0.2, 0.9, 1.0),
    tex_style="b.png",
    tex_box=(0.0, 0.0, 1 / 3, 1.0),
    family="affine",
    lattice=3,
    theta=(0.1, -1e-17, 1 / 3, 0.0, 2.0, -0.25),
    size_px=240,
    skipped=(("broken.jpg", "0 bytes"),),
)


def test_a_record_reads_back_bit_for_bit() -> None:
    assert Pair.from_json(PAIR.to_json(), "here") == PAIR


def test_files_of_a_pair() -> None:
    assert PAIR.file("content") == "train/001/001234-content.jpg"
    plain = dataclasses.replace(PAIR, tex_style=None, tex_box=None)
    assert plain.file("warped") == "train/001/001234-warped.jpg"
    with pytest.raises(InputError, match="content, warped, got 'stylized'"):
        plain.file("stylized")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"theta": [0.1, "x"]}, "theta"),
        ({"theta": [True]}, "theta"),
        ({"content_box": [0, 1, 2]}, "content_box"),
        ({"split": "test"}, "split"),
        ({"index": -1}, "index"),
        ({"format": "other"}, "format"),
        ({"more": 1}, "odd: more"),
    ],
)
def test_damage_is_named(change: dict[str, object], message: str) -> None:
    text = json.dumps({**json.loads(PAIR.to_json()), **change})
    with pytest.raises(InputError, match=message):
        Pair.from_json(text, "here")


def test_a_missing_key_is_named() -> None:
    values = json.loads(PAIR.to_json())
    del values["theta"]
    with pytest.raises(InputError, match="odd: theta"):
        Pair.from_json(json.dumps(values), "here")


def test_a_manifest_keeps_order_and_splits(tmp_path: Path) -> None:
    pairs = [dataclasses.replace(PAIR, split=s, index=i) for s in ("train", "val") for i in (0, 1)]
    write_manifest(tmp_path, pairs)
    assert read_manifest(tmp_path) == pairs
    assert read_manifest(tmp_path, "val") == pairs[2:]
    assert fingerprint(pairs[:1]) != fingerprint(pairs[1:2])


def test_without_a_set_the_command_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"geostyle make-pairs --output"):
        read_manifest(tmp_path / "none")
    (tmp_path / "settings.yaml").write_text("seed: 0\n")
    with pytest.raises(InputError, match=r"not finished.*--config .*settings\.yaml"):
        read_manifest(tmp_path)


def test_bytes_that_are_no_text_are_one_line(tmp_path: Path) -> None:
    write_manifest(tmp_path, [PAIR])
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(path.read_bytes().replace(b"train", b"tr\xffin"))
    with pytest.raises(InputError, match="data: expected UTF-8 text in "):
        read_manifest(tmp_path)
