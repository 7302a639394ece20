"""Makes training pairs: crop a photograph, warp it, repaint it with a painting, write it down.

Every choice is drawn from (seed, split, index) alone, and every unit of work is computed in one
thread on the CPU, so a pair is the same file whatever the order, the number of workers or of
processes. A pair's record is written after its pictures: what has a record is complete.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geostyle import config
from geostyle.config import check, setting
from geostyle.coords import resize, size_of
from geostyle.data.crops import hold_out
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
from geostyle.device import resolve_device, resolve_precision
from geostyle.errors import GeostyleError, InputError
from geostyle.features.extractor import FeatureExtractor, load_features
from geostyle.feedforward.fast_network import FastNetwork, noise_place
from geostyle.feedforward.files import FAST, SUFFIX, bundled, load_network
from geostyle.io.images import list_pictures, load_picture, save_picture
from geostyle.io.runs import RunFolder, make_folder, write_json, write_text
from geostyle.texture import TextureSettings, transfer_texture
from geostyle.warps import make_family, sampling_grid
from geostyle.warps.grid import warp_image
from geostyle.warps.random import random_theta

SPLIT_NUMBERS = {"train": 0, "val": 1}  # part of every seed: never renumber
# Sample photographs of scikit-image; those it shares with the bundled pictures are left out, so
# that no photograph is in training and in validation under two names.
SAMPLES = ("camera.png", "clock_motion.png", "coins.png", "hubble_deep_field.jpg", "ihc.png",
           "moon.png", "motorcycle_left.png", "retina.jpg")  # fmt: skip
ATTEMPTS = 20  # pictures tried before a pair is given up
JPEG_QUALITY = 95
PREVIEW_PAIRS = 18
# These may change when a set is continued: no finished pair depends on them.
FREE = ("output", "count", "val_count", "workers")


@dataclass(frozen=True)
class MakeSettings:
    """What a set of training pairs is made of."""

    output: Path = setting(Path("data_gen/out/pairs"), help="folder of the set")
    images: Path | None = setting(None, help="folder of photographs; default: bundled ones")
    styles: Path | None = setting(None, help="folder of paintings; default: bundled ones")
    source: str = setting(
        "folder", choices=("folder", "voc2012"), help="photographs: --images, or downloaded"
    )
    count: int = setting(96, min=1, help="training pairs")
    val_count: int = setting(24, min=0, help="validation pairs, of other pictures and warps")
    warp: str = setting(
        "affine+tps",
        choices=("affine", "tps", "affine+tps"),
        help="family of the warps; validation pairs of affine+tps take turns with its two parts",
    )
    lattice: int = setting(3, min=2, max=16, help="control points of the spline per side")
    stylize: str = setting("gatys", choices=("gatys", "fast", "none"), help="how I_b is repainted")
    networks: tuple[Path, ...] = setting(
        (), help="fast style networks, or folders of them, for fast; default: the bundled ones"
    )
    size_px: int = setting(240, min=32, max=2048, help="side of the pictures", flag="--size")
    features: str = setting(
        "lite", choices=("lite", "vgg19", "vgg16"), help="network the repainting works under"
    )
    weights: Path | None = setting(None, help="file of its weights; default: the usual ones")
    iterations: tuple[int, ...] = setting(
        (16, 12, 8), min=0, help="repainting steps at each level, coarse to fine"
    )
    content_weight: float = setting(0.3, min=0.0, help="weight of content beside style")
    seed: int = setting(0, min=0, max=2**31 - 1, help="what all pairs are drawn from")
    batch: int = setting(1, min=1, max=256, help="pairs repainted at once; above 1 for GPUs")
    workers: int = setting(0, min=0, help="processes; 0: one a core, or one on a GPU")
    device: str = setting("auto", help="auto, cpu, cuda or mps")
    precision: str = setting(
        "auto", choices=("auto", "float32", "bfloat16"), help="of the convolutions"
    )

    def __post_init__(self) -> None:
        check(self)
        for name in ("count", "val_count"):
            if getattr(self, name) % self.batch:
                raise InputError(
                    f"{name}: expected a multiple of the batch ({self.batch}), "
                    f"got {getattr(self, name)}"
                )
        if not self.iterations:
            raise InputError("iterations: expected at least one level, got none")


@dataclass(frozen=True)
class Unit:
    """Pairs of one split that are made at once: start … stop - 1."""

    split: str
    start: int
    stop: int


class Pool:
    """Pictures of one kind, by name, parted into those training sees and those it never does."""

    def __init__(self, pictures: dict[str, Path], name: str, least: int = 2) -> None:
        if len(pictures) < least:
            raise InputError(f"{name}: expected at least {least} pictures, got {len(pictures)}")
        self.paths, self.name = pictures, name
        known, held_out = hold_out(list(pictures), name=str)
        self.splits = {"train": known, "val": held_out}

    def order(self, seed: int, split: str, index: int) -> Iterator[str]:
        """Names to try for a pair: each picture serves once before any serves again."""
        names = self.splits[split]
        turn, place = divmod(index, len(names))
        for attempt in range(ATTEMPTS):
            key = (seed, SPLIT_NUMBERS[split], zlib.crc32(self.name.encode()), turn, attempt)
            yield names[np.random.default_rng(key).permutation(len(names))[place]]


class Generator:
    """Makes the pairs of one set.

    Args:
        settings: see `MakeSettings`.
    """

    def __init__(self, settings: MakeSettings) -> None:
        self.settings = settings
        self.folder = settings.output
        self.photographs = Pool(_photographs(settings), "images")
        optimize, fast = (settings.stylize == kind for kind in ("gatys", "fast"))
        self.paintings = Pool(_paintings(settings), "styles") if optimize else None
        self.networks = Pool(_networks(settings), "networks", 1) if fast else None
        self.device = resolve_device(settings.device)
        self.painters: dict[str, FastNetwork] = {}
        if self.networks is not None:
            dtype = resolve_precision(settings.precision, self.device)
            for name, path in self.networks.paths.items():
                net, _ = load_network(path, FAST, name="networks")
                self.painters[name] = net.compute_in(dtype).to(self.device)
        self.extractor: FeatureExtractor | None = None
        if optimize:
            self.extractor = load_features(
                settings.features,
                weights=settings.weights,
                device=self.device,
                dtype=resolve_precision(settings.precision, self.device),
            )

    @property
    def workers(self) -> int:
        """Processes to start here."""
        if self.settings.workers:
            return self.settings.workers
        return 1 if self.device.type != "cpu" else len(os.sched_getaffinity(0))

    def open(self) -> None:
        """Note the settings in the folder, or hold them to those of the set that is there.

        Raises: InputError where another set lies there already.
        """
        path = self.folder / SETTINGS
        if not path.exists():
            if self.folder.is_dir() and any(self.folder.glob("*/*/*.json")):
                raise InputError(f"output: expected an empty folder, got {str(self.folder)!r}")
            write_text(path, config.dump_yaml(self.settings))
            return
        old, new = config.resolve(MakeSettings, path), self.settings
        for name, value in config.to_dict(old).items():
            if name not in FREE and config.to_dict(new)[name] != value:
                raise InputError(
                    f"output: expected another folder than {str(self.folder)!r}, whose set was "
                    f"made with {name} = {value}, not {config.to_dict(new)[name]}"
                )
        write_text(path, config.dump_yaml(new))

    def units(self) -> list[Unit]:
        """All units of the set, finished or not."""
        counts = {"train": self.settings.count, "val": self.settings.val_count}
        step = self.settings.batch
        return [
            Unit(split, start, start + step)
            for split, count in counts.items()
            for start in range(0, count, step)
        ]

    def missing(self, share: int = 0, shares: int = 1) -> list[Unit]:
        """Unfinished units among every `shares`-th, from number `share` on."""
        return [
            unit
            for unit in self.units()[share::shares]
            if not all(
                record_path(self.folder, unit.split, i).is_file()
                for i in range(unit.start, unit.stop)
            )
        ]

    def make(self, unit: Unit) -> None:
        """Make the pairs of one unit and write them."""
        drawn = [self.draw(unit.split, index) for index in range(unit.start, unit.stop)]
        pairs = [pair for pair, _, _ in drawn]
        contents = torch.cat([content for _, content, _ in drawn])
        warped = torch.cat([warp(p, c[None]) for p, c in zip(pairs, contents, strict=True)])
        pictures = {"content": contents, "warped": warped}
        if self.paintings is not None:
            paintings = torch.cat([painting for _, _, painting in drawn if painting is not None])
            pictures["stylized"] = self.repaint(warped, paintings)
        elif self.networks is not None:
            pictures["stylized"] = self.repaint_fast(warped, pairs)
        for number, pair in enumerate(pairs):
            for kind, batch in pictures.items():
                save_picture(batch[number], self.folder / pair.file(kind), quality=JPEG_QUALITY)
            path = record_path(self.folder, pair.split, pair.index)
            write_text(path, pair.to_json() + "\n")

    def draw(self, split: str, index: int) -> tuple[Pair, Tensor, Tensor | None]:
        """Draw a pair: its record, I_a and the painting's part, both (1, 3, S, S).

        Raises: GeostyleError where no picture can be read.
        """
        settings = self.settings
        size = (settings.size_px, settings.size_px)
        rng = np.random.default_rng((settings.seed, SPLIT_NUMBERS[split], index))
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
        theta = random_theta(family, (settings.seed, SPLIT_NUMBERS[split], index, 1), size)
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
            theta=tuple(theta.flatten().float().tolist()),
            size_px=settings.size_px,
            skipped=tuple(skipped),
        )
        return pair, _cut(content, box, size), painting

    def family(self, split: str, index: int) -> str:
        """The family of a pair's warp; validation looks at the parts of a composition, too."""
        if split == "val" and self.settings.warp == "affine+tps":
            return ("affine+tps", "affine", "tps")[index % 3]
        return self.settings.warp

    def repaint(self, warped: Tensor, paintings: Tensor) -> Tensor:
        """Repaint each of `warped` (B, 3, S, S) with its own of `paintings` (B, 3, S, S)."""
        assert self.extractor is not None
        settings = TextureSettings(
            iterations=self.settings.iterations,
            content_weight=self.settings.content_weight,
            # Coarse paint must show: the networks are to learn to see through it.
            coarse_content=1.0,
            detail=0.7,
        )
        result = transfer_texture(
            warped.to(self.device), paintings.to(self.device), self.extractor, settings
        )
        if result.interrupted:
            raise KeyboardInterrupt
        return result.image.cpu()

    @torch.inference_mode()
    def repaint_fast(self, warped: Tensor, pairs: list[Pair]) -> Tensor:
        """Repaint each of `warped` (B, 3, S, S) with its pair's network, each alone."""
        painted = [
            self.painters[str(pair.tex_style)](
                picture[None].to(self.device),
                noise_place(pair.seed, SPLIT_NUMBERS[pair.split], pair.index),
            )
            .clamp(0, 1)
            .cpu()
            for picture, pair in zip(warped, pairs, strict=True)
        ]
        return torch.cat(painted)

    def finish(self) -> list[Pair]:
        """Gather the records: write the manifest, the list of what was skipped, the preview.

        Returns: all pairs, training first.
        """
        pairs = []
        for unit in self.units():
            for index in range(unit.start, unit.stop):
                pairs.append(read_record(self.folder, unit.split, index))
        skipped = dict(sorted(item for pair in pairs for item in pair.skipped))
        write_json(self.folder / SKIPPED, {"count": len(skipped), "pictures": skipped})
        save_picture(preview(self.folder, pairs), self.folder / PREVIEW, quality=90)
        write_manifest(self.folder, pairs)
        return pairs

    def _read(
        self, pool: Pool, split: str, index: int
    ) -> tuple[Tensor, str, list[tuple[str, str]]]:
        skipped: list[tuple[str, str]] = []
        for name in pool.order(self.settings.seed, split, index):
            try:
                # Smaller ones are stretched to mush.
                picture = load_picture(pool.paths[name], name=pool.name, min_side_px=64)
                return picture.tensor, name, skipped
            except InputError as error:
                skipped.append((name, str(error)))
        raise GeostyleError(f"none of {ATTEMPTS} pictures tried can be read; {skipped[-1][1]}")


