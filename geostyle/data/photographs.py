"""Photographs that networks learn to repaint, and those held out for validation."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from geostyle.data.crops import CropSource, bundled_pictures, hold_out
from geostyle.errors import InputError
from geostyle.io.images import list_pictures

VALIDATION_SEED = 1_000_003


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
