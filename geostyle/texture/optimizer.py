"""The optimizer of pictures: L-BFGS or Adam on pixels; returns the best picture seen."""

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
from geostyle.texture.interrupts import StopPainting
from geostyle.texture.settings import OptimizerSettings

Objective = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
# A penalty keeps pixels in [0, 1]; clamping would cut their gradient off.
RANGE_PENALTY = 10.0
# Relative step lengths along gray, red − blue and red − 2 green + blue.
COLOR_AXES = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (1.0, -2.0, 1.0))
COLOR_GAINS = (1.0, 0.5, 0.4)
FIRST_STEP = 0.01
PLATEAU_WINDOW = 10
MAX_NOT_FINITE = 3


class NotFiniteError(GeostyleError):
    """The loss became NaN or infinite; `best` is the last good picture."""

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
class Optimized:
    """Outcome of `optimize`.

    Attributes:
        image: the best picture seen, in [0, 1].
        steps: every step's figures.
        interrupted: whether it was cut short.
        ctrl_c: the KeyboardInterrupt that did it, unless it was a `StopPainting`.
    """

    image: Tensor
    steps: list[Step]
    interrupted: bool
    ctrl_c: KeyboardInterrupt | None = None


class Stepper(Protocol):
    """Chooses the next picture from the loss and gradient at the one just evaluated."""

    def next(self, image: Tensor, loss: float, gradient: Tensor) -> Tensor: ...


class Lbfgs:
    """Limited-memory BFGS with backtracking, one evaluation per step.

    Args:
        history: number of stored vector pairs.
        precondition: symmetric positive definite map of flat vectors, the initial inverse Hessian
            up to scale; default the identity.

    A trial point is accepted when its loss is at most the highest of the last three accepted ones:
    monotone descent would waste evaluations where unit steps overshoot a little. Otherwise the
    step is shortened by a quadratic fit.

    Source: Nocedal & Wright, "Numerical Optimization", algorithm 7.4; Grippo et al. 1986 for the
        acceptance rule.
    """

    def __init__(
        self, history: int, precondition: Callable[[Tensor], Tensor] = lambda vector: vector
    ) -> None:
        self.history, self.precondition = history, precondition
        # Slots of the stored pairs, oldest first, and 1 / (s · y) of each. The vectors are rows of
        # two buffers that are written in place; one slot is spare, for the newest pair.
        self.slots: list[int] = []
        self.rho = [0.0] * (history + 1)
        self.s = self.y = torch.empty(0)
        self.accepted: deque[float] = deque(maxlen=3)
        self.point: Tensor | None = None
        self.gradient: Tensor
        self.direction: Tensor
        self.loss = math.inf
        self.step_size = 1.0

    def next(self, image: Tensor, loss: float, gradient: Tensor) -> Tensor:
        """The next trial point, of the shape of `image`, given its loss and gradient."""
        if self.point is not None:
            if not loss <= max(self.accepted):  # also where loss is NaN
                return self._shorter(loss).view_as(image)
            self._remember(image.view(-1), self.point, gradient.view(-1))
        self.point, self.gradient, self.loss = image.view(-1), gradient.view(-1), loss
        self.accepted.append(loss)
        self.direction = self._direction()
        self.slope = _dot(self.direction, self.gradient)
        self.step_size = 1.0
        if not self.slots:
            # The curvature is not known yet: move pixels by FIRST_STEP on average.
            scale = float(self.direction.abs().mean())
            self.step_size = FIRST_STEP / scale if scale > 0 else 0.0
        return self._trial().view_as(image)

    def _trial(self) -> Tensor:
        assert self.point is not None
        return torch.add(self.point, self.direction, alpha=self.step_size)

    def _shorter(self, loss: float) -> Tensor:
        factor = 0.1
        if math.isfinite(loss):
            # Minimum of the parabola through f(0), f'(0) and f(step).
            rise = loss - self.loss - self.step_size * self.slope
            factor = min(0.5, max(0.1, -self.slope * self.step_size / (2 * rise)))
        self.step_size *= factor
        if self.step_size < 1e-3 and self.slots:
            # The stored curvature does not hold here: drop it and descend along the gradient.
            self.slots.clear()
            self.accepted.clear()
            self.accepted.append(self.loss)
            self.direction = self._direction()
            self.slope = _dot(self.direction, self.gradient)
            self.step_size = 0.1 * FIRST_STEP / float(self.direction.abs().mean().clamp_min(1e-30))
        return self._trial()

    def _remember(self, point: Tensor, before: Tensor, gradient: Tensor) -> None:
        if not len(self.s):
            shape = self.history + 1, len(point)
            self.s, self.y = point.new_empty(shape), point.new_empty(shape)
        slot = next(i for i in range(self.history + 1) if i not in self.slots)
        s, y = self.s[slot], self.y[slot]
        torch.sub(point, before, out=s)
        torch.sub(gradient, self.gradient, out=y)
        curvature, energy = _dot(s, y), _dot(y, self.precondition(y))
        # Only pairs of positive curvature keep the approximation positive definite.
        if curvature > 1e-10 * energy * FIRST_STEP:
            self.slots = [*self.slots, slot][-self.history :]
            self.rho[slot] = 1 / curvature
            self.scale = curvature / energy

    def _direction(self) -> Tensor:
        """−H·gradient by the two-loop recursion."""
        q = -self.gradient
        alphas = {}
        for i in reversed(self.slots):
            alphas[i] = self.rho[i] * _dot(self.s[i], q)
            q.sub_(self.y[i], alpha=alphas[i])
        q = self.precondition(q)
        if self.slots:
            q.mul_(self.scale)
        for i in self.slots:
            beta = self.rho[i] * _dot(self.y[i], q)
            q.add_(self.s[i], alpha=alphas[i] - beta)
        return q


