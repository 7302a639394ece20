"""Every reader of files that people can hand us, each with whole files to begin from."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
import workloads
from PIL import Image, ImageCms
from torch import Tensor

from geostyle import config
from geostyle.cli import _unfinished
from geostyle.cli import run as run_verb
from geostyle.cli import transfer as transfer_verb
from geostyle.cli.batch import BatchJob, done_before, list_units
from geostyle.data.make_settings import MakeSettings
from geostyle.data.manifest import read_manifest
from geostyle.data.pairs import CorrelationCache, PairSet
from geostyle.errors import InputError
from geostyle.evaluation.keypoints import read_pf_pascal, read_pf_willow, read_spair
from geostyle.evaluation.painting import read_list
from geostyle.features import vgg_weights
from geostyle.features.extractor import load_features
from geostyle.feedforward.files import FAST, TEXTURE, load_network
from geostyle.io.checkpoint import load_checkpoint
from geostyle.io.colors import can_hold, srgb_profile
from geostyle.io.files import read_metrics, write_bytes
from geostyle.io.images import (
    as_mask,
    as_tensor,
    list_pictures,
    load_picture,
    picture_size,
    save_picture,
)
from geostyle.io.originals import keep_originals, original_paths
from geostyle.io.runs import RunFolder
from geostyle.matching import Correspondences
from geostyle.matching.network import NetworkSettings
from geostyle.matching.network import load_geometry_network as _geonet
from geostyle.report import html as report
from geostyle.report.gallery import read_pairs
from geostyle.training.distillation import DistillSettings
from geostyle.training.geometry import TrainSettings
from geostyle.training.settings import FastTrainSettings, TextureTrainSettings
from geostyle.warps import WarpParameters


@dataclass(frozen=True)
class Reader:
    """One way in.

    name: what it reads. suffix: of its files. seeds: whole ones. share: of all cases, relative.
    read: reads a file, or raises GeostyleError; whatever it returns has been looked at.
    text: whether structure is mutated, too ("yaml" or "json").
    """

    name: str
    suffix: str
    seeds: list[bytes]
    read: Callable[[Path], Any]
    share: float = 1.0
    text: str = ""


def readers(work: Path) -> list[Reader]:
    """All of them; `work` gets the files they need beside the one that is mutated."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        commands = {w.name: w for w in workloads.workloads(work / "inputs")}
        for name in ("transfer", "train_geo.py", "fast-train", "texnet-train"):
            (work / name).mkdir()
            assert commands[name].call(work / name) == 0
    inputs, run = work / "inputs", next((work / "transfer").iterdir())
    weights = inputs / "lite.safetensors"
    levels, canvas = work / "levels.safetensors", work / "canvas.safetensors"
    _unfinished_files(levels, canvas)
    found = [
        Reader("picture", ".bin", _pictures(work), _picture, 8.0),
        Reader("animation", ".bin", _animations(), _picture, 2.0),
        Reader("float and planar TIFF", ".bin", _tiffs(), _picture, 3.0),
        Reader("color profile", ".icc", _profiles(), _profile, 2.0),
        Reader("file name", ".bin", _names(), _named(work), 1.5),
        Reader("picture in memory", ".bin", _pictures(work), _in_memory, 1.0),
        Reader("list of paintings", ".csv", [_paintings_csv()], _paintings(work), 0.5),
        Reader("picture, given to transfer.py", ".png", [_png()], _transfer_of(weights, work), 0.2),
        Reader("theta.json", ".json", [(run / "theta.json").read_bytes()], _theta, 2.0, "json"),
        Reader("network lite", ".safetensors", [weights.read_bytes()], _lite, 1.0),
        Reader("network geonet", ".safetensors", [_only(work, "geonet")], _geonet, 0.5),
        Reader("network fast", ".safetensors", [_only(work, "fast", "fast-train")], _fast, 0.5),
        Reader("network texnet", ".safetensors", [_only(work, "texnet", "texnet-train")],
               _texnet, 0.5),
        Reader("training state", ".safetensors", [_only(work, "state")], _state, 0.5),
        Reader("finished levels", ".safetensors", [levels.read_bytes()], _levels, 0.5),
        Reader("canvas", ".safetensors", [canvas.read_bytes()], _canvas, 0.5),
        Reader("VGG state dict", ".pth", [_state_dict()], _vgg, 1.0),
        Reader("VGG safetensors", ".safetensors", [_vgg_safetensors()], _vgg, 0.5),
        Reader("manifest", ".jsonl", [(inputs / "pairs/manifest.jsonl").read_bytes()],
               _in_copy(inputs / "pairs", "manifest.jsonl", _pairs, work), 1.0),
        Reader("correlations", ".npy", [_correlations(inputs)], _cache(inputs, weights), 0.5),
        Reader("pairs.csv", ".csv", [_csv()], _in_folder("pairs.csv", read_pf_willow, work), 1.0),
        Reader("test_pairs_pf_pascal.csv", ".csv", [_csv()],
               _in_folder("test_pairs_pf_pascal.csv", read_pf_pascal, work), 0.5),
        Reader("annotations of PF-PASCAL", ".mat", [_mat(), _mat(True)], _pascal(work), 0.5),
        Reader("annotations of SPair", ".json", [_spair_json()], _spair(work), 0.5, "json"),
        Reader("points, JSON", ".json", [_points_json()], _points, 1.0, "json"),
        Reader("points, CSV", ".csv", [_points_csv()], _points, 1.0),
        Reader("list of a gallery", ".csv", [b"content,geo_style\na.png,b.png\nc.png,d.png\n"],
               read_pairs, 0.5),
        Reader("mask", ".bin", [_png("L"), _png("LA"), _png("RGBA"), _png("I;16")], _mask, 0.5),
        Reader("metrics.jsonl of a batch", ".jsonl", [_batch_metrics()],
               _in_folder("metrics.jsonl", lambda f: done_before(RunFolder(f)), work), 0.5),
        Reader("metrics.jsonl", ".jsonl", [(run / "metrics.jsonl").read_bytes()],
               read_metrics, 0.5),
    ]  # fmt: skip
    for name in ("settings.yaml", "environment.json", "theta.json", "grid.safetensors",
                 "metrics.jsonl", "inputs/content.png"):  # fmt: skip
        seed, kind = (run / name).read_bytes(), Path(name).suffix[1:]
        reading = _in_copy(run, name, _report, work)
        text = kind if kind in ("yaml", "json") else ""
        found.append(Reader(f"report of {name}", f".{kind}", [seed], reading, 0.2, text))
    for name, call in (("files.json", original_paths), ("environment.json", _environment)):
        path = f"originals/{name}" if name == "files.json" else name
        seed, reading = (run / path).read_bytes(), _in_copy(run, path, call, work)
        found.append(Reader(path, ".json", [seed], reading, 0.5, "json"))
    for name, job in settings_classes().items():
        seed = config.dump_yaml(job).encode()
        found.append(
            Reader(f"settings of {name}", ".yaml", [seed], _settings(type(job)), 0.4, "yaml")
        )
    return found


