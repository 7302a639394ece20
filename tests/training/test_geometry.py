"""Training: one result however it is interrupted or shared, and honest figures."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import runpy
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing

import train_geo
from geostyle.cli._training import parse
from geostyle.config import resolve
from geostyle.data.make_settings import MakeSettings
from geostyle.distributed import ALONE, Processes, _fresh_store
from geostyle.errors import InputError
from geostyle.io.checkpoint import load_checkpoint
from geostyle.io.runs import RunFolder
from geostyle.matching.network import NetworkSettings, load_geometry_network
from geostyle.training.geometry import (
    STATE_KIND,
    GeometryLearner,
    TrainSettings,
    grid_error_px,
)
from geostyle.training.loop import plot
from tests.reliability.forked import attempt

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def settings(tiny_pairs: Path, tiny_weights: Path, tmp_path: Path) -> TrainSettings:
    return TrainSettings(
        data=tiny_pairs,
        output=tmp_path / "runs",
        network=NetworkSettings(match_px=176, width=16, network_lattice=3),
        weights=tiny_weights,
        steps=60,
        batch=4,
        warmup=3,
        lr=2e-3,
        validate_every=5,
        save_every=5,
    )


def ready(settings: TrainSettings, processes: Processes = ALONE) -> GeometryLearner:
    """A trainer whose correlations are there."""
    trainer = GeometryLearner(settings, processes)
    trainer.prepare()
    return trainer


def state(trainer: GeometryLearner) -> dict[str, torch.Tensor]:
    """Everything that changes in a trainer, by name."""
    tensors = {f"net.{k}": v for k, v in trainer.network.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in trainer.average.items()}
    for number, entry in trainer.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{k}": v for k, v in entry.items()}
    return {k: v.clone() for k, v in tensors.items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_grid_errors_are_pixels_at_240() -> None:
    truth = torch.zeros(2, 3, 3, 2)
    inside = torch.ones(2, 3, 3, dtype=torch.bool)
    inside[1, 1:] = False
    grids = truth.clone()
    grids[..., 0] = 0.1  # 12 of 240 pixels
    grids[1, 1:] = 9.0
    assert grid_error_px(grids, truth, inside).tolist() == pytest.approx([12, 12], rel=1e-5)


def test_validation_of_no_warp_is_doing_nothing(settings: TrainSettings) -> None:
    network = dataclasses.replace(settings.network, head="linear")  # which starts as no warp
    figures = ready(dataclasses.replace(settings, network=network)).validate()
    assert figures["val"] == pytest.approx(1, abs=1e-6)
    assert figures["val_stylized"] == figures["val_plain"] == pytest.approx(1, abs=1e-6)
    assert 10 < figures["val_none_px"] == pytest.approx(figures["val_plain_px"])
    assert figures["val_folded"] == 0 and figures["best"] == 1


def test_training_learns_the_pairs(settings: TrainSettings) -> None:
    # The bundled network: under random weights all pictures look alike.
    learning: dict[str, Any] = {"symmetries": False, "plain": 1.0, "batch": 10, "weights": None}
    trainer = ready(dataclasses.replace(settings, **learning))
    before = trainer.loss(trainer.read(0))[0].item()
    for _ in range(60):
        figures = trainer.train_step()
    assert trainer.done and figures["step"] == 60
    assert trainer.loss(trainer.read(0))[0].item() < 0.5 * before


def test_a_resumed_run_is_the_same_run(settings: TrainSettings, tmp_path: Path) -> None:
    straight = ready(settings)
    for _ in range(3):
        straight.train_step()
    straight.validate()
    straight.save(tmp_path / "state.safetensors")
    torch.rand(5)  # whatever else draws in between
    for _ in range(3):
        straight.train_step()

    resumed = ready(dataclasses.replace(settings, wandb="offline"))
    resumed.load(tmp_path / "state.safetensors")
    assert (resumed.step, resumed.best) == (3, straight.best)
    torch.manual_seed(99)
    for _ in range(3):
        resumed.train_step()
    assert same(state(straight), state(resumed))
    first = state(ready(settings))
    moved = [
        k for k in first if k.startswith("net.") and not torch.equal(first[k], state(resumed)[k])
    ]
    assert len(moved) == len([k for k in first if k.startswith("net.")])


def test_resuming_under_other_settings_is_refused(settings: TrainSettings, tmp_path: Path) -> None:
    ready(settings).save(tmp_path / "state.safetensors")
    other = ready(dataclasses.replace(settings, lr=0.5))
    with pytest.raises(InputError, match=r"resume: expected the run's own settings \(lr 0\.002\)"):
        other.load(tmp_path / "state.safetensors")


def test_early_stop_counts_validations_without_gain(settings: TrainSettings) -> None:
    trainer = ready(dataclasses.replace(settings, patience=2))
    best = [trainer.validate()["best"] for _ in range(3)]
    assert best == [1, 0, 0] and trainer.done


def test_batches_are_drawn_from_the_step_alone(settings: TrainSettings) -> None:
    trainer = ready(settings)
    late, early = trainer.read(7), trainer.read(0)
    again = ready(settings).read(7)
    assert torch.equal(late.correlation, again.correlation)
    assert torch.equal(late.truth, again.truth)
    assert not torch.equal(late.truth, early.truth)
    halves = [GeometryLearner.read(_shared(trainer, rank), 7) for rank in (0, 1)]
    together = torch.stack([half.truth for half in halves], 1).flatten(0, 1)
    assert torch.equal(together, late.truth)


def _shared(trainer: GeometryLearner, rank: int) -> GeometryLearner:
    """`trainer` as the process `rank` of two."""
    other = object.__new__(GeometryLearner)
    other.__dict__ = {**trainer.__dict__, "processes": Processes(rank, 2)}
    return other


@pytest.mark.parametrize(
    "changes", [{"loss": "image"}, {"loss": "grid"}, {"fresh": 1.0}, {"stage": 2}]
)
def test_other_ways_to_train_move_the_weights(
    settings: TrainSettings, changes: dict[str, Any]
) -> None:
    trainer = ready(dataclasses.replace(settings, batch=2, image_px=32, **changes))
    losses = [trainer.train_step()["loss"] for _ in range(2)]
    assert all(map(math.isfinite, losses))
    assert trainer.network.state_dict()["head.last.2.weight"].abs().max() > 0


def test_fresh_pairs_replace_stored_ones(settings: TrainSettings) -> None:
    settings = dataclasses.replace(settings, weights=None)
    stored = ready(settings).read(0)
    fresh = ready(dataclasses.replace(settings, fresh=1.0)).read(0)
    assert (fresh.truth - stored.truth).flatten(1).abs().amax(1).min() > 1e-2
    # float16, as the cache has it, makes a difference of 5e-4.
    assert (fresh.correlation - stored.correlation).flatten(1).abs().mean(1).min() > 0.01


def test_the_batch_must_divide(settings: TrainSettings) -> None:
    with pytest.raises(InputError, match="batch: expected a multiple of 3 processes, got 4"):
        GeometryLearner(settings, Processes(0, 3))


def test_metrics_after_the_state_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": s, "loss": 1.0}) + "\n" for s in (5, 10, 15)))
    RunFolder(tmp_path).keep_metrics(lambda line: line["step"] <= 10)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [5, 10]
    plot([{"step": 5, "loss": 1.0, "val_plain": 0.5}], tmp_path / "plot.png", ("val_plain",))
    assert (tmp_path / "plot.png").stat().st_size > 1000


def _train_shared(rank: int, world: int, settings: TrainSettings, folder: Path) -> None:
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    trainer = ready(settings, Processes(rank, world))
    trainer.load(folder / "state.safetensors")
    trainer.train_step()
    gradients = [p.grad for p in trainer.network.parameters()]
    torch.save((gradients, state(trainer), trainer.validate()), folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.timeout(400)
def test_two_processes_train_as_one(settings: TrainSettings, tmp_path: Path) -> None:
    """Gradients within 1e-5 of the largest, weights within 1 % of a step, both ranks equal."""
    single = ready(settings)
    for _ in range(2):  # the first step moves the last layer alone
        single.train_step()
    single.save(tmp_path / "state.safetensors")
    rate = single.train_step()["lr"]
    torch.multiprocessing.start_processes(
        _train_shared, (2, settings, tmp_path), nprocs=2, start_method="fork"
    )
    (grads, weights, figures), (_, other, agreed) = (
        torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)
    )
    assert same(weights, other)
    assert figures["best"] == agreed["best"] == 1
    largest = max(
        p.grad.abs().max().item() for p in single.network.parameters() if p.grad is not None
    )
    for parameter, gradient in zip(single.network.parameters(), grads, strict=True):
        assert parameter.grad is not None
        assert (parameter.grad - gradient).abs().max() < 1e-5 * largest
    expected = state(single)
    for name in (k for k in expected if k.startswith("net.")):
        # AdamW's steps do not shrink with the gradient: rounding moves weights of almost none.
        difference = (expected[name] - weights[name]).abs()
        assert difference.mean() < 0.01 * rate, name


def _average(rank: int, world: int, folder: Path) -> None:
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    torch.manual_seed(0)
    # Two layers, so that buckets are laid out anew after the first step.
    network = torch.nn.Sequential(torch.nn.Linear(40, 70), torch.nn.Linear(70, 30))
    shared = Processes(rank, world).share(network)
    torch.manual_seed(rank + 1)
    batch, steps = torch.randn(50, 40), []
    for _ in range(3):
        network.zero_grad()
        shared(batch).square().mean().backward()
        steps.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
    network.zero_grad()
    network(batch).square().mean().backward()
    alone = [p.grad for p in network.parameters()]
    torch.save((steps, alone), folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.timeout(400)
def test_gradients_of_several_processes_are_added_in_the_order_of_their_ranks(
    tmp_path: Path,
) -> None:
    """So that a training that was killed goes on with the same bits, whatever step it is at."""
    torch.multiprocessing.start_processes(_average, (3, tmp_path), nprocs=3, start_method="fork")
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(3)]
    expected = [(a + b + c) / 3 for a, b, c in zip(*(alone for _, alone in found), strict=True)]
    for steps, _ in found:
        for step in steps:
            assert all(torch.equal(x, y) for x, y in zip(step, expected, strict=True))


def test_processes_that_are_started_again_meet_in_a_store_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": "0"}
    variables |= {"WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", "TORCHELASTIC_RESTART_COUNT": "0"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    patience = datetime.timedelta(seconds=20)
    assert _fresh_store(patience) == {}  # the first start: as torch does it
    found = {}
    for count in ("1", "2"):
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", count)
        found[count] = _fresh_store(patience)
        assert (found[count]["rank"], found[count]["world_size"]) == (0, 1)
    found["1"]["store"].set("address", "of the dead")
    assert found["1"]["store"].check(["address"])
    assert not found["2"]["store"].check(["address"])
    # Several machines do not agree on the count.
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert _fresh_store(patience) == {}


def train(settings: TrainSettings) -> int:
    """Call the script as its command line does."""
    return train_geo.main([
        *("--data", str(settings.data), "--output", str(settings.output)),
        *("--weights", str(settings.weights), "--device", "cpu"),
        *("--match-px", "176", "--width", "16", "--network-lattice", "3", "--batch", "4"),
        *("--steps", "40", "--warmup", "3", "--validate-every", "20", "--save-every", "5"),
    ])  # fmt: skip


def run_of(settings: TrainSettings) -> Path:
    return settings.output / "00001-train-geo"


@pytest.mark.timeout(400)
def test_a_killed_run_ends_with_the_same_weights(settings: TrainSettings, tmp_path: Path) -> None:
    straight = dataclasses.replace(settings, output=tmp_path / "straight")
    whole = attempt(lambda: train(straight), straight.output)
    assert whole.status == 0, whole.output
    # Killed by itself before one of the changes to files in the middle of the run.
    killed = attempt(
        lambda: train(settings), settings.output, kill_before=whole.operations * 2 // 3
    )
    assert killed.status is None
    metrics = run_of(settings) / "metrics.jsonl"
    assert 0 < metrics.read_bytes().count(b"\n") < 4
    assert train_geo.main(["--output", str(settings.output), "--resume"]) == 0
    files = [run_of(s) / "state.safetensors" for s in (straight, settings)]
    (expected, _), (found, config) = (load_checkpoint(path, STATE_KIND) for path in files)
    assert config["step"] == 40
    assert same(expected, found)
    nets = [
        load_geometry_network(run_of(s) / "geonet.safetensors").network
        for s in (straight, settings)
    ]
    assert same(nets[0].state_dict(), nets[1].state_dict())
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30, 40]
    assert (run_of(settings) / "metrics.png").is_file()


def test_the_script_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["train_geo.py", "--data", str(tmp_path / "none")])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / "train_geo.py"), run_name="__main__")
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert "geostyle make-pairs" in error and error.count("\n") == 1
    assert error.startswith("train_geo.py: error: data: expected a set of pairs")


def test_only_a_saved_run_is_resumed(tmp_path: Path) -> None:
    call = ("train_geo.py", "train-geo", "Train.", TrainSettings)
    for argv in (["--resume", "--output", str(tmp_path)], ["--resume", str(tmp_path / "none")]):
        with pytest.raises(InputError, match="resume: expected a run with a saved state"):
            parse(*call, argv)
    settings, folder, _ = parse(*call, ["--run", str(tmp_path), "--steps", "7"])
    assert (settings.steps, folder) == (7, tmp_path)


def test_the_shipped_settings_are_valid() -> None:
    paths = sorted((ROOT / "configs" / "geometry").glob("*.yaml"))
    assert len(paths) >= 7
    for path in paths:
        resolve(MakeSettings if path.name.startswith("make") else TrainSettings, path)
    folder = ROOT / "configs" / "geometry"
    small = resolve(TrainSettings, folder / "train_geo_small.yaml")
    assert small.data == resolve(MakeSettings, folder / "make_small.yaml").output
    assert TrainSettings().data == MakeSettings().output
