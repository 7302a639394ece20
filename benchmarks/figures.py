"""Figures of the documents: one file each, and the documents rendered from them.

    python benchmarks/figures.py                     list them, and which are older than the code
    python benchmarks/figures.py record NAME FILE    keep FILE, the JSON of the measuring command
    python benchmarks/figures.py render              write all into README.md and docs/

docs/figures/NAME.json holds the values with their command, commit, machine, threads, date and the
hash of the code they measure. In a document a table stands between ``<!-- table NAME -->`` and
``<!-- end -->``, a single value between ``<!-- value NAME PATH FORMAT -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = "docs/figures"
MARKED = re.compile(
    r"<!-- (?P<kind>table|value) (?P<name>[\w-]+)(?P<rest>[^>]*?) -->(?P<text>.*?)<!-- end -->",
    re.DOTALL,
)
CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


@dataclass(frozen=True)
class Figure:
    """A figure of the documents.

    Attributes:
        command: that measures it; what is outside the project by name.
        code: files and folders whose change makes the figure old.
        header: of its table.
        rows: of its table: a label, and for every column the path of a value and its format.
    """

    command: str
    code: Sequence[str]
    header: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()


PAINTER = (
    "geostyle/texture", "geostyle/features", "geostyle/assets/lite.safetensors",
)  # fmt: skip
FIGURES: dict[str, Figure] = {
    "painting": Figure(
        "python benchmarks/painting.py --photos PHOTOS --art ART --weights VGG19 --work WORK",
        (*PAINTER, "geostyle/evaluation/painting.py", "benchmarks/painting.py"),
        ("error", "matched / gram"),
        [
            ("relaxed earth mover's distance of hypercolumns", ("ratio.remd", ".3f")),
            ("self-similarity to the content", ("ratio.selfsim", ".2f")),
            ("Gram matrices, relu1_1 … relu4_1", ("ratio.gram", ".2f")),
            ("mean color, Lab", ("ratio.color_mean", ".2f")),
            ("color covariance, Lab", ("ratio.color_spread", ".2f")),
            ("processor time of the whole transfer", ("cpu_ratio.median", ".2f")),
        ],
    ),
    "texture-source": Figure(
        "geostyle evaluate texture-source --root PF_WILLOW --limit 24 --json FILE",
        (*PAINTER, "geostyle/matching", "geostyle/evaluation/texture_source.py"),
    ),
}  # fmt: skip


def code_hash(paths: Sequence[str], root: Path = ROOT) -> str:
    """Return the SHA-256 of what files do: Python without comments and docstrings, other bytes."""
    digest = hashlib.sha256()
    for path in paths:
        place = root / path
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        for file in files:
            data = file.read_bytes()
            if file.suffix == ".py":
                data = _bare(ast.parse(data)).encode()
            digest.update(file.relative_to(root).as_posix().encode() + b"\0" + data)
    return digest.hexdigest()


def _bare(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


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
    path = root / FOLDER / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    if re.search(r'"(/|[A-Za-z]:\\)', text):
        raise SystemExit(f"{name}: expected names instead of paths of this machine in the values")
    path.write_text(text, encoding="utf-8")
    return path


def load(name: str, root: Path = ROOT) -> dict[str, Any]:
    """Read a figure's file."""
    path = root / FOLDER / f"{name}.json"
    if name not in FIGURES or not path.is_file():
        raise SystemExit(f"{name}: expected a figure that was measured, got none in {FOLDER}")
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def value(values: Any, path: str) -> Any:
    """Return the value at a path of keys, or of numbers in lists, joined by points."""
    for key in path.split("."):
        values = values[int(key) if isinstance(values, list) else key]
    return values


def table(name: str, values: Any) -> str:
    """Return a figure's table in Markdown."""
    figure = FIGURES[name]
    lines = [figure.header, ["---"] * len(figure.header)]
    lines += [
        [label, *(format(value(values, path), form) for path, form in cells)]
        for label, *cells in figure.rows
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rendered(text: str, root: Path = ROOT) -> str:
    """Return a document with all figures between its markers written anew."""

    def write(found: re.Match[str]) -> str:
        name, rest = found["name"], found["rest"].split()
        values = load(name, root)["values"]
        start = found[0][: found.start("text") - found.start()]
        if found["kind"] == "table":
            return f"{start}\n{table(name, values)}\n<!-- end -->"
        path, form = rest
        return f"{start}{format(value(values, path), form)}<!-- end -->"

    return MARKED.sub(write, text)


def documents(root: Path = ROOT) -> list[Path]:
    """Return the documents that may hold figures."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def each_document(act: Callable[[Path, str, str], None], root: Path = ROOT) -> None:
    """Call `act` with the path of every document, its text, and the text as rendered."""
    for path in documents(root):
        text = path.read_text(encoding="utf-8")
        act(path, text, rendered(text, root))


def main() -> None:
    """List, record or render."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", nargs="?", choices=("list", "record", "render"), default="list")
    parser.add_argument("name", nargs="?", choices=sorted(FIGURES))
    parser.add_argument("file", nargs="?", type=Path, help="values in JSON")
    args = parser.parse_args()
    if args.action == "record":
        if args.name is None or args.file is None:
            parser.error("record: expected NAME and FILE")
        print(record(args.name, json.loads(args.file.read_text(encoding="utf-8"))))
    elif args.action == "render":
        each_document(lambda path, old, new: path.write_text(new, encoding="utf-8"))
    else:
        for name, figure in FIGURES.items():
            if not (ROOT / FOLDER / f"{name}.json").is_file():
                print(f"{name}: not measured: {figure.command}")
                continue
            own = load(name)
            state = "current" if own["code"] == code_hash(figure.code) else "older than the code"
            print(f"{name}: {state} (commit {own['commit']}, {own['date']}): {figure.command}")


if __name__ == "__main__":
    sys.exit(main())