def settings_classes() -> dict[str, Any]:
    """Settings of every command, valid ones."""
    some = Path("a.png")
    found = {
        "make.py": MakeSettings(),
        "train_geo.py": TrainSettings(),
        "distill": DistillSettings(),
        "fast-train": FastTrainSettings(),
        "texnet-train": TextureTrainSettings(),
        "transfer": transfer_verb.Job(geo_style=(some,), tex_style=(some,)),
    }
    for verb in ("texture", "reconstruct", "neural_style"):
        found[verb] = import_module(f"geostyle.cli.{verb}").Job()
    found["batch"] = BatchJob(content=some, tex_style=(some,))
    found["mix"] = import_module("geostyle.cli.mix").Job(exemplars=(some, some))
    return found


def _picture(path: Path) -> None:
    picture = load_picture(path, max_pixels=4e6)
    tensor = picture.tensor
    assert tensor.shape[:2] == (1, 3) and tensor.is_contiguous() and tensor.dtype == torch.float32
    assert torch.isfinite(tensor).all() and tensor.min() >= 0 and tensor.max() <= 1


def _in_memory(path: Path) -> None:
    with contextlib.suppress(InputError):  # the size in its header, however it ends
        assert min(picture_size(path)) > 0
    tensor = as_tensor(io.BytesIO(path.read_bytes()))
    assert torch.isfinite(tensor).all()


def _profile(path: Path) -> None:
    """A profile by itself, embedded in pictures of 8 and 16 bits, and to be written."""
    icc = path.read_bytes()
    for array in (_array(), _array().astype(np.uint16) * 257):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, array, photometric="rgb", iccprofile=icc or None)
        _finite(as_tensor(buffer))
    if can_hold(icc):
        save_picture(torch.rand(1, 3, 16, 16), path.with_suffix(".png"), icc=icc)
        save_picture(torch.rand(1, 3, 16, 16), path.with_suffix(".tif"), icc=icc, bit_depth=16)


