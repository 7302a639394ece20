"""The generator: the same pairs whoever makes them, whatever is broken, killed or extended."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import multiprocessing
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.multiprocessing

from geostyle.data.generate import Generator, preview
from geostyle.data.make_settings import MakeSettings
from geostyle.data.manifest import PREVIEW, SKIPPED, read_manifest
from geostyle.data.pairs import PairSet
from geostyle.data.workers import make_all
from geostyle.distributed import Processes
from geostyle.errors import GeostyleError, InputError
from geostyle.features.extractor import load_features
from geostyle.feedforward.fast_network import FastNetwork, FastNetworkSettings
from geostyle.feedforward.files import save_network
from geostyle.io.images import load_picture
from geostyle.texture.objective import TextureObjective
from tests.reliability.forked import attempt

ROOT = Path(__file__).resolve().parents[2]


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a set that must not depend on how it was made."""
    found = [p for p in folder.rglob("*") if p.is_file() and "correlations" not in p.parts]
    own = [p for p in found if p.name not in ("settings.yaml", ".lock")]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in own}


def settings_of(folder: Path, pictures: Path, weights: Path, **changes: object) -> MakeSettings:
    """The settings of the fixture's set, elsewhere."""
    settings = MakeSettings(
        output=folder,
        images=pictures / "photos",
        styles=pictures / "paintings",
        weights=weights,
        count=10,
        val_count=6,
        size_px=64,
        iterations=(2, 1),
        workers=1,
    )
    return dataclasses.replace(settings, **changes)  # type: ignore[arg-type]


def arguments(settings: MakeSettings) -> list[str]:
    """The flags of the command that makes a set."""
    return [
        *("--output", str(settings.output), "--images", str(settings.images)),
        *("--styles", str(settings.styles), "--weights", str(settings.weights)),
        *("--count", str(settings.count), "--val-count", str(settings.val_count)),
        *("--size", str(settings.size_px), "--iterations", *map(str, settings.iterations)),
        *("--workers", str(settings.workers), "--device", "cpu"),
    ]


def script() -> ModuleType:
    """The script itself, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("make", ROOT / "data_gen" / "make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = script()


def test_a_set_is_whole(tiny_pairs: Path) -> None:
    pairs = read_manifest(tiny_pairs)
    assert [(p.split, p.index) for p in pairs] == [("train", i) for i in range(10)] + [
        ("val", i) for i in range(6)
    ]
    assert len({p.theta for p in pairs}) == 16
    assert len({p.content_box for p in pairs}) == 16
    for pair in pairs[:2]:
        for kind in ("content", "warped", "stylized"):
            assert load_picture(tiny_pairs / pair.file(kind)).size == (64, 64)
    assert json.loads((tiny_pairs / SKIPPED).read_text()) == {"count": 0, "pictures": {}}
    assert load_picture(tiny_pairs / PREVIEW).size[1] == 3 * (3 * 64 + 12)


def test_validation_sees_other_pictures(tiny_pairs: Path) -> None:
    pairs = read_manifest(tiny_pairs)
    for field in ("content", "tex_style"):
        train, val = ({getattr(p, field) for p in pairs if p.split == s} for s in ("train", "val"))
        assert train and val and not train & val
    # Each training photograph serves once before any serves again.
    photographs = [p.content for p in pairs if p.split == "train"]
    distinct = len(set(photographs))
    assert len(set(photographs[:distinct])) == distinct


def test_items_do_not_depend_on_order_or_sharing(
    tiny_pairs: Path, pictures: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    generator = Generator(settings_of(tmp_path / "set", pictures, tiny_weights))
    generator.open()
    for unit in reversed(generator.missing(Processes(1, 3))):
        generator.make(unit)
    assert len(generator.missing()) == 11
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # whoever calls may use more than one
    for rank in (2, 0):
        make_all(generator, Processes(rank, 3))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)
    generator.finish()
    assert contents(generator.folder) == contents(tiny_pairs)


@pytest.mark.timeout(400)
def test_workers_killed_and_resumed_make_the_same_files(
    tiny_pairs: Path, pictures: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    settings = settings_of(tmp_path / "set", pictures, tiny_weights, workers=2)
    call = [sys.executable, str(ROOT / "data_gen" / "make.py"), *arguments(settings)]
    process = subprocess.Popen(
        call, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 100
    while not list(settings.output.glob("*/*/*.json")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(list(settings.output.glob("*/*/*.json")))
    assert 0 < done < 16
    assert not (settings.output / "manifest.jsonl").exists()

    again = attempt(lambda: make.main([*arguments(settings), "--workers", "1"]), settings.output)
    assert again.status == 0, again.output
    assert contents(settings.output) == contents(tiny_pairs)


def _make_shared(rank: int, settings: MakeSettings, port: int) -> None:
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    names |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in names.items()}
    assert make.main(arguments(settings)) == 0


def test_two_processes_make_the_same_files(
    tiny_pairs: Path, pictures: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    """As torchrun starts them; torchrun itself is tried by the slow trials."""
    settings = settings_of(tmp_path / "set", pictures, tiny_weights)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.start_processes(
        _make_shared, (settings, port), nprocs=2, start_method="fork"
    )
    assert contents(settings.output) == contents(tiny_pairs)


def test_a_longer_set_begins_with_the_shorter_one(
    tiny_pairs: Path, pictures: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    shutil.copytree(tiny_pairs, folder)
    generator = Generator(settings_of(folder, pictures, tiny_weights, count=11))
    generator.open()
    assert [unit.start for unit in generator.missing()] == [10]
    make_all(generator)
    longer, shorter = generator.finish(), read_manifest(tiny_pairs)
    assert longer[:10] + longer[11:] == shorter


def test_a_set_in_the_former_spelling_is_read_and_continued(
    tiny_pairs: Path, pictures: Path, tiny_weights: Path, tmp_path: Path,
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Its pictures are named -stylised.jpg, and its settings have the key stylise."""
    monkeypatch.setattr("geostyle.config.settings._logged", set())
    folder = tmp_path / "set"
    shutil.copytree(tiny_pairs, folder, ignore=shutil.ignore_patterns("correlations"))
    for path in folder.rglob("*-stylized.jpg"):
        path.rename(path.with_name(path.name.replace("stylized", "stylised")))
    settings = folder / "settings.yaml"
    settings.write_text(settings.read_text().replace("stylize:", "stylise:"))
    old, new = PairSet(folder, "val"), PairSet(tiny_pairs, "val")
    assert torch.equal(old.picture(1, "stylized"), new.picture(1, "stylized"))
    old.picture(2, "stylized")
    assert [r.message for r in caplog.records] == ["stylised is now called stylized"]
    generator = Generator(settings_of(folder, pictures, tiny_weights, count=11))
    generator.open()
    make_all(generator)
    assert len(generator.finish()) == 17
    shorter = read_manifest(tiny_pairs)
    assert torch.equal(preview(folder, shorter), preview(tiny_pairs, shorter))
    assert len(list(folder.rglob("*-stylized.jpg"))) == 1
    assert "stylize: gatys" in settings.read_text()


