"""Texture transfer compared with the plain recipe (the yardstick); resumable.

    python benchmarks/texture.py                                        # offline, a few minutes
    python benchmarks/texture.py --weights vgg19.safetensors --photos DIR --arts DIR --pairs 6 \
        --sizes 256 512 1024 --json bench.json

The yardstick: single scale, float32, contiguous, L-BFGS from the content, 300 evaluations, with
the scorer's own layers and weights; and the same with Adam. It is compared with the texture stage
of the main job by default settings, under each of `--features`. Everything is scored under VGG-19
in float32; without `--weights` under `lite`, which the table then states, and which favors `lite`.

Times do not come from the long runs. Those are deterministic, so they are made once, even on a busy
machine, and give the score after each number of steps (`--only trajectories`). Seconds per step are
measured separately, in short bursts of every contender in turn in one process (`--only timings`); a
time is steps × seconds per step, level by level, with the preparation of each level for ours, and
without it for the yardstick. Trajectories may be made on a GPU (`--device cuda`), where only
rounding differs. `--times clock` takes the clock of the long runs instead. Scores are interpolated
between scored points. Pictures are scored as they would be saved, within [0, 1]: the yardstick
minimizes its loss beyond that range, so clamping costs it (`--plain "yardstick clamped"` clamps
before every evaluation instead).

Finished items are stored in the `--json` file, by pair, size and contender, with a fingerprint of
settings, weights, pictures and code; the same command continues from there, and repeats what has
changed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from measuring import spread  # noqa: E402
from texture_runs import LIBRARY, ROOT, Contenders, Task  # noqa: E402
from yardstick import METHODS  # noqa: E402

from geostyle.io.files import write_json  # noqa: E402
from geostyle.io.images import list_pictures  # noqa: E402
from geostyle.texture import TextureSettings  # noqa: E402

PICTURES = LIBRARY / "assets/pictures"
PARTS = ("trajectories", "timings", "memory")
BASE = "yardstick"
# Share of the fall of the yardstick's total, for contenders that do not reach all of it.
MOST_OF_FALL = 0.92
Curve = list[tuple[float, float]]


class Results:
    """Finished items by key, written to a file whenever one is added."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.items: dict[str, dict[str, Any]] = {}
        if path.is_file():
            self.items = json.loads(path.read_text(encoding="utf-8"))["items"]

    def get(self, key: str, fingerprint: dict[str, Any], make: Callable[[], Any]) -> Any:
        """The item `key`, made and stored where it is missing or its `fingerprint` has changed."""
        found = self.items.get(key)
        if found is None or found["fingerprint"] != fingerprint:
            print(f"{key} …", file=sys.stderr, flush=True)
            self.items[key] = {"fingerprint": fingerprint, "data": make()}
            self.save({})
        return self.items[key]["data"]

    def save(self, more: dict[str, Any]) -> None:
        """Write the items, and `more` before them."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, {**more, "items": self.items})


def choose_pairs(photos: Path, arts: Path, count: int) -> dict[str, tuple[Path, Path]]:
    """`count` pairs by name, spread over two folders."""
    contents, styles = (spread(list_pictures(folder), count) for folder in (photos, arts))
    pairs = [(contents[i % len(contents)], styles[i % len(styles)]) for i in range(count)]
    return {f"{content.stem} × {style.stem}": (content, style) for content, style in pairs}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Measure what is requested and missing; return the summary of all results."""
    results = Results(args.json)
    texture = TextureSettings(iterations=tuple(args.iterations), finish=tuple(args.finish))
    # Chosen by a timing once, so that later calls use the same precision.
    precisions = {
        features: results.items[key]["data"]
        for features in args.features
        if (key := f"precision/{features}") in results.items
    }
    contenders = Contenders(
        args.weights, texture, args.evaluations, args.every, precisions, args.device
    )
    names = [BASE, *args.plain, *args.features]
    for features in args.features:
        results.get(f"precision/{features}", {}, partial(contenders.precision, features))
    prints = {name: contenders.fingerprint(name) for name in names}
    pairs = choose_pairs(args.photos, args.arts, args.pairs)
    machine = {"threads": torch.get_num_threads(), "torch": torch.__version__}
    for size_px in args.sizes:
        for pair, paths in pairs.items() if "trajectories" in args.only else ():
            task = Task.load(*paths, size_px)
            for name in names:
                picture = args.pictures and args.pictures / f"{size_px}/{pair}/{name}.png"
                results.get(
                    f"trajectory/{size_px}/{pair}/{name}",
                    {**prints[name], "pictures": task.fingerprint()},
                    partial(contenders.trajectory, name, task, picture),
                )
        task = Task.load(*next(iter(pairs.values())), size_px)
        for number in range(args.rounds if "timings" in args.only else 0):
            # Each round begins with another contender, so that background load affects all alike.
            first = number % len(names)
            results.get(
                f"timing/{size_px}/{number}",
                {**machine, "contenders": prints, "burst": args.burst},
                partial(contenders.bursts, names[first:] + names[:first], task, args.burst),
            )
        for name in names if "memory" in args.only else ():
            results.get(
                f"memory/{size_px}/{name}",
                {**prints[name], **machine, "burst": args.burst},
                partial(peak_gb, args, name, size_px, contenders.precisions),
            )
    summary = summarize(results.items, args.sizes, list(pairs), names, args.times)
    about = {
        "scorer": f"{contenders.scorer_name}, float32",
        "precisions": contenders.precisions,
        "times": args.times,
        **machine,
    }
    results.save({"about": about, "summary": summary})
    return {"about": about, "summary": summary}


