"""show what a layer keeps of a picture: reconstruct its content or style from noise

One layer, all layers up to it, or with ``--sheet`` every depth, content above style.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from geostyle.cli import _painting
from geostyle.cli._painting import NetworkSettings, Painted, PaintingJob, Tools
from geostyle.config import setting
from geostyle.texture.descent_settings import ReconstructionSettings

if TYPE_CHECKING:
    from torch import Tensor

    from geostyle.features.extractor import FeatureExtractor


@dataclass(frozen=True)
class Job(PaintingJob):
    """Settings of one run."""

    picture: Path | None = setting(None, help="picture to reconstruct")
    size_px: int | None = _painting.long_side("--size", "of the picture")
    sheet: bool = setting(
        False, help="content and style from every block's layer of the index of --layer"
    )
    output: Path = setting(Path("runs"), help="folder that gets the numbered run folder")
    network: NetworkSettings = setting(NetworkSettings())
    reconstruction: ReconstructionSettings = setting(ReconstructionSettings())

    def read(self) -> dict[str, Tensor]:
        return {"picture": _painting.read(self.picture, "picture", self.size_px)}

    def plan(self, network: FeatureExtractor) -> list[ReconstructionSettings]:
        settings = self.reconstruction
        settings.layers(network)
        if not self.sheet:
            return [settings]
        kinds = (replace(settings, what=what) for what in ("content", "style"))
        return [one for kind in kinds for one in kind.blocks(network)]

    def paint(self, one: ReconstructionSettings, tools: Tools) -> Painted:
        from geostyle.texture.reconstruct import feature_errors, reconstruct
        from geostyle.texture.synthesis import gram_errors

        picture, network = tools.inputs["picture"], tools.network
        layers = one.layers(network)
        image = reconstruct(picture, network, one, **tools.options).image
        measure = gram_errors if one.what == "style" else feature_errors
        errors = measure(image, picture, network, layers)
        name = f"{one.what}-{one.layer}.png" if self.sheet else "result.png"
        title = f"{one.what}, {'to ' if len(layers) > 1 else ''}{one.layer}"
        figures = {"what": one.what, "error": errors}
        note = f"error {_painting.mean_per_cent(errors)}"
        return Painted(name, image, title, note, figures, row=one.what)


def main(argv: Sequence[str]) -> int:
    """Reconstruct; 0 when done, 130 where Ctrl-C cut it short."""
    return _painting.run_job("reconstruct", __doc__, Job, argv, picture="?")