def test_another_set_is_not_overwritten(
    tiny_pairs: Path, pictures: Path, tiny_weights: Path
) -> None:
    generator = Generator(settings_of(tiny_pairs, pictures, tiny_weights, seed=1))
    with pytest.raises(InputError, match=r"made with seed = 0, not 1"):
        generator.open()


def test_a_failing_worker_stops_the_others(
    pictures: Path, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error is raised as it would be without workers; a killed worker is one line."""
    fork = multiprocessing.get_context("fork")  # starts at once
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: fork)
    generator = Generator(settings_of(tmp_path / "set", pictures, tiny_weights, workers=2))
    generator.open()
    (tmp_path / "set" / "train").write_bytes(b"in the way")
    with pytest.raises(InputError, match="output: expected a writable path"):
        make_all(generator)
    assert multiprocessing.active_children() == []
    (tmp_path / "set" / "train").unlink()

    def kill_one() -> None:
        for process in multiprocessing.active_children()[:1]:
            process.kill()

    with pytest.raises(GeostyleError, match="workers: one was killed; run again to go on"):
        make_all(generator, on_unit=kill_one)
    assert multiprocessing.active_children() == []


def test_one_process_at_a_time(pictures: Path, tiny_weights: Path, tmp_path: Path) -> None:
    generator = Generator(settings_of(tmp_path / "set", pictures, tiny_weights))
    folder = generator.claim()
    with pytest.raises(InputError, match="no other process is using"):
        generator.claim()
    folder.close()
    generator.claim().close()


def test_unreadable_pictures_are_skipped_and_listed(
    pictures: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(pictures / "photos", photos)
    broken = sorted(photos.iterdir())[:4]
    for path in broken:
        path.write_bytes(path.read_bytes()[:50])
    settings = settings_of(
        tmp_path / "set", pictures, tiny_weights, images=photos, stylize="none", val_count=0
    )
    generator = Generator(settings)
    generator.open()
    make_all(generator)
    pairs = generator.finish()
    names = {path.name for path in broken}
    assert not names & {pair.content for pair in pairs}
    listed = json.loads((settings.output / SKIPPED).read_text())
    tried = names & set(generator.photographs.splits["train"])
    assert set(listed["pictures"]) == tried and listed["count"] == len(tried) > 0
    assert all("expected a picture file" in reason for reason in listed["pictures"].values())
    assert pairs[0].tex_style is None
    assert not list(settings.output.rglob("*-stylized.jpg"))


def test_too_few_pictures_are_refused(tmp_path: Path, pictures: Path, tiny_weights: Path) -> None:
    (tmp_path / "one").mkdir()
    shutil.copy(pictures / "photos" / "00.png", tmp_path / "one")
    with pytest.raises(InputError, match="images: expected at least 2 pictures, got 1"):
        Generator(settings_of(tmp_path, pictures, tiny_weights, images=tmp_path / "one"))


def test_batches_divide_counts() -> None:
    with pytest.raises(InputError, match=r"count: expected a multiple of the batch \(4\), got 10"):
        MakeSettings(count=10, val_count=4, batch=4)


def test_pictures_of_a_batch_are_repainted_each_on_its_own(tiny_weights: Path) -> None:
    """The gradient of each picture is what it would be alone."""
    extractor = load_features(weights=tiny_weights)
    generator = torch.Generator().manual_seed(0)
    content, style, start = torch.rand(3, 2, 3, 64, 64, generator=generator)
    style[1] *= 0.2  # of less energy than the other

    def gradient(rows: slice) -> torch.Tensor:
        image = start[rows].clone().requires_grad_(True)
        objective = TextureObjective(extractor, [style[rows]], content[rows])
        (found,) = torch.autograd.grad(objective(image)[0], image)
        return found

    together = gradient(slice(0, 2))
    for row in range(2):
        alone = gradient(slice(row, row + 1))[0]
        assert torch.allclose(together[row], alone, atol=1e-4 * alone.abs().max().item())


def test_errors_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["make.py", "--images", str(tmp_path / "none")])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / "data_gen" / "make.py"), run_name="__main__")
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.startswith("make.py: error: images: expected a folder") and error.count("\n") == 1


def fast_networks(folder: Path, count: int) -> Path:
    """A folder with tiny fast style networks, all different."""
    for seed in range(count):
        torch.manual_seed(seed)
        net = FastNetwork(FastNetworkSettings(widths=(4, 6), blocks=(0, 1)))
        with torch.no_grad():  # about the negative of its input
            net.out.weight.neg_()
            net.out.bias.fill_(1.0)  # type: ignore[union-attr]
        save_network(folder / f"{seed}" / "fast.safetensors", net)
    (folder / "0" / "state.safetensors").write_bytes(b"what it is trained from")
    return folder


def test_fast_networks_repaint_in_place_of_paintings(
    tmp_path: Path, pictures: Path, tiny_weights: Path
) -> None:
    networks = fast_networks(tmp_path / "networks", 4)
    changes = {"stylize": "fast", "networks": (networks,), "styles": None, "count": 6}
    own = settings_of(tmp_path / "one", pictures, tiny_weights, **changes)
    one, other = Generator(own), Generator(dataclasses.replace(own, output=tmp_path / "other"))
    for generator in (one, other):
        generator.open()
        for unit in generator.units()[:: 1 if generator is one else -1]:
            generator.make(unit)
        generator.finish()
    assert contents(tmp_path / "one") == contents(tmp_path / "other")
    pairs = read_manifest(tmp_path / "one")
    names = {split: {p.tex_style for p in pairs if p.split == split} for split in ("train", "val")}
    assert not names["train"] & names["val"]  # validation sees another style
    assert len(names["train"] | names["val"]) == 4
    pair = pairs[0]
    warped = load_picture(tmp_path / "one" / pair.file("warped")).tensor
    painted = load_picture(tmp_path / "one" / pair.file("stylized")).tensor
    again = one.painters[str(pair.tex_style)].float()(warped).clamp(0, 1)
    assert (again - painted).abs().mean() < 0.03  # JPEG, and bfloat16 where the machine has it
    assert (warped - painted).abs().mean() > 0.1


def test_pairs_are_repainted_by_matched_painting_too(
    tmp_path: Path, pictures: Path, tiny_weights: Path
) -> None:
    own = settings_of(tmp_path / "one", pictures, tiny_weights, stylize="matched", count=2)
    own = dataclasses.replace(own, val_count=0)
    for settings in (own, dataclasses.replace(own, output=tmp_path / "other", batch=2)):
        generator = Generator(settings)
        generator.open()
        make_all(generator)
        generator.finish()
    assert contents(tmp_path / "one") == contents(tmp_path / "other")
    (pair, _) = read_manifest(tmp_path / "one")
    assert pair.tex_style is not None
    warped, painted = (
        load_picture(tmp_path / "one" / pair.file(kind)).tensor for kind in ("warped", "stylized")
    )
    assert (warped - painted).abs().mean() > 0.02


def test_networks_that_cannot_serve_are_refused(
    tmp_path: Path, pictures: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = fast_networks(tmp_path / "networks", 1)
    alone = networks / "0" / "fast.safetensors"
    kept = settings_of(tmp_path / "set", pictures, tiny_weights, stylize="fast")
    one = Generator(dataclasses.replace(kept, networks=(alone,)))
    assert one.networks is not None and one.networks.splits["train"] == ["fast.safetensors"]
    monkeypatch.setattr("geostyle.data.pools.bundled", lambda kind: {})
    for given, message in (
        ((), "networks: expected files as geostyle fast-train writes them, got none"),
        ((pictures,), "networks: expected .safetensors files in"),
        ((alone, alone), "networks: expected different names"),
        ((networks / "0" / "state.safetensors",), "networks: expected a geostyle checkpoint"),
    ):
        with pytest.raises(InputError, match=message):
            Generator(dataclasses.replace(kept, networks=given))
