"""make samples of a texture, of any size, with a trained texture network

A network of ``--mode stylize`` repaints ``--content`` instead, once for each seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geostyle.cli import _painting
from geostyle.cli._painting import Painted, PaintingJob, Tools
from geostyle.config import setting
from geostyle.device import own_world, resolve_device, resolve_precision
from geostyle.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from geostyle.coords import Size
    from geostyle.feedforward.texture_network import TextureNetwork

SHOWN, COLUMNS = 12, 4  # samples on the contact sheet


@dataclass(frozen=True)
class Job(PaintingJob):
    """Settings of one run."""

    network: Path | None = setting(
        None, help="the network's file, or a bundled one's name; default: pebbles"
    )
    size: str = setting("256", help="WIDTHxHEIGHT of a sample, or one number")
    content: Path | None = setting(None, help="picture to repaint, for networks that do")
    content_px: int | None = _painting.long_side("--content-size", "it is read at")
    count: int = setting(1, min=1, max=100_000, help="number of samples")
    seed: int = setting(
        0, min=0, max=2**32 - 1, help="seed of the first sample; each next one is greater by 1"
    )
    output: Path = setting(Path("runs"), help="folder that gets the numbered run folder")
    device: str = setting("auto", help="auto, cpu, cuda, cuda:N or mps")
    precision: str = setting(
        "auto", choices=("auto", "float32", "bfloat16"), help="of the convolutions"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _painting.parse_size(self.size)

    def read(self) -> dict[str, Tensor]:
        if self.content is None:
            return {}
        return {"content": _painting.read(self.content, "content", self.content_px)}

    def load(self) -> TextureNetwork:
        from geostyle.feedforward.files import TEXTURE, find_network, load_network

        path = find_network(self.network, TEXTURE)
        network, about = load_network(path, TEXTURE)
        if network.settings.mode == "stylize" and self.content is None:
            raise InputError("content: expected a picture file, got none")
        if network.settings.mode != "stylize" and self.content is not None:
            raise InputError(f"content: expected none for {path}, which makes textures from noise")
        print(f"network: {path} ({about.get('tex_style', {}).get('name', 'texture unknown')})")
        device = resolve_device(self.device)
        return network.to(device=device, dtype=resolve_precision(self.precision, device))

    def canvas(self, inputs: Mapping[str, Tensor]) -> Size:
        size = _painting.parse_size(self.size)
        return super().canvas(inputs) if inputs or size is None else size

    def plan(self, network: TextureNetwork) -> range:
        return range(self.seed, self.seed + self.count)

    def paint(self, one: int, tools: Tools) -> Painted:
        content = tools.inputs.get("content")
        image = sample(tools.network, self.canvas(tools.inputs), one, content)
        number = one - self.seed
        title = f"seed {one}" if number < SHOWN else ""
        row = str(number // COLUMNS)
        return Painted(f"sample-{one}.png", image, title, figures={"seed": one}, row=row)


@own_world
def sample(network: TextureNetwork, size: Size, seed: int, content: Tensor | None) -> Tensor:
    """Return one sample (1, 3, *size) in [0, 1] on the CPU; it depends on the seed alone."""
    import torch

    from geostyle.feedforward.texture_network import noise_pyramid

    device = network.out.weight.device
    noise = [z.to(device) for z in noise_pyramid(size, network.settings, [seed])]
    with torch.no_grad():
        image = network(noise, None if content is None else content.to(device))
    return image.clamp(0, 1).cpu()


def main(argv: Sequence[str]) -> int:
    """Make the samples; 0 when done, 130 where Ctrl-C cut it short."""
    return _painting.run_job("texnet-sample", __doc__, Job, argv, network="?")
