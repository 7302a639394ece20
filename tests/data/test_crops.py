"""Crops: each from its number alone, whatever is unreadable, however little is kept in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from geostyle.data.crops import CropSource
from geostyle.data.read_ahead import ReadAhead
from geostyle.errors import InputError


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    for i in range(6):
        small = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        Image.fromarray(small).resize((70, 50 - 5 * i)).save(tmp_path / f"{i}.png")
    return sorted(tmp_path.glob("*.png"))


def test_crops_depend_on_their_index_alone(paths: list[Path]) -> None:
    first, second = (CropSource(paths, 32, seed=1) for _ in range(2))
    later = first.batch(5, 3)
    second.crop(0)
    assert torch.equal(later, second.batch(5, 3))
    assert later.shape == (3, 3, 32, 32)
    assert later.min() >= 0
    assert later.max() <= 1
    assert not torch.equal(later[0], later[1])


def test_a_small_cache_changes_nothing(paths: list[Path]) -> None:
    whole, tight = CropSource(paths, 32, 1), CropSource(paths, 32, 1, cache_bytes=15_000)
    assert torch.equal(whole.batch(0, 20), tight.batch(0, 20))
    assert len(whole._cache) == 6 and len(tight._cache) == 1
    assert tight._bytes == sum(picture.numel() for picture in tight._cache.values())


def test_what_cannot_be_read_is_listed_and_left_out(paths: list[Path]) -> None:
    paths[2].write_bytes(b"not a picture")
    one, other = CropSource(paths, 32, 1), CropSource(paths, 32, 1)
    crops = one.batch(0, 20)
    other.batch(10, 10)  # finds the broken one at another crop
    assert torch.equal(crops, other.batch(0, 20))
    assert list(one.skipped) == [paths[2]] and "not a picture" in one.skipped[paths[2]]
    for path in paths:
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"images: none of 20 pictures drawn can be read; .*0 byt"):
        CropSource(paths, 32, 1).crop(0)


def test_noise_is_a_choice(paths: list[Path]) -> None:
    def grain(crops: torch.Tensor) -> torch.Tensor:
        return (crops[..., 1:] - crops[..., :-1]).abs().mean((1, 2, 3))

    plain, noisy = (CropSource(paths, 32, 1, noise=share).batch(0, 8) for share in (0.0, 1.0))
    assert (grain(noisy) > grain(plain)).all()


def test_no_picture_is_refused() -> None:
    with pytest.raises(InputError, match="images: expected at least one picture"):
        CropSource([], 32, 1)


def test_what_is_read_ahead_is_what_would_be_read_in_turn(paths: list[Path]) -> None:
    source, ahead = CropSource(paths, 32, 1, cache_bytes=15_000), CropSource(paths, 32, 1)
    read = ReadAhead(lambda step: ahead.batch(2 * step, 2), torch.device("cuda"))
    for step in (0, 1, 2, 7):  # a resumed training begins anywhere
        assert torch.equal(read(step), source.batch(2 * step, 2))


def test_on_the_cpu_nothing_is_read_before_its_turn() -> None:
    made: list[int] = []

    def make(step: int) -> int:
        made.append(step)
        return step

    read = ReadAhead(make, torch.device("cpu"))
    assert [read(3), read(4)] == made == [3, 4]