class Adam:
    """Adam on pixels, its step size falling to a tenth along a cosine.

    Args:
        lr: first step size, in pixel values.
        steps: length of the cosine.
    """

    def __init__(self, lr: float, steps: int) -> None:
        self.lr, self.steps, self.taken = lr, steps, 0
        self.optimizer: torch.optim.Adam | None = None

    def next(self, image: Tensor, loss: float, gradient: Tensor) -> Tensor:
        """The next picture, of the shape of `image`."""
        if self.optimizer is None or not math.isfinite(loss):
            self.pixels = image.clone()
            self.optimizer = torch.optim.Adam(
                [self.pixels], lr=self.lr, betas=(0.9, 0.99), fused=image.device.type != "mps"
            )
            if not math.isfinite(loss):
                return image
        phase = math.pi * min(1.0, self.taken / max(1, self.steps))
        self.optimizer.param_groups[0]["lr"] = self.lr * (0.55 + 0.45 * math.cos(phase))
        self.pixels.grad = gradient
        self.optimizer.step()
        self.taken += 1
        return self.pixels.clone()


def optimize(
    start: Tensor,
    objective: Objective,
    steps: int,
    optimizer: OptimizerSettings | None = None,
    *,
    stop: int | None = None,
    deadline: float | None = None,
    on_step: Callable[[Step, Tensor], None] = lambda step, image: None,
) -> Optimized:
    """Minimize `objective` over a picture, one evaluation per step.

    Args:
        start: (B, 3, H, W), the picture to begin from; not changed.
        objective: picture → (total, style, content), scalars.
        steps: evaluations at most.
        optimizer: method and plateau; see `OptimizerSettings`.
        stop: evaluations after which to stop all the same; `steps` then only sets Adam's pace.
        deadline: value of ``time.monotonic()`` after which no further step begins.
        on_step: receives each step and the picture it evaluated; a KeyboardInterrupt raised here or
            anywhere in between ends the run with the best picture so far.

    Returns: the best picture seen (the last one where the optimizer says so), clamped to [0, 1].
    Raises: NotFiniteError when the objective is NaN or infinite three times in a row.
    """
    optimizer = optimizer or OptimizerSettings()
    stepper = optimizer.stepper(start, steps)
    image = start.detach().clone().contiguous()
    best, best_total = image, math.inf
    taken: list[Step] = []
    started = time.monotonic()
    most = steps if stop is None else min(steps, stop)
    not_finite = 0
    interrupted, ctrl_c = False, None
    try:
        while len(taken) + not_finite < most:
            if deadline is not None and time.monotonic() > deadline:
                break
            figures, value, gradient = _evaluate(objective, image)
            # One value that is not finite makes the sum not finite.
            if math.isfinite(value) and math.isfinite(float(gradient.sum())):
                not_finite = 0
                if value < best_total or not optimizer.keeps_best:
                    best, best_total = image, value
                taken.append(Step(len(taken), *figures, time.monotonic() - started))
                on_step(taken[-1], image)
            else:
                not_finite += 1
                if not_finite == MAX_NOT_FINITE or not taken:
                    raise NotFiniteError(f"loss is not finite at step {len(taken)}", best)
                value = math.inf
                image = best
            if len(taken) + not_finite == most or _flat(taken, optimizer.plateau):
                break
            image = stepper.next(image, value, gradient)
    except KeyboardInterrupt as error:
        interrupted, ctrl_c = True, None if isinstance(error, StopPainting) else error
    return Optimized(best.clamp(0, 1), taken, interrupted, ctrl_c)


