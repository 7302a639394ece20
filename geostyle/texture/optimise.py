"""The optimiser of pictures: L-BFGS or Adam on pixels, keeping the best picture it has seen."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from geostyle.errors import GeostyleError

Objective = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
# Pixels outside [0, 1] cannot be saved; a penalty keeps them inside without the dead gradient of
# clamping.
RANGE_PENALTY = 10.0
FIRST_STEP = 0.01
PLATEAU_WINDOW = 10
MAX_NOT_FINITE = 3


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


class Stepper(Protocol):
    """Chooses the next picture from the loss and gradient at the one just evaluated."""

    def next(self, image: Tensor, loss: float, gradient: Tensor) -> Tensor: ...


class Lbfgs:
    """Limited-memory BFGS with backtracking, one evaluation a step.

    Args:
        history: pairs of vectors remembered.

    A trial point is accepted when it is below the highest of the last three accepted losses
    (monotone descent wastes evaluations where unit steps overshoot a little); otherwise the step is
    shortened by a quadratic fit.

    Source: Nocedal & Wright, "Numerical Optimization", algorithm 7.4; Grippo et al. 1986 for the
        acceptance rule.
    """

    def __init__(self, history: int) -> None:
        self.pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=history)
        self.accepted: deque[float] = deque(maxlen=3)
        self.point: Tensor | None = None
        self.gradient: Tensor
        self.loss = math.inf
        self.step_size = 1.0

    def next(self, image: Tensor, loss: float, gradient: Tensor) -> Tensor:
        """The next trial point, of the shape of `image`, given its loss and gradient."""
        if self.point is not None and not loss <= max(self.accepted):  # also where loss is NaN
            return self._shorter(loss)
        if self.point is not None:
            s, y = image - self.point, gradient - self.gradient
            curvature = float((s * y).sum())
            # Only pairs of positive curvature keep the approximation positive definite.
            if curvature > 1e-10 * float(y.pow(2).sum()) * FIRST_STEP:
                self.pairs.append((s, y, 1 / curvature))
        self.point, self.gradient, self.loss = image.clone(), gradient.clone(), loss
        self.accepted.append(loss)
        self.direction = self._direction()
        self.slope = float((self.direction * gradient).sum())
        self.step_size = 1.0
        if not self.pairs:
            # Nothing is known of the curvature yet: move the pixels a little, on average.
            scale = float(self.direction.abs().mean())
            self.step_size = FIRST_STEP / scale if scale > 0 else 0.0
        return self.point + self.step_size * self.direction

    def _shorter(self, loss: float) -> Tensor:
        assert self.point is not None
        factor = 0.1
        if math.isfinite(loss):
            # Minimum of the parabola through f(0), f'(0) and f(step).
            rise = loss - self.loss - self.step_size * self.slope
            factor = min(0.5, max(0.1, -self.slope * self.step_size / (2 * rise)))
        self.step_size *= factor
        if self.step_size < 1e-3 and self.pairs:
            # The remembered curvature misleads here: forget it and descend along the gradient.
            self.pairs.clear()
            self.accepted.clear()
            self.accepted.append(self.loss)
            self.direction = -self.gradient
            self.slope = -float(self.gradient.pow(2).sum())
            self.step_size = 0.1 * FIRST_STEP / float(self.gradient.abs().mean().clamp_min(1e-30))
        return self.point + self.step_size * self.direction

    def _direction(self) -> Tensor:
        """−H·gradient by the two-loop recursion."""
        q = -self.gradient
        alphas = []
        for s, y, rho in reversed(self.pairs):
            alpha = rho * float((s * q).sum())
            q = q - alpha * y
            alphas.append(alpha)
        if self.pairs:
            _, y, rho = self.pairs[-1]
            q = q / (rho * float(y.pow(2).sum()))
        for (s, y, rho), alpha in zip(self.pairs, reversed(alphas), strict=True):
            beta = rho * float((y * q).sum())
            q = q + (alpha - beta) * s
        return q


class Adam:
    """Adam on pixels, its step size falling to a tenth along a cosine.

    Args:
        lr: first step size, in pixel values.
        steps: length of the cosine.
    """

    def __init__(self, lr: float, steps: int) -> None:
        self.lr, self.steps, self.taken = lr, steps, 0
        self.optimiser: torch.optim.Adam | None = None

    def next(self, image: Tensor, loss: float, gradient: Tensor) -> Tensor:
        """The next picture, of the shape of `image`."""
        if self.optimiser is None or not math.isfinite(loss):
            self.pixels = image.clone()
            self.optimiser = torch.optim.Adam([self.pixels], lr=self.lr, betas=(0.9, 0.99))
            if not math.isfinite(loss):
                return image
        phase = math.pi * min(1.0, self.taken / max(1, self.steps))
        self.optimiser.param_groups[0]["lr"] = self.lr * (0.55 + 0.45 * math.cos(phase))
        self.pixels.grad = gradient
        self.optimiser.step()
        self.taken += 1
        return self.pixels.clone()


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
        method: ``"lbfgs"`` or ``"adam"``.
        history: vector pairs of L-BFGS.
        lr: Adam's first step size, in pixel values.
        plateau: stop when the best total of the last 10 steps gained less than this share
            (0: never).
        deadline: value of ``time.monotonic()`` after which no further step begins.
        on_step: receives each step and the picture it evaluated; a KeyboardInterrupt raised here or
            anywhere in between ends the run with the best picture so far.

    Raises:
        NotFiniteError: when the objective is NaN or infinite three times in a row.
    """
    stepper: Stepper = Adam(lr, steps) if method == "adam" else Lbfgs(history)
    image = start.detach().clone().contiguous()
    best, best_total = image, math.inf
    taken: list[Step] = []
    started = time.monotonic()
    not_finite = 0
    interrupted = False
    try:
        while len(taken) + not_finite < steps:
            if deadline is not None and time.monotonic() > deadline:
                break
            pixels = image.requires_grad_(True)
            total, style, content = objective(pixels)
            loss = total + RANGE_PENALTY * (pixels - pixels.clamp(0, 1)).pow(2).mean()
            (gradient,) = torch.autograd.grad(loss, pixels)
            image = image.detach()
            value = float(loss.detach())
            figures = float(total.detach()), float(style.detach()), float(content.detach())
            if math.isfinite(value) and bool(torch.isfinite(gradient).all()):
                not_finite = 0
                if value < best_total:
                    best, best_total = image, value
                taken.append(Step(len(taken), *figures, time.monotonic() - started))
                on_step(taken[-1], image)
            else:
                not_finite += 1
                if not_finite == MAX_NOT_FINITE or not taken:
                    raise NotFiniteError(f"loss is not finite at step {len(taken)}", best)
                value = math.inf
                image = best
            image = stepper.next(image, value, gradient)
            if plateau and _flat(taken, plateau):
                break
    except KeyboardInterrupt:
        interrupted = True
    return Optimised(best.clamp(0, 1), taken, interrupted)


def _flat(taken: list[Step], share: float) -> bool:
    if len(taken) <= PLATEAU_WINDOW:
        return False
    before = min(s.total for s in taken[:-PLATEAU_WINDOW])
    now = min(s.total for s in taken)
    return now >= before * (1 - share)
