"""Run the same small jobs in two checkouts and compare what comes out, value by value.

    python tests/reliability/same_results.py BEFORE AFTER [--only JOB ...] [--cache DIR] [--keep D]

For changes that must not change any result: moves, new names, other spellings. Every job runs in a
process of its own on one thread of the CPU, in float32, from fixed seeds, and no timing decides
anything, so equal code gives equal bits. Pictures are compared decoded, checkpoints tensor by
tensor, JSON number by number. Names may differ: what has another name in AFTER is looked for by
its spelling, then by its shape and contents. Texts, and pictures with text on them, are left out.

There is one line for each file, or kind of file. Where anything differs, is missing or fails, the
exit status is 1; files that only AFTER has are printed and change nothing. `--cache` keeps what
BEFORE gave for later runs, under a hash of its files, of the jobs and of the versions that compute;
`--keep` keeps what AFTER gave.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import math
import os
import platform
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors.torch
import torch
from PIL import Image

T = TypeVar("T")
Values = dict[str, np.ndarray]  # of one file, by name
PICTURES = (".png", ".jpg")
ASSET_KINDS = (*PICTURES, ".safetensors", ".json")
# Letters that British and American spelling write differently, and one way for both.
SPELLINGS = {
    r"([iy])s(?=e|ing|ation|able)": r"\1z",
    r"our": "or",
    r"grey": "gray",
    r"cent(er|re|r)e?": "center",
    r"ll": "l",
}
# Texts, records of the machine, copies of what came in, and sheets whose titles are texts.
LEFT_OUT = re.compile(
    r"(^|/)(originals/|\.|(environment|files|skipped)\.json|(contact_sheet|metrics|preview)\.png)"
)
# Folders that are no part of a checkout, beside hidden ones.
UNTOLD = re.compile(r"\.|(__pycache__|runs|out|build|dist|mutants|wandb)$|.*\.egg-info$")
TIMEOUT_S = 1800


@dataclass(frozen=True)
class Call:
    """One command of a job.

    name: of its outputs' folder, which is {out} in `words`; {inputs} are the pictures that both
    checkouts read, {pairs} a set of pairs from another job. program: a script, or a verb. A word
    with brackets is a pattern of a flag that is spelled in several ways.
    """

    name: str
    program: str
    words: tuple[str, ...]


def _call(name: str, program: str, words: str) -> Call:
    return Call(name, program, tuple(words.split()))


# Flags that are spelled alike everywhere, but for the one in brackets.
EXACT = "--device cpu --precision float32 --seed 0"
JOBS: dict[str, list[Call]] = {
    "transfer": [
        _call(
            "whole",
            "transfer.py",
            "--content {inputs}/content.jpg --geo-style {inputs}/geo.jpg"
            " --tex-style {inputs}/style.jpg --geometry affine+tps --size 256"
            f" --iterations 6 5 4 8 --tile-px 1024 --output {{out}} {EXACT}",
        ),
        # What the first leaves out: tiles, two styles, the bundled content, the trained networks.
        _call(
            "tiles",
            "transfer.py",
            "--geo-style {inputs}/geo_bundled.jpg --tex-style {inputs}/style.jpg"
            " {inputs}/second.jpg --tex-weights 2 1 --estimator regression --geometry tps"
            " --preserve-color lab --extend mirror --size 192 --iterations 4 4 5 --tile-px 96"
            f" --output {{out}} {EXACT}",
        ),
    ],
    "make": [
        _call(
            "pairs",
            "data_gen/make.py",
            "--images {inputs}/photos --styles {inputs}/paintings --count 8 --val-count 3"
            f" --size 96 --iterations 8 6 --workers 1 --output {{out}} {EXACT}",
        ),
        # The bundled pictures and fast networks.
        _call(
            "bundled",
            "data_gen/make.py",
            "--styli[sz]e fast --count 6 --val-count 3 --size 96 --workers 1 --output {out}"
            f" {EXACT}",
        ),
    ],
    "train": [
        _call(
            "geometry",
            "train_geo.py",
            "--data {pairs} --steps 50 --batch 4 --match-px 96 --width 16 --net-lattice 3"
            " --warmup 5 --validate-every 25 --save-every 25 --feature-precision float32"
            f" --output {{out}} {EXACT}",
        ),
    ],
    "texture": [
        _call(
            "texture",
            "texture",
            "--exemplar {inputs}/texture.jpg --exemplar-size 128 --size 144x112 --tile"
            f" --iterations 4 4 6 --output {{out}} {EXACT}",
        ),
    ],
    "fast": [
        _call(
            "painter",
            "fast-train",
            "--images {inputs}/photos --tex-style {inputs}/style.jpg --style-size 64"
            " --crop-size 64 --batch 2 --steps 20 --warmup 5 --validate-every 10"
            f" --widths 8 12 16 --blocks 0 0 1 --output {{out}} {EXACT}",
        ),
    ],
}
NEEDS = {"train": "make"}  # a job that reads the first outputs of another
ASSETS = "assets"  # not a job: the bundled files themselves


class JobFailed(Exception):
    """A command that did not come to its end."""


class Checkout:
    """One of the two.

    Args:
        root: its folder.
        name: what it is called in the table.

    `path` is what its processes import from.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.name = root.resolve(), name
        packages = [path.parent.parent for path in self.files("geostyle/__init__.py")]
        if not packages:
            raise SystemExit(f"{name}: expected a checkout with the package geostyle, got {root}")
        self.path = os.pathsep.join(dict.fromkeys(map(str, (packages[0], self.root))))
        self._helps: dict[tuple[str, ...], str] = {}

    def files(self, ending: str = "") -> list[Path]:
        """All its files, or those whose path ends so, the least deep ones first."""
        found = []
        for folder, below, names in os.walk(self.root):
            below[:] = [name for name in below if not UNTOLD.match(name)]
            found += [Path(folder, file) for file in names if not file.startswith(".")]
        if ending:
            found = [path for path in found if path.as_posix().endswith(f"/{ending}")]
        return sorted(found, key=lambda path: (len(path.parts), path))

    def python(self, *words: str, log: Path | None = None) -> str:
        """Run Python in the checkout; what it prints.

        Raises: JobFailed with the end of what it printed.
        """
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "GEOSTYLE"))}
        one = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
        own = {
            "PYTHONPATH": self.path,
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",  # nothing is written to a checkout
            "CUDA_VISIBLE_DEVICES": "",
            "WORLD_SIZE": "1",
        }
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self.root,
            env={**keep, **one, **own},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
        )
        if log is not None:
            log.write_text(done.stdout, encoding="utf-8")
        if done.returncode:
            last = " / ".join(done.stdout.replace("\r", "\n").strip().splitlines()[-2:])
            raise JobFailed(f"exit status {done.returncode}: {last[-300:]}")
        return done.stdout

    def check_import(self) -> None:
        """Make sure that its processes run its own code, not an installed copy.

        Raises: SystemExit where they do not.
        """
        try:
            found = self.python("-c", "import geostyle; print(geostyle.__file__)").strip()
        except JobFailed as error:
            raise SystemExit(f"{self.name}: geostyle cannot be imported: {error}") from error
        if self.root not in Path(found).resolve().parents:
            raise SystemExit(f"{self.name}: expected geostyle from {self.root}, got {found}")

    def program(self, name: str) -> tuple[str, ...]:
        """The words that start a script, found by its file name, or a verb."""
        if not name.endswith(".py"):
            return ("-m", "geostyle", name)
        found = [self.root / name, *self.files(Path(name).name)]
        for path in found:
            inside = path.relative_to(self.root).parts
            if path.is_file() and inside[0] != "tests" and "geostyle" not in inside:
                return (str(path),)
        raise JobFailed(f"no script {name}")

    def spelled(self, program: tuple[str, ...], word: str) -> str:
        """`word`, or where it is the pattern of a flag, that flag as the program has it."""
        if not (word.startswith("--") and "[" in word):
            return word
        if program not in self._helps:
            self._helps[program] = self.python(*program, "--help")
        match = re.search(rf"(?<!\S){word}\b", self._helps[program])
        if match is None:
            raise JobFailed(f"{' '.join(program)} has no flag {word}")
        return match[0]

    def by_statistics(self, program: tuple[str, ...]) -> list[str]:
        """The flag for the painter that transfers had before there were several."""
        if not program[-1].endswith("transfer.py"):
            return []
        if program not in self._helps:
            self._helps[program] = self.python(*program, "--help")
        return ["--painter", "gram"] if "--painter" in self._helps[program] else []

    def run(self, job: str, folder: Path, inputs: Path, pairs: Path | None) -> None:
        """Run the commands of a job; each writes to a folder of its own in `folder`.

        Raises: JobFailed.
        """
        known = {"inputs": inputs}
        if pairs is not None:  # a copy: training writes to it
            known["pairs"] = folder / "pairs"
            shutil.copytree(pairs, known["pairs"], ignore=shutil.ignore_patterns(".lock"))
        for call in JOBS[job]:
            known["out"] = folder / call.name
            try:
                program = self.program(call.program)
                words = [self.spelled(program, word) for word in call.words]
                filled = [word.format(**known) for word in words]
                filled += self.by_statistics(program)
                self.python(*program, *filled, log=folder / f"{call.name}.log")
            except JobFailed as error:
                raise JobFailed(f"{job}/{call.name} {error}") from error


