"""Random square crops of pictures, each drawn from (seed, index) alone, and what is held out."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from geostyle.coords import resize
from geostyle.errors import InputError
from geostyle.io.files import ASSETS
from geostyle.io.images import is_validation, list_pictures, load_picture

P = TypeVar("P", str, Path)
ATTEMPTS = 20  # pictures tried before a crop is given up
NOISE_SHARE = 0.15
CACHE_BYTES = 2_000_000_000
VALIDATION_SEED = 1_000_003


def bundled_pictures(*kinds: str) -> list[Path]:
    """Return the pictures of some kinds that come with the package; by default, the photographs.

    Args: kinds, folders of ``assets/pictures``: "content", "scenes", "geo" or "styles".
    """
    folders = [ASSETS / "pictures" / kind for kind in kinds or ("content", "scenes")]
    return [path for folder in folders for path in list_pictures(folder)]


def hold_out(
    pictures: Sequence[P], name: Callable[[P], str] = lambda picture: Path(picture).name
) -> tuple[list[P], list[P]]:
    """Split pictures into (training, validation) by a hash of their names; neither is empty.

    A tenth is held out. Where that tenth is empty, one picture is held out; a single picture is in
    both parts.

    Args:
        pictures: their paths, or names below a folder.
        name: picture → text that is hashed to choose the one; by default its file name.
    """
    held = [picture for picture in pictures if is_validation(picture)]
    held = held or [min(pictures, key=lambda p: hashlib.sha256(name(p).encode()).digest())]
    kept = [picture for picture in pictures if picture not in set(held)]
    return kept or held, held


class CropSource:
    """Random square crops of pictures; crop i is the same whatever was drawn before.

    Args:
        paths: the pictures, decoded when they are first drawn. Unreadable ones are left out and
            listed in `skipped`.
        crop_px: side of a crop.
        seed: crops are drawn from (seed, index).
        noise: share of crops that get noise on top.
        cache_bytes: decoded pictures kept, as uint8.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        crop_px: int,
        seed: int,
        *,
        noise: float = NOISE_SHARE,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        if not paths:
            raise InputError("images: expected at least one picture, got none")
        self.paths, self.crop_px, self.seed, self.noise = list(paths), crop_px, seed, noise
        self.skipped: dict[Path, str] = {}
        self._cache: OrderedDict[Path, Tensor] = OrderedDict()
        self._bytes, self._cache_bytes = 0, cache_bytes
        self._lock = threading.Lock()

    def crop(self, index: int) -> Tensor:
        """Return crop number `index`, (3, crop_px, crop_px) in [0, 1]: random scale, place, flip.

        Raises: InputError where none of `ATTEMPTS` pictures can be read.
        """
        rng = np.random.default_rng((self.seed, index))
        picture = self._draw(rng)
        height, width = picture.shape[-2:]
        # From the whole short side down to half the crop's own size (a magnified detail).
        low = min(0.6 * self.crop_px, height, width)
        side = int(round(np.exp(rng.uniform(np.log(low), np.log(min(height, width))))))
        side = min(max(side, 16), height, width)
        y, x = rng.integers(height - side + 1), rng.integers(width - side + 1)
        crop = picture[None, :, y : y + side, x : x + side].float() / 255
        crop = resize(crop, (self.crop_px, self.crop_px)).clamp(0, 1)[0]
        if rng.random() < 0.5:
            crop = crop.flip(-1)
        if rng.random() < self.noise:  # optimization starts from noise, or passes through it
            crop = crop + rng.uniform(0.02, 0.3) * torch.from_numpy(
                rng.standard_normal(crop.shape).astype(np.float32)
            )
        return crop.clamp(0, 1)

    def batch(self, start: int, count: int) -> Tensor:
        """Return crops `start` … `start + count - 1`: (count, 3, crop_px, crop_px)."""
        return torch.stack([self.crop(i) for i in range(start, start + count)])

    def _draw(self, rng: np.random.Generator) -> Tensor:
        """Return a random readable picture as uint8 (3, H, W)."""
        for _ in range(ATTEMPTS):
            path = self.paths[rng.integers(len(self.paths))]
            if path in self.skipped:
                continue
            try:
                return self._read(path)
            except InputError as error:
                self.skipped[path] = str(error)
        raise InputError(
            f"images: none of {ATTEMPTS} pictures drawn can be read; "
            f"{next(reversed(self.skipped.values()))}"
        )

    def _read(self, path: Path) -> Tensor:
        with self._lock:
            if path in self._cache:
                self._cache.move_to_end(path)
                return self._cache[path]
        picture = (load_picture(path, name="images").tensor[0] * 255).round().byte()
        with self._lock:
            if path not in self._cache:
                self._cache[path] = picture
                self._bytes += picture.numel()
            while self._bytes > self._cache_bytes and len(self._cache) > 1:
                self._bytes -= self._cache.popitem(last=False)[1].numel()
        return picture


class Photographs:
    """Crops of a folder's photographs.

    Args:
        folder: searched with all folders within; None takes the bundled pictures.
        crop_px: side of a crop.
        seed: of the training crops.
    """

    def __init__(self, folder: Path | None, crop_px: int, seed: int) -> None:
        self.bundled = folder is None
        found = bundled_pictures()
        if folder is not None:
            found = list_pictures(folder, recursive=True, name="images")
        self.known, self.held_out = hold_out(found)
        self.source = CropSource(self.known, crop_px, seed, noise=0.0)
        self._held_source = CropSource(self.held_out, crop_px, VALIDATION_SEED, noise=0.0)

    def batch(self, start: int, count: int) -> Tensor:
        """Return `count` training crops from number `start` on: (count, 3, crop_px, crop_px)."""
        return self.source.batch(start, count)

    def validation(self, count: int) -> Tensor:
        """Return crops that training does not see, (count, 3, crop_px, crop_px).

        Where none of the few pictures held out can be read, they are crops of the others.
        """
        try:
            return self._held_source.batch(0, count)
        except InputError:
            self.source.skipped |= self._held_source.skipped
            return self.source.batch(10**12, count)

    @property
    def notes(self) -> list[str]:
        """Lines to print before training."""
        bundled = ["images: none given, taking the bundled ones; a large folder generalizes better"]
        counts = f"{len(self.known)} pictures to train on, {len(self.held_out)} held out"
        return [*(bundled if self.bundled else []), counts]

    @property
    def skipped(self) -> dict[Path, str]:
        """Unreadable pictures, with the reason."""
        return self._held_source.skipped | self.source.skipped
