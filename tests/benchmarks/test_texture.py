"""The texture benchmark: it resumes, and what it prints follows from what it keeps."""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ["--pairs", "2", "--sizes", "32", "40", "--evaluations", "8", "--iterations", "4", "3",
         "--rounds", "2", "--burst", "2"]  # fmt: skip
SHORT = [*FLAGS, "--only", "trajectories", "timings"]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import texture

    yield texture
    for name in ("measuring", "texture", "texture_runs", "yardstick"):
        sys.modules.pop(name, None)


def folders(pictures: Path) -> list[str]:
    return ["--photos", str(pictures / "photos"), "--arts", str(pictures / "paintings")]


def items(path: Path) -> dict[str, Any]:
    return {k: v["data"] for k, v in json.loads(path.read_text("utf-8"))["items"].items()}


def test_it_resumes_and_its_medians_follow_from_its_items(
    benchmark: ModuleType,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "bench.json"
    argv = [*SHORT, *folders(pictures), "--json", str(path)]
    made: list[str] = []
    run = benchmark.Contenders.trajectory

    def dies_at_the_fifth(self: Any, name: str, *rest: Any) -> Any:
        made.append(name)
        if len(made) == 5:
            raise KeyboardInterrupt
        return run(self, name, *rest)

    monkeypatch.setattr(benchmark.Contenders, "trajectory", dies_at_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        benchmark.main(argv)
    before = items(path)
    assert sum(key.startswith("trajectory/") for key in before) == 4
    benchmark.main(argv)
    printed = capsys.readouterr().out
    assert len(made) == 1 + 12  # 2 sizes, 2 pairs, 3 contenders; only the fifth was begun twice
    found = items(path)
    assert {key: found[key] for key in before} == before
    check_table(printed, found)

    benchmark.main(argv)
    assert capsys.readouterr().out == printed and len(made) == 13 and items(path) == found
    # Another setting of the yardstick, and it alone is made anew.
    benchmark.main([*argv, "--evaluations", "6", "--only", "trajectories", "--sizes", "32"])
    assert made[13:] == 2 * ["yardstick", "yardstick adam"]


def check_table(printed: str, found: dict[str, Any]) -> None:
    """Hold the table to figures computed here from the items."""
    assert printed.startswith("scored under lite, float32;")
    for size_px in (32, 40):
        rows = printed.partition(f"| {size_px} px |")[2].partition("\n\n")[0]
        runs = {
            key.rpartition("/")[2]: [
                found[other]
                for other in found
                if other.startswith(f"trajectory/{size_px}/")
                and other.endswith("/" + key.rpartition("/")[2])
            ]
            for key in found
            if key.startswith(f"trajectory/{size_px}/")
        }
        bursts = [found[f"timing/{size_px}/{number}"] for number in range(2)]
        assert set(runs) == {"yardstick", "yardstick adam", "lite"}
        for name, own in runs.items():
            cells = next(
                [cell.strip() for cell in line.strip("| ").split("|")]
                for line in rows.splitlines()
                if line.startswith(f"| {name} |")
            )
            totals = [run["final"]["total"] for run in own]
            theirs = [run["final"]["total"] for run in runs["yardstick"]]
            ratios = [a / b for a, b in zip(totals, theirs, strict=True)]
            assert float(cells[1]) == pytest.approx(statistics.median(totals), abs=1e-4)
            assert float(cells[2]) == pytest.approx(statistics.median(ratios), abs=1e-3)
            step_s = statistics.median(burst[name][-1]["step_s"] for burst in bursts)
            assert float(cells[8].split()[0]) == pytest.approx(step_s, rel=0.01)
            seconds = sum(
                statistics.median(burst[name][i]["setup_s"] for burst in bursts)
                + level["steps"] * statistics.median(burst[name][i]["step_s"] for burst in bursts)
                for i, level in enumerate(own[0]["levels"])
            )
            assert float(cells[7]) == pytest.approx(seconds, abs=0.06)
        assert re.search(r"\| yardstick \|.* 1\.0 × \(2 of 2\)", rows)


def test_times_are_interpolated_between_scored_points(benchmark: ModuleType) -> None:
    from texture import curve, level_times, lowest_by, time_to

    bursts = [
        [{"setup_s": 1.0, "step_s": 0.1}, {"setup_s": 2.0, "step_s": step_s}]
        for step_s in (0.9, 1.0, 4.0)
    ]
    run = {
        "levels": [{"steps": 10}, {"steps": 4}],
        "points": [[0, 10, 0.8, 70.0], [1, 2, 0.9, 80.0], [1, 4, 0.5, 90.0]],
    }
    found = curve(run, level_times(bursts))
    assert found == [(2.0, 0.8), (6.0, 0.9), (8.0, 0.5)]
    assert time_to(found, 0.8) == 2.0
    assert time_to(found, 0.7) == pytest.approx(7.0)
    assert time_to(found, 0.4) is None
    assert [lowest_by(found, at) for at in (1, 7, 8)] == [0.8, 0.8, 0.5]
    assert [seconds for seconds, _ in curve(run, None)] == [70.0, 80.0, 90.0]


def test_the_yardstick_is_the_scorers_total_and_takes_every_evaluation(
    benchmark: ModuleType, pictures: Path
) -> None:
    from texture_runs import Task
    from yardstick import METHODS, plain_transfer

    from geostyle.features.extractor import load_features
    from geostyle.texture import score

    photos, arts = (
        sorted((pictures / "photos").iterdir()),
        sorted((pictures / "paintings").iterdir()),
    )
    task, lite = Task.load(photos[0], arts[0], 48), load_features("lite", channels_last=False)
    for method in METHODS.values():
        image, seen, scored = plain_transfer(task.content, task.scaled, lite, method, 5, every=2)
        assert len(seen) == 5 and seen[-1][0] < seen[0][0]
        own = score(image, task.content, task.scaled, lite).total
        assert [done for done, _, _ in scored] == [1, 2, 4, 5]
        assert scored[-1][1] == pytest.approx(own, rel=1e-4)
        assert [seconds for _, _, seconds in scored] == [seen[i][1] for i in (0, 1, 3, 4)]
        if method == "lbfgs clamped":
            assert torch.equal(image, image.clamp(0, 1))
        if torch.equal(image, image.clamp(0, 1)):
            assert own == pytest.approx(seen[-1][0], rel=1e-4)
        start = score(task.content, task.content, task.scaled, lite).total
        assert start == pytest.approx(seen[0][0], rel=1e-4)


def test_peak_memory_is_that_of_a_process(
    benchmark: ModuleType, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark.main([*FLAGS, *folders(pictures), "--peak", '["lite", 32, "float32"]'])
    assert 0.05 < float(capsys.readouterr().out) < 50


def test_vgg19_is_refused_without_weights(
    benchmark: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        benchmark.main(["--features", "lite", "lite+vgg19"])
    assert "expected lite alone without --weights" in capsys.readouterr().err