class Results:
    """Results of the jobs in one checkout, run when they are asked for.

    Args:
        checkout: where they run.
        inputs: pictures that they read.
        folder: gets the outputs.
        cached: whether the folder keeps results of several runs, under names that tell of what.
    """

    def __init__(self, checkout: Checkout, inputs: Path, folder: Path, *, cached: bool) -> None:
        self.checkout, self.inputs, self.folder, self.cached = checkout, inputs, folder, cached
        self.told: dict[str, str] = {}
        self._tree = _tree_digest(checkout) if cached else ""
        folder.mkdir(parents=True, exist_ok=True)
        if not cached and any(folder.iterdir()):
            raise SystemExit(f"keep: expected an empty folder, got {folder}")

    def of(self, job: str) -> Path:
        """The folder with the outputs of a job.

        Raises: JobFailed.
        """
        final = self.folder / self._name(job)
        if final.is_dir():
            self.told.setdefault(job, "from the cache")
            return final
        # Under its final name it is whole, whatever else runs beside this.
        temporary = self.folder / f".tmp-{secrets.token_hex(6)}"
        try:
            pairs = None
            if job in NEEDS:
                needed = NEEDS[job]
                pairs = self.of(needed) / JOBS[needed][0].name
            temporary.mkdir()
            started = time.monotonic()
            self.checkout.run(job, temporary, self.inputs, pairs)
            self.told[job] = f"{time.monotonic() - started:.0f} s"
            with contextlib.suppress(OSError):  # another run was sooner
                temporary.rename(final)
            assert final.is_dir()
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return final

    def _name(self, job: str) -> str:
        if not self.cached:
            return job
        chain = [job, *([NEEDS[job]] if job in NEEDS else [])]
        calls = [[asdict(call) for call in JOBS[name]] for name in chain]
        key = json.dumps([self._tree, _machine(), calls])
        return f"{job}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def stage_inputs(checkout: Checkout, folder: Path) -> Path:
    """Copy bundled pictures of a checkout under names that tell training nothing new.

    Raises: SystemExit where one is not there.
    """

    def kind(prefix: str) -> list[Path]:
        """The pictures of the folder whose name begins so."""
        found = [
            path
            for path in checkout.files()
            if path.suffix in PICTURES and path.parent.name.startswith(prefix)
        ]
        if not found:
            raise SystemExit(f"{checkout.name}: expected pictures in a folder {prefix}…, got none")
        return sorted(found, key=lambda path: path.name)

    def one(prefix: str, stem: str) -> Path:
        found = [path for path in kind(prefix) if path.stem == stem]
        if not found:
            raise SystemExit(f"{checkout.name}: expected a picture {prefix}…/{stem}, got none")
        return found[0]

    named = {
        "content.jpg": one("content", "chelsea"),
        "geo.jpg": one("geo", "chelsea"),
        "geo_bundled.jpg": one("geo", "coffee"),  # goes with the content that is the default
        "style.jpg": one("style", "night"),
        "second.jpg": one("style", "mosaic"),
        "texture.jpg": one("texture", "pebbles"),
    }
    for name, paths in {
        "photos/photo": kind("content") + kind("scenes"),
        "paintings/painting": kind("style"),
    }.items():
        named |= {f"{name}{number:02d}.jpg": path for number, path in enumerate(paths)}
    for name, path in named.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)
    return folder