def warp(pair: Pair, content: Tensor) -> Tensor:
    """See `content` (1, 3, S, S) through the pair's theta: (1, 3, S, S)."""
    family = make_family(pair.family, pair.lattice)
    grid = sampling_grid(family, torch.tensor([pair.theta]), size_of(content))
    return warp_image(content, grid).clamp(0, 1)


def make_all(
    generator: Generator,
    rank: int = 0,
    world: int = 1,
    on_unit: Callable[[], object] = lambda: None,
) -> None:
    """Make this process's share of the missing units, in several workers where there are cores.

    Args:
        rank, world: number of this process, and of all that work on the set.
        on_unit: called after each unit.

    Raises: GeostyleError where a worker failed; its units can be made by another run.
    """
    todo = generator.missing(rank, world)
    count = min(generator.workers if world == 1 else generator.settings.workers or 1, len(todo))
    if count <= 1:
        threads = torch.get_num_threads()
        if generator.device.type == "cpu":
            torch.set_num_threads(1)  # sums depend on how many threads share them
        for unit in todo:
            generator.make(unit)
            on_unit()
        torch.set_num_threads(threads)
        return
    context = multiprocessing.get_context("spawn")
    workers: dict[Any, Any] = {}
    try:
        for number in range(count):
            reader, writer = context.Pipe(duplex=False)
            arguments = (generator.settings, todo[number::count], writer)
            process = context.Process(target=_worker, args=arguments, daemon=True)
            process.start()
            writer.close()
            workers[reader] = process
        waiting = set(workers)
        while waiting:
            for reader in (r for r in wait(list(waiting)) if isinstance(r, Connection)):
                try:
                    message = reader.recv()
                except EOFError:
                    raise GeostyleError("workers: one was killed; run again to go on") from None
                if message is None:
                    waiting.discard(reader)
                elif message:
                    raise GeostyleError(message)
                else:
                    on_unit()
    finally:
        for process in workers.values():
            process.terminate()
            process.join()