def peak_gb(args: argparse.Namespace, name: str, size_px: int, precisions: dict[str, str]) -> float:
    """Peak memory of a process of its own that takes a few steps."""
    command = [sys.executable, __file__, "--burst", str(args.burst)]
    command += ["--weights", str(args.weights.absolute())] if args.weights else []
    command += ["--photos", str(args.photos), "--arts", str(args.arts)]
    command += ["--iterations", *map(str, args.iterations), "--finish", *map(str, args.finish)]
    command += ["--peak", json.dumps([name, size_px, precisions.get(name, "")])]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return float(json.loads(done.stdout.splitlines()[-1]))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the flags, and fill in defaults that depend on other flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, help="VGG-19 weights file; without it lite scores")
    parser.add_argument("--features", nargs="+", help="default: vgg19 lite lite+vgg19; or lite")
    parser.add_argument(
        "--plain",
        nargs="*",
        choices=list(METHODS)[1:],
        default=["yardstick adam"],
        help="variants beside the yardstick",
    )
    parser.add_argument("--photos", type=Path, default=PICTURES / "content", metavar="DIR")
    parser.add_argument("--arts", type=Path, default=PICTURES / "styles", metavar="DIR")
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256], metavar="PX")
    parser.add_argument("--evaluations", type=int, default=300, help="evaluations of the yardstick")
    ours = TextureSettings()
    parser.add_argument(
        "--iterations", type=int, nargs="+", default=ours.iterations, help="steps per level of ours"
    )
    parser.add_argument(
        "--finish", type=int, nargs="+", default=ours.finish, help="finishing steps of ours"
    )
    parser.add_argument("--every", type=int, default=3, help="steps between two scorings")
    parser.add_argument("--rounds", type=int, default=5, help="bursts of every contender")
    parser.add_argument("--burst", type=int, default=4, help="steps per burst")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--device", default="cpu", help="device of the long runs: cpu, cuda or mps")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="folder for the results")
    parser.add_argument("--times", choices=("steps", "clock"), default="steps")
    parser.add_argument("--json", type=Path, default=Path("runs/bench_texture.json"))
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.features is None:
        args.features = ["lite"] if args.weights is None else ["vgg19", "lite", "lite+vgg19"]
    if args.weights is None and any("vgg19" in name for name in args.features):
        parser.error("features: expected lite alone without --weights")
    if args.device != "cpu" and args.only != ["trajectories"]:
        parser.error("device: expected cpu for anything but --only trajectories")
    args.photos, args.arts = args.photos.absolute(), args.arts.absolute()
    return args


def level_times(bursts: Sequence[Sequence[dict[str, float]]]) -> list[dict[str, Any]]:
    """Medians over bursts of each level, and the least and most seconds of a step."""
    found = []
    for level in zip(*bursts, strict=True):
        steps = [burst["step_s"] for burst in level]
        found.append(
            {
                "setup_s": statistics.median(burst["setup_s"] for burst in level),
                "step_s": statistics.median(steps),
                "spread_s": [min(steps), max(steps)],
            }
        )
    return found


def curve(run: dict[str, Any], levels: Sequence[dict[str, Any]] | None) -> Curve:
    """(seconds, total) of every scored point of a trajectory.

    Args:
        run: a trajectory, as `Contenders.trajectory` returns it.
        levels: as `level_times` returns them; None for the clock of the long run.
    """
    found = []
    for level, steps, total, clock in run["points"]:
        seconds = clock
        if levels is not None:
            seconds = levels[level]["setup_s"] + steps * levels[level]["step_s"]
            for done, timed in zip(run["levels"][:level], levels, strict=False):
                seconds += timed["setup_s"] + done["steps"] * timed["step_s"]
        found.append((seconds, total))
    return found


def time_to(found: Curve, goal: float) -> float | None:
    """Seconds until a curve first reaches `goal`, interpolated; None if it never does."""
    for i, (seconds, total) in enumerate(found):
        if total <= goal:
            if i == 0:
                return seconds
            earlier, above = found[i - 1]
            return earlier + (seconds - earlier) * (above - goal) / (above - total)
    return None


def lowest_by(found: Curve, seconds: float) -> float:
    """The lowest total of a curve's points until `seconds`, or of the first one."""
    return min((total for at, total in found if at <= seconds), default=found[0][1])