def neutral(name: str) -> str:
    """A name without what British and American spelling write differently.

    Both sides are changed alike, so it does not matter that other words change, too.
    """
    name = name.lower()
    for pattern, letters in SPELLINGS.items():
        name = re.sub(pattern, letters, name)
    return name


def pair_up(
    before: Mapping[str, T],
    after: Mapping[str, T],
    digest: Callable[[T], Hashable],
    shape: Callable[[T], Hashable],
) -> Iterator[tuple[str, str | None, T | None, T | None]]:
    """Pair the artifacts: name before, name after, and the two; None where one has no other.

    By name, then by its neutral spelling, then by equal contents, then by equal shape in order of
    names.
    """
    left, right = dict(before), dict(after)
    ways: list[Callable[[str, T], Hashable]] = [
        lambda name, _: name,
        lambda name, _: neutral(name),
        lambda _, value: digest(value),
        lambda _, value: shape(value),
    ]
    partner: dict[str, str] = {}
    for way in ways:
        waiting: dict[Hashable, list[str]] = {}
        for name in sorted(right):
            waiting.setdefault(way(name, right[name]), []).append(name)
        for name in sorted(left):
            if found := waiting.get(way(name, left[name])):
                partner[name] = found.pop(0)
                del left[name], right[partner[name]]
    for name, value in before.items():
        other = partner.get(name)
        yield name, other, value, None if other is None else after[other]
    for name, value in right.items():
        yield name, name, None, value


