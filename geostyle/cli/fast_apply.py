"""repaint pictures with a trained fast style network, in one pass each

geostyle fast-apply watercolor photo.jpg painted.jpg      (geostyle styles lists the names)
geostyle fast-apply NETWORK.safetensors photos/ more.jpg painted/
geostyle fast-apply NETWORK.safetensors --export NETWORK.onnx
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from geostyle import config
from geostyle.config import check, setting
from geostyle.device import resolve_device, resolve_precision
from geostyle.errors import InputError
from geostyle.feedforward.settings import SUFFIX
from geostyle.io.files import check_folder
from geostyle.io.sources import SUFFIXES

if TYPE_CHECKING:
    from geostyle.feedforward.fast_network import FastNetwork

WRITTEN = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class ApplySettings:
    """Settings of one call."""

    network: Path | None = setting(
        None, help="the network's file, or a bundled one's name; default: night"
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
        help="place where the network's noise begins; default: another for each picture. "
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
    settings, args = config.parse(
        ApplySettings, argv, prog="geostyle fast-apply", description=__doc__, add_flags=_add_paths
    )
    from geostyle.cli._painting_run import check_fits
    from geostyle.feedforward.files import FAST, bundled, find_network, load_network
    from geostyle.io.images import fit_size, picture_size

    words: list[Path] = args.paths
    first = words[0] if words else Path()
    # A word before pictures and output that is no file can only be a name.
    unknown = len(words) > 2 and not first.suffix
    if first.suffix == SUFFIX or (not first.exists() and (unknown or str(first) in bundled(FAST))):
        if settings.network is not None:
            raise InputError(f"network: expected one network, got {first} and {settings.network}")
        settings, words = replace(settings, network=first), words[1:]
    path = find_network(settings.network, FAST)
    network, about = load_network(path, FAST)
    print(f"network: {path} ({about.get('tex_style', {}).get('name', 'style unknown')})")
    if settings.export is not None and not args.dry_run:
        from geostyle.feedforward.onnx_export import export_onnx

        export_onnx(network, settings.export)
        print(f"export: {settings.export}")
    if settings.export is not None and not words:
        return 0
    if len(words) < 2:
        given = " ".join(map(str, words)) or "none"
        raise InputError(f"paths: expected pictures or folders, then the output, got {given}")
    jobs = plan(words[:-1], words[-1], settings)
    device = resolve_device(settings.device)
    network = network.compute_in(resolve_precision(settings.precision, device)).to(device)
    check_folder(jobs[0][1].parent)
    if args.dry_run:
        for source, target in jobs:
            size = picture_size(source, "picture")
            check_fits(network, fit_size(size, settings.size_px or max(size)))
            print(f"{source} -> {target}")
        return 0
    repaint_all(network, jobs, settings)
    return 0


def _add_paths(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "paths", nargs="*", type=config.own_path, metavar="PATH",
        help="[NETWORK.safetensors|NAME] PICTURE|FOLDER… OUTPUT: a picture's name for one picture, "
        "else a folder",
    )  # fmt: skip


def plan(sources: Sequence[Path], output: Path, settings: ApplySettings) -> list[tuple[Path, Path]]:
    """Return (picture, file of its result) for every picture; all files differ.

    Raises: InputError for an unusable output, or one that would replace an input.
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
            own = source.suffix.lower() if source.suffix.lower() in WRITTEN else ".png"
            suffix = own if settings.format == "same" else f".{settings.format}"
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
    """Return every picture once, and its path relative to the folder that was given."""
    from geostyle.io.images import list_pictures

    found: dict[Path, Path] = {}
    for source in sources:
        if source.is_dir():
            own = output.resolve()
            for path in list_pictures(source, recursive=recursive, name="paths"):
                # Results of an earlier call may lie below this folder.
                if source.resolve() == own or own not in path.resolve().parents:
                    found.setdefault(path, path.relative_to(source))
        else:
            found.setdefault(source, Path(source.name))
    return list(found.items())


def repaint_all(
    network: FastNetwork, jobs: Sequence[tuple[Path, Path]], settings: ApplySettings
) -> None:
    """Repaint and save, skipping and listing pictures that cannot be read.

    Raises: InputError where no picture can be read.
    """
    from tqdm import tqdm

    from geostyle.cli._painting_run import at_size, check_fits
    from geostyle.feedforward.fast_network import repaint
    from geostyle.io.images import fit_size, load_picture, save_picture

    skipped: dict[Path, str] = {}
    seconds = 0.0
    for source, target in tqdm(jobs, unit="picture", disable=len(jobs) == 1, dynamic_ncols=True):
        try:
            picture = load_picture(source, name="picture")
            size_px = settings.size_px or max(picture.size)
            check_fits(network, fit_size(picture.size, size_px))
            image = at_size(picture, size_px)
        except InputError as error:
            skipped[source] = str(error)
            continue
        started = time.monotonic()
        painted = repaint(network, image, settings.seed)
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
