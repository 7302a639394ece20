"""Pictures and networks that training pairs are made from, split into training and validation."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from geostyle.data.crops import bundled_pictures, hold_out
from geostyle.data.make_settings import MakeSettings
from geostyle.errors import InputError, one_line
from geostyle.feedforward.files import FAST, SUFFIX, bundled
from geostyle.io.images import list_pictures

SPLIT_NUMBERS = {"train": 0, "val": 1}  # part of every seed: never renumber
# Sample photographs of scikit-image; those it shares with the bundled pictures are left out, so
# that no photograph is in training and in validation under two names.
SAMPLES = ("camera.png", "clock_motion.png", "coins.png", "hubble_deep_field.jpg", "ihc.png",
           "moon.png", "motorcycle_left.png", "retina.jpg")  # fmt: skip
ATTEMPTS = 20  # pictures tried before a pair is given up


class Pool:
    """Pictures of one kind, split into those that training sees and those it never sees.

    Args:
        pictures: files by name.
        name: of the kind, for errors.
        least: smallest number of pictures.
    """

    def __init__(self, pictures: dict[str, Path], name: str, least: int = 2) -> None:
        if len(pictures) < least:
            raise InputError(f"{name}: expected at least {least} pictures, got {len(pictures)}")
        self.paths, self.name = pictures, name
        known, held_out = hold_out(list(pictures), name=str)
        self.splits = {"train": known, "val": held_out}

    def order(self, seed: int, split: str, index: int) -> Iterator[str]:
        """Return the names to try for a pair; each picture serves once before any serves again."""
        names = self.splits[split]
        turn, place = divmod(index, len(names))
        for attempt in range(ATTEMPTS):
            key = (seed, SPLIT_NUMBERS[split], zlib.crc32(self.name.encode()), turn, attempt)
            yield names[np.random.default_rng(key).permutation(len(names))[place]]


def photographs(settings: MakeSettings) -> dict[str, Path]:
    """Return the photographs to warp, by name."""
    if settings.source == "voc2012":
        return _named(_voc2012(settings.output.parent / "voc2012"), "images")
    if settings.images is not None:
        return _named(settings.images, "images")
    import skimage.data

    samples = Path(str(skimage.data.data_dir))
    found = {name: samples / name for name in SAMPLES if (samples / name).is_file()}
    return {path.name: path for path in bundled_pictures()} | found


def paintings(settings: MakeSettings) -> dict[str, Path]:
    """Return the paintings to repaint with, by name."""
    if settings.styles is not None:
        return _named(settings.styles, "styles")
    return {path.name: path for path in bundled_pictures("styles")}


def networks(settings: MakeSettings) -> dict[str, Path]:
    """Return the files of the fast style networks, by name.

    Raises: InputError where there are none, or two of the same name.
    """
    if not settings.networks:
        own = bundled(FAST)
        if not own:
            raise InputError(f"networks: expected files as {FAST.maker} writes them, got none")
        return own
    found: dict[str, Path] = {}
    for given in settings.networks:
        named = {given.name: given}
        if given.is_dir():
            # A run folder holds a network and the state it is trained from.
            files = [path for path in sorted(given.rglob(f"*{SUFFIX}")) if path.stem != "state"]
            named = {path.relative_to(given).as_posix(): path for path in files}
        if not named:
            raise InputError(f"networks: expected {SUFFIX} files in {str(given)!r}, got none")
        if twice := sorted(named.keys() & found.keys()):
            raise InputError(f"networks: expected different names, got {twice[0]!r} twice")
        found |= named
    return found


def _named(folder: Path, name: str) -> dict[str, Path]:
    paths = list_pictures(folder, recursive=True, name=name)
    return {path.relative_to(folder).as_posix(): path for path in paths}


def _voc2012(root: Path) -> Path:
    """Return the folder of the photographs of PASCAL VOC 2012, fetched once by torchvision."""
    folder = root / "VOCdevkit" / "VOC2012" / "JPEGImages"
    if not folder.is_dir():
        from torchvision.datasets import VOCSegmentation

        try:
            VOCSegmentation(str(root), year="2012", image_set="trainval", download=True)
        except Exception as error:  # URLError, RuntimeError of a wrong hash, a full disk
            raise InputError(
                f"source: VOC 2012 could not be fetched ({one_line(error)}); "
                "give a folder of photographs with --images DIR"
            ) from error
    return folder
