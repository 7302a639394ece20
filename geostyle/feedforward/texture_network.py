"""The texture network, which makes textures, or paintings, from noise of several sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geostyle.coords import Size, resize, size_of
from geostyle.device import own_precision
from geostyle.errors import InputError
from geostyle.feedforward.layers import InstanceNorm
from geostyle.feedforward.settings import TextureNetworkSettings

MIN_MAP = 2  # a map of one position cannot be padded by reflection


class Block(nn.Sequential):
    """3×3, 3×3 and 1×1 convolution, each normalized and rectified.

    Args:
        n_in, n_out: channels. settings: kinds of normalization and padding.
    """

    def __init__(self, n_in: int, n_out: int, settings: TextureNetworkSettings) -> None:
        layers: list[nn.Module] = []
        for kernel in (3, 3, 1):
            # Without bias: normalization subtracts the mean.
            convolution = nn.Conv2d(
                n_in,
                n_out,
                kernel,
                padding=kernel // 2,
                padding_mode=settings.padding,  # type: ignore[arg-type]
                bias=False,
            )
            nn.init.xavier_uniform_(convolution.weight)
            layers += [convolution, make_norm(n_out, settings.norm), nn.ReLU()]
            n_in = n_out
        super().__init__(*layers)


class TextureNetwork(nn.Module):
    """A multi-scale generator of textures, or of paintings, of any size.

    Args:
        settings: see `TextureNetworkSettings`.

    Noise of each size passes a block of three convolutions. From the coarsest size on, the maps are
    doubled, normalized, joined with the normalized maps of the next size, and pass another block.

    Source: Ulyanov, Lebedev, Vedaldi, Lempitsky, "Texture Networks", section 3.2 and figure 2;
        "Instance Normalization" by the same for that option.
    Differs: the finest noise has the picture's own size, z_i is M/2^i with i from 0; the output is
        linear, held to [0, 1] by a penalty in training.
    """

    bytes_per_channel = 28  # of the last layer, for each pixel, at the peak: 25 measured

    def __init__(self, settings: TextureNetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        width, given = settings.width, settings.noise + 3 * (settings.mode == "stylize")
        # From coarse to fine; the coarsest has nothing to join.
        self.of_noise = nn.ModuleList(Block(given, width, settings) for _ in range(settings.scales))
        self.coarse_norms, self.fine_norms = nn.ModuleList(), nn.ModuleList()
        self.joins = nn.ModuleList()
        for i in range(1, settings.scales):
            self.coarse_norms.append(make_norm(i * width, settings.norm))
            self.fine_norms.append(make_norm(width, settings.norm))
            self.joins.append(Block((i + 1) * width, (i + 1) * width, settings))
        self.out = nn.Conv2d(settings.scales * width, 3, 1)
        nn.init.xavier_uniform_(self.out.weight)
        nn.init.constant_(self.out.bias, 0.5)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)

    @own_precision
    def forward(self, noise: Sequence[Tensor], content: Tensor | None = None) -> Tensor:
        """Make a picture from noise, and from `content` where the network repaints.

        Args:
            noise: as `noise_pyramid` draws it, fine to coarse.
            content: (B, 3, H, W) in [0, 1], of the size of the finest noise.

        Returns: (B, 3, H, W) float32, not clamped.
        Raises: InputError for a content where the network takes none, or none where it takes one.
        """
        if (content is None) != (self.settings.mode == "texture"):
            expected = "none" if content is not None else "a picture"
            raise InputError(f"content: expected {expected} for a network of this mode")
        x = self._given(noise[-1], content)
        x = self.of_noise[0](x)
        blocks = list(self.of_noise)[1:]
        for z, block, coarse_norm, fine_norm, join in zip(
            noise[-2::-1], blocks, self.coarse_norms, self.fine_norms, self.joins, strict=True
        ):
            x = F.interpolate(x, scale_factor=2.0)[..., : z.shape[-2], : z.shape[-1]]
            x = join(torch.cat([coarse_norm(x), fine_norm(block(self._given(z, content)))], 1))
        return self.out(x.to(self.out.weight.dtype)).float()

    def _given(self, noise: Tensor, content: Tensor | None) -> Tensor:
        if content is not None:
            size = size_of(noise)
            noise = torch.cat([noise, resize(content, size).to(noise.dtype)], 1)
        return noise.to(next(self.of_noise.parameters()).dtype).contiguous(
            memory_format=torch.channels_last
        )

    @torch.no_grad()
    def calibrate(self, batches: Sequence[tuple[Any, ...]]) -> None:
        """Set the statistics of batch normalization to the means over `batches`.

        Args: batches, inputs as for `forward`.
        """
        norms = [m for m in self.modules() if isinstance(m, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # plain means over all batches
        was = self.training
        self.train()
        for inputs in batches if norms else []:
            self(*inputs)
        self.train(was)


def make_norm(width: int, kind: str) -> nn.Module:
    """Return a normalization layer of `width` channels, "batch" or "instance"."""
    return nn.BatchNorm2d(width) if kind == "batch" else InstanceNorm(width)


def noise_pyramid(
    size: Size, settings: TextureNetworkSettings, seeds: Sequence[int]
) -> list[Tensor]:
    """Draw uniform noise in [0, 1] at every size, fine to coarse, each item from its own seed.

    Args:
        size: (H, W) of the finest, the picture's.
        settings: number of sizes and of channels.
        seeds: one for each item, which makes an item the same in every batch.

    Returns: `settings.scales` tensors (B, noise, ⌈H / 2^i⌉, ⌈W / 2^i⌉) on the CPU.
    """
    sizes = [tuple(max(MIN_MAP, -(-side // 2**i)) for side in size) for i in range(settings.scales)]
    items = []
    made: Any = {"dtype": torch.float32, "device": "cpu"}  # whatever the caller's defaults are
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        items.append([torch.rand(settings.noise, *s, generator=generator, **made) for s in sizes])
    return [torch.stack(maps) for maps in zip(*items, strict=True)]