def read_folder(folder: Path) -> dict[str, Values]:
    """Everything in a command's outputs that can be compared, by file.

    The number and name of a run folder are no part of a file's name.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        name = re.sub(r"^\d{5}(-[^/]*)?/", "", name)
        if path.is_file() and not LEFT_OUT.search(name) and (values := read_file(path)):
            found[name] = values
    return found


def read_file(path: Path) -> Values:
    """The arrays in a file; none where it is of no kind that is compared."""
    if path.suffix in PICTURES:
        with Image.open(path) as image:
            return {"pixels": np.asarray(image)}
    if path.suffix == ".npy":
        return {"array": np.load(path)}
    if path.suffix == ".safetensors":
        return {name: _array(t) for name, t in safetensors.torch.load_file(path).items()}
    if path.suffix == ".json":
        numbers = _numbers(json.loads(path.read_text(encoding="utf-8")))
        return {name: np.array(value) for name, value in numbers.items()}
    if path.suffix == ".jsonl":
        rows = [_numbers(json.loads(line)) for line in path.read_text("utf-8").splitlines()]
        names = dict.fromkeys(name for row in rows for name in row)
        return {name: np.array([row.get(name, math.nan) for row in rows]) for name in names}
    return {}


def _array(tensor: torch.Tensor) -> np.ndarray:
    # NumPy has no bfloat16; float32 holds every value of it.
    array: np.ndarray = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array


def _numbers(value: Any, name: str = "") -> dict[str, float]:
    """All numbers in JSON but durations, with dotted names."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        parts = [_numbers(item, f"{name}.{key}" if name else str(key)) for key, item in items]
        return {key: number for part in parts for key, number in part.items()}
    if "seconds" in name.rsplit(".", 1)[-1] or not isinstance(value, bool | int | float):
        return {}
    return {name: float(value)}


def array_digest(array: np.ndarray) -> str:
    """A hash of an array's type, shape and bits."""
    head = f"{array.dtype.str} {array.shape} ".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()


def array_shape(array: np.ndarray) -> tuple[str, tuple[int, ...]]:
    """Type and shape."""
    return array.dtype.str, array.shape