def summarize(
    items: dict[str, Any], sizes: Sequence[int], pairs: Sequence[str], names: Sequence[str],
    times: str,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Figures by size and contender, as far as the finished items allow.

    Args:
        items: by key, as `Results` stores them.
        sizes, pairs, names: of the items to summarize.
        times: ``"steps"`` or ``"clock"``.
    """
    return {
        str(size_px): {name: _row(items, size_px, pairs, name, times) for name in names}
        for size_px in sizes
    }


def _row(
    items: dict[str, Any], size_px: int, pairs: Sequence[str], name: str, times: str
) -> dict[str, Any]:
    prefix = f"timing/{size_px}/"
    rounds = [item["data"] for key, item in items.items() if key.startswith(prefix)]
    rounds = [data for data in rounds if name in data]
    timed = {n: level_times([data[n] for data in rounds]) for n in {name, BASE} if rounds}
    row: dict[str, Any] = {"pairs": 0}
    if rounds:
        row |= {
            "step_s": timed[name][-1]["step_s"],
            "spread_s": timed[name][-1]["spread_s"],
            "step_ratio": timed[BASE][-1]["step_s"] / timed[name][-1]["step_s"],
        }
    if f"memory/{size_px}/{name}" in items:
        row["peak_gb"] = items[f"memory/{size_px}/{name}"]["data"]
    figures: dict[str, list[float]] = {}
    for pair in pairs:
        keys = [f"trajectory/{size_px}/{pair}/{n}" for n in (name, BASE)]
        if not all(key in items for key in keys):
            continue
        row["pairs"] += 1
        own, base = (items[key]["data"] for key in keys)
        found = {
            "total": own["points"][-1][2],
            "style": own["final"]["style"],
            "content": own["final"]["content"],
        }
        goal = base["points"][-1][2]
        found["total_ratio"] = found["total"] / goal
        if rounds or times == "clock":
            levels = timed if times == "steps" else {}
            a, b = curve(own, levels.get(name)), curve(base, levels.get(BASE))
            begun = b[0][1]
            found |= _times(a, b, goal, "goal")
            found |= _times(a, b, begun - MOST_OF_FALL * (begun - goal), "most")
            found["seconds"] = a[-1][0]
            found["equal_time_ratio"] = found["total"] / lowest_by(b, a[-1][0])
        for key, value in found.items():
            figures.setdefault(key, []).append(value)
    row["reached"] = sum(speed > 0 for speed in figures.get("goal_speedup", []))
    return row | {key: statistics.median(values) for key, values in figures.items()}


def _times(own: Curve, base: Curve, goal: float, name: str) -> dict[str, float]:
    """Seconds to `goal`, infinite where it is not reached, and the speed-up, which is then 0."""
    seconds, theirs = time_to(own, goal), time_to(base, goal)
    assert theirs is not None
    speedup = 0.0 if seconds is None else theirs / seconds
    return {f"{name}_s": float("inf") if seconds is None else seconds, f"{name}_speedup": speedup}


def table(about: dict[str, Any], summary: dict[str, dict[str, Any]]) -> str:
    """The summary as Markdown."""
    lines = [f"scored under {about['scorer']}; medians over pairs; times from {about['times']}, "
             f"{about['threads']} threads; precision: {about['precisions']}"]  # fmt: skip
    for size_px, rows in summary.items():
        lines += [
            "",
            f"| {size_px} px | total | / yardstick's | s to yardstick's total | sooner "
            f"| sooner to {MOST_OF_FALL:.0%} of its fall | / yardstick's at equal time "
            "| s in all | s a step (least–most) | step faster | peak GB |",
            "|---" * 11 + "|",
        ]
        for name, row in rows.items():
            cells = [
                name,
                _cell(row, "total", ".4f"),
                _cell(row, "total_ratio", ".3f"),
                _cell(row, "goal_s", ".1f"),
                _cell(row, "goal_speedup", ".1f") + f" × ({row['reached']} of {row['pairs']})",
                _cell(row, "most_speedup", ".1f") + " ×",
                _cell(row, "equal_time_ratio", ".3f"),
                _cell(row, "seconds", ".1f"),
                _cell(row, "step_s", ".3g")
                + (" ({:.3g}–{:.3g})".format(*row["spread_s"]) if "spread_s" in row else ""),
                _cell(row, "step_ratio", ".2f") + " ×",
                _cell(row, "peak_gb", ".2f"),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(row: dict[str, Any], key: str, form: str) -> str:
    if key not in row:
        return "–"
    return format(row[key], form) if row[key] < float("inf") else "never"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what is missing, and print a table per size."""
    args = parse(argv)
    if args.peak:
        name, size_px, precision = json.loads(args.peak)
        texture = TextureSettings(iterations=tuple(args.iterations), finish=tuple(args.finish))
        precisions = {name: precision} if precision else {}
        contenders = Contenders(args.weights, texture, args.evaluations, args.every, precisions)
        pair = next(iter(choose_pairs(args.photos, args.arts, 1).values()))
        print(contenders.peak_gb(name, Task.load(*pair, size_px), args.burst))
        return
    print(table(**measure(args)))


if __name__ == "__main__":
    main()