def _named(work: Path) -> Callable[[Path], None]:
    """A picture whose name has the mutated bytes, through a folder, settings and a report."""

    def call(path: Path) -> None:
        raw = path.read_bytes().replace(b"/", b"_").replace(b"\0", b"_")[:200]
        folder = work / "scratch" / "named"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        picture = folder / os.fsdecode((raw or b"a") + b".png")
        picture.write_bytes(_png())
        (folder / "other.png").write_bytes(_png())
        job = BatchJob(content=folder, tex_style=(picture,), output=work / "scratch" / "batch")
        units = list_units(job)
        assert len({unit.name.casefold() for unit in units}) == len(list_pictures(folder))
        run = RunFolder(folder)
        run.save_settings(job)
        assert config.resolve(BatchJob, folder / "settings.yaml") == job
        keep_originals(run, job)
        assert original_paths(folder)
        for unit in units:
            _finite(load_picture(unit.content).tensor)
            write_bytes(run.file(f"{unit.name}.png"), b"")
            run.log(stage="done", name=unit.name, file=f"{unit.name}.png", inputs="0" * 64)
        assert len(done_before(run)) == len(units)

    return call


def _names() -> list[bytes]:
    texts = [
        "photo",
        "Ünïcode …",
        "日本語",
        "a.b.c",
        "-rf",
        "~",
        "CON",
        "a b\tc",
        "#1%20",
        "x" * 180,
    ]
    return [text.encode() for text in texts] + [b"\xff\xfe", b"a\nb", b".hidden", b"--output=x"]


def _paintings_csv() -> bytes:
    return b"content,tex_style,result\na.png,b.png,c.png\nd.png,e.png,f.png\n"


def _paintings(work: Path) -> Callable[[Path], None]:
    folder = work / "scratch" / "paintings"

    def call(path: Path) -> None:
        folder.mkdir(exist_ok=True)
        for name in "abcdef":
            (folder / f"{name}.png").write_bytes(_png())
        shutil.copyfile(path, folder / "list.csv")
        for painting in read_list(folder / "list.csv"):
            assert painting.name

    return call


def _animations() -> list[bytes]:
    frames = [Image.fromarray(np.roll(_array(), i, 0)) for i in range(3)]
    found = []
    for kind in ("GIF", "WEBP", "PNG", "TIFF", "AVIF"):
        with contextlib.suppress(KeyError, OSError):  # not every build of Pillow writes them
            buffer = io.BytesIO()
            frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], duration=40)
            found.append(buffer.getvalue())
    return found


def _tiffs() -> list[bytes]:
    """TIFF files that only tifffile reads right, of every layout."""
    deep, found = _array().astype(np.uint16) * 257, []
    icc = srgb_profile()
    planes = np.ascontiguousarray(np.moveaxis(deep, -1, 0))
    for array, options in (
        ((deep / 65535).astype(np.float32), {"photometric": "rgb"}),
        ((deep / 65535).astype(np.float16), {"photometric": "rgb", "iccprofile": icc}),
        ((deep[..., 0] / 65535).astype(np.float64), {"photometric": "minisblack"}),
        ((deep / 65535).astype(np.float32), {"photometric": "rgb", "compression": "zlib"}),
        (planes, {"photometric": "rgb", "planarconfig": "separate"}),
        (planes, {"photometric": "rgb", "planarconfig": "separate", "compression": "lzw"}),
        (planes.astype(np.uint32) << 16, {"photometric": "rgb", "planarconfig": "separate"}),
        ((planes / 65535).astype(np.float32),
         {"photometric": "rgb", "planarconfig": "separate", "rowsperstrip": 5}),
        (np.dstack([deep, deep[..., 0]]), {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
        (deep, {"photometric": "rgb", "tile": (16, 16)}),
    ):  # fmt: skip
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, array, **options)
        found.append(buffer.getvalue())
    return found


def _profiles() -> list[bytes]:
    made = [ImageCms.ImageCmsProfile(ImageCms.createProfile(kind)).tobytes()
            for kind in ("sRGB", "LAB", "XYZ")]  # fmt: skip
    return [*made, srgb_profile()]


def _transfer_of(weights: Path, work: Path) -> Callable[[Path], None]:
    def call(path: Path) -> None:
        words = ["--content", path, "--tex-style", path, "--weights", weights, "--size", "32"]
        words += ["--iterations", "1", "--output", work / "transferred"]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            status = run_verb("transfer", [str(word) for word in words])
        assert status in (0, 2), status
        shutil.rmtree(work / "transferred", ignore_errors=True)

    return call


def _theta(path: Path) -> None:
    parameters = WarpParameters.load(path)
    for strength in (0.0, 1.0, 5.0):
        assert torch.isfinite(parameters.grid((24, 32), strength)).all()


def _lite(path: Path) -> None:
    network = load_features("lite", weights=path)
    _finite(network(torch.rand(1, 3, 32, 32), ["relu3_1"])["relu3_1"])


def _fast(path: Path) -> None:
    net, _ = load_network(path, FAST)
    _finite(net(torch.rand(1, 3, 20, 24)))


def _texnet(path: Path) -> None:
    load_network(path, TEXTURE)


def _state(path: Path) -> None:
    load_checkpoint(path, "geonet-state")


def _levels(path: Path) -> None:
    run = RunFolder(path.parent / "run")
    run.file(_unfinished.FOLDER).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, run.file(_unfinished.LEVELS))
    _unfinished.load_levels(run)


