"""The networks of a transfer: which ones, in which precision."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from geostyle.device import resolve_device
from geostyle.features.extractor import FeatureExtractor, load_features
from geostyle.features.precision import Probe, in_precision
from geostyle.pipeline.settings import TransferSettings


@dataclass(frozen=True)
class Networks:
    """The networks of the two stages; often one and the same.

    Attributes:
        geometry: network whose features the warp is estimated from; None until it is needed.
        texture: one network, or two in the order in which they paint; empty until needed.
        probes: the timings that chose their precision, where there were any.
    """

    geometry: FeatureExtractor | None = None
    texture: tuple[FeatureExtractor, ...] = ()
    probes: tuple[Probe, ...] = ()

    @property
    def precision(self) -> str:
        """The setting that names the precisions in use: "bfloat16", or "float32+bfloat16"."""
        return "+".join(dict.fromkeys(map(_precision, self.texture)))

    def describe(self) -> dict[str, str]:
        """Name, precision and device of each network, and the timings."""
        stages = {"geometry": [self.geometry] if self.geometry else [], "texture": self.texture}
        texts = {
            stage: "; ".join(f"{n.name}, {_precision(n)}, {n.mean.device}" for n in networks)
            for stage, networks in stages.items()
        }
        texts["precision"] = "; ".join(map(str, self.probes))
        return {name: text for name, text in texts.items() if text}

    def load(self, settings: TransferSettings, *, geometry: bool, texture: bool) -> Networks:
        """These networks and those of the stages asked for, one where it serves both stages."""
        have, names, pooling = self, settings.features.split("+"), settings.pooling
        device = resolve_device(settings.device)

        def load(name: str, pooling: str) -> FeatureExtractor:
            # `weights` is the file of the last network; others are bundled.
            weights = settings.weights if name == names[-1] else None
            return load_features(name, weights=weights, pooling=pooling, device=device)

        # The warp is found in float32 with max pooling, on the first network: on photographs of
        # objects its warps are as good as VGG-19's, and take a fifth of the time.
        if geometry and have.geometry is None:
            painter = have.texture[0] if have.texture and pooling == "max" else None
            same = painter is not None and painter.dtype == torch.float32
            have = replace(have, geometry=painter if same else load(names[0], "max"))
        if texture and not have.texture:
            shared = have.geometry if pooling == "max" else None
            painters = [shared or load(names[0], pooling)]
            painters += [load(name, pooling) for name in names[1:]]
            wanted = settings.precision.split("+") * 2
            found = [in_precision(*pair) for pair in zip(painters, wanted, strict=False)]
            probes = tuple(probe for _, probe in found if probe is not None)
            have = Networks(have.geometry, tuple(painter for painter, _ in found), probes)
        return have


def _precision(network: FeatureExtractor) -> str:
    return str(network.dtype).removeprefix("torch.")
