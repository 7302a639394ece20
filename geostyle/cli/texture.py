"""synthesize a texture of any size from noise, after an exemplar

Gram matrices of the exemplar are matched coarse to fine; ``--tile`` makes a picture that repeats
without a seam, ``--depths`` the sheet that shows what each layer adds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from geostyle.cli._painting import (
    Callback,
    Inputs,
    NetworkSettings,
    Painted,
    PaintingJob,
    mean_per_cent,
    parse_size,
    read,
    run_job,
)
from geostyle.config import setting
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.synthesis import (
    SynthesisSettings,
    gram_errors,
    seam,
    synthesize,
    synthesize_depths,
    with_padding,
)


@dataclass(frozen=True)
class Job(PaintingJob):
    """Settings of one run."""

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
        super().__post_init__()
        parse_size(self.size)

    def read(self) -> Inputs:
        return {"exemplar": read(self.exemplar, "exemplar", self.exemplar_px)}

    def plan(self, network: FeatureExtractor) -> tuple[int, Sequence[int]]:
        for layer in self.synthesis.layers:
            network.channels(layer)
        n_pictures = len(self.synthesis.layers) if self.depths else 1
        return n_pictures, self.synthesis.descent.iterations

    def paint(
        self, inputs: Inputs, network: FeatureExtractor, callback: Callback
    ) -> Iterator[Painted]:
        settings, exemplar = self.synthesis, inputs["exemplar"].to(network.mean)
        method: Any = synthesize_depths if self.depths else synthesize
        done = method(
            exemplar, network, settings,
            size=parse_size(self.size), seed=self.network.seed, callback=callback,
        )  # fmt: skip
        # A tile is measured as it is used: without borders.
        measured = with_padding(network, "circular" if settings.tile else "zeros")
        for number, (layer, result) in enumerate(done if self.depths else [("", done)], 1):
            layers = settings.layers[:number] if self.depths else settings.layers
            stem = f"depth-{number}-{layer}" if self.depths else "result"
            errors = gram_errors(result.image, exemplar, measured, layers)
            figures, tiled = dict[str, object](gram_error=errors), None
            if settings.tile:
                edge = seam(result.image)
                figures["seam"] = asdict(edge) | {"ratio": edge.ratio, "visible": edge.visible}
                tiled = Painted(
                    f"{stem}-tiled.png", result.image.repeat(1, 1, 2, 2), "repeated",
                    f"seam {edge.ratio:.2f}",
                )  # fmt: skip
            title, note = f"to {layer}" if layer else stem, f"Gram error {mean_per_cent(errors)}"
            yield Painted(f"{stem}.png", result.image, title, note, figures, derived=tiled)


def main(argv: Sequence[str]) -> int:
    """Synthesize; 0 when done, 130 where Ctrl-C cut it short."""
    return run_job("texture", __doc__, Job, argv, exemplar="?")
