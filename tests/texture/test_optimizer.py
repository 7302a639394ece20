"""The optimizer on objectives whose minimum is known."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor

from geostyle.texture.optimizer import (
    Lbfgs,
    NotFiniteError,
    OptimizerSettings,
    Step,
    optimize,
    smoother,
)

TARGET = torch.linspace(0.1, 0.9, 3 * 6 * 5).reshape(1, 3, 6, 5)
CURVATURE = torch.linspace(0.5, 20, 3 * 6 * 5).reshape(1, 3, 6, 5)


def quadratic(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    total = (CURVATURE * (x - TARGET).pow(2)).sum()
    return total, 0.75 * total, 0.25 * total


@pytest.mark.parametrize(("method", "steps", "within"), [("lbfgs", 60, 1e-3), ("adam", 400, 1e-2)])
def test_reaches_a_known_minimum(method: str, steps: int, within: float) -> None:
    start = torch.full_like(TARGET, 0.5)
    done = optimize(start, quadratic, steps, OptimizerSettings(optimizer=method))
    assert torch.allclose(done.image, TARGET, atol=within)
    assert torch.equal(start, torch.full_like(TARGET, 0.5)), "the start picture was changed"
    assert [s.step for s in done.steps] == list(range(steps))
    assert done.steps[0].style == pytest.approx(0.75 * done.steps[0].total)


@pytest.mark.parametrize("seen", [1, 3, 4, 9])
def test_the_direction_is_that_of_the_dense_inverse_hessian(seen: int) -> None:
    generator = torch.Generator().manual_seed(1)
    history, n = 3, 12
    stepper = Lbfgs(history)
    points = torch.rand(seen + 1, 1, 3, 2, 2, generator=generator)
    slopes = torch.rand(seen + 1, 1, 3, 2, 2, generator=generator) + 3 * points
    for step, (point, slope) in enumerate(zip(points, slopes, strict=True)):
        stepper.next(point, -float(step), slope)  # ever lower: every point is accepted
    s, y = (v.reshape(seen + 1, n).double().diff(dim=0)[-history:] for v in (points, slopes))
    inverse = torch.eye(n).double() * (s[-1] @ y[-1]) / (y[-1] @ y[-1])
    for a, b in zip(s, y, strict=True):
        left = torch.eye(n).double() - torch.outer(a, b) / (a @ b)
        inverse = left @ inverse @ left.T + torch.outer(a, a) / (a @ b)
    expected = -inverse @ slopes[-1].reshape(n).double()
    torch.testing.assert_close(stepper.direction.double(), expected, rtol=1e-4, atol=1e-5)


def test_what_the_objective_hands_back_is_not_changed() -> None:
    kept = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    before = kept.clone()

    class Kept(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x.sum()

        @staticmethod
        def backward(ctx: object, *grads: Tensor) -> Tensor:
            return kept

    def objective(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        total = Kept.apply(x)
        return total, total, total

    optimize(torch.full_like(kept, 1.5), objective, 4)
    assert torch.equal(kept, before)


def test_returns_the_best_picture_it_saw_not_the_last() -> None:
    seen: list[tuple[float, Tensor]] = []
    done = optimize(
        torch.rand(1, 3, 6, 5, generator=torch.Generator().manual_seed(3)),
        quadratic,
        25,
        OptimizerSettings(optimizer="adam", lr=0.5),  # far too large a step: it overshoots
        on_step=lambda step, image: seen.append((step.total, image.clone())),
    )
    best = min(seen, key=lambda pair: pair[0])
    assert torch.equal(done.image, best[1].clamp(0, 1))
    for total, image in seen:
        assert total == pytest.approx(float(quadratic(image)[0]), rel=1e-5)


def test_same_bytes_twice() -> None:
    start = torch.rand(1, 3, 6, 5, generator=torch.Generator().manual_seed(4))
    first, second = (optimize(start, quadratic, 20).image for _ in range(2))
    assert torch.equal(first, second)


def test_interrupt_keeps_the_best_so_far() -> None:
    def stop(step: Step, image: Tensor) -> None:
        if step.step == 4:
            raise KeyboardInterrupt

    done = optimize(torch.zeros_like(TARGET), quadratic, 50, on_step=stop)
    assert done.interrupted
    assert len(done.steps) == 5
    assert float(quadratic(done.image)[0]) < float(quadratic(torch.zeros_like(TARGET))[0])


def test_deadline_and_plateau_end_early() -> None:
    start = torch.zeros_like(TARGET)
    assert optimize(start, quadratic, 50, deadline=time.monotonic() - 1).steps == []
    done = optimize(start, quadratic, 500, OptimizerSettings(plateau=0.01))
    assert 10 < len(done.steps) < 500


def test_a_loss_that_is_not_finite_hands_back_the_last_good_picture() -> None:
    calls = 0

    def breaks(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        nonlocal calls
        calls += 1
        total, style, content = quadratic(x)
        return (total * torch.nan if calls > 5 else total), style, content

    with pytest.raises(NotFiniteError, match="step 5") as error:
        optimize(torch.zeros_like(TARGET), breaks, 50)
    assert torch.isfinite(error.value.best).all()
    assert not torch.equal(error.value.best, torch.zeros_like(TARGET))


def test_recovers_from_a_single_bad_step() -> None:
    calls = 0

    def hiccup(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        nonlocal calls
        calls += 1
        total, style, content = quadratic(x)
        return (total * torch.inf if calls == 7 else total), style, content

    done = optimize(torch.zeros_like(TARGET), hiccup, 80)
    assert torch.allclose(done.image, TARGET, atol=1e-2)


def test_pixels_stay_in_range() -> None:
    def wants_outside(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        total = (x - 3).pow(2).mean()
        return total, total, total

    done = optimize(torch.full((1, 3, 4, 4), 0.5), wants_outside, 30)
    assert done.image.min() >= 0
    assert done.image.max() <= 1


def test_the_smoother_divides_each_frequency_by_itself_and_holds_color() -> None:
    height, width = 32, 48
    apply = smoother(torch.zeros(1, 3, height, width, dtype=torch.float64))
    x = torch.arange(width, dtype=torch.float64)

    def gain(cycles: int, color: tuple[float, float, float] = (1, 1, 1)) -> float:
        wave = torch.cos(2 * torch.pi * cycles * x / width).expand(1, 3, height, width)
        wave = wave * torch.tensor(color, dtype=torch.float64)[:, None, None]
        passed = apply(wave.reshape(-1)).view_as(wave)
        ratio = passed.norm() / wave.norm()
        torch.testing.assert_close(passed, ratio * wave)  # a wave stays that wave
        return float(ratio)

    assert gain(2) / gain(8) == pytest.approx(4)
    assert gain(1) / gain(24) == pytest.approx(24)
    assert gain(0) == pytest.approx(gain(1))  # the lowest that fits once
    assert gain(3, (1, 0, -1)) / gain(3) == pytest.approx(0.5)
    assert gain(3, (1, -2, 1)) / gain(3) == pytest.approx(0.4)


def test_a_preconditioner_is_a_change_of_variables() -> None:
    """L-BFGS on x with P = S² takes the steps of L-BFGS on S⁻¹x without."""
    torch.manual_seed(0)
    size, own = 12, torch.rand(12, dtype=torch.float64) + 0.5
    root = torch.randn(size, size, dtype=torch.float64)
    hessian = root @ root.T + torch.eye(size, dtype=torch.float64)

    def run(stepper: Lbfgs, scale: Tensor) -> list[Tensor]:
        z, seen = torch.ones(size, dtype=torch.float64) / scale, []
        # The first step is set by the mean move, which the change of variables changes: give it.
        for _ in range(12):
            x = scale * z
            seen.append(x)
            z = stepper.next(z, float(x @ hessian @ x / 2), scale * (hessian @ x))
            if len(seen) == 1:
                z = (x - 0.01 * (own**2) * (hessian @ x)) / scale
        return seen

    changed = run(Lbfgs(5), own)
    preconditioned = run(Lbfgs(5, lambda v: v * own**2), torch.ones_like(own))
    torch.testing.assert_close(torch.stack(preconditioned), torch.stack(changed))
