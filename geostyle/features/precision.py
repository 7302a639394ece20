"""The choice between bfloat16 and float32, by a quick timing on this machine."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from geostyle.device import resolve_precision
from geostyle.features.extractor import FeatureExtractor

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
PROBE_PX = {"cpu": 96, "cuda": 256}
REPEATS = 2
# The least gain that is worth rounding, and the least agreement of the gradients.
MIN_SPEEDUP, MIN_COSINE = 1.1, 0.98


@dataclass(frozen=True)
class Probe:
    """The result of a timing.

    Attributes:
        float32_s, bfloat16_s: seconds of one evaluation with its gradient.
        cosine: of the two gradients with respect to the picture.
        dtype: bfloat16 where it is faster and the gradients agree, else float32.
    """

    float32_s: float
    bfloat16_s: float
    cosine: float
    dtype: torch.dtype

    def __str__(self) -> str:
        return (
            f"bfloat16 {1e3 * self.bfloat16_s:.0f} ms, float32 {1e3 * self.float32_s:.0f} ms, "
            f"gradients' cosine {self.cosine:.3f}"
        )


_known: dict[tuple[object, ...], Probe] = {}


def in_precision(
    network: FeatureExtractor, precision: str
) -> tuple[FeatureExtractor, Probe | None]:
    """Return the network in "float32", "bfloat16", or ("auto") in the better of the two.

    Args:
        network: in float32; it is not changed.
        precision: "auto" tries bfloat16 only on hardware that claims to compute in it, and times
            each network once per process, so that all runs of one process are computed alike.

    Returns: the network, and the timing; None where nothing was timed.
    Raises: InputError when the precision is unknown.
    """
    device = network.mean.device
    if resolve_precision(precision, device) == torch.float32:
        return network, None
    rounded = copy.deepcopy(network).compute_in(torch.bfloat16)
    if precision != "auto":
        return rounded, None
    widths = tuple(network.channels(layer) for layer in network.layer_names)
    key = (network.name, widths, network.pooling, str(device), torch.get_num_threads())
    if key not in _known:
        slow_s, exact = _timed(network)
        fast_s, other = _timed(rounded)
        cosine = float(F.cosine_similarity(exact.flatten(), other.flatten(), dim=0))
        pays = slow_s >= MIN_SPEEDUP * fast_s and cosine >= MIN_COSINE  # False for NaN
        dtype = torch.bfloat16 if pays else torch.float32
        _known[key] = Probe(slow_s, fast_s, cosine, dtype)
    probe = _known[key]
    return (network if probe.dtype == torch.float32 else rounded), probe


def _timed(network: FeatureExtractor) -> tuple[float, Tensor]:
    """Return the seconds of the fastest of a few evaluations, and the gradient."""
    device = network.mean.device
    side = PROBE_PX.get(device.type, 96)
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(1, 3, side // 4, side // 4, generator=generator)
    image = F.interpolate(noise, (side, side), mode="bilinear").to(device)
    fastest, gradient = float("inf"), image
    for repeat in range(1 + REPEATS):  # the first one warms up
        pixels = image.clone().requires_grad_()
        started = time.perf_counter()
        found = network(pixels, LAYERS)
        # The logarithm makes every layer count alike, whatever its scale.
        loss = torch.stack([maps.float().pow(2).mean().log() for maps in found.values()]).sum()
        (gradient,) = torch.autograd.grad(loss, pixels)
        float(gradient.sum())  # waits for the device
        if repeat:
            fastest = min(fastest, time.perf_counter() - started)
    return fastest, gradient
