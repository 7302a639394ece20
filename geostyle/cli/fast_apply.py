"""repaint pictures with a trained fast style network, in a moment each

geostyle fast-apply photo.jpg painted.jpg
geostyle fast-apply model.safetensors photos/ more.jpg painted/
geostyle fast-apply model.safetensors --export model.onnx
"""

from __future__ import annotations

import argparse
import sys
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from geostyle import config
from geostyle.config import check, setting
from geostyle.coords import resize
from geostyle.device import resolve_device, resolve_precision
from geostyle.errors import InputError
from geostyle.feedforward.fast_network import FastNet, noise_place
from geostyle.feedforward.files import FAST, SUFFIX, bundled, find_network, load_fast
from geostyle.io.images import SUFFIXES, fit_size, list_pictures, load_picture, save_picture

FORMATS = {"png": ".png", "jpg": ".jpg"}
WRITTEN = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class ApplySettings:
    """How pictures are repainted."""

    model: Path | None = setting(
        None, help="the network's file, or a bundled one's name; default: the first bundled one"
    )
    size_px: int | None = setting(
        None, flag="--size", min=16, max=32768, help="long side; default: each picture's own"
    )
    format: str = setting(
        "same", choices=("same", "png", "jpg"), help="of the results; same: the picture's, or PNG"
    )
    quality: int = setting(95, min=1, max=100, help="of JPEG files")
    recursive: bool = setting(False, help="take the folders within folders, too")
    seed: int | None = setting(
        None, min=0, max=2**31 - 1,
        help="where the network's noise begins; default: elsewhere for each picture. "
        "Give one for the frames of a film",
    )  # fmt: skip
    export: Path | None = setting(None, help="write the network as an ONNX file")
    device: str = setting("auto", help="auto, cpu, cuda, cuda:N or mps")
    precision: str = setting(
        "auto", choices=("auto", "float32", "bfloat16"), help="of the convolutions"
    )

    def __post_init__(self) -> None:
        check(self)


def main(argv: Sequence[str]) -> int:
    """Repaint; 0 when everything that can be read is written."""
    settings, words = parse(argv)
    first = words[0] if words else Path()
    if first.suffix == SUFFIX or (str(first) in bundled(FAST) and not first.exists()):
        if settings.model is not None:
            raise InputError(f"model: expected one network, got {first} and {settings.model}")
        settings, words = replace(settings, model=first), words[1:]
    path = find_network(settings.model, FAST)
    net, about = load_fast(path)
    print(f"network: {path} ({about.get('tex_style', {}).get('name', 'style unknown')})")
    if settings.export is not None:
        from geostyle.feedforward.onnx_export import export_onnx

        export_onnx(net, settings.export)
        print(f"export: {settings.export}")
        if not words:
            return 0
    if len(words) < 2:
        given = " ".join(map(str, words)) or "none"
        raise InputError(f"paths: expected pictures or folders, then the output, got {given}")
    jobs = plan(words[:-1], words[-1], settings)
    device = resolve_device(settings.device)
    net = net.compute_in(resolve_precision(settings.precision, device)).to(device)
    repaint_all(net, jobs, settings)
    return 0


def parse(argv: Sequence[str]) -> tuple[ApplySettings, list[Path]]:
    """The settings, and the paths in their order."""
    parser = config.Parser(
        prog="geostyle fast-apply",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH",
        help="[MODEL.safetensors|NAME] PICTURE|FOLDER… OUTPUT: a picture's name for one picture, "
        "else a folder",
    )  # fmt: skip
    config.add_arguments(parser, ApplySettings)
    args = parser.parse_args(argv)
    return config.resolve(ApplySettings, None, config.overrides(args, ApplySettings)), args.paths


def plan(sources: Sequence[Path], output: Path, settings: ApplySettings) -> list[tuple[Path, Path]]:
    """Which picture goes to which file; no file is an input, none is written twice.

    Raises: InputError where that cannot be.
    """
    if output.suffix.lower() in SUFFIXES:
        if output.suffix.lower() not in WRITTEN:
            raise InputError(f"output: expected .png, .jpg or a folder, got {str(output)!r}")
        if len(sources) > 1 or sources[0].is_dir():
            raise InputError(f"output: expected a folder for several, got {str(output)!r}")
        jobs = [(sources[0], output)]
    else:
        if output.is_file() or output.suffix == SUFFIX:
            raise InputError(f"output: expected a folder or a picture's name, got {str(output)!r}")
        jobs, taken = [], set[Path]()
        for source, place in places(sources, output, settings.recursive):
            suffix = FORMATS.get(settings.format) or (
                source.suffix.lower() if source.suffix.lower() in WRITTEN else ".png"
            )
            target, number = (output / place).with_suffix(suffix), 2
            while target in taken:  # x.png beside x.jpg
                target = (output / place).with_name(f"{place.stem}-{number}{suffix}")
                number += 1
            taken.add(target)
            jobs.append((source, target))
    inputs = {source.resolve() for source, _ in jobs}
    for _, target in jobs:
        if target.resolve() in inputs:
            raise InputError(f"output: expected another place than the pictures', got {target}")
    return jobs


def places(sources: Sequence[Path], output: Path, recursive: bool) -> list[tuple[Path, Path]]:
    """Every picture once, and where it lies relative to what named it."""
    found: dict[Path, Path] = {}
    for source in sources:
        if source.is_dir():
            own = output.resolve()
            for path in list_pictures(source, recursive=recursive, name="paths"):
                # What an earlier call wrote below this folder is no picture to repaint.
                if source.resolve() == own or own not in path.resolve().parents:
                    found.setdefault(path, path.relative_to(source))
        else:
            found.setdefault(source, Path(source.name))
    return list(found.items())


def repaint_all(net: FastNet, jobs: Sequence[tuple[Path, Path]], settings: ApplySettings) -> None:
    """Repaint and save, leaving out what cannot be read; says what happened.

    Raises: InputError where no picture can be read.
    """
    skipped: dict[Path, str] = {}
    seconds = 0.0
    for source, target in tqdm(jobs, unit="picture", disable=len(jobs) == 1, dynamic_ncols=True):
        try:
            picture = load_picture(source, name="picture")
        except InputError as error:
            skipped[source] = str(error)
            continue
        image = picture.tensor
        if settings.size_px:
            image = resize(image, fit_size(picture.size, settings.size_px)).clamp(0, 1)
        started = time.monotonic()
        painted = repaint(net, image, settings.seed)
        seconds += time.monotonic() - started
        depth = picture.bit_depth if target.suffix == ".png" else 8
        save_picture(painted, target, bit_depth=depth, quality=settings.quality)
    done = len(jobs) - len(skipped)
    if not done:
        raise InputError(next(iter(skipped.values())))
    where = jobs[0][1] if len(jobs) == 1 else jobs[0][1].parent
    print(f"repainted: {done} in {seconds / done:.2f} s each, {where}")
    if skipped:
        print(f"skipped: {len(skipped)} that cannot be read", *skipped.values(), sep="\n  ",
              file=sys.stderr)  # fmt: skip


@torch.inference_mode()
def repaint(net: FastNet, image: Tensor, seed: int | None = None) -> Tensor:
    """`image` (1, 3, H, W) repainted, in [0, 1], on the CPU.

    seed: of where the network's noise begins; None takes one that follows from the picture.
    """
    if seed is None:
        seed = zlib.crc32((image * 255).round().byte().numpy().tobytes())
    return net(image.to(net.out.weight.device), noise_place(seed)).clamp(0, 1).cpu()
