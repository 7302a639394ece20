"""The fast style network, which repaints a picture in one style in one pass."""

from __future__ import annotations

import zlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geostyle.device import own_precision, own_world
from geostyle.feedforward.layers import InstanceNorm, ResizeConvolution
from geostyle.feedforward.settings import FastNetworkSettings

NOISE_OCTAVES, NOISE_SIDE = 5, 128  # side in places of the smallest maps


def noise_place(*seed: int) -> tuple[int, int]:
    """Return a place of the noise, the `shift` of `FastNetwork`, for non-negative numbers."""
    row, column = np.random.default_rng(seed).integers(0, NOISE_SIDE, 2)
    return int(row), int(column)


class Noise(nn.Module):
    """Fixed noise of several scales, added to maps.

    Args: width, channels of the maps.

    Without it, a network repeats one stroke along its own lattice where a photograph is plain.

    Source: Ulyanov, Lebedev, Vedaldi, Lempitsky, "Texture Networks", section 3.2, for noise at
        M / 2^i.
    Differs: added to the maps, and the same in every run.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        generator, octaves = torch.Generator().manual_seed(0), []
        for octave in range(NOISE_OCTAVES):
            drawn = torch.randn(1, 1, *[NOISE_SIDE >> octave] * 2, generator=generator)
            for _ in range(octave):  # the tile has no seam: each enlargement wraps around
                wide = F.interpolate(
                    F.pad(drawn, (1,) * 4, "circular"), scale_factor=2.0, mode="bilinear"
                )
                drawn = wide[..., 2:-2, 2:-2]
            octaves.append(drawn / drawn.std())
        self.tile: Tensor
        self.register_buffer("tile", torch.cat(octaves, 1))
        self.mix = nn.Conv2d(NOISE_OCTAVES, width, 1, bias=False)

    def forward(self, x: Tensor, shift: tuple[int, int]) -> Tensor:
        """Return `x` (B, width, H, W) plus noise, which begins at place `shift` of the tile."""
        rows, columns = (
            (torch.arange(side, device=x.device) + start) % NOISE_SIDE
            for side, start in zip(x.shape[-2:], shift, strict=True)
        )
        tile = self.tile.to(x.dtype)
        return x + self.mix(tile[:, :, rows][..., columns])


class Convolution(nn.Module):
    """A convolution that reflects at borders, then instance normalization.

    Args:
        n_in, n_out: channels. kernel: its odd side. stride: of the convolution.
    """

    def __init__(self, n_in: int, n_out: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        # Without bias: normalization subtracts the mean.
        self.conv = nn.Conv2d(
            n_in, n_out, kernel, stride, kernel // 2, bias=False, padding_mode="reflect"
        )
        self.norm = InstanceNorm(n_out)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, n_in, H, W) to (B, n_out, ⌈H / stride⌉, ⌈W / stride⌉)."""
        return self.norm(self.conv(x))


class Residual(nn.Module):
    """Two convolutions whose result is added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = Convolution(width, width), Convolution(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x)))


class Enlargement(nn.Module):
    """A resize-convolution, cut to a size and normalized.

    Args:
        n_in, n_out: channels.
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv, self.norm = ResizeConvolution(n_in, n_out), InstanceNorm(n_out)

    def forward(self, x: Tensor, beside: Tensor, add: bool) -> Tensor:
        """Map (B, n_in, h, w) to (B, n_out, H, W), the size of `beside`, plus it with `add`."""
        # Odd sides were rounded up on the way down.
        x = self.conv(x)[..., : beside.shape[-2], : beside.shape[-1]]
        return self.norm(x + beside if add else x)


