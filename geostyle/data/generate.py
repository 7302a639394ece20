"""Makes training pairs: crop a photograph, warp it, repaint it with a painting, write it.

Every choice is drawn from (seed, split, index) alone, and every unit of work is computed in one
thread on the CPU, so a pair is the same file whatever the order, the number of workers or of
processes. A pair's record is written after its pictures: what has a record is complete.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from geostyle import config
from geostyle.coords import resize, size_of
from geostyle.data.make_settings import FREE, MakeSettings
from geostyle.data.manifest import (
    KINDS,
    PREVIEW,
    SETTINGS,
    SKIPPED,
    Box,
    Pair,
    read_record,
    record_path,
    write_manifest,
)
from geostyle.data.pools import ATTEMPTS, SPLIT_NUMBERS, Pool, networks, paintings, photographs
from geostyle.device import resolve_device, resolve_precision
from geostyle.distributed import ALONE, Processes
from geostyle.errors import GeostyleError, InputError
from geostyle.features.extractor import load_features
from geostyle.feedforward.fast_network import noise_place
from geostyle.feedforward.files import FAST, load_network
from geostyle.io.files import make_folder, write_json, write_text
from geostyle.io.images import check_shape_kept, load_picture, save_picture
from geostyle.io.runs import RunFolder
from geostyle.texture import (
    MatchedPainting,
    MatchedSettings,
    PaintOptions,
    TextureSettings,
    transfer_texture,
)
from geostyle.warps import make_family, sampling_grid
from geostyle.warps.grid import warp_image
from geostyle.warps.random import random_theta

JPEG_QUALITY = 95
PREVIEW_PAIRS = 18
# Matched painting of pairs: the texture upright alone, no last steps, larger ones instead.
FEW_STEPS = MatchedSettings(turns=1, split=0, step_size=0.02, guidance=0.0)
MIN_SIDE_PX = 64  # smaller pictures are too blurred when they are enlarged


@dataclass(frozen=True)
class Unit:
    """Pairs `start` … `stop` - 1 of a split, which are made together."""

    split: str
    start: int
    stop: int


class Generator:
    """Maker of the pairs of one set.

    Args:
        settings: see `MakeSettings`.

    Raises: InputError where there are too few pictures or networks.
    """

    def __init__(self, settings: MakeSettings) -> None:
        self.settings, self.folder = settings, settings.output
        self.device = resolve_device(settings.device)
        dtype = resolve_precision(settings.precision, self.device)
        self.photographs = Pool(photographs(settings), "images")
        self.paintings = self.networks = None
        if settings.stylize in ("gatys", "matched"):
            self.paintings = Pool(paintings(settings), "styles")
            self.extractor = load_features(
                settings.features, weights=settings.weights, device=self.device, dtype=dtype
            )
        elif settings.stylize == "fast":
            self.networks = Pool(networks(settings), "networks", least=1)
            self.painters = {
                name: load_network(path, FAST, name="networks")[0].compute_in(dtype).to(self.device)
                for name, path in self.networks.paths.items()
            }

    def claim(self) -> RunFolder:
        """Return the set's folder, locked for this process until it is closed.

        Raises: InputError where another process works on it.
        """
        make_folder(self.folder)
        folder = RunFolder(self.folder)
        folder.lock()
        return folder

    def open(self) -> None:
        """Write the settings to the folder, or compare them with those of the set that is there.

        Raises: InputError where another set is there already.
        """
        path = self.folder / SETTINGS
        if path.exists():
            new = config.to_dict(self.settings)
            for name, value in config.to_dict(config.resolve(MakeSettings, path)).items():
                if name not in FREE and new[name] != value:
                    raise InputError(
                        f"output: expected another folder than {str(self.folder)!r}, whose set was "
                        f"made with {name} = {value}, not {new[name]}"
                    )
        elif self.folder.is_dir() and any(self.folder.glob("*/*/*.json")):
            raise InputError(f"output: expected an empty folder, got {str(self.folder)!r}")
        write_text(path, config.dump_yaml(self.settings))

    def units(self) -> list[Unit]:
        """Return all units of the set, finished or not."""
        step = self.settings.batch
        counts = {"train": self.settings.count, "val": self.settings.val_count}
        return [
            Unit(split, start, start + step)
            for split, count in counts.items()
            for start in range(0, count, step)
        ]

    def missing(self, processes: Processes = ALONE) -> list[Unit]:
        """Return the unfinished units among this process's share."""

        def finished(unit: Unit) -> bool:
            places = range(unit.start, unit.stop)
            return all(record_path(self.folder, unit.split, i).is_file() for i in places)

        share = self.units()[processes.rank :: processes.world]
        return [unit for unit in share if not finished(unit)]

    def make(self, unit: Unit) -> None:
        """Make the pairs of one unit and write them."""
        drawn = [self.draw(unit.split, index) for index in range(unit.start, unit.stop)]
        pairs = [pair for pair, _, _ in drawn]
        contents = torch.cat([content for _, content, _ in drawn])
        warped = torch.cat([warp(p, c[None]) for p, c in zip(pairs, contents, strict=True)])
        pictures = {"content": contents, "warped": warped}
        if self.paintings is not None:
            styles = torch.cat([painting for _, _, painting in drawn if painting is not None])
            paint = self.repaint if self.settings.stylize == "gatys" else self.repaint_matched
            pictures["stylized"] = paint(warped, styles)
        elif self.networks is not None:
            pictures["stylized"] = self.repaint_fast(warped, pairs)
        for number, pair in enumerate(pairs):
            for kind, batch in pictures.items():
                save_picture(batch[number], self.folder / pair.file(kind), quality=JPEG_QUALITY)
            path = record_path(self.folder, pair.split, pair.index)
            write_text(path, pair.to_json() + "\n")

    def draw(self, split: str, index: int) -> tuple[Pair, Tensor, Tensor | None]:
        """Draw a pair.

        Returns: its record, I_a and the part of the painting (if any), both (1, 3, S, S).
        Raises: GeostyleError where no picture can be read.
        """
        settings = self.settings
        size = (settings.size_px, settings.size_px)
        seed = (settings.seed, SPLIT_NUMBERS[split], index)
        rng = np.random.default_rng(seed)
        box = _box(rng, 0.7)
        content, name, skipped = self._read(self.photographs, split, index)
        painting, painting_name, painting_box = None, None, None
        if self.paintings is not None:
            painting_box = _box(rng, 0.6)
            painting, painting_name, more = self._read(self.paintings, split, index)
            painting = _cut(painting, painting_box, size)
            skipped += more
        elif self.networks is not None:
            painting_name = next(self.networks.order(settings.seed, split, index))
        family = make_family(self.family(split, index), settings.lattice)
        pair = Pair(
            split=split,
            index=index,
            seed=settings.seed,
            content=name,
            content_box=box,
            tex_style=painting_name,
            tex_box=painting_box,
            family=family.name,
            lattice=settings.lattice,
            theta=tuple(random_theta(family, (*seed, 1), size).flatten().float().tolist()),
            size_px=settings.size_px,
            skipped=tuple(skipped),
        )
        return pair, _cut(content, box, size), painting

    def family(self, split: str, index: int) -> str:
        """Return the family of a pair's warp; validation covers the parts of affine+tps too."""
        if split == "val" and self.settings.warp == "affine+tps":
            return ("affine+tps", "affine", "tps")[index % 3]
        return self.settings.warp

    def repaint(self, warped: Tensor, styles: Tensor) -> Tensor:
        """Repaint each of `warped` (B, 3, S, S) with its own of `styles` (B, 3, S, S)."""
        settings = TextureSettings(
            iterations=self.settings.iterations,
            content_weight=self.settings.content_weight,
            # Coarse paint must show: the networks are to learn to see through it.
            coarse_content=1.0,
            detail=0.7,
        )
        images = warped.to(self.device), styles.to(self.device)
        result = transfer_texture(*images, self.extractor, settings)
        if result.interrupted:
            raise KeyboardInterrupt
        return result.image.cpu()

    def repaint_matched(self, warped: Tensor, styles: Tensor) -> Tensor:
        """Repaint each of `warped` (B, 3, S, S) alone, with its own of `styles` (B, 3, S, S).

        Nothing guides the matches: a pair's style shows something else.
        """
        settings = TextureSettings(iterations=self.settings.iterations)
        options = PaintOptions(matched=FEW_STEPS)
        painted = []
        for pictures in zip(warped.to(self.device).split(1), styles.split(1), strict=True):
            result = MatchedPainting(*pictures, self.extractor, settings, options).run()
            if result.interrupted:
                raise KeyboardInterrupt
            painted.append(result.image.cpu())
        return torch.cat(painted)

    @torch.inference_mode()
    def repaint_fast(self, warped: Tensor, pairs: list[Pair]) -> Tensor:
        """Repaint each of `warped` (B, 3, S, S) alone, with the network of its pair."""
        painted = []
        for picture, pair in zip(warped, pairs, strict=True):
            place = noise_place(pair.seed, SPLIT_NUMBERS[pair.split], pair.index)
            network = self.painters[str(pair.tex_style)]
            painted.append(network(picture[None].to(self.device), place).clamp(0, 1).cpu())
        return torch.cat(painted)

    def finish(self) -> list[Pair]:
        """Write the manifest, the list of skipped pictures and the preview from the records.

        Returns: all pairs, training first.
        """
        pairs = [
            read_record(self.folder, unit.split, index)
            for unit in self.units()
            for index in range(unit.start, unit.stop)
        ]
        skipped = dict(sorted(item for pair in pairs for item in pair.skipped))
        write_json(self.folder / SKIPPED, {"count": len(skipped), "pictures": skipped})
        save_picture(preview(self.folder, pairs), self.folder / PREVIEW, quality=90)
        write_manifest(self.folder, pairs)
        return pairs

    def _read(
        self, pool: Pool, split: str, index: int
    ) -> tuple[Tensor, str, list[tuple[str, str]]]:
        """Return a picture (1, 3, H, W) that can be used, its name, and those skipped before it."""
        skipped: list[tuple[str, str]] = []
        for name in pool.order(self.settings.seed, split, index):
            try:
                picture = load_picture(pool.paths[name], name=pool.name, min_side_px=MIN_SIDE_PX)
                check_shape_kept(picture.size, self.settings.size_px)
                return picture.tensor, name, skipped
            except InputError as error:
                skipped.append((name, str(error)))
        raise GeostyleError(f"none of {ATTEMPTS} pictures tried can be used; {skipped[-1][1]}")