def _canvas(path: Path) -> None:
    run = RunFolder(path.parent / "run")
    run.file(_unfinished.FOLDER).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, run.file(_unfinished.CANVAS))
    resume = _unfinished.load_canvas(run)
    assert resume is not None
    canvas = resume.canvas
    assert canvas is not None and canvas.ndim == 4


def _points(path: Path) -> None:
    given = Correspondences.load(path)
    _finite(given.content)
    _finite(given.geo_style)


def _mask(path: Path) -> None:
    mask = as_mask(path)
    assert mask.shape[:2] == (1, 1) and mask.min() >= 0 and mask.max() <= 1


def _vgg(path: Path) -> None:
    state = vgg_weights._read_state(path)
    assert all(isinstance(key, str) for key in state)


def _pairs(folder: Path) -> None:
    read_manifest(folder)
    PairSet(folder, "train")


def _cache(inputs: Path, weights: Path) -> Callable[[Path], None]:
    pairs = PairSet(inputs / "pairs", "train")
    cache = CorrelationCache(pairs, load_features("lite", weights=weights), _NET)

    def call(path: Path) -> None:
        cache.blocks = [(rows, path) for rows, _ in cache.blocks]
        cache._open.clear()
        cache.read([0, 1], [0, 0])

    return call


_NET = NetworkSettings(match_px=48, layer="pool2", width=16, network_lattice=3)


def _correlations(inputs: Path) -> bytes:
    return next((inputs / "pairs" / "correlations").rglob("*.npy")).read_bytes()


def _report(folder: Path) -> None:
    report.read_run(folder)
    report.write_report(folder)


def _environment(folder: Path) -> None:
    RunFolder(folder).load_environment()


def _settings(job_class: type) -> Callable[[Path], None]:
    def call(path: Path) -> None:
        settings: Any = config.resolve(job_class, path)
        assert config.dump_yaml(settings)

    return call


def _in_copy(
    folder: Path, name: str, call: Callable[[Path], Any], work: Path
) -> Callable[[Path], None]:
    """Put the mutated file in the place of `name` in a copy of `folder`, then call."""
    (work / "copies").mkdir(exist_ok=True)
    copy = work / "copies" / str(len(os.listdir(work / "copies"))) / folder.name
    ignored = shutil.ignore_patterns("correlations", ".lock")
    shutil.copytree(folder, copy, ignore=ignored)

    def read(path: Path) -> None:
        shutil.copyfile(path, copy / name)
        call(copy)

    return read


def _in_folder(name: str, call: Callable[[Path], Any], work: Path) -> Callable[[Path], None]:
    folder = work / "folders" / name
    folder.mkdir(parents=True)

    def read(path: Path) -> None:
        shutil.copyfile(path, folder / name)
        call(folder)

    return read


def _finite(tensor: Tensor) -> None:
    assert torch.isfinite(tensor).all()


def _only(work: Path, stem: str, command: str = "train_geo.py") -> bytes:
    return (work / command / f"{stem}.safetensors").read_bytes()


def _mat(packed: bool = False) -> bytes:
    from scipy.io import savemat

    buffer = io.BytesIO()
    savemat(buffer, {"kps": np.array([[1.0, 2], [3, 4], [np.nan, 6]])}, do_compression=packed)
    return buffer.getvalue()


def _pascal(work: Path) -> Callable[[Path], None]:
    root = work / "pascal"
    (root / "Annotations" / "cat").mkdir(parents=True)
    (root / "test_pairs.csv").write_text("source_image,target_image,class\na.jpg,a.jpg,cat\n")

    def call(path: Path) -> None:
        shutil.copyfile(path, root / "Annotations" / "cat" / "a.mat")
        read_pf_pascal(root)

    return call