def smoother(like: Tensor) -> Callable[[Tensor], Tensor]:
    """A preconditioner for pictures shaped as `like`: divides each frequency f by f, damps color.

    A finished picture differs from its start most in low frequencies and in gray: with a power of
    1/f², and of a tenth and a thirtieth along the two axes of color (five pairs at 512 px under
    `lite`, 200 steps). L-BFGS begins with the root of that. Frequencies below one cycle per picture
    count as one cycle.

    Returns: a map of flat vectors.

    Source: Olah, Mordvintsev, Schubert, "Feature Visualization", 2017: preconditioning by spectrum
        and by decorrelated color.
    Differs: the gradient is divided by f, not f²; f^1.5 gained less.
    """
    height, width = like.shape[-2:]
    down = torch.fft.fftfreq(height, dtype=like.dtype, device=like.device)[:, None]
    across = torch.fft.rfftfreq(width, dtype=like.dtype, device=like.device)[None]
    frequencies = (down.square() + across.square()).sqrt()
    weights = 1 / frequencies.clamp_min(1 / max(height, width))
    axes = torch.nn.functional.normalize(like.new_tensor(COLOR_AXES))
    color = axes.T @ torch.diag(like.new_tensor(COLOR_GAINS)) @ axes

    def apply(vector: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(vector.view_as(like)) * weights
        smooth = torch.fft.irfft2(spectrum, s=(height, width))
        return torch.einsum("ij,bjhw->bihw", color, smooth).reshape(-1)

    return apply


def _evaluate(
    objective: Objective, image: Tensor
) -> tuple[tuple[float, float, float], float, Tensor]:
    """(total, style, content), the total with the penalty on range, and its gradient."""
    pixels = image.detach().requires_grad_(True)
    total, style, content = objective(pixels)
    if total.requires_grad:
        (gradient,) = torch.autograd.grad(total, pixels)
        # The network's memory layout would slow down what follows.
        gradient = gradient.contiguous()
    else:  # every weight is zero
        gradient = torch.zeros_like(image)
    figures = float(total.detach()), float(style.detach()), float(content.detach())
    excess = image - image.clamp(0, 1)
    slope = 2 * RANGE_PENALTY / image.numel()
    flat = excess.view(-1)
    value = figures[0] + slope / 2 * _dot(flat, flat)
    return figures, value, torch.add(gradient, excess, alpha=slope)


def _dot(a: Tensor, b: Tensor) -> float:
    return float(torch.dot(a, b))


def _flat(taken: list[Step], share: float) -> bool:
    if not share or len(taken) <= PLATEAU_WINDOW:
        return False
    before = min(s.total for s in taken[:-PLATEAU_WINDOW])
    now = min(s.total for s in taken)
    return now >= before * (1 - share)
