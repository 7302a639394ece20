"""A process that has imported everything slow, and runs each command in a fork of itself.

    python tests/host.py < cases        one JSON `Case` a line; prints the exit status of each

The fork gets the case's streams, environment and disk, runs the command as a script, and ends as
the interpreter ends: with its last flush of the streams.
"""

from __future__ import annotations

import atexit
import gc
import itertools
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NoReturn

ROOT = Path(__file__).resolve().parents[1]
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link")
MODULES = ("batch", "fast_apply", "fast_train", "mix", "neural_style", "reconstruct",
           "texnet_sample", "texture", "transfer")  # fmt: skip


SLOW = ("imagecodecs", "tifffile", "jinja2", "matplotlib.figure", "torch._dynamo",
        "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg",
        "geostyle.report.html")  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One command and what surrounds it.

    argv: words; the first is a script of the root, or a verb.
    streams: of 1 and 2: a file's path, "closed", or "gone" for a pipe that nobody reads.
    environment: variables set; `encoding` of the streams.
    folder: working folder.
    writable: the only folder that may be written to; empty for everywhere.
    groups: folder with the files of control groups, as in the root; empty for the real ones.
    signal: number of a signal that the command gets; 0 for none.
    struck: function, as module:name, at whose second call it gets it.
    fresh: whether matplotlib and torch's compiler are not imported yet: they read the environment.
    """

    argv: list[str]
    streams: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    encoding: str = "utf-8"
    folder: str = ""
    writable: str = ""
    groups: str = ""
    signal: int = 0
    struck: str = "tqdm:tqdm.update"
    fresh: bool = False


class Host:
    """Runs cases in a process of its own."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment, cwd=ROOT,
        )  # fmt: skip

    def run(self, case: Case) -> int:
        """The exit status of a case; negative for the signal that ended it."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps(asdict(case)), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())


@contextmanager
def host() -> Iterator[Host]:
    """A host, ended with the block."""
    found = Host()
    try:
        yield found
    finally:
        assert found.process.stdin is not None
        found.process.stdin.close()
        found.process.wait()


def surround(case: Case) -> None:
    """Give this process the case's streams, environment and disk."""
    for number in (1, 2):
        kind = case.streams.get(str(number), os.devnull)
        if kind == "closed":
            os.close(number)
        elif kind == "gone":
            reading, writing = os.pipe()
            os.close(reading)
            os.dup2(writing, number)
        else:
            os.dup2(os.open(kind, os.O_WRONLY | os.O_CREAT, 0o600), number)
        name = {1: "stdout", 2: "stderr"}[number]
        stream = None
        if kind != "closed":
            errors = "backslashreplace" if number == 2 else "strict"
            stream = open(number, "w", encoding=case.encoding, errors=errors, closefd=False)  # noqa: SIM115
            stream.reconfigure(line_buffering=number == 2)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(case.environment)
    os.chdir(case.folder or ".")
    if case.groups:
        from geostyle import device

        device.group_bytes.__defaults__ = (Path(case.groups),)
    if case.signal:
        strike(case.signal, case.struck)
    if case.writable:
        sys.addaudithook(lambda event, args: only_below(case.writable, event, args))


def strike(number: int, where: str) -> None:
    """Send this process a signal when the function `where` is called for the second time."""
    module, _, name = where.rpartition(":")
    owner: Any = import_module(module)
    *parents, last = name.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    plain, calls = getattr(owner, last), itertools.count(1)

    def struck(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == 2:
            os.kill(os.getpid(), number)
        return plain(*args, **kwargs)

    setattr(owner, last, struck)


def only_below(folder: str, event: str, args: tuple[Any, ...]) -> None:
    """Refuse what would change the disk outside `folder`."""
    if event == "open":
        if not isinstance(args[2], int) or not args[2] & WRITES or isinstance(args[0], int):
            return
    elif event not in CHANGES or args[-1] != -1:  # below a folder that is open
        return
    path = os.path.abspath(os.fsdecode(args[0]))
    if not path.startswith((folder, "/dev/")):
        raise OSError(30, os.strerror(30), path)


def serve(lines: IO[str], answers: IO[str], warm: bool) -> Case | None:
    """Answer cases until the input ends; a case to run, in each fork that runs one.

    Those that need not be fresh go to a fork in which what is slow to import is imported.
    """
    other: tuple[IO[str], IO[str]] | None = None
    for line in lines:
        case = Case(**json.loads(line))
        if not warm and not case.fresh:
            if other is None:
                (from_us, to_it), (from_it, to_us) = os.pipe(), os.pipe()
                if os.fork() == 0:
                    os.close(to_it)
                    for name in SLOW:
                        import_module(name)
                    return serve(os.fdopen(from_us), os.fdopen(to_us, "w"), True)
                os.close(from_us)
                other = os.fdopen(to_it, "w"), os.fdopen(from_it)
            print(line.strip(), file=other[0], flush=True)
            print(other[1].readline().strip(), file=answers, flush=True)
            continue
        child = os.fork()
        if child == 0:
            return case
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)
    return None


def main() -> None:
    """Serve until the input ends; in a fork, run its case."""
    import torch

    for name in MODULES:
        import_module(f"geostyle.cli.{name}")
    assert "matplotlib" not in sys.modules  # it reads the environment when it is imported
    torch.set_num_threads(1)
    gc.freeze()  # forks share what is never looked at again
    case = serve(sys.stdin, sys.stdout, False)
    if case is None:
        return
    surround(case)
    try:
        if case.argv[0].endswith(".py"):
            sys.argv = case.argv
            runpy.run_path(str(ROOT / case.argv[0]), run_name="__main__")
        else:
            sys.argv = ["geostyle", *case.argv]
            runpy.run_module("geostyle", run_name="__main__")
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else 1)


def leave(status: int) -> NoReturn:
    """End as the interpreter does, without taking apart what the host has imported."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            status = 120
    os._exit(status)


if __name__ == "__main__":
    main()
