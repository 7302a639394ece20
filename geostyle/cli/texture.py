"""synthesize a texture of any size from noise, after an exemplar

Gram matrices of the exemplar are matched coarse to fine; ``--tile`` makes a picture that repeats
without a seam, ``--depths`` the sheet that shows what each layer adds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geostyle.cli import _painting
from geostyle.cli._painting import NetworkSettings, Painted, PaintingJob, Tools
from geostyle.config import setting
from geostyle.texture.descent_settings import SynthesisSettings

if TYPE_CHECKING:
    from torch import Tensor

    from geostyle.coords import Size
    from geostyle.features.extractor import FeatureExtractor


@dataclass(frozen=True)
class Job(PaintingJob):
    """Settings of one run."""

    exemplar: Path | None = setting(None, help="picture of the texture")
    size: str | None = setting(
        None, help="WIDTHxHEIGHT of the result, or one number; default: the exemplar's"
    )
    exemplar_px: int | None = _painting.long_side("--exemplar-size", "the exemplar is read at")
    depths: bool = setting(
        False, help="one picture for each depth, from the first of the layers alone to all of them"
    )
    output: Path = setting(Path("runs"), help="folder that gets the numbered run folder")
    network: NetworkSettings = setting(NetworkSettings())
    synthesis: SynthesisSettings = setting(SynthesisSettings())

    def __post_init__(self) -> None:
        super().__post_init__()
        _painting.parse_size(self.size)

    def read(self) -> dict[str, Tensor]:
        return {"exemplar": _painting.read(self.exemplar, "exemplar", self.exemplar_px)}

    def canvas(self, inputs: Mapping[str, Tensor]) -> Size:
        return _painting.parse_size(self.size) or super().canvas(inputs)

    def plan(self, network: FeatureExtractor) -> list[SynthesisSettings]:
        for layer in self.synthesis.layers:
            network.channels(layer)
        return self.synthesis.depths() if self.depths else [self.synthesis]

    def paint(self, one: SynthesisSettings, tools: Tools) -> Painted:
        from geostyle.texture.synthesis import gram_errors, seam, synthesize, with_padding

        exemplar, network = tools.inputs["exemplar"], tools.network
        size = _painting.parse_size(self.size)
        layer = one.layers[-1]
        image = synthesize(exemplar, network, one, size=size, **tools.options).image
        # A tile is measured as it is used: without borders.
        measured = with_padding(network, "circular" if one.tile else "zeros")
        errors = gram_errors(image, exemplar, measured, one.layers)
        figures, stem, tiled = dict[str, object](gram_error=errors), "result", None
        if self.depths:
            stem = f"depth-{len(one.layers)}-{layer}"
        if one.tile:
            edge, name = seam(image), f"{stem}-tiled.png"
            figures["seam"] = asdict(edge) | {"ratio": edge.ratio, "visible": edge.visible}
            note = f"seam {edge.ratio:.2f}"
            tiled = Painted(name, image.repeat(1, 1, 2, 2), "repeated", note)
        title = f"to {layer}" if self.depths else "result"
        note = f"Gram error {_painting.mean_per_cent(errors)}"
        return Painted(f"{stem}.png", image, title, note, figures, derived=tiled)


def main(argv: Sequence[str]) -> int:
    """Synthesize; 0 when done, 130 where Ctrl-C cut it short."""
    return _painting.run_job("texture", __doc__, Job, argv, exemplar="?")
