"""The optimiser of pictures: L-BFGS or Adam on pixels, keeping the best picture it has seen."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from geostyle.errors import GeostyleError

Objective = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
# Pixels outside [0, 1] cannot be saved; a penalty keeps them inside without the dead gradient of
# clamping.
RANGE_PENALTY = 10.0
# L-BFGS without a line search may overshoot; a total this many times the best means it has.
DIVERGED = 2.0
PLATEAU_WINDOW = 10


class NotFiniteError(GeostyleError):
    """The loss stopped being a number; `best` is the last good picture."""

    def __init__(self, message: str, best: Tensor) -> None:
        super().__init__(message)
        self.best = best


@dataclass(frozen=True)
class Step:
    """One evaluation of the objective: its number, the terms, and seconds since the start."""

    step: int
    total: float
    style: float
    content: float
    seconds: float


@dataclass(frozen=True)
class Optimised:
    """Outcome of `optimise`: the best picture seen, in [0, 1], and every step's figures."""

    image: Tensor
    steps: list[Step]
    interrupted: bool


def optimise(
    start: Tensor,
    objective: Objective,
    steps: int,
    *,
    method: str = "lbfgs",
    history: int = 10,
    lr: float = 0.03,
    plateau: float = 0.0,
    deadline: float | None = None,
    on_step: Callable[[Step, Tensor], None] = lambda step, image: None,
) -> Optimised:
    """Minimise `objective` over the pixels, one evaluation a step.

    Args:
        start: (B, 3, H, W), the picture to begin from; not changed.
        objective: picture → (total, style, content), scalars.
        steps: evaluations at most.
        method: ``"lbfgs"`` (fixed unit step, restarted from the best picture when it diverges) or
            ``"adam"`` (step size falling to a tenth along a cosine).
        history: vector pairs of L-BFGS.
        lr: Adam's first step size, in pixel values.
        plateau: stop when the best total of the last 10 steps gained less than this share (0:
            never).
        deadline: value of ``time.monotonic()`` after which no further step begins.
        on_step: receives each step and the picture it evaluated; a KeyboardInterrupt raised here or
            anywhere in between ends the run with the best picture so far.

    Raises:
        NotFiniteError: when the objective is NaN or infinite for a finite picture twice in a row.
    """
    image = start.detach().clone().contiguous().requires_grad_(True)
    best, best_total = start.detach().clone(), math.inf
    taken: list[Step] = []
    started = time.monotonic()
    optimiser = _make(method, image, history, lr)
    restarts = 0
    interrupted = False

    def closure() -> Tensor:
        optimiser.zero_grad(set_to_none=True)
        total, style, content = objective(image)
        loss = total + RANGE_PENALTY * (image - image.clamp(0, 1)).pow(2).mean()
        loss.backward()
        latest[:] = [float(total.detach()), float(style.detach()), float(content.detach())]
        return loss

    latest = [math.inf] * 3
    try:
        while len(taken) < steps and not (deadline is not None and time.monotonic() > deadline):
            if method == "adam":
                for group in optimiser.param_groups:
                    group["lr"] = lr * (
                        0.55 + 0.45 * math.cos(math.pi * len(taken) / max(1, steps))
                    )
            seen = image.detach().clone()  # the picture this step evaluates, before it is moved
            optimiser.step(closure)  # type: ignore[arg-type]
            total, style, content = latest
            if not math.isfinite(total) or (method == "lbfgs" and total > DIVERGED * best_total):
                if not math.isfinite(total) and restarts >= 2:
                    raise NotFiniteError(f"loss is not finite at step {len(taken)}", best)
                restarts += 1
                with torch.no_grad():
                    image.copy_(best)
                optimiser = _make(method, image, history, lr)
            elif total < best_total:
                best, best_total = seen, total
            if math.isfinite(total):
                taken.append(Step(len(taken), total, style, content, time.monotonic() - started))
                on_step(taken[-1], seen)
            if plateau and _flat(taken, plateau):
                break
    except KeyboardInterrupt:
        interrupted = True
    return Optimised(best.clamp(0, 1), taken, interrupted)


def _make(method: str, image: Tensor, history: int, lr: float) -> torch.optim.Optimizer:
    if method == "adam":
        return torch.optim.Adam([image], lr=lr, betas=(0.9, 0.99))
    # One iteration a call, so that every evaluation is a step with its own callback and deadline.
    return torch.optim.LBFGS(
        [image], lr=1.0, max_iter=1, history_size=history, tolerance_grad=0, tolerance_change=0
    )


def _flat(taken: list[Step], share: float) -> bool:
    if len(taken) <= PLATEAU_WINDOW:
        return False
    before = min(s.total for s in taken[:-PLATEAU_WINDOW])
    now = min(s.total for s in taken)
    return now > before * (1 - share)