class FastNetwork(nn.Module):
    """A feed-forward network that repaints pictures of any size in one style.

    Args:
        settings: see `FastNetworkSettings`.

    The output is linear: 0 and 1 are reached like any value, and gradients do not vanish beyond
    them. An untrained network with `skips` returns nearly its input.

    Source: Johnson, Alahi, Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and
        Super-Resolution", section 3.1 and supplementary table 1; Ulyanov, Vedaldi, Lempitsky,
        "Instance Normalization", for the normalization.
    Differs: instance instead of batch normalization; nearest-neighbor resize and convolution
        instead of transposed convolution; reflection instead of zero padding; linear instead of
        tanh output. By default also half as wide, with small first and last kernels, additive
        skips and noise; ``configs/feedforward/fast_johnson.yaml`` has the paper's sizes.
    """

    def __init__(self, settings: FastNetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        widths, full = settings.widths, settings.stem == "full"
        self.encoder = nn.ModuleList()
        before = 3
        for level, width in enumerate(widths if full else widths[1:]):
            kernel, stride = (3, 2) if level else (settings.kernel, 1 if full else 2)
            self.encoder.append(Convolution(before, width, kernel, stride))
            before = width
        self.noise = Noise(widths[-1]) if settings.noise else None
        up = widths[::-1]
        # Blocks of every size, smallest first, and the enlargements between them.
        self.blocks = nn.ModuleList(
            nn.Sequential(*(Residual(width) for _ in range(count)))
            for width, count in zip(up, settings.blocks[::-1], strict=True)
        )
        self.decoder = nn.ModuleList(Enlargement(a, b) for a, b in zip(up, up[1:], strict=False))
        middle = settings.kernel // 2
        self.out = nn.Conv2d(
            widths[0] + 3 * settings.skips, 3, settings.kernel,
            padding=middle, padding_mode="reflect",
        )  # fmt: skip
        if settings.skips:
            with torch.no_grad():
                self.out.weight.mul_(0.1)
                self.out.weight[:, -3:, middle, middle] += torch.eye(3)
                self.out.bias.zero_()  # type: ignore[union-attr]
        self.to(memory_format=torch.channels_last)

    def compute_in(self, dtype: torch.dtype) -> FastNetwork:
        """Run all convolutions in `dtype` but the last, which decides the colors."""
        for part in (self.encoder, self.noise, self.blocks, self.decoder):
            if part is not None:
                part.to(dtype=dtype)
        return self

    bytes_per_channel = 16  # of the last layer, for each pixel, at the peak: 14 measured

    @own_precision
    def forward(self, image: Tensor, shift: tuple[int, int] = (0, 0)) -> Tensor:
        """Repaint `image` (B, 3, H, W), sRGB in [0, 1], sides of 16 px or more.

        Args: shift, place where the noise begins, as `noise_place` draws it; it varies the strokes.
        Returns: (B, 3, H, W) float32, not clamped.
        """
        x = image.to(next(self.encoder.parameters()).dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        seen = [x]
        for convolution in self.encoder:
            x = F.relu(convolution(x))
            seen.append(x)
        x = seen.pop()
        x = self.blocks[0](x if self.noise is None else self.noise(x, shift))
        for enlarge, blocks in zip(self.decoder, list(self.blocks)[1:], strict=True):
            beside = seen.pop() if len(seen) > 1 else seen[0]
            x = blocks(F.relu(enlarge(x, beside, self.settings.skips and beside is not seen[0])))
        if self.settings.skips:
            x = torch.cat([x, seen[0].to(x.dtype)], 1)
        return self.out(x.to(self.out.weight.dtype)).float()


@own_world
@torch.no_grad()
def repaint(network: FastNetwork, image: Tensor, seed: int | None = None) -> Tensor:
    """Return `image` (1, 3, H, W) repainted, in [0, 1], on the CPU.

    Args: seed, of the place where the network's noise begins; None derives one from the picture.
    """
    if seed is None:
        seed = zlib.crc32((image * 255).round().byte().numpy().tobytes())
    return network(image.to(network.out.weight.device), noise_place(seed)).clamp(0, 1).cpu()