@dataclass
class Comparison:
    """Comparison of a file, or of all files of one kind.

    files, values: how many were compared, values being arrays. worst: the largest difference, and
    of what. odd: arrays that differ otherwise: in shape or type, or that one side lacks.
    """

    files: int = 0
    values: int = 0
    different: int = 0
    worst: tuple[float, str] = (0.0, "")
    odd: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """True where not a bit differs."""
        return not self.different

    def add(self, before: Values, after: Values, label: str = "") -> None:
        """Compare two files."""
        self.files += 1
        for name, _, a, b in pair_up(before, after, array_digest, array_shape):
            self.values += 1
            if a is not None and b is not None and array_digest(a) == array_digest(b):
                continue
            self.different += 1
            where = f"{label} {name}".strip()
            if a is None or b is None:
                self.odd += (f"{where}: only {'after' if a is None else 'before'}",)
            elif array_shape(a) != array_shape(b):
                shown = [f"{dtype[1:]} {list(shape)}" for dtype, shape in map(array_shape, (a, b))]
                self.odd += (f"{where}: {' → '.join(shown)}",)
            else:
                self.worst = max(self.worst, (_distance(a, b), where))

    def __str__(self) -> str:
        if self.same:
            files = f"{self.files} files, " * (self.files > 1)
            return f"{files}{self.values} array{'s' * (self.values != 1)}"
        parts = [f"{self.different} of {self.values} arrays"]
        if self.worst[1]:
            parts.append(f"max abs difference {self.worst[0]:.3g} in {self.worst[1]}")
        if self.odd:
            more = f" and {len(self.odd) - 2} more" * (len(self.odd) > 2)
            parts.append("; ".join(self.odd[:2]) + more)
        return "; ".join(parts)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference of two arrays of one shape; infinite where one alone has no number."""
    if not a.size:
        return 0.0
    x, y = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore"):
        difference = np.where((x == y) | (np.isnan(x) & np.isnan(y)), 0.0, np.abs(x - y))
    return float(np.where(np.isnan(difference), math.inf, difference).max())


class Table:
    """The lines, as they are found."""

    def __init__(self) -> None:
        self.counts = {"identical": 0, "DIFFERS": 0, "MISSING": 0, "FAILED": 0}

    def line(self, verdict: str, job: str, name: str, note: object = "") -> None:
        """Print one."""
        if verdict in self.counts:
            self.counts[verdict] += 1
        print(f"{verdict:<10} {job:<18} {name:<38} {note}".rstrip(), flush=True)

    @property
    def same(self) -> bool:
        """True where anything was compared and all was identical."""
        return sum(self.counts.values()) == self.counts["identical"] > 0

    def folders(self, job: str, before: Path, after: Path) -> None:
        """Compare the outputs of one command, numbered files of one kind together."""

        def digest(values: Values) -> Hashable:
            return tuple(sorted(map(array_digest, values.values())))

        def shape(values: Values) -> Hashable:
            return tuple(sorted(map(array_shape, values.values())))

        kinds: dict[str, Comparison] = {}
        missing: list[str] = []
        added: list[str] = []
        for name, other, a, b in pair_up(read_folder(before), read_folder(after), digest, shape):
            if a is None:
                added.append(name)
            elif b is None:
                missing.append(name)
            else:
                kind = re.sub(r"[0-9a-f]{16}|\d{6}", "*", name)
                if kind == name and other != name:
                    kind = f"{name} ({other})"
                kinds.setdefault(kind, Comparison()).add(a, b, name if "*" in kind else "")
        for kind, found in kinds.items():
            self.line("identical" if found.same else "DIFFERS", job, kind, found)
        for name in missing:
            self.line("MISSING", job, name)
        for name in added:
            self.line("only after", job, name, "not compared")

    def assets(self, before: Checkout, after: Checkout) -> None:
        """Find each bundled picture and network of one checkout in the other, wherever it lies."""

        def bundled(checkout: Checkout) -> list[Path]:
            found = [path for path in checkout.files() if path.suffix in ASSET_KINDS]
            return [path for path in found if ASSETS in path.relative_to(checkout.root).parts]

        there = [path for path in after.files() if path.suffix in ASSET_KINDS]
        copies = {_file_digest(path) for path in there}
        same: dict[str, int] = {}
        for path in bundled(before):
            if _file_digest(path) in copies:
                same[path.suffix[1:]] = same.get(path.suffix[1:], 0) + 1
                continue
            name = neutral(path.name)
            # Several have one name: the one in a folder of the same name, where there is one.
            near = [other for other in there if neutral(other.name) == name]
            near.sort(key=lambda other: neutral(other.parent.name) != neutral(path.parent.name))
            shown = path.relative_to(before.root).as_posix()
            if not near:
                self.line("MISSING", ASSETS, shown)
                continue
            found = Comparison()
            found.add(read_file(path), read_file(near[0]))
            self.line("identical" if found.same else "DIFFERS", ASSETS, shown, found)
        for suffix, count in same.items():
            self.line("identical", ASSETS, f"*.{suffix}", f"{count} files, to the byte")


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _tree_digest(checkout: Checkout) -> str:
    lines = [f"{p.relative_to(checkout.root)} {_file_digest(p)}" for p in checkout.files()]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _machine() -> list[str]:
    """Settings beside the code that decide how sums are rounded."""
    processor = platform.processor()
    table = Path("/proc/cpuinfo")
    if table.is_file():
        match = re.search(r"^model name\s*:\s*(.*)$", table.read_text(errors="replace"), re.M)
        processor = match[1] if match else processor
    return [
        platform.python_version(),
        torch.__version__,
        np.__version__,
        torch.backends.cpu.get_cpu_capability(),
        processor,
    ]


def compare(before: Results, after: Results, jobs: list[str], table: Table) -> None:
    """Run what has not been run, and print the table."""
    for job in jobs:
        if job == ASSETS:
            table.assets(before.checkout, after.checkout)
            continue
        folders = []
        for side in (before, after):
            try:
                folders.append(side.of(job))
            except (JobFailed, subprocess.TimeoutExpired) as error:
                table.line("FAILED", job, side.checkout.name, " ".join(str(error).split()))
        if len(folders) < 2:
            continue
        for call in JOBS[job]:
            name = job if len(JOBS[job]) == 1 else f"{job}/{call.name}"
            table.folders(name, folders[0] / call.name, folders[1] / call.name)
        if job in NEEDS:
            # What the steps read: it tells a difference in features from one in training.
            read = [folder / "pairs" / "correlations" for folder in folders]
            table.folders(f"{job}/correlations", *read)


def main() -> int:
    """Compare; 0 where everything is identical, 1 where anything is not."""
    parser = argparse.ArgumentParser(
        description="Run the same small jobs in two checkouts and compare what comes out."
    )
    parser.add_argument("before", type=Path, help="a checkout from before the change")
    parser.add_argument("after", type=Path, help="a checkout with the change")
    choices = [ASSETS, *JOBS]
    parser.add_argument("--only", nargs="+", choices=choices, help="some of the jobs")
    parser.add_argument("--cache", type=Path, help="folder that keeps what BEFORE gave")
    parser.add_argument("--keep", type=Path, help="folder that gets what AFTER gave")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="geostyle-same-") as name:
        work, cache = Path(name), args.cache
        sides = [Checkout(args.before, "before"), Checkout(args.after, "after")]
        for side in sides:
            side.check_import()
        inputs = stage_inputs(sides[0], work / "inputs")
        before = Results(
            sides[0], inputs, (cache or work / "before").resolve(), cached=cache is not None
        )
        after = Results(sides[1], inputs, (args.keep or work / "after").resolve(), cached=False)
        table, started = Table(), time.monotonic()
        compare(before, after, [job for job in choices if job in (args.only or choices)], table)
    for results in (before, after):
        times = ", ".join(f"{job} {took}" for job, took in results.told.items())
        print(f"{results.checkout.name}: {times or 'nothing run'}")
    counted = ", ".join(f"{count} {verdict}" for verdict, count in table.counts.items() if count)
    print(f"{counted}; {time.monotonic() - started:.0f} s")
    return 0 if table.same else 1


if __name__ == "__main__":
    sys.exit(main())
