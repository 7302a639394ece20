"""A network in training: what a step does, and that its state is all there is of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from geostyle.errors import GeostyleError, InputError
from geostyle.training.learner import Learner, schedule


def learner(ema: float = 0.9, ramp: tuple[int, int] = (1, 10)) -> Learner:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    return Learner(net, torch.optim.Adam(net.parameters()), ema, ramp)


def advance(learner: Learner, steps: int) -> None:
    for _ in range(steps):
        generator = torch.Generator().manual_seed(learner.step)
        x = torch.randn(8, 3, generator=generator)
        learner.update((learner.network(x) - x.sum(1, keepdim=True)).pow(2).mean(), 0.01, 1.0)


@pytest.mark.parametrize(
    ("ema", "ramp", "decay"),
    [(0.9, (1, 10), 2 / 11), (0.9, (0, 20), 1 / 21), (0.01, (0, 20), 0.01)],
)
def test_the_average_follows_the_weights_and_counts_are_copied(
    ema: float, ramp: tuple[int, int], decay: float
) -> None:
    own = learner(ema, ramp)
    before = own.network[0].weight.detach().clone()  # type: ignore[index]
    advance(own, 1)
    after = own.network[0].weight.detach()  # type: ignore[index]
    expected = before.lerp(after, 1 - decay)
    torch.testing.assert_close(own.average["0.weight"], expected)
    assert own.average["1.num_batches_tracked"] == 1


def test_a_restored_learner_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    straight = learner()
    advance(straight, 3)
    straight.save_state(tmp_path / "s.safetensors", "test", {"settings": {"a": 1, "b": 2}}, best=5)
    advance(straight, 3)
    resumed = learner()
    config = resumed.load_state(
        tmp_path / "s.safetensors", "test", {"settings": {"a": 1, "b": 3}}, free=("b",)
    )
    assert config["best"] == 5 and resumed.step == 3
    advance(resumed, 3)
    for own, other in (
        (straight.network.state_dict(), resumed.network.state_dict()),
        (straight.average, resumed.average),
    ):
        assert all(torch.equal(own[k], other[k]) for k in own)
    with pytest.raises(InputError, match=r"resume: .* own settings \(a 1\), got 2"):
        learner().load_state(tmp_path / "s.safetensors", "test", {"settings": {"a": 2, "b": 2}})


def test_a_gradient_that_is_not_finite_moves_nothing() -> None:
    own = learner()
    before = {k: v.clone() for k, v in own.network.state_dict().items()}
    weight = own.network[2].weight  # type: ignore[index]
    with pytest.raises(GeostyleError, match="not finite at step 0"):
        own.update((weight * float("nan")).sum(), 0.1, 1.0)
    assert all(torch.equal(before[k], v) for k, v in own.network.state_dict().items())


def test_schedule() -> None:
    rates = [schedule(step, 110, 10) for step in range(110)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == rates[10] == 1
    assert rates[60] == pytest.approx(0.5) and 0 < rates[-1] < 1e-3
    assert schedule(0, 10, 0) == 1
