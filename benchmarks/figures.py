"""Figures of the documents: one file each, and the documents rendered from them.

    python benchmarks/figures.py                     list them, and which are older than the code
    python benchmarks/figures.py record NAME FILE    keep FILE, the JSON of the measuring command
    python benchmarks/figures.py render              write all into README.md and docs/
    python benchmarks/figures.py make [NAME …]       measure what is missing or old, then render

docs/figures/NAME.json holds the values with their command, commit, machine, threads, date and the
hash of the code they measure; "documented" where they were taken from the documents of that commit.
Between markers in a document stand

    <!-- table NAME --> … <!-- end -->               a table, and a line that says where it is from
    <!-- about NAME --> … <!-- end -->               that line alone
    <!-- value NAME PATH FORMAT --> … <!-- end -->   a value, as `figure_tables.value` finds it

`make` goes on where it was stopped: commands keep their parts in runs/figures/NAME. It looks for
PHOTOS, ART, TEXTURES, PF_WILLOW and VGG19 below the folder that GEOSTYLE_DATA names, or where the
variables of these names point.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import functools
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from figure_list import FIGURES, Figure  # noqa: E402
from figure_tables import markdown, value, written  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
FOLDER = "docs/figures"
MARKED = re.compile(
    r"<!-- (?P<kind>table|value|about) (?P<name>[\w-]+)(?P<rest>[^>]*?) -->(?P<text>.*?)"
    r"<!-- end -->",
    re.DOTALL,
)
CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
# Below the folder of GEOSTYLE_DATA.
PLACES = {
    "PHOTOS": "data/photos",
    "ART": "data/art",
    "TEXTURES": "data/textures",
    "PF_WILLOW": "data/pf_willow",
    "VGG19": "weights/vgg19_caffe.safetensors",
}


def code_hash(paths: Sequence[str], root: Path = ROOT) -> str:
    """Return the SHA-256 of what files do: Python as `bare` leaves it, other files as they are.

    Args:
        paths: files and folders below `root`; after ``!`` the beginning of paths that are left out.
    """
    digest = hashlib.sha256()
    without = tuple(path[1:] for path in paths if path.startswith("!"))
    for path in paths:
        if path.startswith("!"):
            continue
        place = root / path
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        for file in files:
            if without and file.relative_to(root).as_posix().startswith(without):
                continue
            data = file.read_bytes()
            if file.suffix == ".py":
                data = bare(data.decode()).encode()
            digest.update(file.relative_to(root).as_posix().encode() + b"\0" + data)
    return digest.hexdigest()


@functools.cache
def bare(source: str) -> str:
    """Return code without comments and docstrings, and what it imports, wherever that is done."""
    tree, imported = ast.parse(source), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imported.add(ast.dump(node))
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return "\n".join([ast.dump(_WithoutImports().visit(tree)), *sorted(imported)])


class _WithoutImports(ast.NodeTransformer):
    def visit_Import(self, node: ast.Import) -> None: ...

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None: ...

    def visit_If(self, node: ast.If) -> ast.AST | None:
        typing = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return None if typing else self.generic_visit(node)


def machine() -> dict[str, Any]:
    """Describe this machine, without its name."""
    known, flags = platform.machine(), []
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        known = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
        own = next(line for line in lines if line.startswith("flags")).split()
        flags = [flag for flag in CPU_FLAGS if flag in own]
    except (OSError, StopIteration, IndexError):
        pass
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    threads = int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads()))
    return {
        "cpu": known,
        "flags": flags,
        "threads": threads,
        "gpu": gpu,
        "torch": torch.__version__,
    }


def places() -> dict[str, Path]:
    """Return what the names of commands stand for on this machine, as far as it is there."""
    base = os.environ.get("GEOSTYLE_DATA", "")
    found = {name: Path(base) / rest for name, rest in PLACES.items() if base}
    found |= {name: Path(os.environ[name]) for name in PLACES if os.environ.get(name)}
    return {name: path for name, path in found.items() if path.exists()}


def record(name: str, values: Any, root: Path = ROOT) -> Path:
    """Write ``docs/figures/NAME.json`` for values that the measuring command has just printed."""
    figure = FIGURES[name]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True
    )
    document = {
        "command": figure.command,
        "commit": commit.stdout.strip(),
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "code": code_hash(figure.code, root),
        "values": values,
    }
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    for known, place in places().items():
        text = text.replace(str(place), known)
    if re.search(r'["\s=](/\w|[A-Za-z]:\\)', text):
        raise SystemExit(f"{name}: expected names instead of paths of this machine in the values")
    path = root / FOLDER / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def load(name: str, root: Path = ROOT) -> dict[str, Any]:
    """Read a figure's file."""
    path = root / FOLDER / f"{name}.json"
    if name not in FIGURES or not path.is_file():
        raise SystemExit(f"{name}: expected a figure that was measured, got none in {FOLDER}")
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def is_old(name: str, root: Path = ROOT) -> bool:
    """Return True if the code that a figure measures has changed since."""
    return bool(load(name, root)["code"] != code_hash(FIGURES[name].code, root))


