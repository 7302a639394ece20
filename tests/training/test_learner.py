"""A network in training: what a step does, and that its state is all there is of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from geostyle.distributed import ALONE, Processes
from geostyle.errors import GeostyleError, InputError
from geostyle.io.checkpoint import load_checkpoint, save_checkpoint
from geostyle.io.files import read_metrics
from geostyle.io.runs import RunFolder
from geostyle.training.learner import Learner, LoopSettings, schedule
from geostyle.training.loop import STATE, run_training


@dataclasses.dataclass(frozen=True)
class SumSettings(LoopSettings):
    """Settings of a network that learns to add."""

    output: Path = Path("runs")
    lr: float = 0.01
    batch: int = 8


class SumLearner(Learner):
    """A network that learns to add three numbers."""

    state_kind, file_name = "test", "sum.txt"

    def __init__(
        self, settings: SumSettings, processes: Processes = ALONE, ramp: tuple[int, int] = (1, 10)
    ) -> None:
        torch.manual_seed(settings.seed)
        network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        adam = torch.optim.Adam(network.parameters())
        super().__init__(settings, network, adam, processes, ramp=ramp)
        self.best = 0

    def read(self, step: int) -> Tensor:
        generator = torch.Generator().manual_seed(step)
        return torch.randn(self.settings.batch, 3, generator=generator)

    def loss(self, batch: Tensor) -> tuple[Tensor, dict[str, float]]:
        return (self.network(batch) - batch.sum(1, keepdim=True)).pow(2).mean(), {}

    def rate(self, step: int) -> float:
        return float(self.settings.lr)

    def validate(self) -> dict[str, float]:
        return {"val": float(self.average["0.weight"].sum())}

    def save_files(self, run: RunFolder) -> None:
        run.file(self.file_name).write_text(str(self.average["0.weight"].tolist()))

    def progress(self) -> dict[str, Any]:
        return {"best": self.best}

    def restore(self, extra: dict[str, Tensor], stored: dict[str, Any]) -> None:
        self.best = stored["best"]


def learner(ramp: tuple[int, int] = (1, 10), **changes: Any) -> SumLearner:
    return SumLearner(SumSettings(**{"ema": 0.9, **changes}), ramp=ramp)


def advance(learner: Learner, steps: int) -> None:
    for _ in range(steps):
        learner.train_step()


@pytest.mark.parametrize(
    ("ema", "ramp", "decay"),
    [(0.9, (1, 10), 2 / 11), (0.9, (0, 20), 1 / 21), (0.01, (0, 20), 0.01)],
)
def test_the_average_follows_the_weights_and_counts_are_copied(
    ema: float, ramp: tuple[int, int], decay: float
) -> None:
    own = learner(ramp, ema=ema)
    before = own.network[0].weight.detach().clone()  # type: ignore[index]
    advance(own, 1)
    after = own.network[0].weight.detach()  # type: ignore[index]
    expected = before.lerp(after, 1 - decay)
    torch.testing.assert_close(own.average["0.weight"], expected)
    assert own.average["1.num_batches_tracked"] == 1


def test_a_restored_learner_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    straight = learner()
    advance(straight, 3)
    straight.best = 5
    straight.save(tmp_path / "s.safetensors")
    advance(straight, 3)
    resumed = learner(save_every=7)
    resumed.load(tmp_path / "s.safetensors")
    assert resumed.best == 5 and resumed.step == 3
    advance(resumed, 3)
    for own, other in (
        (straight.network.state_dict(), resumed.network.state_dict()),
        (straight.average, resumed.average),
    ):
        assert all(torch.equal(own[k], other[k]) for k in own)
    with pytest.raises(InputError, match=r"resume: .* own settings \(seed 0\), got 1"):
        learner(seed=1).load(tmp_path / "s.safetensors")


def test_a_state_of_an_earlier_version_is_resumed(tmp_path: Path) -> None:
    """Its tensors are named net.… and optimiser.…, and it lacks a setting that came later."""
    straight = learner()
    advance(straight, 2)
    straight.save(tmp_path / "new.safetensors")
    tensors, stored = load_checkpoint(tmp_path / "new.safetensors", "test")
    words = {"network": "net", "optimizer": "optimiser"}
    former = {".".join([words.get(k.split(".")[0], k.split(".")[0]), *k.split(".")[1:]]): v
              for k, v in tensors.items()}  # fmt: skip
    assert {key.partition(".")[0] for key in former} == {"net", "average", "optimiser"}
    del stored["settings"]["clip"]  # a setting that earlier versions did not have
    save_checkpoint(tmp_path / "former.safetensors", former, stored, "test")
    resumed = learner()
    resumed.load(tmp_path / "former.safetensors")
    for own in (straight, resumed):
        advance(own, 2)
    own, other = straight.network.state_dict(), resumed.network.state_dict()
    assert all(torch.equal(own[k], other[k]) for k in own)


class Killed(Exception):
    """Stands for a kill."""


def test_the_loop_is_the_same_however_often_it_is_cut_short(tmp_path: Path) -> None:
    """Cut short before each step in turn; files, metrics and state end as in an undisturbed run."""

    def settings(**changes: Any) -> SumSettings:
        values = {"steps": 25, "save_every": 4, "validate_every": 10, **changes}
        return SumSettings(output=tmp_path, device="cpu", **values)

    run_training(SumLearner, settings(), "sum")
    whole, cut = tmp_path / "00001-sum", tmp_path / "cut"

    def cut_at(step: int) -> type[SumLearner]:
        class Cut(SumLearner):
            def train_step(self) -> dict[str, float]:
                if self.step == step:
                    raise Killed
                return super().train_step()

        return Cut

    for step in (0, 3, 9, 13, 24):
        with pytest.raises(Killed):
            run_training(cut_at(step), settings(), "sum", cut)
    run_training(SumLearner, settings(), "sum", cut)
    run_training(SumLearner, settings(), "sum", cut)  # nothing left to do
    names = {"settings.yaml", "environment.json", "metrics.jsonl", "metrics.png", STATE, "sum.txt"}
    for folder in (whole, cut):
        assert {path.name for path in folder.iterdir()} - {".lock"} == names
    assert (whole / "sum.txt").read_text() == (cut / "sum.txt").read_text()
    lines = [read_metrics(folder / "metrics.jsonl") for folder in (whole, cut)]
    assert [line["step"] for line in lines[0]] == [10, 20, 25]
    plain = [[{**line, "seconds": 0} for line in found] for found in lines]
    assert plain[0] == plain[1]
    assert (whole / STATE).read_bytes() == (cut / STATE).read_bytes()
    with pytest.raises(InputError, match="resume: expected the run's own settings"):
        run_training(SumLearner, settings(lr=0.5), "sum", cut)
    with pytest.raises(InputError, match="batch: expected a multiple of 3 processes, got 8"):
        SumParallel(settings(), Processes(0, 3))
    with pytest.raises(InputError, match="processes: expected 1 for this training, got 2"):
        SumLearner(settings(), Processes(0, 2))


class SumParallel(SumLearner):
    several_processes = True


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = SumSettings(output=tmp_path / "runs", device="cpu")
    run_training(SumLearner, settings, "sum", tmp_path / "run", dry_run=True)
    assert list(tmp_path.iterdir()) == []
    assert "steps: 3000" in capsys.readouterr().out


def test_a_run_of_an_unknown_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(b"")
    with pytest.raises(InputError, match="expected a run of this version"):
        run_training(SumLearner, SumSettings(device="cpu"), "sum", tmp_path)


def test_a_gradient_that_is_not_finite_moves_nothing() -> None:
    own = learner()
    before = {k: v.clone() for k, v in own.network.state_dict().items()}
    weight = own.network[2].weight  # type: ignore[index]
    with pytest.raises(GeostyleError, match="not finite at step 0"):
        own.update((weight * float("nan")).sum(), 0.1)
    assert all(torch.equal(before[k], v) for k, v in own.network.state_dict().items())


def test_schedule() -> None:
    rates = [schedule(step, 110, 10) for step in range(110)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == rates[10] == 1
    assert rates[60] == pytest.approx(0.5) and 0 < rates[-1] < 1e-3
    assert schedule(0, 10, 0) == 1
