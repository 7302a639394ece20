"""``geostyle evaluate pairs``: galleries of warps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from geostyle import config
from geostyle.config import check, setting
from geostyle.errors import InputError
from geostyle.io.files import check_folder, write_json
from geostyle.io.runs import RunFolder
from geostyle.pipeline.settings import TransferSettings

if TYPE_CHECKING:
    from geostyle.report.gallery import PicturePair, Shown

SIZE_PX = 320  # long side of the warped pictures, where none is asked for


@dataclass(frozen=True)
class Pairs:
    """Settings of ``geostyle evaluate pairs``."""

    content: Path | None = setting(None, help="picture, or folder of pictures")
    geo_style: Path | None = setting(None, help="picture, or folder of pictures")
    list: Path | None = setting(
        None, help="CSV file of pairs instead, with the columns content and geo_style"
    )
    limit: int = setting(40, min=0, help="pairs shown of all combinations; 0: all")
    rows: int = setting(8, min=1, max=40, help="pairs on a page")
    output: Path = setting(Path("runs"), help="folder that gets the numbered run folder")
    transfer: TransferSettings = setting(TransferSettings())

    def __post_init__(self) -> None:
        check(self)
        if (self.list is None) == (self.content is None or self.geo_style is None):
            raise InputError("list: expected either --list, or both --content and --geo-style")


def run(benchmark: str, argv: Sequence[str]) -> int:
    """Warp every pair; write pages, and a theta and a record of each."""
    settings, args = config.parse(
        Pairs,
        argv,
        prog="geostyle evaluate pairs",
        description="Show content, geometry style, lattice and warped content of many pairs.",
    )
    from tqdm import tqdm

    from geostyle.pipeline import Pipeline
    from geostyle.report.gallery import show
    from geostyle.report.sheet import save_sheet

    pairs = listed(settings)
    size_px = settings.transfer.size_px or SIZE_PX
    pipe = Pipeline(replace(settings.transfer, size_px=size_px))
    networks = pipe.networks(texture=False)
    check_folder(settings.output)
    if args.dry_run:
        print(*(f"{pair.content} -> {pair.geo_style}" for pair in pairs), sep="\n")
        return 0
    folder = RunFolder.create(settings.output, "pairs")
    with folder.lock():
        folder.save_settings(settings)
        folder.save_environment(networks=networks.describe())
        shown: list[Shown] = []
        with tqdm(total=len(pairs), unit="pair", dynamic_ncols=True) as bar:
            for number, one in enumerate(show(pairs, pipe, bar.update), 1):
                one.parameters.save(folder.file(f"theta/{number:03d}.json"))
                shown.append(one)
                if number % settings.rows == 0 or number == len(pairs):
                    page = -(-number // settings.rows)
                    rows = [item.panels for item in shown[(page - 1) * settings.rows :]]
                    save_sheet(rows, folder.file(f"gallery-{page:02d}.png"), 280)
        write_json(folder.file("pairs.json"), [one.record() for one in shown])
    folder.close()
    limited = sum(bool(one.parameters.meta.get("message")) for one in shown)
    print(f"{len(shown)} pairs, {limited} of them held back; pages in {folder.path}")
    return 0


def listed(settings: Pairs) -> list[PicturePair]:
    """The pairs to show."""
    from geostyle.report.gallery import cross_pairs, read_pairs

    if settings.list is not None:
        return read_pairs(settings.list)
    assert settings.content is not None and settings.geo_style is not None
    seed = settings.transfer.seed
    return cross_pairs(settings.content, settings.geo_style, settings.limit, seed)
