"""mix several textures by averaging their Gram matrices, or fade from one to the next

Without ``--content`` the textures are mixed into a new one; with it, the content is repainted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geostyle.cli import _painting
from geostyle.cli._painting import NetworkSettings, Painted, PaintingJob, Tools
from geostyle.config import setting
from geostyle.errors import InputError
from geostyle.texture.descent_settings import SynthesisSettings
from geostyle.texture.settings import TextureSettings

if TYPE_CHECKING:
    from torch import Tensor

    from geostyle.coords import Size
    from geostyle.features.extractor import FeatureExtractor


@dataclass(frozen=True)
class Job(PaintingJob):
    """Settings of one run."""

    exemplars: tuple[Path, ...] = setting((), help="pictures of the textures, two or more")
    tex_weights: tuple[float, ...] | None = setting(
        None, min=0.0, help="one weight for each texture; default: equal"
    )
    fade: int = setting(
        0, min=0, max=100, help="number of pictures that fade from the first texture to the last"
    )
    content: Path | None = setting(None, help="picture to repaint; default: synthesize a texture")
    content_weight: float = setting(0.1, min=0.0, help="weight of the content beside the textures")
    size: str | None = setting(
        None,
        help="WIDTHxHEIGHT of the result, or one number (with --content: its long side); "
        "default: the first texture's, or the content's, at most 512",
    )
    exemplar_px: int | None = _painting.long_side("--exemplar-size", "the textures are read at")
    output: Path = setting(Path("runs"), help="folder that gets the numbered run folder")
    network: NetworkSettings = setting(NetworkSettings())
    synthesis: SynthesisSettings = setting(SynthesisSettings())

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.exemplars) < 2:
            raise InputError(f"exemplars: expected two or more, got {len(self.exemplars)}")
        if self.fade and self.tex_weights is not None:
            raise InputError("fade: expected either --fade or --tex-weights, got both")
        self.weights()
        size = _painting.parse_size(self.size)
        if self.content is not None and size and size[0] != size[1]:
            raise InputError(f"size: expected one number with --content, got {self.size!r}")

    def weights(self) -> list[tuple[float, ...]]:
        """Return the weights of the textures for each picture."""
        from geostyle.texture.objective import normalized_weights
        from geostyle.texture.synthesis import fade_weights

        if self.fade:
            return fade_weights(len(self.exemplars), self.fade)
        return [tuple(normalized_weights(self.tex_weights, len(self.exemplars)))]

    def read(self) -> dict[str, Tensor]:
        pictures = {
            f"exemplar-{i}": _painting.read(path, "exemplars", self.exemplar_px)
            for i, path in enumerate(self.exemplars, 1)
        }
        if self.content is not None:
            size = _painting.parse_size(self.size)
            pictures["content"] = _painting.read(self.content, "content", size[0] if size else None)
        return pictures

    def canvas(self, inputs: Mapping[str, Tensor]) -> Size:
        from geostyle.coords import size_of

        own = _painting.parse_size(self.size)
        if own is None or "content" in inputs:
            return size_of(inputs.get("content", inputs["exemplar-1"]))
        return own

    def plan(self, network: FeatureExtractor) -> list[tuple[float, ...]]:
        for layer in self.synthesis.layers:
            network.channels(layer)
        return self.weights()

    def paint(self, one: tuple[float, ...], tools: Tools) -> Painted:
        from geostyle.texture import PaintOptions, synthesize, transfer_texture
        from geostyle.texture.synthesis import gram_errors

        exemplars, network = list(tools.inputs.values()), tools.network
        if "content" in tools.inputs:
            content, options = exemplars.pop(), PaintOptions(one, seed=self.network.seed)
            image = transfer_texture(
                content,
                exemplars,
                network,
                self.texture(),
                options,
                callback=tools.options["callback"],
            ).image
        else:
            size = _painting.parse_size(self.size)
            image = synthesize(
                exemplars, network, self.synthesis, size=size, tex_weights=one, **tools.options
            ).image
        errors = gram_errors(image, exemplars, network, self.synthesis.layers, one)
        number = self.weights().index(one) + 1
        name = f"fade-{number:02d}.png" if self.fade else "result.png"
        title = " : ".join(f"{100 * weight:.0f}" for weight in one)
        figures = {"tex_weights": one, "gram_error": errors}
        return Painted(name, image, title, f"Gram error {_painting.mean_per_cent(errors)}", figures)

    def texture(self) -> TextureSettings:
        """Return the settings under which a content is repainted."""
        descent = self.synthesis.descent
        return TextureSettings(
            content_weight=self.content_weight,
            iterations=descent.iterations,
            optimizer=descent.optimizer,
            history=min(descent.history, 100),
            lr=descent.lr,
            plateau=descent.plateau,
            time_budget_s=descent.time_budget_s,
        )


def main(argv: Sequence[str]) -> int:
    """Mix; 0 when done, 130 where Ctrl-C cut it short."""
    return _painting.run_job("mix", __doc__, Job, argv, exemplars="*")
