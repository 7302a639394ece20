"""synthesize a texture of any size from noise, after an exemplar

Gram matrices of the exemplar are matched coarse to fine; ``--tile`` makes a picture that repeats
without a seam, ``--depths`` the sheet that shows what each layer adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geostyle.cli import EXIT_INTERRUPTED, _painting
from geostyle.cli._painting import NetworkSettings, panel, per_cent
from geostyle.config import check, dump_yaml, setting
from geostyle.coords import size_of
from geostyle.io.files import write_json
from geostyle.io.images import save_picture
from geostyle.report.sheet import save_sheet
from geostyle.texture.synthesis import (
    SynthesisSettings,
    gram_errors,
    seam,
    synthesize,
    synthesize_depths,
    with_padding,
)


@dataclass(frozen=True)
class Job:
    """What one run is made of."""

    exemplar: Path | None = setting(None, help="picture of the texture")
    size: str | None = setting(
        None, help="WIDTHxHEIGHT of the result, or one number; default: the exemplar's"
    )
    exemplar_px: int | None = setting(
        None,
        flag="--exemplar-size",
        min=16,
        max=32768,
        help="long side the exemplar is read at; default: its own, at most 512",
    )
    depths: bool = setting(
        False, help="one picture for each depth, from the first of the layers alone to all of them"
    )
    output: Path = setting(Path("runs"), help="folder that gets the numbered run folder")
    network: NetworkSettings = setting(NetworkSettings())
    synthesis: SynthesisSettings = setting(SynthesisSettings())

    def __post_init__(self) -> None:
        check(self)
        _painting.parse_size(self.size)


def main(argv: Sequence[str]) -> int:
    """Synthesize; 0 when done, 130 when Ctrl-C cut it short."""
    job, dry_run = _painting.parse(
        "texture",
        "Synthesize a texture of any size from noise, after an exemplar.",
        Job,
        argv,
        exemplar="?",
    )
    settings, seed = job.synthesis, job.network.seed
    picture = _painting.read(job.exemplar, "exemplar", job.exemplar_px)
    size = _painting.parse_size(job.size) or size_of(picture)
    extractor = job.network.load()
    print("settings:", *dump_yaml(job).splitlines(), sep="\n  ")
    for layer in settings.layers:
        extractor.channels(layer)  # refuses what the network has not, before the work
    if dry_run:
        return 0
    exemplar = picture.to(extractor.mean)
    with _painting.run_folder(
        "texture", job, job.output, job.network, {"exemplar": picture}
    ) as run:
        panels = [panel(run.file("inputs/exemplar.png"), "exemplar")]
        figures: dict[str, Any] = {}
        n_pictures = len(settings.layers) if job.depths else 1
        with _painting.progress(run, n_pictures, settings.descent.iterations) as callback:
            if job.depths:
                results = synthesize_depths(
                    exemplar, extractor, settings, size=size, seed=seed, callback=callback
                )
            else:
                whole = synthesize(
                    exemplar, extractor, settings, size=size, seed=seed, callback=callback
                )
                results = iter([(settings.layers[-1], whole)])
            for i, (layer, result) in enumerate(results):
                used = settings.layers[: i + 1] if job.depths else settings.layers
                name = f"depth-{i + 1}-{layer}.png" if job.depths else "result.png"
                save_picture(result.image, run.file(name))
                # A tile is measured as it is used: without borders.
                measured = with_padding(extractor, "circular" if settings.tile else "zeros")
                errors = gram_errors(result.image, exemplar, measured, used)
                figures[name] = {"gram_error": errors, "interrupted": result.interrupted}
                note = f"Gram error {per_cent(sum(errors.values()) / len(errors))}"
                title = f"to {layer}" if job.depths else "result"
                panels.append(panel(run.file(name), title, note))
                if settings.tile:
                    edge = seam(result.image)
                    figures[name]["seam"] = {
                        "wrap": edge.wrap, "typical": edge.typical, "worst": edge.worst,
                        "ratio": edge.ratio, "visible": edge.visible,
                    }  # fmt: skip
                    tiled = run.file(name.replace(".png", "-tiled.png"))
                    save_picture(result.image.repeat(1, 1, 2, 2), tiled)
                    panels.append(panel(tiled, "repeated", f"seam {edge.ratio:.2f}"))
        write_json(run.file("result.json"), figures)
        save_sheet([panels], run.file("contact_sheet.png"), joined=not job.depths)
    interrupted = result.interrupted
    print(f"{'interrupted; the best so far' if interrupted else 'result'}: {run.file(name)}")
    print(f"sheet: {run.file('contact_sheet.png')}")
    return EXIT_INTERRUPTED if interrupted else 0
