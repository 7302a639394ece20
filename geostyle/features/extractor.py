"""Feature extractors by layer name: VGG-19, VGG-16, and the bundled `lite` network.

Layers carry VGG's names and are taken *after* the ReLU: ``relu1_1`` … ``relu5_4``, ``pool1`` …
``pool5``. ``lite`` has the same names and strides up to ``relu5_1`` with far fewer channels; each
of its layers ends in a 1×1 `tap`, a linear map under which inner products between positions imitate
VGG-19's (see `distill.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geostyle.errors import InputError
from geostyle.io.checkpoint import load_checkpoint, tensor_hash

CONVS_PER_BLOCK = {
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
    # lite stops where the style layers stop.
    "lite": (2, 2, 4, 4, 1),
}
VGG_CHANNELS = (64, 128, 256, 512, 512)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
PADDINGS = ("zeros", "reflect", "replicate", "circular")
POOLINGS = ("max", "average")
LITE_FILE = "lite.safetensors"


class FeatureExtractor(nn.Module):
    """A frozen convolutional network whose layers are asked for by name.

    Args:
        name: ``"vgg19"``, ``"vgg16"`` or ``"lite"``.
        channels: width of each of the five blocks, or of every convolution.
        pooling: ``"max"`` (as trained) or ``"average"`` (Gatys et al. 2015 prefer it for texture
            synthesis).
        padding: how convolutions see beyond the border: ``"zeros"`` as trained, or ``"reflect"``,
            ``"replicate"``, ``"circular"`` (the last for pictures that tile).
        taps: whether every layer ends in a 1×1 linear tap (``lite``).

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
        if name not in CONVS_PER_BLOCK:
            raise InputError(f"features: expected one of {sorted(CONVS_PER_BLOCK)}, got {name!r}")
        if pooling not in POOLINGS:
            raise InputError(f"pooling: expected one of {list(POOLINGS)}, got {pooling!r}")
        if padding not in PADDINGS:
            raise InputError(f"padding: expected one of {list(PADDINGS)}, got {padding!r}")
        self.name, self.pooling, self.padding = name, pooling, padding
        self.convs = nn.ModuleDict()
        self.taps = nn.ModuleDict()
        self.layer_names: list[str] = []
        self._channels: dict[str, int] = {}
        self._strides: dict[str, int] = {}
        width = width_in = 3
        widths = conv_widths(name, channels)
        for block, n_convs in enumerate(CONVS_PER_BLOCK[name], start=1):
            for i in range(1, n_convs + 1):
                width = widths[f"conv{block}_{i}"]
                self.convs[f"conv{block}_{i}"] = nn.Conv2d(width_in, width, 3, padding=1)
                self._add_layer(f"relu{block}_{i}", width, 2 ** (block - 1), taps)
                width_in = width
            if name != "lite" or block < len(CONVS_PER_BLOCK[name]):
                self._add_layer(f"pool{block}", width, 2**block, taps)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def _add_layer(self, layer: str, width: int, stride: int, tap: bool) -> None:
        self.layer_names.append(layer)
        self._channels[layer] = width
        self._strides[layer] = stride
        if tap:
            self.taps[layer] = nn.Conv2d(width, width, 1, bias=False)

    def channels(self, layer: str) -> int:
        """Number of channels of `layer`."""
        return self._channels[self._known(layer)]

    def stride(self, layer: str) -> int:
        """Pixels of the input between two neighboring positions of `layer`."""
        return self._strides[self._known(layer)]

    def _known(self, layer: str) -> str:
        if layer not in self._channels:
            raise InputError(
                f"layer: {self.name} has {self.layer_names[0]} … {self.layer_names[-1]}, "
                f"got {layer!r}"
            )
        return layer

    @property
    def dtype(self) -> torch.dtype:
        """The precision the convolutions run in."""
        return self.convs["conv1_1"].weight.dtype  # type: ignore[return-value]

    @cached_property
    def weights_hash(self) -> str:
        """A short hash of the weights, the same whether they are held in float32 or bfloat16.

        Of the weights as they are when it is first asked for.
        """
        state = {key: value.bfloat16().cpu() for key, value in self.state_dict().items()}
        return tensor_hash(state)[:16]

    @property
    def memory_format(self) -> torch.memory_format:
        """The layout of its maps: that of its weights."""
        first = self.convs["conv1_1"].weight
        assert isinstance(first, Tensor)
        last = first.is_contiguous(memory_format=torch.channels_last)
        return torch.channels_last if last else torch.contiguous_format

    def forward(self, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Features of `image` at `layers`, computed only as deep as the deepest of them.

        Args:
            image: (B, 3, H, W), sRGB in [0, 1]; sides at least the stride of the deepest layer.
            layers: names such as ``"relu4_1"``.

        Returns:
            ``{layer: (B, C, H // stride, W // stride)}`` in the extractor's precision.

        Raises:
            InputError: for an unknown layer, or a picture too small for it.
        """
        wanted = {self._known(layer) for layer in layers}
        deepest = max(self._strides[layer] for layer in wanted)
        if min(image.shape[-2:]) < deepest:
            raise InputError(
                f"image: expected sides of at least {deepest} px for {sorted(wanted)}, "
                f"got {image.shape[-1]}x{image.shape[-2]}"
            )
        found, _ = self.section(self.prepare(image), layers)
        return found

    def prepare(self, image: Tensor) -> Tensor:
        """`image` (B, 3, H, W) as the first convolution takes it: normalized, in its precision."""
        x = ((image - self.mean) / self.std).to(self.dtype)
        return x.contiguous(memory_format=self.memory_format)

    def section(
        self, x: Tensor, layers: Sequence[str], *, after: str | None = None, to: str | None = None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """One stretch of the network, to compute a picture in parts.

        Args:
            x: what `prepare` returned, or the map that a section `to` the layer `after` returned.
            layers: those of the stretch whose features are wanted.
            after: the layer that `x` belongs to; None for a picture.
            to: where the stretch ends; default the deepest of `layers`.

        Returns:
            Features as `forward` returns them, and the map at the end, before its tap.
        """
        start = 0 if after is None else self.layer_names.index(after) + 1
        ends = [self.layer_names.index(layer) for layer in ([to] if to else layers)]
        found: dict[str, Tensor] = {}
        for layer in self.layer_names[start : max(ends) + 1]:
            x = self._step(layer, x)
            if layer in layers:
                found[layer] = self.taps[layer](x) if self.taps else x
        return found, x

    def reach_px(self, layer: str) -> int:
        """Pixels beyond those under a position of `layer` that its features depend on."""
        through = self.layer_names[: self.layer_names.index(self._known(layer)) + 1]
        return sum(self._strides[name] for name in through if name.startswith("relu"))

    def _step(self, layer: str, x: Tensor) -> Tensor:
        if layer.startswith("pool"):
            # Average pooling halves what max pooling would keep of a ReLU map's energy; Gram
            # targets are computed under the same pooling, so no correction is needed.
            return F.max_pool2d(x, 2) if self.pooling == "max" else F.avg_pool2d(x, 2)
        conv = self.convs[layer.replace("relu", "conv")]
        assert isinstance(conv, nn.Conv2d)
        if self.padding != "zeros":
            x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode=self.padding), conv.weight, conv.bias)
        else:
            x = conv(x)
        # In place: the convolution's own output is needed by nobody else, and this saves a
        # full-size map.
        return (
            F.relu_(x) if not (torch.is_grad_enabled() and conv.weight.requires_grad) else F.relu(x)
        )


def conv_widths(name: str, channels: Sequence[int]) -> dict[str, int]:
    """Width of every convolution of network `name`, given one a block or one a convolution.

    Raises: InputError for another number of widths.
    """
    counts = CONVS_PER_BLOCK[name]
    names = [f"conv{block}_{i + 1}" for block, n in enumerate(counts, start=1) for i in range(n)]
    if len(channels) == len(counts):
        channels = [width for width, n in zip(channels, counts, strict=True) for _ in range(n)]
    if len(channels) != len(names):
        raise InputError(
            f"channels: expected {len(counts)} widths (one a block) or {len(names)} (one a "
            f"convolution), got {len(channels)}"
        )
    return dict(zip(names, channels, strict=True))


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
    """A frozen extractor with trained weights; never with random ones.

    Args:
        name: ``"lite"`` (bundled, offline), ``"vgg19"`` or ``"vgg16"``.
        weights: a local file; for VGG a safetensors or state-dict file under torchvision's names
            (``features.N.weight``), for lite a file written by ``geostyle distill``. Without it
            lite is read from the package and VGG through torchvision's own loader (cached,
            hash-checked, downloaded once).
        pooling, padding: see `FeatureExtractor`.
        device, dtype: where and in which precision the convolutions run.
        channels_last: keep the weights in the memory layout that CPUs and tensor cores prefer.

    Raises:
        InputError: where the weights are missing, damaged or of another network, with what to do
            about it.
    """
    if name == "lite":
        model = _load_lite(weights, pooling, padding)
    else:
        model = FeatureExtractor(name, pooling=pooling, padding=padding)
        state = _read_vgg_state(Path(weights)) if weights is not None else _torchvision_state(name)
        _load_vgg_state(model, state, str(weights or "torchvision"))
    model.requires_grad_(False).eval()
    model.convs.to(dtype=dtype)
    model.taps.to(dtype=dtype)
    model.to(device=device)
    if channels_last:
        model.convs.to(memory_format=torch.channels_last)
    return model


def _load_lite(weights: Path | str | None, pooling: str, padding: str) -> FeatureExtractor:
    if weights is not None:
        tensors, config = load_checkpoint(Path(weights), kind="features", name="weights")
    else:
        with resources.as_file(resources.files("geostyle") / "assets" / LITE_FILE) as path:
            tensors, config = load_checkpoint(path, kind="features")
    return build_lite(
        tensors, config, pooling=pooling, padding=padding, source=str(weights or LITE_FILE)
    )


def build_lite(
    tensors: dict[str, Tensor],
    config: dict[str, Any],
    *,
    pooling: str = "max",
    padding: str = "zeros",
    source: str = "lite",
) -> FeatureExtractor:
    """The `lite` network from the tensors and config of its checkpoint, loaded strictly."""
    try:
        model = FeatureExtractor(
            "lite", channels=config["channels"], pooling=pooling, padding=padding, taps=True
        )
        model.load_state_dict({k: v.float() for k, v in tensors.items()}, strict=True)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        first_line = str(error).splitlines()[0]
        raise InputError(
            f"weights: expected a lite network in {source}, got: {first_line}"
        ) from error
    return model


def _torchvision_state(name: str) -> dict[str, Tensor]:
    from torchvision.models import VGG16_Weights, VGG19_Weights

    weights = (VGG19_Weights if name == "vgg19" else VGG16_Weights).IMAGENET1K_V1
    try:
        return dict(weights.get_state_dict(progress=True, check_hash=True))
    except (
        Exception
    ) as error:  # URLError, HTTPError, hash mismatch (RuntimeError), OSError of the cache
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"features: the {name} weights could not be fetched ({reason}); give a local file with "
            "--weights PATH, or use the bundled network with --features lite"
        ) from error


def _read_vgg_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(f"weights: expected an existing file, got {str(path)!r}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"weights: expected a safetensors or state-dict file, got {str(path)!r} ({reason})"
        ) from error
    if not isinstance(state, dict):
        raise InputError(
            f"weights: expected a state dict in {str(path)!r}, got {type(state).__name__}"
        )
    return state


def _load_vgg_state(model: FeatureExtractor, state: dict[str, Tensor], source: str) -> None:
    """Copy torchvision's ``features.N`` tensors into the named convolutions, strictly."""
    own: dict[str, Tensor] = {}
    index = 0
    for block, n_convs in enumerate(CONVS_PER_BLOCK[model.name], start=1):
        for i in range(1, n_convs + 1):
            for part in ("weight", "bias"):
                key, target = f"features.{index}.{part}", f"convs.conv{block}_{i}.{part}"
                tensor = state.get(key)
                expected = model.state_dict()[target].shape
                if not isinstance(tensor, Tensor) or tensor.shape != expected:
                    came = "nothing" if tensor is None else f"shape {tuple(tensor.shape)}"
                    raise InputError(
                        f"weights: expected {key} of shape {tuple(expected)} for {model.name} in "
                        f"{source}, got {came}"
                    )
                if not torch.isfinite(tensor).all():
                    raise InputError(f"weights: {key} in {source} holds values that are not finite")
                own[target] = tensor.float()
            index += 2  # a ReLU follows each convolution
        index += 1  # a pooling layer ends the block
    unknown = [k for k in state if not re.match(r"(features|classifier)\.\d+\.(weight|bias)$", k)]
    features_seen = sum(k.startswith("features.") for k in state)
    if unknown or features_seen != len(own):
        extra = unknown[0] if unknown else "convolutions of a deeper network"
        raise InputError(f"weights: {source} does not hold {model.name} alone: found {extra}")
    model.load_state_dict(own, strict=True)
