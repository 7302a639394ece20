"""mix several textures by averaging their Gram matrices, or fade from one to the next

Without ``--content`` the mixture is synthesized as a texture; with it, the content is repainted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geostyle.cli import EXIT_INTERRUPTED, _painting
from geostyle.cli._painting import NetworkSettings, panel, per_cent
from geostyle.config import check, dump_yaml, setting
from geostyle.errors import InputError
from geostyle.io.images import save_picture
from geostyle.io.runs import write_json
from geostyle.report.html import save_sheet
from geostyle.texture import PaintOptions, TextureSettings, transfer_texture
from geostyle.texture.objective import normalized_weights
from geostyle.texture.synthesis import SynthesisSettings, fade_weights, gram_errors, synthesize


@dataclass(frozen=True)
class Job:
    """What one run is made of."""

    exemplars: tuple[Path, ...] = setting((), help="pictures of the textures, two or more")
    mixture: tuple[float, ...] | None = setting(
        None, min=0.0, help="one weight a texture; default: equal"
    )
    fade: int = setting(
        0, min=0, max=100, help="fade from the first texture to the last in so many pictures"
    )
    content: Path | None = setting(None, help="picture to repaint; default: synthesize a texture")
    content_weight: float = setting(0.1, min=0.0, help="weight of the content beside the textures")
    size: str | None = setting(
        None,
        help="WIDTHxHEIGHT of the result, or one number (with --content: its long side); "
        "default: the first texture's, or the content's, at most 512",
    )
    exemplar_px: int | None = setting(
        None,
        flag="--exemplar-size",
        min=16,
        max=32768,
        help="long side the textures are read at; default: their own, at most 512",
    )
    output: Path = setting(Path("runs"), help="folder that gets the numbered run folder")
    network: NetworkSettings = setting(NetworkSettings())
    synthesis: SynthesisSettings = setting(SynthesisSettings())

    def __post_init__(self) -> None:
        check(self)
        if len(self.exemplars) < 2:
            raise InputError(f"exemplars: expected two or more, got {len(self.exemplars)}")
        if self.fade and self.mixture is not None:
            raise InputError("fade: expected either --fade or --mixture, got both")
        self.weights()
        size = _painting.parse_size(self.size)
        if self.content is not None and size and size[0] != size[1]:
            raise InputError(f"size: expected one number with --content, got {self.size!r}")

    def weights(self) -> list[tuple[float, ...]]:
        """One mixture a picture."""
        if self.fade:
            return fade_weights(len(self.exemplars), self.fade)
        return [tuple(normalized_weights(self.mixture, len(self.exemplars)))]


def main(argv: Sequence[str]) -> int:
    """Mix; 0 when done, 130 when Ctrl-C cut it short."""
    job, dry_run = _painting.parse(
        "mix",
        "Mix several textures by averaging their Gram matrices, or fade from one to the next.",
        Job,
        argv,
        exemplars="*",
    )
    settings, seed = job.synthesis, job.network.seed
    size = _painting.parse_size(job.size)
    pictures = [_painting.read(path, "exemplars", job.exemplar_px) for path in job.exemplars]
    content = None
    if job.content is not None:
        content = _painting.read(job.content, "content", size[0] if size else None)
    extractor = job.network.load()
    print("settings:", *dump_yaml(job).splitlines(), sep="\n  ")
    for layer in settings.layers:
        extractor.channels(layer)  # refuses what the network has not, before the work
    if dry_run:
        return 0
    exemplars = [picture.to(extractor.mean) for picture in pictures]
    inputs = {f"exemplar-{i + 1}": picture for i, picture in enumerate(pictures)}
    if content is not None:
        inputs["content"] = content
    descent = settings.descent
    texture = TextureSettings(
        content_weight=job.content_weight,
        iterations=descent.iterations,
        optimizer=descent.optimizer,
        history=min(descent.history, 100),
        lr=descent.lr,
        plateau=descent.plateau,
        time_budget_s=descent.time_budget_s,
    )
    with _painting.run_folder("mix", job, job.output, job.network, inputs) as run:
        sources = [panel(run.file(f"inputs/{name}.png"), name) for name in inputs]
        panels, figures, interrupted = [], dict[str, Any](), False
        mixtures = job.weights()
        with _painting.progress(run, len(mixtures), descent.iterations) as callback:
            for i, weights in enumerate(mixtures):
                if content is None:
                    result = synthesize(
                        exemplars, extractor, settings, size=size, mixture=weights, seed=seed,
                        callback=callback,
                    )  # fmt: skip
                else:
                    result = transfer_texture(
                        content.to(extractor.mean), exemplars, extractor, texture,
                        PaintOptions(tex_weights=weights, seed=seed), callback=callback,
                    )  # fmt: skip
                name = f"fade-{i + 1:02d}.png" if job.fade else "result.png"
                save_picture(result.image, run.file(name))
                errors = gram_errors(
                    result.image, exemplars, extractor, settings.layers, mixture=weights
                )
                figures[name] = {"mixture": weights, "gram_error": errors}
                title = " : ".join(f"{100 * weight:.0f}" for weight in weights)
                note = f"Gram error {per_cent(sum(errors.values()) / len(errors))}"
                panels.append(panel(run.file(name), title, note))
                interrupted = result.interrupted
                if interrupted:
                    break
        write_json(run.file("result.json"), {"interrupted": interrupted, **figures})
        rows = [sources, panels] if job.fade else [[*sources, *panels]]
        save_sheet(rows, run.file("contact_sheet.png"), joined=not job.fade)
    print(f"{'interrupted; the best so far' if interrupted else 'result'}: {run.file(name)}")
    print(f"sheet: {run.file('contact_sheet.png')}")
    return EXIT_INTERRUPTED if interrupted else 0