def _spair(work: Path) -> Callable[[Path], None]:
    root = work / "spair"
    for folder in ("Layout/large", "PairAnnotation/test"):
        (root / folder).mkdir(parents=True)
    (root / "Layout/large/test.txt").write_text("a\n")

    def call(path: Path) -> None:
        shutil.copyfile(path, root / "PairAnnotation/test/a.json")
        for pair in read_spair(root):
            assert pair.source.parent.parent == root / "JPEGImages"

    return call


def _spair_json() -> bytes:
    note = {"category": "cat", "trg_imname": "a.jpg", "src_imname": "b.jpg"}
    points = {"trg_kps": [[1, 2], [3, 4]], "src_kps": [[5, 6], [7, 8]], "trg_bndbox": [0, 1, 9, 8]}
    return json.dumps({**note, **points}).encode()


def _points_json() -> bytes:
    points = [[1, 2], [30.5, 4], [5, 26], [17.25, 18]]
    return json.dumps({"content": points, "geo_style": points[::-1]}).encode()


def _points_csv() -> bytes:
    rows = ["content_x,content_y,geo_style_x,geo_style_y"]
    return "\n".join([*rows, *(f"{i},{2 * i}.5,{3 * i},{i}" for i in range(5))]).encode() + b"\n"


def _batch_metrics() -> bytes:
    line = {"stage": "done", "name": "a", "file": "a.png", "inputs": "0" * 64, "seconds": 0.1}
    skipped = {"stage": "skipped", "name": "b", "reason": "no"}
    return "".join(json.dumps(entry) + "\n" for entry in (line, skipped, line)).encode()


def _csv() -> bytes:
    rows = ["source_image,target_image,class,XA,YA,XB,YB"]
    rows += [f"a{i}.png,b{i}.png,duck,1;2.5;3,4;5;6,7;8;9,1;2;{i}" for i in range(6)]
    return "\n".join(rows).encode() + b"\n"


def _state_dict() -> bytes:
    buffer = io.BytesIO()
    torch.save({f"features.{i}.weight": torch.rand(3, 3) for i in range(4)}, buffer)
    return buffer.getvalue()


def _vgg_safetensors() -> bytes:
    from safetensors.torch import save

    return save({f"features.{i}.weight": torch.rand(3, 3) for i in range(4)})


def _unfinished_files(levels: Path, canvas: Path) -> None:
    from geostyle.io.checkpoint import save_checkpoint
    from geostyle.texture import Finished
    from geostyle.texture.optimizer import Step
    from geostyle.texture.pyramid import LevelHistory

    history = [LevelHistory((16, 16), [Step(0, 1.0, 0.5, 0.5, 0.1)])]
    run = RunFolder(levels.parent)
    _unfinished.save_levels(run, Finished(torch.rand(1, 3, 16, 16), history, 0.1))
    run.file(_unfinished.LEVELS).rename(levels)
    save_checkpoint(canvas, {"image": torch.rand(1, 3, 20, 20)}, {}, _unfinished.CANVAS_KIND)


def _png(mode: str = "RGB", **options: Any) -> bytes:
    return _encoded("PNG", mode, **options)


def _array(size: tuple[int, int] = (24, 31), channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*size, channels), dtype=np.uint8)


def _encoded(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    image = Image.fromarray(_array()).resize((40, 28)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _pictures(work: Path) -> list[bytes]:
    """Small whole pictures of every format, mode and feature that is read."""
    import cv2

    exif = Image.Exif()
    exif[0x0112] = 6
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    seeds = [
        _encoded("JPEG", quality=90, exif=exif), _encoded("JPEG", progressive=True),
        _encoded("JPEG", "CMYK"), _encoded("JPEG", "L", icc_profile=icc),
        _png(), _png("RGBA"), _png("P"), _png("LA"), _png("1"), _png("I;16"),
        _png(icc_profile=icc), _encoded("GIF", "P"), _encoded("BMP"), _encoded("PPM"),
        _encoded("TIFF", compression="tiff_lzw"), _encoded("TIFF", "CMYK"),
        _encoded("TIFF", "LAB"),
        _encoded("TIFF", compression="jpeg"), _encoded("WEBP"),
        _encoded("WEBP", "RGBA", lossless=True),
    ]  # fmt: skip
    for kind in ("JPEG2000", "AVIF"):
        with contextlib.suppress(KeyError, OSError):  # not every build of Pillow writes them
            seeds.append(_encoded(kind))
    deep = _array().astype(np.uint16) * 257
    seeds += [cv2.imencode(suffix, deep)[1].tobytes() for suffix in (".png", ".tiff")]
    return seeds + [json.dumps({"not": "a picture"}).encode()]