def _worker(settings: MakeSettings, units: list[Unit], writer: Connection) -> None:
    """Make `units`, reporting "" for each, an error's text, and None at the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    torch.set_num_threads(1)
    try:
        generator = Generator(settings)
        for unit in units:
            generator.make(unit)
            writer.send("")
        writer.send(None)
    except GeostyleError as error:
        writer.send(str(error))
    except BrokenPipeError:  # the parent was killed: whoever resumes takes over
        pass


def claim(generator: Generator) -> RunFolder:
    """Hold the set's folder for this process.

    Raises: InputError where another process works on it.
    """
    make_folder(generator.folder)
    folder = RunFolder(generator.folder)
    folder.lock()
    return folder


def preview(folder: Path, pairs: list[Pair]) -> Tensor:
    """A sheet (3, H, W) of some pairs, each a row of its pictures: I_a, warped, I_b.

    Both splits are on it, three pairs side by side.
    """
    some = [p for p in pairs if p.split == "val"][: PREVIEW_PAIRS // 3]
    some += [p for p in pairs if p.split == "train"][: PREVIEW_PAIRS - len(some)]
    strips = []
    for pair in some:
        kinds = KINDS if pair.tex_style is not None else KINDS[:2]
        files = [load_picture(folder / pair.file(kind)).tensor[0] for kind in kinds]
        strips.append(torch.nn.functional.pad(torch.cat(files, 2), (0, 12, 0, 12), value=1.0))
    strips += [torch.ones_like(strips[0])] * (-len(strips) % 3)
    rows = [torch.cat(strips[i : i + 3], 2) for i in range(0, len(strips), 3)]
    return torch.cat(rows, 1)


def _box(rng: np.random.Generator, least: float) -> Box:
    """A random part of a picture: each side between `least` and all of it."""
    width, height = rng.uniform(least, 1, 2)
    left, top = rng.uniform(0, 1, 2) * (1 - width, 1 - height)
    return float(left), float(top), float(left + width), float(top + height)


def _cut(picture: Tensor, box: Box, size: tuple[int, int]) -> Tensor:
    """The part `box` of `picture` (1, 3, H, W), squeezed into `size`."""
    height, width = picture.shape[-2:]
    left, right = (round(share * width) for share in (box[0], box[2]))
    top, bottom = (round(share * height) for share in (box[1], box[3]))
    return resize(picture[..., top:bottom, left:right], size).clamp(0, 1)


def _photographs(settings: MakeSettings) -> dict[str, Path]:
    if settings.source == "voc2012":
        return _named(_voc2012(settings.output.parent / "voc2012"), "images")
    if settings.images is not None:
        return _named(settings.images, "images")
    import skimage.data

    samples = Path(str(skimage.data.data_dir))
    found = {name: samples / name for name in SAMPLES if (samples / name).is_file()}
    return _bundled("content") | _bundled("scenes") | found


def _paintings(settings: MakeSettings) -> dict[str, Path]:
    return _bundled("styles") if settings.styles is None else _named(settings.styles, "styles")


def _networks(settings: MakeSettings) -> dict[str, Path]:
    """The fast style networks by file name, bundled ones by their own."""
    if not settings.networks:
        own = bundled(FAST)
        if not own:
            raise InputError(f"networks: expected files as {FAST.maker} writes them, got none")
        return own
    found: dict[str, Path] = {}
    for given in settings.networks:
        files = sorted(given.rglob(f"*{SUFFIX}")) if given.is_dir() else [given]
        # A run folder holds a network and the state it is trained from.
        files = [path for path in files if not given.is_dir() or path.stem != "state"]
        if not files:
            raise InputError(f"networks: expected {SUFFIX} files in {str(given)!r}, got none")
        named = {path.relative_to(given).as_posix() if given.is_dir() else path.name: path
                 for path in files}  # fmt: skip
        twice = sorted(named.keys() & found.keys())
        if twice:
            raise InputError(f"networks: expected different names, got {twice[0]!r} twice")
        found |= named
    return found


def _named(folder: Path, name: str) -> dict[str, Path]:
    paths = list_pictures(folder, recursive=True, name=name)
    return {path.relative_to(folder).as_posix(): path for path in paths}


def _bundled(kind: str) -> dict[str, Path]:
    folder = Path(str(resources.files("geostyle") / "assets" / "pictures" / kind))
    return {path.name: path for path in list_pictures(folder)} if folder.is_dir() else {}


def _voc2012(root: Path) -> Path:
    """The photographs of PASCAL VOC 2012, fetched once by torchvision."""
    folder = root / "VOCdevkit" / "VOC2012" / "JPEGImages"
    if not folder.is_dir():
        from torchvision.datasets import VOCSegmentation

        try:
            VOCSegmentation(str(root), year="2012", image_set="trainval", download=True)
        except Exception as error:  # URLError, RuntimeError of a wrong hash, a full disk
            raise InputError(
                f"source: VOC 2012 could not be fetched ({' '.join(str(error).split())[:120]}); "
                "give a folder of photographs with --images DIR"
            ) from error
    return folder
