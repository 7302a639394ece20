"""Feed every reader thousands of damaged files.

    python tests/reliability/fuzz.py [--cases 10500] [--only NAME ...] [--seed 0]

A reader may accept a file or refuse it in one line (GeostyleError). It may not raise anything else,
crash, take more than 10 s of CPU or 1.5 GB of memory, open a connection, start a program, or write
outside its folder. Files that make it do so are kept. `make fuzz` runs it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import mmap
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent))

import hypothesis  # noqa: E402
import torch  # noqa: E402
import yaml  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from readers import Reader, readers  # noqa: E402

from geostyle.errors import GeostyleError  # noqa: E402

CPU_S, MEMORY_BYTES = 10, 1_500_000_000
FORBIDDEN = ("socket.connect", "socket.bind", "subprocess.Popen", "os.system", "os.exec")
HOSTILE = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


class Forbidden(Exception):
    """A reader did what no reader may."""


def mutate(rng: random.Random, seeds: list[bytes]) -> bytes:
    """Damage one of `seeds` in one to four ways."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 4))):
        length = len(data)
        # Headers hold what readers trust.
        place = rng.randrange(min(length, 128) if rng.random() < 0.5 else length) if length else 0
        span = min(length - place, int(2 ** rng.uniform(0, 9)))
        way = rng.randrange(8)
        if way == 0:
            data[place : place + 1] = (
                bytes([data[place] ^ (1 << rng.randrange(8))]) if length else b""
            )
        elif way == 1:
            data[place : place + span] = rng.randbytes(span)
        elif way == 2:
            del data[place:]
        elif way == 3:
            del data[place : place + span]
        elif way == 4:
            data[place:place] = rng.randbytes(span)
        elif way == 5:
            data[place:place] = data[place : place + span] * rng.choice((1, 1, 50))
        elif way == 6:
            form = rng.choice(("<B", "<H", ">H", "<I", ">I", "<Q", ">Q"))
            bits = 8 * struct.calcsize(form)
            number = struct.pack(form, rng.choice(HOSTILE) & ((1 << bits) - 1))
            data[place : place + len(number)] = number
        else:
            other = rng.choice(seeds)
            data[place:] = other[min(place, len(other)) :]
    return bytes(data)


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(), st.text(max_size=30),
    st.sampled_from(["", "../../x", "/etc/passwd", "1e999", "nan", "!!python/x", "\0", "ß" * 400]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=8,
)


@st.composite
def documents(draw: st.DrawFn, whole: Any) -> Any:
    """`whole` with a value replaced, dropped or added somewhere, one to three times."""
    document = json.loads(json.dumps(whole))
    for _ in range(draw(st.integers(1, 3))):
        node = document
        while isinstance(node, dict | list) and node:
            keys = list(node) if isinstance(node, dict) else range(len(node))
            key = draw(st.sampled_from(list(keys)))
            if not (isinstance(node[key], dict | list) and node[key] and draw(st.booleans())):
                break
            node = node[key]
        else:
            return draw(VALUES)
        way = draw(st.sampled_from(["replace", "drop", "add"]))
        if way == "replace":
            node[key] = draw(VALUES)
        elif way == "drop":
            del node[key]
        elif isinstance(node, dict):
            node[draw(st.text(max_size=12))] = draw(VALUES)
        else:
            node.append(draw(VALUES))
    return document


def structured(reader: Reader, count: int, seed: int) -> list[bytes]:
    """`count` files of mutated structure, drawn by hypothesis."""
    whole = yaml.safe_load(reader.seeds[0])
    drawn: list[bytes] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count, database=None, deadline=None, phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    @hypothesis.given(documents(whole))
    def collect(document: Any) -> None:
        if reader.text == "yaml":
            text = yaml.dump(document, allow_unicode=True)
        else:
            text = json.dumps(document)
        drawn.append(text.encode("utf-8", "surrogatepass"))

    collect()
    return drawn[:count]


