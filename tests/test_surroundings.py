"""Commands finish their work where what is beside the point lacks, or say what lacks."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.host import Case, Host, host
from tests.pictures import picture_file

GB = 1_000_000_000


@dataclass(frozen=True)
class Command:
    """A command in small: its words, with {} for the folder of the output; its result in there."""

    argv: str
    result: str
    interrupted: str = ""  # the result where a signal cut it short; empty: `result`
    struck: str = "tqdm:tqdm.update"

    def words(self, output: Path) -> list[str]:
        return [word.format(output) for word in self.argv.split()]


PAINT = "--size 32 --device cpu --weights W"
DESCENT = f"{PAINT} --iterations 4 --output {{}}"
TRAIN = (
    "--tex-style b.png --weights W --style-size 32 --crop-size 32 --batch 2 --steps 3 "
    "--save-every 50 --validate-every 3 --device cpu --precision float32 --run {}"
)
COMMANDS = {
    "transfer": Command(
        f"transfer.py --content a.png --tex-style b.png --painter gram --guidance 0 {DESCENT}",
        "00001-transfer/result.png",
    ),
    "transfer, matched": Command(
        f"transfer --content a.png --tex-style b.png --split 0 --turns 1 {DESCENT}",
        "00001-transfer/result.png",
    ),
    "batch": Command(
        f"batch --content folder --tex-style b.png --painter gram --guidance 0 {DESCENT}",
        "a.png",
    ),
    "texture": Command(f"texture b.png {DESCENT}", "00001-texture/result.png"),
    "reconstruct": Command(f"reconstruct b.png {DESCENT}", "00001-reconstruct/result.png"),
    "neural-style": Command(
        f"neural-style --content a.png --tex-style b.png {DESCENT}", "00001-neural-style/result.png"
    ),
    "mix": Command(f"mix a.png b.png {DESCENT}", "00001-mix/result.png"),
    "fast-train": Command(
        f"fast-train --images folder --widths 4 8 8 --blocks 0 0 0 {TRAIN}",
        "fast.safetensors",
        "state.safetensors",
    ),
    "texnet-train": Command(
        f"texnet-train --scales 2 --width 4 {TRAIN}", "texnet.safetensors", "state.safetensors"
    ),
    "texnet-sample": Command(
        "texnet-sample --network texnet.safetensors --count 3 --size 32 --device cpu --output {}",
        "00001-texnet-sample/sample-0.png",
        struck="geostyle.cli.texnet_sample:sample",
    ),
    "fast-apply": Command(
        "fast-apply fast.safetensors folder {} --device cpu --size 32 --precision float32", "a.png"
    ),
}  # fmt: skip
QUICK = ("transfer", "texture", "batch", "fast-train")


@dataclass(frozen=True)
class World:
    """The folder of the inputs, and the results of undisturbed runs."""

    host: Host
    folder: Path
    plain: dict[str, bytes]
    commands: Mapping[str, Command] = field(default_factory=lambda: COMMANDS)

    def run(self, name: str, output: Path, **surroundings: Any) -> tuple[int, str, str]:
        """Exit status, standard output and standard error of a command."""
        streams = {"1": str(output) + ".out", "2": str(output) + ".err"}
        case = Case(
            self.commands[name].words(output), **{"folder": str(self.folder), **surroundings}
        )
        status = self.host.run(replace(case, streams={**streams, **case.streams}))
        texts = (Path(p).read_text("utf-8", "replace") if Path(p).is_file() else ""
                 for p in streams.values())  # fmt: skip
        out, err = texts
        assert "Traceback" not in out + err and "Exception ignored" not in out + err, out + err
        return status, out, err

    def result(self, name: str, output: Path) -> bytes:
        return (output / COMMANDS[name].result).read_bytes()

    def undisturbed(self, name: str) -> bytes:
        if name not in self.plain:
            output = self.folder / "plain" / name
            status, _, err = self.run(name, output)
            assert status == 0, err
            self.plain[name] = self.result(name, output)
        return self.plain[name]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_weights: Path) -> Iterator[World]:
    from geostyle.feedforward.fast_network import FastNetwork, FastNetworkSettings
    from geostyle.feedforward.files import save_network
    from geostyle.feedforward.texture_network import TextureNetwork, TextureNetworkSettings

    folder = tmp_path_factory.mktemp("world")
    for seed, name in enumerate(("a.png", "b.png", "folder/a.png", "folder/c.png")):
        picture_file(folder / name, (32, 32), seed)
    (folder / "W").symlink_to(tiny_weights)
    (folder / "plain").mkdir()
    torch.manual_seed(0)
    save_network(
        folder / "fast.safetensors", FastNetwork(FastNetworkSettings(widths=(4, 8), blocks=(0, 0)))
    )
    save_network(
        folder / "texnet.safetensors", TextureNetwork(TextureNetworkSettings(scales=2, width=4))
    )
    with host() as own:
        yield World(own, folder, {})


def every(names: tuple[str, ...]) -> Any:
    """The commands; those not named are slow tests."""
    return [
        pytest.param(name, marks=() if name in names else pytest.mark.slow) for name in COMMANDS
    ]


NOWHERE = "/dev/null/x"
HOMELESS = dict.fromkeys(("HOME", "MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"), NOWHERE)
NOTEBOOK = "module://matplotlib_inline.backend_inline"
# What surrounds the command; words on standard error that say what it goes without; and the
# command of the quick tests.
SURROUNDINGS: dict[str, tuple[dict[str, Any], str, str]] = {
    "a notebook's backend": (
        {"environment": {"MPLBACKEND": NOTEBOOK}, "fresh": True}, "", "transfer",
    ),
    "no home, and an unknown backend": (
        {"environment": {**HOMELESS, "MPLBACKEND": "x"}, "fresh": True}, "", "transfer",
    ),
    "stdout closed": ({"streams": {"1": "closed"}}, "", "texture"),
    "stderr closed": ({"streams": {"2": "closed"}}, "", "texture"),
    "both closed": ({"streams": {"1": "closed", "2": "closed"}}, "", "transfer"),
    "nobody reads stdout": (
        {"streams": {"1": "gone"}}, "standard output: cannot be written", "texture",
    ),
    "nobody reads either": ({"streams": {"1": "gone", "2": "gone"}}, "", "transfer"),
    "stdout full": (
        {"streams": {"1": "/dev/full"}}, "standard output: cannot be written", "texture",
    ),
    "stderr full": ({"streams": {"2": "/dev/full"}}, "", "texture"),
    "ascii": ({"encoding": "ascii"}, "", "batch"),
}  # fmt: skip
PAIRS = [
    pytest.param(kind, name, marks=() if name == quick else pytest.mark.slow)
    for kind, (_, _, quick) in SURROUNDINGS.items()
    for name in COMMANDS
]


@pytest.mark.parametrize(("kind", "name"), PAIRS)
def test_the_result_is_the_same(world: World, tmp_path: Path, name: str, kind: str) -> None:
    expected = world.undisturbed(name)
    surroundings, words, _ = SURROUNDINGS[kind]
    status, _, err = world.run(name, tmp_path / "o", **surroundings)
    assert status == 0, err
    assert world.result(name, tmp_path / "o") == expected
    assert err.count("cannot be written") == bool(words) and words in err, err


@pytest.mark.parametrize("name", every(QUICK))
def test_nothing_but_the_output_is_written(world: World, tmp_path: Path, name: str) -> None:
    expected = world.undisturbed(name)
    output = tmp_path / "o"
    (output.parent / "o.out").touch()
    (output.parent / "o.err").touch()
    status, _, err = world.run(name, output, writable=str(output), environment=HOMELESS, fresh=True)
    assert status == 0, err
    assert world.result(name, output) == expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("name", every(QUICK))
def test_signals_end_with_the_best_so_far(
    world: World, tmp_path: Path, name: str, number: int
) -> None:
    if name == "fast-apply":
        pytest.skip("takes one pass for each picture")
    if number == signal.SIGHUP and name in QUICK[1:]:
        pytest.skip("as for SIGTERM")
    command = COMMANDS[name]
    status, out, err = world.run(name, tmp_path / "o", signal=int(number), struck=command.struck)
    assert status == 130, err
    assert "interrupted" in out + err
    assert (tmp_path / "o" / (command.interrupted or command.result)).is_file(), out


def faked_groups(root: Path, version: int) -> Path:
    """The files of a control group that has used all of its memory."""
    line, folder, names = {
        1: ("5:cpu,memory:/job", "memory/job", ("limit_in_bytes", "usage_in_bytes")),
        2: ("0::/job/step", "job", ("max", "current")),
    }[version]
    files = {"proc/self/cgroup": line}
    files |= {f"sys/fs/cgroup/{folder}/memory.{name}": str(GB) for name in names}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("version", [1, 2])
def test_memory_is_checked_first(world: World, tmp_path: Path, name: str, version: int) -> None:
    output = tmp_path / "o"
    groups = str(faked_groups(tmp_path / "root", version))
    status, out, err = world.run(name, output, groups=groups)
    assert status == 2 and "size_px: expected a size that fits 0.0 GB of memory" in out + err
    assert not list(output.rglob("*.png")) and not list(output.rglob("*.safetensors"))


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("-size 32", "-size 32768", "expected a size that fits|expected 32 to 4096"),
        ("{}", "/dev/null/x", "output: expected a writable path"),
        ("--size 32", "--size 32 --memory-gb 0.3", "size_px: expected a size|memory_gb: expected"),
    ],
)  # fmt: skip
def test_a_dry_run_checks_memory_and_output(
    world: World, tmp_path: Path, name: str, before: str, after: str, words: str
) -> None:
    command = COMMANDS[name]
    if before not in command.argv or ("memory" in after and "transfer" not in name):
        pytest.skip("has no such setting")
    argv = command.argv.replace(before, after) + " --dry-run"
    changed = replace(world, commands={name: replace(command, argv=argv)})
    status, out, err = changed.run(name, tmp_path / "o")
    assert status == 2 and re.search(words, out + err), out + err
    assert len(err.splitlines()) <= 1
    assert not (tmp_path / "o").exists()
