"""The plain recipe of texture transfer, as a yardstick for ours.

One scale, float32, contiguous memory, torch's L-BFGS (or Adam) from the content, and the scorer's
layers and weights, so that its loss is the scorer's total.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor

from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.objective import TextureObjective

METHODS = {
    "yardstick": "lbfgs",
    "yardstick adam": "adam",
    "yardstick clamped": "lbfgs clamped",
}
ADAM_LR = 0.02


def plain_transfer(
    content: Tensor,
    style: Tensor,
    network: FeatureExtractor,
    method: str,
    evaluations: int,
    every: int = 0,
) -> tuple[Tensor, list[tuple[float, float]], list[tuple[int, float, float]]]:
    """Repaint `content` by the plain recipe.

    Args:
        content: (1, 3, H, W), sRGB in [0, 1]; also the start.
        style: (1, 3, h, w), at the scale of the wanted texture.
        network: in float32 and contiguous.
        method: ``"lbfgs"``, ``"adam"``, or ``"lbfgs clamped"``, which holds the picture to [0, 1]
            before every evaluation, as some tutorials do, unknown to L-BFGS.
        evaluations: of the loss and its gradient.
        every: evaluations between two scorings; 0 for none.

    Returns: the picture of the last evaluation, unclamped; (loss, seconds) of every evaluation, the
        seconds since the first began, without scoring; (evaluations done, total of the picture as
        it would be saved, seconds) of every scored evaluation, the last one among them.
    """
    objective = TextureObjective(network, [style], content)
    image = content.clone().requires_grad_(True)
    seen: list[tuple[float, float]] = []
    scored: list[tuple[int, float, float]] = []
    evaluated = [content]
    scoring, started = 0.0, time.perf_counter()

    def closure() -> Tensor:
        nonlocal scoring
        if method == "lbfgs clamped":
            with torch.no_grad():
                image.clamp_(0, 1)
        optimizer.zero_grad()
        total, _, _ = objective(image)
        total.backward()
        now = time.perf_counter()
        seen.append((float(total.detach()), now - started - scoring))
        if every and (len(seen) % every == 0 or len(seen) in (1, evaluations)):
            with torch.no_grad():
                saved, _, _ = objective(image.clamp(0, 1))
            scored.append((len(seen), float(saved), seen[-1][1]))
            scoring += time.perf_counter() - now
        if len(seen) == evaluations:
            evaluated[0] = image.detach().clone()
        return total

    optimizer: torch.optim.Optimizer
    if method != "adam":
        optimizer = torch.optim.LBFGS(
            [image],
            max_iter=evaluations,
            max_eval=evaluations,
            tolerance_change=0,
            tolerance_grad=0,
        )
        optimizer.step(closure)
    else:
        optimizer = torch.optim.Adam([image], lr=ADAM_LR)
        for _ in range(evaluations):
            optimizer.step(closure)
    return evaluated[0], seen, scored
