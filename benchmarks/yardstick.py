"""The recipe of texture transfer that everybody knows, as a yardstick for ours.

One scale, float32, contiguous memory, torch's own L-BFGS (or Adam) from the content, and the
scorer's own layers and weights, so that its loss is the scorer's total.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor

from geostyle.features import FeatureExtractor
from geostyle.texture.objective import TextureObjective

METHODS = {"yardstick": "lbfgs", "yardstick adam": "adam"}
ADAM_LR = 0.02


def plain_transfer(
    content: Tensor, style: Tensor, network: FeatureExtractor, method: str, evaluations: int
) -> tuple[Tensor, list[tuple[float, float]]]:
    """Repaint `content` the plain way.

    Args:
        content: (1, 3, H, W), sRGB in [0, 1]; also the start.
        style: (1, 3, h, w), at the scale its texture is wanted.
        network: in float32 and contiguous.
        method: ``"lbfgs"`` or ``"adam"``.
        evaluations: of the loss and its gradient.

    Returns: the picture of the last evaluation, unclamped, and of every evaluation (loss, seconds
        since the first began).
    """
    objective = TextureObjective(network, [style], content)
    image = content.clone().requires_grad_(True)
    seen: list[tuple[float, float]] = []
    evaluated = [content]
    started = time.perf_counter()

    def closure() -> Tensor:
        optimiser.zero_grad()
        total, _, _ = objective(image)
        total.backward()
        seen.append((float(total.detach()), time.perf_counter() - started))
        if len(seen) == evaluations:
            evaluated[0] = image.detach().clone()
        return total

    optimiser: torch.optim.Optimizer
    if method == "lbfgs":
        optimiser = torch.optim.LBFGS(
            [image],
            max_iter=evaluations,
            max_eval=evaluations,
            tolerance_change=0,
            tolerance_grad=0,
        )
        optimiser.step(closure)
    else:
        optimiser = torch.optim.Adam([image], lr=ADAM_LR)
        for _ in range(evaluations):
            optimiser.step(closure)
    return evaluated[0], seen
