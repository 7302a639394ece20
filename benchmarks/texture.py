"""Texture transfer against the recipe everybody knows, resumable.

    python benchmarks/texture.py                                        # offline, a few minutes
    python benchmarks/texture.py --weights vgg19.safetensors --photos DIR --arts DIR --pairs 6 \
        --sizes 256 512 1024 --json bench.json

The yardstick: single scale, float32, contiguous, L-BFGS from the content, 300 evaluations, with
the scorer's own layers and weights; and the same with Adam. Against it the texture stage of our
main job as it is by default, under each of `--features`. Everything is scored under VGG-19 in
float32; without `--weights` under `lite`, which the table then says, and which flatters `lite`.

Times do not come from the long runs. Those are deterministic, so they are made once, on however
busy a machine, and tell the score after so many steps (`--only trajectories`). What a step takes is
measured apart, in short bursts of every contender in turn in one process (`--only timings`); a time
is steps × seconds a step, level by level, with each of our levels' preparation, and, for the
yardstick, without its own. Trajectories may be made on a GPU (`--device cuda`), which rounds
otherwise and does no more. `--times clock` takes the clock of the long runs instead. Between two
scored points the score is interpolated. What is scored is always a picture as it would be saved,
within [0, 1]: the yardstick minimizes its loss beyond that range, and its pictures lose by being
clamped (`--plain "yardstick clamped"` clamps before every evaluation instead).

Whatever is finished lies in the `--json` file, by pair, size and contender, with a fingerprint of
settings, weights, pictures and code; the same command goes on from there, and does anew what has
changed.
"""

from __future__ import annotations

import argparse
import json
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
from texture_table import BASE, summarize, table  # noqa: E402
from yardstick import METHODS  # noqa: E402

from geostyle.io.files import write_json  # noqa: E402
from geostyle.io.images import list_pictures  # noqa: E402
from geostyle.texture import TextureSettings  # noqa: E402

PICTURES = LIBRARY / "assets/pictures"
PARTS = ("trajectories", "timings", "memory")


class Results:
    """Finished items by key, written to a file whenever one is added."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.items: dict[str, dict[str, Any]] = {}
        if path.is_file():
            self.items = json.loads(path.read_text(encoding="utf-8"))["items"]

    def get(self, key: str, fingerprint: dict[str, Any], make: Callable[[], Any]) -> Any:
        """The item `key`, made and kept where it is missing or its `fingerprint` is another."""
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
    """`count` pairs by name, as different as two folders allow."""
    contents, styles = (spread(list_pictures(folder), count) for folder in (photos, arts))
    pairs = [(contents[i % len(contents)], styles[i % len(styles)]) for i in range(count)]
    return {f"{content.stem} × {style.stem}": (content, style) for content, style in pairs}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything asked for that is not there yet; the summary of what is."""
    results = Results(args.json)
    texture = TextureSettings(iterations=tuple(args.iterations), finish=tuple(args.finish))
    # Chosen by a timing, which must not decide anew between two calls.
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
            # Each round begins with another one, and every contender meets every kind of moment.
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
    """Flags, with what depends on others filled in."""
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
    parser.add_argument("--evaluations", type=int, default=300, help="of the yardstick")
    ours = TextureSettings()
    parser.add_argument(
        "--iterations", type=int, nargs="+", default=ours.iterations, help="of ours"
    )
    parser.add_argument("--finish", type=int, nargs="+", default=ours.finish, help="of ours")
    parser.add_argument("--every", type=int, default=3, help="steps between two scored ones")
    parser.add_argument("--rounds", type=int, default=5, help="bursts of every contender")
    parser.add_argument("--burst", type=int, default=4, help="steps in a burst")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--device", default="cpu", help="of the long runs: cpu, cuda or mps")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="gets what they paint")
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


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what is missing, print a table a size."""
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
