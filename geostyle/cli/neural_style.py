"""style transfer as first published: white noise, one scale, L-BFGS, the α/β dial

``--sheet`` makes the paper's figure: style from ever more layers down, ever more content across.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geostyle.cli import EXIT_INTERRUPTED, _painting
from geostyle.cli._painting import NetworkSettings, panel
from geostyle.config import check, dump_yaml, setting
from geostyle.errors import InputError
from geostyle.io.files import write_json
from geostyle.io.images import save_picture
from geostyle.report.sheet import Panel, save_sheet
from geostyle.texture.neural_style import (
    PAPER_RATIOS,
    NeuralStyleSettings,
    neural_style,
    neural_style_sheet,
)


@dataclass(frozen=True)
class Job:
    """What one run is made of."""

    content: Path | None = setting(None, help="picture to repaint")
    tex_style: Path | None = setting(None, help="picture whose style it is repainted in")
    size_px: int | None = setting(
        None, flag="--size", min=16, max=32768, help="long side; default: its own, at most 512"
    )
    sheet: bool = setting(False, help="every ratio with every depth of style layers")
    ratios: tuple[float, ...] = setting(PAPER_RATIOS, min=0.0, help="the sheet's values of α/β")
    output: Path = setting(Path("runs"), help="folder that gets the numbered run folder")
    network: NetworkSettings = setting(NetworkSettings(pooling="average"))
    style: NeuralStyleSettings = setting(NeuralStyleSettings())

    def __post_init__(self) -> None:
        check(self)
        if not self.ratios:
            raise InputError("ratios: expected at least one value of α/β, got none")


def main(argv: Sequence[str]) -> int:
    """Repaint; 0 when done, 130 when Ctrl-C cut it short."""
    job, dry_run = _painting.parse(
        "neural-style",
        "Transfer style as first published: white noise, one scale, L-BFGS, the α/β dial.",
        Job,
        argv,
    )
    settings, seed = job.style, job.network.seed
    content = _painting.read(job.content, "content", job.size_px)
    tex_style = _painting.read(job.tex_style, "tex_style", max(content.shape[-2:]))
    extractor = job.network.load()
    print("settings:", *dump_yaml(job).splitlines(), sep="\n  ")
    for layer in (*settings.style_layers, settings.content_layer):
        extractor.channels(layer)  # refuses what the network has not, before the work
    if dry_run:
        return 0
    pair = content.to(extractor.mean), tex_style.to(extractor.mean)
    inputs = {"content": content, "tex_style": tex_style}
    n_pictures = len(settings.style_layers) * len(job.ratios) if job.sheet else 1
    with _painting.run_folder("neural-style", job, job.output, job.network, inputs) as run:
        sources = [panel(run.file(f"inputs/{name}.png"), name) for name in inputs]
        rows: dict[str, list[Panel]] = {}
        figures, interrupted = dict[str, Any](), False
        with _painting.progress(run, n_pictures, settings.descent.iterations) as callback:
            if job.sheet:
                results = neural_style_sheet(
                    *pair, extractor, settings, ratios=job.ratios, seed=seed, callback=callback
                )
            else:
                done = neural_style(*pair, extractor, settings, seed=seed, callback=callback)
                results = iter([((settings.style_layers[-1], settings.alpha_over_beta), done)])
            for (layer, ratio), result in results:
                name = f"{layer}-{ratio:g}.png" if job.sheet else "result.png"
                save_picture(result.image, run.file(name))
                best = min(result.history[-1].steps, key=lambda step: step.total, default=None)
                figures[name] = {
                    "alpha_over_beta": ratio,
                    "to_layer": layer,
                    "content": best and best.content,
                    "style": best and best.style,
                }
                title = f"to {layer}" if job.sheet else "result"
                rows.setdefault(layer, []).append(panel(run.file(name), title, f"α/β {ratio:g}"))
                interrupted = result.interrupted
        write_json(run.file("result.json"), {"interrupted": interrupted, **figures})
        sheet = [sources, *rows.values()] if job.sheet else [[*sources, *rows.popitem()[1]]]
        save_sheet(sheet, run.file("contact_sheet.png"), joined=not job.sheet)
    print(f"{'interrupted; the best so far' if interrupted else 'result'}: {run.file(name)}")
    print(f"sheet: {run.file('contact_sheet.png')}")
    return EXIT_INTERRUPTED if interrupted else 0
