"""style transfer as first published: white noise, one scale, L-BFGS, the α/β dial

``--sheet`` makes the paper's figure: style from ever more layers down, ever more content across.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geostyle.cli import _painting
from geostyle.cli._painting import NetworkSettings, Painted, PaintingJob, Tools
from geostyle.config import setting
from geostyle.errors import InputError
from geostyle.texture.descent_settings import PAPER_RATIOS, NeuralStyleSettings

if TYPE_CHECKING:
    from torch import Tensor

    from geostyle.features.extractor import FeatureExtractor


@dataclass(frozen=True)
class Job(PaintingJob):
    """Settings of one run."""

    content: Path | None = setting(None, help="picture to repaint")
    tex_style: Path | None = setting(None, help="picture whose style it is repainted in")
    size_px: int | None = _painting.long_side("--size", "of the content")
    sheet: bool = setting(False, help="every ratio with every depth of style layers")
    ratios: tuple[float, ...] = setting(PAPER_RATIOS, min=0.0, help="the sheet's values of α/β")
    output: Path = setting(Path("runs"), help="folder that gets the numbered run folder")
    network: NetworkSettings = setting(NetworkSettings(pooling="average"))
    style: NeuralStyleSettings = setting(NeuralStyleSettings())

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.ratios:
            raise InputError("ratios: expected at least one value of α/β, got none")

    def read(self) -> dict[str, Tensor]:
        content = _painting.read(self.content, "content", self.size_px)
        tex_style = _painting.read(self.tex_style, "tex_style", max(content.shape[-2:]))
        return {"content": content, "tex_style": tex_style}

    def plan(self, network: FeatureExtractor) -> list[NeuralStyleSettings]:
        for layer in (*self.style.style_layers, self.style.content_layer):
            network.channels(layer)
        return self.style.sheet(self.ratios) if self.sheet else [self.style]

    def paint(self, one: NeuralStyleSettings, tools: Tools) -> Painted:
        from geostyle.texture.neural_style import neural_style

        content, tex_style = tools.inputs.values()
        done = neural_style(content, tex_style, tools.network, one, **tools.options)
        layer, ratio = one.style_layers[-1], one.alpha_over_beta
        best = min(done.history[-1].steps, key=lambda step: step.total, default=None)
        figures = {
            "alpha_over_beta": ratio,
            "to_layer": layer,
            "content": best and best.content,
            "style": best and best.style,
        }
        name = f"{layer}-{ratio:g}.png" if self.sheet else "result.png"
        title = f"to {layer}" if self.sheet else "result"
        return Painted(name, done.image, title, f"α/β {ratio:g}", figures, row=layer)


def main(argv: Sequence[str]) -> int:
    """Repaint; 0 when done, 130 where Ctrl-C cut it short."""
    return _painting.run_job("neural-style", __doc__, Job, argv)