def warp(pair: Pair, content: Tensor) -> Tensor:
    """Warp `content` (1, 3, S, S) by the pair's theta."""
    family = make_family(pair.family, pair.lattice)
    grid = sampling_grid(family, torch.tensor([pair.theta]), size_of(content))
    return warp_image(content, grid).clamp(0, 1)


def preview(folder: Path, pairs: list[Pair]) -> Tensor:
    """Return a sheet (3, H, W) of pairs of both splits, three side by side: I_a, warped, I_b."""
    some = [p for p in pairs if p.split == "val"][: PREVIEW_PAIRS // 3]
    some += [p for p in pairs if p.split == "train"][: PREVIEW_PAIRS - len(some)]
    strips = []
    for pair in some:
        kinds = KINDS if pair.tex_style is not None else KINDS[:2]
        pictures = [load_picture(pair.path(folder, kind)).tensor[0] for kind in kinds]
        strips.append(torch.nn.functional.pad(torch.cat(pictures, 2), (0, 12, 0, 12), value=1.0))
    strips += [torch.ones_like(strips[0])] * (-len(strips) % 3)
    rows = [torch.cat(strips[i : i + 3], 2) for i in range(0, len(strips), 3)]
    return torch.cat(rows, 1)


def _box(rng: np.random.Generator, least: float) -> Box:
    """Return a random part of a picture, each side between `least` and all of it."""
    width, height = rng.uniform(least, 1, 2)
    left, top = rng.uniform(0, 1, 2) * (1 - width, 1 - height)
    return float(left), float(top), float(left + width), float(top + height)


def _cut(picture: Tensor, box: Box, size: tuple[int, int]) -> Tensor:
    """Return the part `box` of `picture` (1, 3, H, W), resized to `size`."""
    height, width = picture.shape[-2:]
    left, right = (round(share * width) for share in (box[0], box[2]))
    top, bottom = (round(share * height) for share in (box[1], box[3]))
    return resize(picture[..., top:bottom, left:right], size).clamp(0, 1)
