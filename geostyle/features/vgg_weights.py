"""Reading the weights of VGG from torchvision's names, and knowing the files that are around."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, cast

import safetensors.torch
import torch
from torch import Tensor, nn

from geostyle.errors import InputError, expecting, one_line
from geostyle.features.settings import IMAGENET_MEAN, IMAGENET_STD
from geostyle.io.checkpoint import tensor_hash

if TYPE_CHECKING:
    from geostyle.features.extractor import FeatureExtractor

# Start of the SHA-256 of files of weights: torchvision's vgg19 and vgg16, which their names end in.
KNOWN_FILES = ("dcbb9e9d", "397923af")
# Hash of the tensors of the original VGG-19, with the preprocessing of Caffe folded in.
KNOWN_TENSORS = ("52666390df1eaa27",)

# Deviation of weights and of biases in layers of the original VGG-19, by which its files are known;
# that of the first layer where it takes BGR from 0 to 255, as Caffe does, and Caffe's mean colors.
ORIGINAL_VGG19 = {"conv1_2": (0.03988, 0.3089), "conv2_1": (0.02999, 0.1176)}
RAW_DEVIATION = 0.1914
CAFFE_MEAN = (123.68, 116.779, 103.939)

_log = logging.getLogger(__name__)


def load_vgg(network: FeatureExtractor, path: Path | None) -> None:
    """Load weights into a VGG network, strictly, and convert those that Caffe's files hold.

    Args:
        path: a safetensors or state-dict file under torchvision's names (``features.N.weight``);
            None for torchvision's own loader.

    Raises: InputError where the weights are missing, damaged or of another network.
    """
    state = _torchvision_state(network.name) if path is None else _read_state(path)
    _load_state(network, state, str(path or "torchvision"))
    if _takes_bgr(network):
        _log.warning("weights: %s is Caffe's, for BGR from 0 to 255; converted to RGB", path)
        _fold_caffe(cast(nn.Conv2d, network.convs["conv1_1"]))
    elif path is not None and not _is_known(path, network):
        _log.warning(
            "weights: %s is not known as %s, though its shapes fit; it must take RGB as "
            "torchvision's does: files from Caffe, in BGR, give wrong features", path, network.name,
        )  # fmt: skip


def _takes_bgr(network: FeatureExtractor) -> bool:
    """Return True for the weights of the original VGG-19 as Caffe holds them."""

    def deviations(layer: str) -> list[float]:
        conv = cast(nn.Conv2d, network.convs[layer])
        assert conv.bias is not None
        return [float(conv.weight.detach().std()), float(conv.bias.detach().std())]

    found = [deviations("conv1_1")[0], *(v for k in ORIGINAL_VGG19 for v in deviations(k))]
    wanted = [RAW_DEVIATION, *(v for pair in ORIGINAL_VGG19.values() for v in pair)]
    pairs = zip(found, wanted, strict=True)
    return network.name == "vgg19" and all(abs(a - b) < 0.01 * b for a, b in pairs)


@torch.no_grad()
def _fold_caffe(conv: nn.Conv2d) -> None:
    """Make a first layer for Caffe's colors, 255 (ours · std + mean) - its mean, one for ours."""
    weight, std = conv.weight.flip(1), torch.tensor(IMAGENET_STD)
    shift = 255 * torch.tensor(IMAGENET_MEAN) - torch.tensor(CAFFE_MEAN)
    assert conv.bias is not None
    conv.bias += (weight * shift[:, None, None]).sum((1, 2, 3))
    conv.weight.copy_(weight * (255 * std)[:, None, None])


def _is_known(path: Path, network: FeatureExtractor) -> bool:
    """Return True for torchvision's weights and others that are known, by their hash."""
    if tensor_hash(network.convs.state_dict())[:16] in KNOWN_TENSORS:
        return True
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:8] in KNOWN_FILES


def _torchvision_state(name: str) -> dict[str, Tensor]:
    from torchvision.models import VGG16_Weights, VGG19_Weights

    weights = (VGG19_Weights if name == "vgg19" else VGG16_Weights).IMAGENET1K_V1
    try:
        return dict(weights.get_state_dict(progress=True, check_hash=True))
    except Exception as error:  # of the network, the cache, or another hash
        raise InputError(
            f"features: the {name} weights could not be fetched ({one_line(error)}); give a local "
            "file with --weights PATH, or use the bundled network with --features lite"
        ) from error


def _read_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(f"weights: expected an existing file, got {str(path)!r}")
    with expecting(f"weights: expected a safetensors or state-dict file at {str(path)!r}"):
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        return dict(torch.load(path, map_location="cpu", weights_only=True).items())


def _load_state(network: FeatureExtractor, state: dict[str, Tensor], source: str) -> None:
    """Copy torchvision's ``features.N`` tensors into the named convolutions, strictly."""
    names, index = {}, 0
    for layer in network.layer_names:
        if layer.startswith("relu"):
            for part in ("weight", "bias"):
                conv = layer.replace("relu", "conv")
                names[f"features.{index}.{part}"] = f"convs.{conv}.{part}"
        index += 2 if layer.startswith("relu") else 1  # a convolution and its ReLU, or a pooling
    with expecting(f"weights: expected those of {network.name} in {source}"):
        own = {
            names.get(key, key): value.float()
            for key, value in state.items()
            if not key.startswith("classifier.")
        }
        network.load_state_dict(own, strict=True)
    for key, value in own.items():
        if not torch.isfinite(value).all():
            raise InputError(f"weights: {key} in {source} holds values that are not finite")
