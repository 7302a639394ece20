"""The long commands on tiny settings, each as: start it, go on with it, what it must end with."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # a clone needs no installation

import geostyle.training.distillation  # noqa: E402
from geostyle.cli import run as run_verb  # noqa: E402
from geostyle.coords import resize  # noqa: E402
from geostyle.data.manifest import Pair  # noqa: E402
from geostyle.errors import GeostyleError  # noqa: E402
from geostyle.features.extractor import FeatureExtractor, load_features  # noqa: E402
from geostyle.io.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from geostyle.io.files import TEMPORARY, read_metrics  # noqa: E402
from geostyle.io.images import SUFFIXES, load_picture, save_picture  # noqa: E402
from geostyle.warps import WarpParameters  # noqa: E402

CHANNELS = (8, 12, 16, 24, 24)
PER_RUN = {"environment.json", "settings.yaml", "report.html", "metrics.png"}


@dataclass(frozen=True)
class Workload:
    """One command.

    name: what it is called. call: starts or continues it in a folder, the same call for both.
    result: the files, by name, whose bytes must not depend on how often it was killed.
    script: for torchrun: the script, its flags, and last the flag that takes the folder.
    """

    name: str
    call: Callable[[Path], int]
    result: Callable[[Path], dict[str, bytes]]
    script: tuple[str, ...] = ()

    def words(self, folder: Path) -> list[str]:
        """What torchrun starts."""
        return [*self.script, str(folder)]


def workloads(inputs: Path) -> list[Workload]:
    """All of them; `inputs` gets the pictures, networks and pairs they work on."""
    weights = _network(inputs / "lite.safetensors")
    _pictures(inputs / "photos", 8, seed=1, cells=12)
    _pictures(inputs / "paintings", 4, seed=2, cells=30)
    make, train = _script("data_gen/make.py"), _script("train_geo.py")
    pairs = [
        *("--images", str(inputs / "photos"), "--styles", str(inputs / "paintings")),
        *("--weights", str(weights), "--count", "5", "--val-count", "3", "--size", "64"),
        *("--iterations", "2", "1", "--workers", "1", "--device", "cpu"),
    ]
    assert make.main(["--output", str(inputs / "pairs"), *pairs]) == 0
    training = [
        *("--data", str(inputs / "pairs"), "--weights", str(weights), "--steps", "12"),
        *("--batch", "4", "--save-every", "3", "--validate-every", "6", "--warmup", "2"),
        *("--match-px", "48", "--layer", "pool2", "--width", "16", "--network-lattice", "3"),
        *("--device", "cpu"),
    ]
    distilling = [
        *("--images", str(inputs / "photos"), str(inputs / "paintings"), "--channels"),
        *map(str, CHANNELS),
        *("--crop-px", "32", "--batch", "3", "--on-policy", "1", "--pool", "2", "--steps", "8"),
        *("--init-crops", "2", "--calibration-crops", "8", "--save-every", "2"),
        *("--device", "cpu"),
    ]
    photos = sorted((inputs / "photos").iterdir())
    transferring = [
        *("--content", str(photos[0]), "--geo-style", str(photos[1]), "--weights", str(weights)),
        *("--tex-style", str(inputs / "paintings" / "00.png"), "--iterations", "4", "4", "3", "3"),
        *("--size", "96", "--device", "cpu"),
    ]

    painter = [
        *("--tex-style", str(inputs / "paintings" / "00.png"), "--weights", str(weights)),
        *("--style-size", "48", "--crop-size", "32", "--batch", "2", "--steps", "10"),
        *("--save-every", "3", "--validate-every", "5", "--device", "cpu"),
        *("--precision", "float32"),
    ]
    fast = ["--images", str(inputs / "photos"), "--widths", "4", "8", "8"]
    fast += ["--blocks", "1", "0", "1"]  # one for each width
    texnet = ["--scales", "2", "--width", "4"]
    batch = [
        *("--content", str(inputs / "paintings"), "--geo-style", str(photos[1])),
        *("--tex-style", str(inputs / "paintings" / "00.png"), "--weights", str(weights)),
        *("--iterations", "2", "1", "--size", "48", "--geometry", "affine", "--device", "cpu"),
    ]

    def train_painter(verb: str, own: list[str]) -> Callable[[Path], int]:
        return lambda folder: run_verb(verb, [*painter, *own, "--run", str(folder)])

    def transfer(folder: Path) -> int:
        started = sorted(path.parent for path in folder.glob("*/settings.yaml"))
        if started:
            return run_verb("transfer", ["--resume", str(started[-1])])
        return run_verb("transfer", [*transferring, "--output", str(folder)])

    def distill(folder: Path) -> int:
        torch.manual_seed(3)
        # A narrow network stands in for VGG-19: it is the files that are on trial.
        teacher = FeatureExtractor("vgg19", channels=CHANNELS).requires_grad_(False)
        geostyle.training.distillation.load_features = lambda *args, **options: teacher
        output = ["--run", str(folder), "--output", str(folder / "net.safetensors")]
        return run_verb("distill", [*distilling, *output])

    return [
        Workload("transfer", transfer, _of_newest_run),
        Workload(
            "data_gen/make.py",
            lambda f: _call(make, ["--output", str(f), *pairs]),
            _of_folder,
            (str(ROOT / "data_gen" / "make.py"), *pairs, "--output"),
        ),
        Workload(
            "train_geo.py",
            lambda f: _call(train, ["--run", str(f), *training]),
            _of_folder,
            (str(ROOT / "train_geo.py"), *training, "--steps", "60", "--run"),
        ),
        Workload("distill", distill, _of_folder),
        Workload("fast-train", train_painter("fast-train", fast), _of_folder),
        Workload("texnet-train", train_painter("texnet-train", texnet), _of_folder),
        Workload("batch", lambda f: run_verb("batch", [*batch, "--output", str(f)]), _of_folder),
    ]


def check_readable(folder: Path) -> int:
    """Read every file below `folder` that has its final name; their number.

    Raises: AssertionError naming one that is not whole.
    """
    checked = 0
    for path in folder.rglob("*"):
        if path.is_dir() or path.name.startswith(TEMPORARY) or path.name == ".lock":
            continue
        try:
            _read(path)
        except (GeostyleError, OSError, ValueError, KeyError) as error:
            raise AssertionError(f"not whole: {path}: {error}") from error
        checked += 1
    return checked


def _read(path: Path) -> Any:
    if path.suffix in SUFFIXES:
        return load_picture(path)
    if path.name == "theta.json":
        return WarpParameters.load(path)
    if path.name == "metrics.jsonl":
        return read_metrics(path)
    if path.name == "manifest.jsonl":
        return [Pair.from_json(line, str(path)) for line in path.read_text().splitlines()]
    if path.suffix == ".json":
        return json.loads(path.read_text())
    if path.suffix == ".yaml":
        return yaml.safe_load(path.read_text())
    if path.suffix == ".html":
        assert path.read_text().rstrip().endswith("</html>"), path
        return None
    if path.suffix == ".npy":
        import numpy

        return numpy.load(path)
    if path.suffix == ".safetensors":
        return _tensors(path)
    raise AssertionError(f"a file nobody expected: {path}")


def _tensors(path: Path) -> Any:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        kind = (file.metadata() or {}).get("kind")
        if kind is None:  # a grid
            return [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118
    return load_checkpoint(path, kind)


def _of_folder(folder: Path) -> dict[str, bytes]:
    """All files of `folder` that tell neither when nor where they were made."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in PER_RUN | {".lock"}:
            data = path.read_bytes()
            if path.name == "metrics.jsonl":
                lines = read_metrics(path)
                data = json.dumps([{**line, "seconds": 0} for line in lines]).encode()
            if path.name == "state.safetensors":  # its settings name the folder
                tensors, config = _tensors(path)
                config.pop("settings", None)
                data = json.dumps([config, {k: v.tolist() for k, v in tensors.items()}]).encode()
            found[path.relative_to(folder).as_posix()] = data
    return found


def _of_newest_run(folder: Path) -> dict[str, bytes]:
    for path in folder.iterdir():  # killed before anything could be resumed
        if not (path / "settings.yaml").is_file():
            shutil.rmtree(path)
    runs = sorted(folder.iterdir())
    assert len(runs) == 1, runs
    return _of_folder(runs[0])


def _network(path: Path) -> Path:
    torch.manual_seed(0)
    network = FeatureExtractor("lite", channels=CHANNELS, taps=True)
    save_checkpoint(path, network.state_dict(), {"channels": list(CHANNELS)}, kind="features")
    load_features("lite", weights=path)
    return path


def _pictures(folder: Path, count: int, seed: int, cells: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for number in range(count):
        noise = torch.rand(1, 3, cells, cells, generator=generator)
        save_picture(resize(noise, (80, 96)).clamp(0, 1), folder / f"{number:02d}.png")


def _call(script: ModuleType, argv: list[str]) -> int:
    """Run a script's main as the script itself does, errors included."""
    try:
        status: int = script.main(argv)
        return status
    except GeostyleError as error:
        print(f"{script.__name__}.py: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(name).stem, ROOT / name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