def cases(reader: Reader, count: int, seed: int) -> Iterator[bytes]:
    """The files of one reader, the same for one seed."""
    by_structure = structured(reader, count // 2, seed) if reader.text else []
    yield from by_structure
    rng = random.Random(f"{seed} {reader.name}")
    for _ in range(count - len(by_structure)):
        yield mutate(rng, reader.seeds)


def watch(allowed: Path) -> None:
    """Raise where this process connects, runs a program or writes outside `allowed`."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        commit = event == "subprocess.Popen" and args[0] == "git"  # which code made a run
        if event.startswith(FORBIDDEN) and not commit:
            raise Forbidden(f"{event} {args}")
        if event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR):
            path = os.path.realpath(os.fsdecode(args[0])) if not isinstance(args[0], int) else ""
            if path and path != os.devnull and not path.startswith(str(allowed)):
                raise Forbidden(f"writes {path}")

    sys.addaudithook(hook)


def judge(reader: Reader, path: Path) -> str:
    """ "accepted", "refused", or what went wrong."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        reader.read(path)
        verdict = "accepted"
    except GeostyleError as error:
        verdict = "refused"
        if "\n" in str(error) or len(str(error)) > 600:
            return f"not one line: {error}"
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return traceback.format_exc()
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak)
    return verdict if grown < MEMORY_BYTES / 2 else f"memory: {grown / 1e6:.0f} MB more"


def child(reader: Reader, work: Path, files: list[bytes], start: int, shared: mmap.mmap) -> None:
    """Judge files from number `start` on; where this is written to `shared`, results to a file."""
    scratch = work / "scratch"
    scratch.mkdir(exist_ok=True)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
    watch(work)
    with (work / "verdicts").open("a", encoding="utf-8", buffering=1) as verdicts:
        for number in range(start, len(files)):
            shared[:8] = struct.pack("<Q", number)
            path = scratch / f"case{reader.suffix}"
            path.write_bytes(files[number])
            signal.setitimer(signal.ITIMER_PROF, CPU_S)  # ends the process, whatever it is doing
            verdict = judge(reader, path)
            signal.setitimer(signal.ITIMER_PROF, 0)
            verdicts.write(json.dumps([number, verdict]) + "\n")
            if reader.suffix == ".bin":
                path.unlink()


def fuzz(reader: Reader, work: Path, count: int, seed: int, keep: Path) -> Counter[str]:
    """Judge `count` files; those that show a fault are kept with what happened."""
    files = list(cases(reader, count, seed))
    shared = mmap.mmap(-1, 8)
    (work / "verdicts").write_text("")
    start, faults = 0, {}
    while start < len(files):
        process = os.fork()
        if process == 0:
            with contextlib.suppress(BaseException):
                child(reader, work, files, start, shared)
                os._exit(0)
            os._exit(1)
        _, status = os.waitpid(process, 0)
        if status == 0:
            break
        (number,) = struct.unpack("<Q", shared[:8])
        ended = signal.Signals(status & 127).name if status & 127 else f"exit {status >> 8}"
        faults[number] = f"the process ended: {ended}"
        start = number + 1
    tally: Counter[str] = Counter()
    for line in (work / "verdicts").read_text("utf-8").splitlines():
        number, verdict = json.loads(line)
        if verdict in ("accepted", "refused"):
            tally[verdict] += 1
        else:
            faults[number] = verdict
    for number, fault in faults.items():
        name = f"{reader.name.replace('/', '-').replace(' ', '-')}-{number}{reader.suffix}"
        keep.mkdir(parents=True, exist_ok=True)
        (keep / name).write_bytes(files[number])
        (keep / f"{name}.txt").write_text(fault)
        last = fault.strip().splitlines()[-1]
        print(f"  FAULT {keep / name}: {last[:200]}", flush=True)
    tally["faults"] = len(faults)
    return tally


def main() -> int:
    """Fuzz; 0 where nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10500, help="files in all")
    parser.add_argument("--only", nargs="+", help="readers whose name contains one of these")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("runs/fuzz"), help="where faults go")
    parser.add_argument("--json", type=Path, help="file for the counts")
    args = parser.parse_args()
    torch.set_num_threads(1)
    total: Counter[str] = Counter()
    work = Path(tempfile.mkdtemp(prefix="geostyle-fuzz-"))
    try:
        found = readers(work)
        share = sum(reader.share for reader in found)
        print(f"{'reader':<32} {'files':>6} {'accepted':>9} {'refused':>8} {'faults':>7} {'s':>5}")
        for reader in found:
            if args.only and not any(name in reader.name for name in args.only):
                continue
            started = time.monotonic()
            count = max(10, round(args.cases * reader.share / share))
            tally = fuzz(reader, work, count, args.seed, args.keep.absolute())
            total += tally
            print(
                f"{reader.name:<32} {count:>6} {tally['accepted']:>9} {tally['refused']:>8} "
                f"{tally['faults']:>7} {time.monotonic() - started:>5.0f}",
                flush=True,
            )
        print(f"{sum(total.values())} files, {total['faults']} faults")
        if args.json:
            figures = {"readers": len(found), "files": sum(total.values()), **total}
            args.json.write_text(json.dumps(figures, indent=1) + "\n")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 1 if total["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
