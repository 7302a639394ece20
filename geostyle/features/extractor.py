"""Feature networks by layer name: VGG-19, VGG-16, and the bundled `lite` network.

Layers carry VGG's names and are taken *after* the ReLU: ``relu1_1`` … ``relu5_4``, ``pool1`` …
``pool5``. ``lite`` has the same names and strides up to ``relu5_1`` with far fewer channels; each
of its layers ends in a 1×1 `tap`, a linear map trained so that inner products between positions
are those of VGG-19 (see `training/distillation.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geostyle.coords import check_image
from geostyle.device import own_draws, own_world, resolve_device
from geostyle.errors import InputError, brief, expecting
from geostyle.features.settings import IMAGENET_MEAN, IMAGENET_STD, PADDINGS
from geostyle.features.vgg_weights import load_vgg
from geostyle.io.checkpoint import load_checkpoint, tensor_hash
from geostyle.io.files import ASSETS, path_of

CONVS_PER_BLOCK = {
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
    # lite stops where the style layers stop.
    "lite": (2, 2, 4, 4, 1),
}
VGG_CHANNELS = (64, 128, 256, 512, 512)
POOLINGS = ("max", "average")
BUNDLED_LITE = ASSETS / "lite.safetensors"


class FeatureExtractor(nn.Module):
    """A frozen convolutional network that returns the features of layers by name.

    Args:
        name: ``"vgg19"``, ``"vgg16"`` or ``"lite"``.
        channels: width of each of the five blocks, or of every convolution.
        pooling: ``"max"`` (as trained) or ``"average"`` (Gatys et al. 2015 prefer it for texture
            synthesis).
        padding: values of convolutions beyond the border: ``"zeros"`` as trained, or ``"reflect"``,
            ``"replicate"``, ``"circular"`` (the last for pictures that tile).
        taps: whether every layer ends in a 1×1 linear tap (``lite``).

    Attributes:
        layer_names: all layers, in order of depth.

    Raises: InputError for an unknown name, pooling or padding, or another number of channels.
    Source: Simonyan & Zisserman, "Very Deep Convolutional Networks", configurations D and E.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        name: str = "vgg19",
        *,
        channels: Sequence[int] = VGG_CHANNELS,
        pooling: str = "max",
        padding: str = "zeros",
        taps: bool = False,
    ) -> None:
        super().__init__()
        check_choices(name, pooling, padding)
        self.name, self.pooling, self.padding = name, pooling, padding
        self.convs = nn.ModuleDict()
        self.taps = nn.ModuleDict()
        self._widths: dict[str, int] = {}
        width = 3
        for conv, width_out in conv_widths(name, channels).items():
            block, number = map(int, conv.removeprefix("conv").split("_"))
            self.convs[conv] = nn.Conv2d(width, width_out, 3, padding=1)
            width = width_out
            ends = number == CONVS_PER_BLOCK[name][block - 1] and (name, block) != ("lite", 5)
            for layer in [f"relu{block}_{number}", *([f"pool{block}"] if ends else [])]:
                self._widths[layer] = width
                if taps:
                    self.taps[layer] = nn.Conv2d(width, width, 1, bias=False)
        self.layer_names = list(self._widths)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def channels(self, layer: str) -> int:
        """Return the number of channels of `layer`."""
        return self._widths[self._known(layer)]

    def stride(self, layer: str) -> int:
        """Return the pixels of the picture between two neighboring positions of `layer`."""
        block = int(self._known(layer)[4])
        return 2**block if layer.startswith("pool") else 2 ** (block - 1)

    def _known(self, layer: str) -> str:
        if layer not in self._widths:
            raise InputError(
                f"layer: {self.name} has {self.layer_names[0]} … {self.layer_names[-1]}, "
                f"got {layer!r}"
            )
        return layer

    @property
    def _first(self) -> Tensor:
        return cast(Tensor, self.convs["conv1_1"].weight)

    @property
    def dtype(self) -> torch.dtype:
        """Type that the convolutions run in."""
        return self._first.dtype

    @property
    def memory_format(self) -> torch.memory_format:
        """Memory layout of weights and feature maps."""
        last = self._first.is_contiguous(memory_format=torch.channels_last)
        return torch.channels_last if last else torch.contiguous_format

    def compute_in(self, dtype: torch.dtype) -> FeatureExtractor:
        """Run all convolutions in `dtype`."""
        self.convs.to(dtype=dtype)
        self.taps.to(dtype=dtype)
        return self

    @cached_property
    def weights_hash(self) -> str:
        """Hash of the weights at first use, 16 digits, the same in float32 and bfloat16."""
        state = {key: value.bfloat16().cpu() for key, value in self.state_dict().items()}
        return tensor_hash(state)[:16]

    def forward(
        self, image: Tensor, layers: Sequence[str], *, tapped: bool = True
    ) -> dict[str, Tensor]:
        """Return the features of `image` at `layers`, computed only as deep as the deepest.

        Args:
            image: (B, 3, H, W), sRGB in [0, 1]; sides at least the stride of the deepest layer.
            layers: names such as ``"relu4_1"``.
            tapped: False to leave the taps to the caller; see `tap`.

        Returns: ``{layer: (B, C, H // stride, W // stride)}`` in the network's precision.
        Raises: InputError for an unknown layer, or a picture too small for it.
        """
        check_image(image)
        layers = [layers] if isinstance(layers, str) else layers
        deepest = max(self.stride(layer) for layer in layers)
        if min(image.shape[-2:]) < deepest:
            raise InputError(
                f"image: expected sides of at least {deepest} px for {sorted(set(layers))}, "
                f"got {image.shape[-1]}x{image.shape[-2]}"
            )
        found, _ = self.section(self.prepare(image), layers)
        return {layer: self.tap(layer, maps) if tapped else maps for layer, maps in found.items()}

    def prepare(self, image: Tensor) -> Tensor:
        """Return `image` (B, 3, H, W) normalized, in the network's precision and layout."""
        x = ((image - self.mean) / self.std).to(self.dtype)
        return x.contiguous(memory_format=self.memory_format)

    def section(
        self, x: Tensor, layers: Sequence[str], *, after: str | None = None, to: str | None = None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Run a part of the network, to compute a picture piece by piece.

        Args:
            x: the result of `prepare`, or the map that a section up to the layer `after` returned.
            layers: the layers of this part whose features are wanted.
            after: the layer that `x` belongs to; None for a picture.
            to: the last layer to run; default the deepest of `layers`.

        Returns: features by layer, before their taps, and the map at the end.
        """
        start = 0 if after is None else self.layer_names.index(after) + 1
        ends = [self.layer_names.index(layer) for layer in ([to] if to else layers)]
        found: dict[str, Tensor] = {}
        for layer in self.layer_names[start : max(ends) + 1]:
            x = self._step(layer, x)
            if layer in layers:
                found[layer] = x
        return found, x

    def tap(self, layer: str, maps: Tensor) -> Tensor:
        """Apply the tap of `layer`, if it has one, to its features or to what is linear in them.

        Averages over cells and samples are much smaller than the maps, and a tap commutes with
        both, so the losses take them first.

        Args:
            maps: (B, C, H, W), features before the tap.

        Returns: (B, C, H, W).
        """
        return self.tap_rows(layer, maps.movedim(1, -1)).movedim(-1, 1) if self.taps else maps

    def tap_rows(self, layer: str, rows: Tensor) -> Tensor:
        """Apply the tap of `layer`, if it has one, to columns of its features, (…, N, C)."""
        return rows @ self._tap(layer).T.to(rows.dtype) if self.taps else rows

    def tap_gram(self, layer: str, matrices: Tensor) -> Tensor:
        """Return the Gram matrices (B, C, C) after the tap of `layer` of those before it."""
        if not self.taps:
            return matrices
        tap = self._tap(layer).to(matrices.dtype)
        return tap @ matrices @ tap.T

    def _tap(self, layer: str) -> Tensor:
        return cast(Tensor, self.taps[layer].weight).flatten(1)

    def reach_px(self, layer: str) -> int:
        """Return how many pixels beyond a position of `layer` its features depend on."""
        through = self.layer_names[: self.layer_names.index(self._known(layer)) + 1]
        return sum(self.stride(name) for name in through if name.startswith("relu"))

    def _step(self, layer: str, x: Tensor) -> Tensor:
        if layer.startswith("pool"):
            # Average pooling halves what max pooling would keep of a ReLU map's energy; Gram
            # targets are computed under the same pooling, so no correction is needed.
            return F.max_pool2d(x, 2) if self.pooling == "max" else F.avg_pool2d(x, 2)
        conv = cast(nn.Conv2d, self.convs[layer.replace("relu", "conv")])
        if self.padding != "zeros":
            x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode=self.padding), conv.weight, conv.bias)
        else:
            x = conv(x)
        # In place where nothing else needs the convolution's output: it saves a full-size map.
        return F.relu(x, inplace=not (torch.is_grad_enabled() and conv.weight.requires_grad))


def check_choices(name: str, pooling: str, padding: str) -> None:
    """Check the name of a network, its pooling and its padding.

    Raises: InputError naming the unknown one, and the known.
    """
    choices = {"features": CONVS_PER_BLOCK, "pooling": POOLINGS, "padding": PADDINGS}
    for given, (argument, known) in zip((name, pooling, padding), choices.items(), strict=True):
        if given not in known:
            raise InputError(f"{argument}: expected one of {list(known)}, got {brief(given)}")


def conv_widths(name: str, channels: Sequence[int]) -> dict[str, int]:
    """Return the width of every convolution of network `name`.

    Args: channels, one width per block or one per convolution.
    Raises: InputError for another number of widths.
    """
    counts = CONVS_PER_BLOCK[name]
    names = [f"conv{block}_{i + 1}" for block, n in enumerate(counts, start=1) for i in range(n)]
    if len(channels) == len(counts):
        channels = [width for width, n in zip(channels, counts, strict=True) for _ in range(n)]
    if len(channels) != len(names):
        raise InputError(
            f"channels: expected {len(counts)} widths (one per block) or {len(names)} (one per "
            f"convolution), got {len(channels)}"
        )
    return dict(zip(names, channels, strict=True))


@own_world
def load_features(
    name: str = "lite",
    *,
    weights: Path | str | None = None,
    pooling: str = "max",
    padding: str = "zeros",
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    channels_last: bool = True,
) -> FeatureExtractor:
    """Return a frozen network with trained weights, never with random ones.

    Args:
        name: ``"lite"`` (bundled, offline), ``"vgg19"`` or ``"vgg16"``.
        weights: a local file; for VGG a safetensors or state-dict file under torchvision's names
            (``features.N.weight``), for lite a file written by ``geostyle distill``. Without it
            lite is read from the package and VGG through torchvision's own loader (cached,
            hash-checked, downloaded once).
        pooling, padding: see `FeatureExtractor`.
        device, dtype: where and in which precision the convolutions run.
        channels_last: keep the weights in the memory layout that CPUs and tensor cores prefer.

    Raises: InputError where the weights are missing, damaged or of another network.
    """
    check_choices(name, pooling, padding)
    where = resolve_device(device) if isinstance(device, str) else device
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise InputError(f"dtype: expected a floating torch.dtype, got {brief(dtype)}")
    if name == "lite":
        path = BUNDLED_LITE if weights is None else path_of(weights, "weights")
        try:
            tensors, config = load_checkpoint(path, kind="features", name="weights")
        except InputError as error:
            hint = "; those of VGG need --features vgg19 or vgg16 beside it" if weights else ""
            raise InputError(f"{error}{hint}") from error
        with own_draws():
            network = build_lite(
                tensors, config, pooling=pooling, padding=padding, source=str(path)
            )
    else:
        with own_draws():
            network = FeatureExtractor(name, pooling=pooling, padding=padding)
        load_vgg(network, None if weights is None else path_of(weights, "weights"))
    network.requires_grad_(False).eval().compute_in(dtype).to(device=where)
    if channels_last:
        network.convs.to(memory_format=torch.channels_last)
    return network


def build_lite(
    tensors: dict[str, Tensor],
    config: dict[str, Any],
    *,
    pooling: str = "max",
    padding: str = "zeros",
    source: str = "lite",
) -> FeatureExtractor:
    """Return the `lite` network of a checkpoint's tensors and config, loaded strictly."""
    with expecting(f"weights: expected a lite network in {source}"):
        network = FeatureExtractor(
            "lite", channels=config["channels"], pooling=pooling, padding=padding, taps=True
        )
        network.load_state_dict({k: v.float() for k, v in tensors.items()}, strict=True)
    return network
