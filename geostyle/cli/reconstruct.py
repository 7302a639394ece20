"""show what a layer keeps of a picture: reconstruct its content or style from noise

One layer, all layers up to it, or with ``--sheet`` every depth, content above style.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geostyle.cli import EXIT_INTERRUPTED, _painting
from geostyle.cli._painting import NetworkSettings, panel, per_cent
from geostyle.config import check, dump_yaml, setting
from geostyle.io.files import write_json
from geostyle.io.images import save_picture
from geostyle.report.sheet import save_sheet
from geostyle.texture.reconstruct import (
    ReconstructionSettings,
    block_layers,
    feature_errors,
    reconstruct,
    reconstruct_layers,
)
from geostyle.texture.synthesis import gram_errors


@dataclass(frozen=True)
class Job:
    """What one run is made of."""

    picture: Path | None = setting(None, help="picture to reconstruct")
    size_px: int | None = setting(
        None, flag="--size", min=16, max=32768, help="long side; default: its own, at most 512"
    )
    sheet: bool = setting(
        False, help="content and style from every block's layer of the index of --layer"
    )
    output: Path = setting(Path("runs"), help="folder that gets the numbered run folder")
    network: NetworkSettings = setting(NetworkSettings())
    reconstruction: ReconstructionSettings = setting(ReconstructionSettings())

    def __post_init__(self) -> None:
        check(self)


def main(argv: Sequence[str]) -> int:
    """Reconstruct; 0 when done, 130 when Ctrl-C cut it short."""
    job, dry_run = _painting.parse(
        "reconstruct",
        "Reconstruct a picture's content or style, from noise, from what layers keep of it.",
        Job,
        argv,
        picture="?",
    )
    settings, seed = job.reconstruction, job.network.seed
    source = _painting.read(job.picture, "picture", job.size_px)
    extractor = job.network.load()
    print("settings:", *dump_yaml(job).splitlines(), sep="\n  ")
    settings.layers(extractor)  # refuses a layer the network has not, before the work
    if dry_run:
        return 0
    picture = source.to(extractor.mean)
    kinds = ["content", "style"] if job.sheet else [settings.what]
    n_pictures = 2 * len(block_layers(extractor, settings.layer)) if job.sheet else 1
    with _painting.run_folder(
        "reconstruct", job, job.output, job.network, {"picture": source}
    ) as run:
        original = panel(run.file("inputs/picture.png"), "picture")
        rows, figures, interrupted = [], dict[str, Any](), False
        with _painting.progress(run, n_pictures, settings.descent.iterations) as callback:
            for what in kinds:
                own = replace(settings, what=what)
                if job.sheet:
                    results = reconstruct_layers(
                        picture, extractor, own, seed=seed, callback=callback
                    )
                else:
                    done = reconstruct(picture, extractor, own, seed=seed, callback=callback)
                    results = iter([(settings.layer, done)])
                row = [original]
                for layer, result in results:
                    name = f"{what}-{layer}.png" if job.sheet else "result.png"
                    save_picture(result.image, run.file(name))
                    used = replace(own, layer=layer).layers(extractor)
                    measure = gram_errors if what == "style" else feature_errors
                    errors = measure(result.image, picture, extractor, used)
                    figures[name] = {"what": what, "error": errors}
                    note = f"error {per_cent(sum(errors.values()) / len(errors))}"
                    reach = "to " if len(used) > 1 else ""
                    row.append(panel(run.file(name), f"{what}, {reach}{layer}", note))
                    interrupted = result.interrupted
                rows.append(row)
                if interrupted:
                    break
        write_json(run.file("result.json"), {"interrupted": interrupted, **figures})
        save_sheet(rows, run.file("contact_sheet.png"), joined=not job.sheet)
    print(f"{'interrupted; the best so far' if interrupted else 'result'}: {run.file(name)}")
    print(f"sheet: {run.file('contact_sheet.png')}")
    return EXIT_INTERRUPTED if interrupted else 0