def about(name: str, root: Path = ROOT) -> str:
    """Return the line that says when and where a figure was measured, and by what."""
    own = load(name, root)
    used = own["machine"]
    flags = f" ({', '.join(used['flags'])})" if used["flags"] else ""
    commit = f"commit {own['commit']} of {own['date']}"
    if own.get("documented"):
        commit = f"as documented at {commit}"
    command = "` and `".join(own["command"].split(" && "))
    parts = [f"`{command}`", commit, used["cpu"] + flags]
    if used["threads"]:
        parts.append(f"{used['threads']} thread{'s' if used['threads'] > 1 else ''}")
    if used["gpu"]:
        parts.append(used["gpu"])
    changed = " The code has changed since." if is_old(name, root) else ""
    return f"Measured by {', '.join(parts)}.{changed}"


def rendered(text: str, root: Path = ROOT) -> str:
    """Return a document with all figures between its markers written anew."""

    def write(found: re.Match[str]) -> str:
        name, rest = found["name"], found["rest"].split()
        values = load(name, root)["values"]
        start = found[0][: found.start("text") - found.start()]
        if found["kind"] == "value":
            path, form = rest
            return f"{start}{written(value(values, path), form)}<!-- end -->"
        lines = [about(name, root)]
        if found["kind"] == "table":
            table = FIGURES[name].table
            if table is None:
                raise SystemExit(f"{name}: expected a figure with a table, got one of values alone")
            lines = [markdown(table(values)), "", *lines]
        return "\n".join([start, *lines, "<!-- end -->"])

    return MARKED.sub(write, text)


def documents(root: Path = ROOT) -> list[Path]:
    """Return the documents that may hold figures."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def each_document(act: Callable[[Path, str, str], object], root: Path = ROOT) -> None:
    """Call `act` with the path of every document, its text, and the text as rendered."""
    for path in documents(root):
        text = path.read_text(encoding="utf-8")
        act(path, text, rendered(text, root))


def render(root: Path = ROOT) -> None:
    """Write every document with its figures."""
    each_document(lambda path, _, new: path.write_text(new, encoding="utf-8"), root)


def state(name: str, figure: Figure, root: Path = ROOT) -> str:
    """Return a line about a figure."""
    if not (root / FOLDER / f"{name}.json").is_file():
        return f"{name}: not measured: {figure.command}"
    own = load(name, root)
    age = "older than the code" if is_old(name, root) else "current"
    return f"{name}: {age} (commit {own['commit']}, {own['date']}): {figure.command}"


def make(names: Sequence[str], root: Path = ROOT) -> int:
    """Measure figures that are missing or old, one after the other; the number that failed."""
    known, failed = places(), 0
    for name in names or FIGURES:
        figure = FIGURES[name]
        if (root / FOLDER / f"{name}.json").is_file() and not is_old(name, root):
            continue
        missing = [place for place in PLACES if re.search(rf"\b{place}\b", figure.command)
                   and place not in known]  # fmt: skip
        if figure.by_hand or missing:
            print(f"{name}: left out: {figure.by_hand or 'no ' + ', '.join(missing)}", flush=True)
            continue
        print(f"{name}: {figure.command}", flush=True)
        error = measure(name, known, root)
        if error:
            failed += 1
            print(f"{name}: {error}", flush=True)
    render(root)
    return failed


def measure(name: str, known: dict[str, Path], root: Path = ROOT) -> str:
    """Run a figure's command and record what it writes; return why that was not possible."""
    figure, before = FIGURES[name], code_hash(FIGURES[name].code, root)
    folder = root / "runs" / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    # Never gone on with from what other code has made.
    work, file = folder / f"{name}-{before[:12]}", folder / f"{name}.json"
    for old in folder.glob(f"{name}-{'[0-9a-f]' * 12}"):
        if old != work:
            shutil.rmtree(old)
    paths = {**known, "FILE": file, "WORK": work}
    for command in figure.command.split(" && "):
        words = [
            re.sub(r"\b[A-Z][A-Z0-9_]+\b", lambda m: str(paths.get(m[0], m[0])), word)
            for word in shlex.split(command)
        ]
        program = {"python": [sys.executable], "geostyle": [sys.executable, "-m", "geostyle"]}
        done = subprocess.run([*program.get(words[0], words[:1]), *words[1:]], cwd=root)
        if done.returncode:
            return f"exit status {done.returncode}"
    if code_hash(figure.code, root) != before:
        return "not recorded: the code changed while it was measured"
    record(name, json.loads(file.read_text(encoding="utf-8")), root)
    return ""


def main() -> int:
    """List, record, render or make."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    actions = parser.add_subparsers(dest="action")
    actions.add_parser("list", help="list the figures, and which are older than the code")
    recording = actions.add_parser("record", help="keep the values of a file")
    recording.add_argument("name", choices=sorted(FIGURES))
    recording.add_argument("file", type=Path, help="values in JSON")
    actions.add_parser("render", help="write all figures into the documents")
    making = actions.add_parser("make", help="measure what is missing or old, then render")
    making.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    args = parser.parse_args()
    if args.action == "record":
        print(record(args.name, json.loads(args.file.read_text(encoding="utf-8"))))
    elif args.action == "render":
        render()
    elif args.action == "make":
        unknown = [name for name in args.names if name not in FIGURES]
        if unknown:
            parser.error(f"expected some of {', '.join(FIGURES)}, got {unknown[0]!r}")
        return int(make(args.names) > 0)
    else:
        for name, figure in FIGURES.items():
            print(state(name, figure))
    return 0


if __name__ == "__main__":
    sys.exit(main())
