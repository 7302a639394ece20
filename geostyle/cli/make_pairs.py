"""make training pairs for the geometry network: photographs warped, then repainted

geostyle make-pairs                                        a small set, in minutes
geostyle make-pairs --images PHOTOS --styles PAINTINGS --config FILE.yaml
geostyle make-pairs --images PHOTOS --stylize fast --networks NETWORKS --count 20000
torchrun --nproc_per_node 4 -m -- geostyle make-pairs ...     shared among processes

Run the same command again to continue a set that was cut short, or to extend it with a larger
--count; the pairs are the same whatever the order, the workers or the processes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from geostyle import config
from geostyle.data.make_settings import MakeSettings
from geostyle.data.manifest import PREVIEW, SKIPPED, Pair
from geostyle.io.files import check_folder

if TYPE_CHECKING:
    from geostyle.data.generate import Generator
    from geostyle.distributed import Processes


def main(argv: Sequence[str], prog: str = "geostyle make-pairs") -> int:
    """Make a set, or the rest of it; return the exit status."""
    settings, args = config.parse(
        MakeSettings,
        argv,
        prog=prog,
        description="Make training pairs for the geometry network.",
    )
    from geostyle.data.generate import Generator
    from geostyle.distributed import join_processes
    from geostyle.texture.memory import check_warp_fits

    with join_processes(settings.device) as processes:
        generator = Generator(settings)
        if processes.first:
            print("settings:", *config.dump_yaml(settings).splitlines(), sep="\n  ")
            print(describe(generator))
        check_folder(settings.output)
        check_warp_fits((settings.size_px, settings.size_px))
        if args.dry_run:
            return 0
        if processes.first:
            folder = generator.claim()
            generator.open()
        processes.wait()
        make(generator, processes)
        processes.wait()
        if processes.first:
            summarize(generator, generator.finish())
            folder.close()
    return 0


def describe(generator: Generator) -> str:
    """Return one line on the pictures that pairs are made from."""
    parts = []
    for pool in (generator.photographs, generator.paintings, generator.networks):
        if pool is not None:
            known, held_out = (len(pool.splits[split]) for split in ("train", "val"))
            parts.append(f"{known} {pool.name} to train on and {held_out} held out")
    left = len(generator.missing()) * generator.settings.batch
    return f"{', '.join(parts)}; {left} pairs to make"


def make(generator: Generator, processes: Processes) -> None:
    """Make this process's share, with a bar that counts pairs."""
    from tqdm import tqdm

    from geostyle.data.workers import make_all

    batch = generator.settings.batch
    share = len(generator.missing(processes)) * batch
    started = time.monotonic()
    with tqdm(total=share, unit="pair", disable=not processes.first, dynamic_ncols=True) as bar:
        make_all(generator, processes, lambda: bar.update(batch))
    minutes = (time.monotonic() - started) / 60
    if processes.first and share:
        print(f"{share} pairs in {minutes:.1f} minutes, {share / minutes:.1f} a minute")


def summarize(generator: Generator, pairs: list[Pair]) -> None:
    """Print what the set holds now."""
    skipped = dict(item for pair in pairs for item in pair.skipped)
    print(f"pairs: {len(pairs)} in {generator.folder}")
    if skipped:
        print(f"skipped: {len(skipped)} pictures, listed in {generator.folder / SKIPPED}")
    print(f"preview: {generator.folder / PREVIEW}")
