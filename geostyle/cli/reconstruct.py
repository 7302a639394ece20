"""show what a layer keeps of a picture: reconstruct its content or style from noise

One layer, all layers up to it, or with ``--sheet`` every depth, content above style.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geostyle.cli._painting import (
    Callback,
    Inputs,
    NetworkSettings,
    Painted,
    PaintingJob,
    mean_per_cent,
    read,
    run_job,
)
from geostyle.config import setting
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.reconstruct import (
    ReconstructionSettings,
    block_layers,
    feature_errors,
    reconstruct,
    reconstruct_layers,
)
from geostyle.texture.synthesis import gram_errors


@dataclass(frozen=True)
class Job(PaintingJob):
    """Settings of one run."""

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

    def read(self) -> Inputs:
        return {"picture": read(self.picture, "picture", self.size_px)}

    def plan(self, network: FeatureExtractor) -> tuple[int, Sequence[int]]:
        settings = self.reconstruction
        settings.layers(network)
        n_pictures = 2 * len(block_layers(network, settings.layer)) if self.sheet else 1
        return n_pictures, settings.descent.iterations

    def paint(
        self, inputs: Inputs, network: FeatureExtractor, callback: Callback
    ) -> Iterator[Painted]:
        picture = inputs["picture"].to(network.mean)
        method: Any = reconstruct_layers if self.sheet else reconstruct
        for what in ("content", "style") if self.sheet else (self.reconstruction.what,):
            settings = replace(self.reconstruction, what=what)
            done = method(picture, network, settings, seed=self.network.seed, callback=callback)
            for layer, result in done if self.sheet else [(settings.layer, done)]:
                name = f"{what}-{layer}.png" if self.sheet else "result.png"
                used = replace(settings, layer=layer).layers(network)
                measure = gram_errors if what == "style" else feature_errors
                errors = measure(result.image, picture, network, used)
                title = f"{what}, {'to ' if len(used) > 1 else ''}{layer}"
                figures = {"what": what, "error": errors}
                note = f"error {mean_per_cent(errors)}"
                yield Painted(name, result.image, title, note, figures, row=what)


def main(argv: Sequence[str]) -> int:
    """Reconstruct; 0 when done, 130 where Ctrl-C cut it short."""
    return run_job("reconstruct", __doc__, Job, argv, picture="?")
