"""Pictures, warps and paths that callers hand over: accepted, or refused in one line."""

from __future__ import annotations

import io
import json
import logging
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, PngImagePlugin

import geostyle
from geostyle import config
from geostyle.cli.batch import BatchJob, list_units
from geostyle.config.settings import suggestion
from geostyle.errors import InputError
from geostyle.io.colors import open_profile, srgb_profile
from geostyle.io.images import as_mask, as_tensor, list_pictures, load_picture, save_picture
from geostyle.matching import Correspondences
from geostyle.texture.colors import is_gray, without_chroma
from geostyle.texture.objective import normalized_weights

H, W = 20, 24
RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 65536, (H, W, 3), dtype=np.uint16)
RGB = (DEEP >> 8).astype(np.uint8)
PAIRS = [[2.0, 3.0], [9.0, 4.0]], [[3.0, 3.0], [8.0, 5.0]]


def pixels(picture: Any) -> np.ndarray:
    return load_picture(picture).tensor[0].permute(1, 2, 0).double().numpy()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("bit_depth", [8, 16])
def test_alpha_survives_saving(tmp_path: Path, suffix: str, alpha: bool, bit_depth: int) -> None:
    opacity = torch.rand(1, 1, H, W) if alpha else None
    picture = torch.rand(1, 3, H, W)
    if opacity is not None:
        picture = 1 + opacity * (picture - 1)  # on white
    save_picture(picture, tmp_path / f"a{suffix}", bit_depth=bit_depth, alpha=opacity)
    found = load_picture(tmp_path / f"a{suffix}", keeps_alpha=True)
    assert (found.tensor - picture).abs().max() < 1.6 / 255
    assert (found.alpha is None) == (opacity is None)
    if opacity is not None and found.alpha is not None:
        assert (found.alpha - opacity).abs().max() < 0.51 / (2**bit_depth - 1)


@pytest.mark.parametrize("kind", ["planes", "float", "float gray", "float planes", "32 bits"])
def test_tiffs_that_other_decoders_misread(tmp_path: Path, kind: str) -> None:
    array, options = DEEP, dict[str, Any](photometric="rgb")
    if "float" in kind:
        array = (DEEP / 65535).astype(np.float32)
    if kind == "32 bits":
        array, options["planarconfig"] = DEEP.astype(np.uint32) << 16, "separate"
    if "gray" in kind:
        array, options = array[..., 0], {"photometric": "minisblack"}
    if "planes" in kind:
        options["planarconfig"] = "separate"
    if options.get("planarconfig"):
        array = np.moveaxis(array, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", array, **options)
    expected = DEEP[..., :1].repeat(3, -1) if "gray" in kind else DEEP
    assert np.abs(pixels(tmp_path / "a.tif") - expected / 65535).max() < 1e-5


@pytest.mark.parametrize("value", [1.5, -0.1, float("nan"), float("inf")])
def test_float_tiffs_outside_the_range_are_refused(tmp_path: Path, value: float) -> None:
    array = np.full((H, W), 0.5, np.float32)
    array[3, 4] = value
    tifffile.imwrite(tmp_path / "a.tif", array)
    with pytest.raises(InputError, match=r"content: expected values in \[0, 1\] in a float TIFF"):
        load_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("zipped", [False, True])
def test_text_of_a_png_is_passed_over(tmp_path: Path, zipped: bool) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("workflow", "x" * 3_000_000, zip=zipped)
    Image.fromarray(RGB).save(tmp_path / "a.png", pnginfo=text)
    assert np.array_equal((pixels(tmp_path / "a.png") * 255).round(), RGB)


def linear(icc: bytes) -> bytes:
    """A profile of sRGB's name and primaries for linear light."""
    data = bytearray(icc)
    for i in range(struct.unpack_from(">I", data, 128)[0]):
        name, start, _ = struct.unpack_from(">4sII", data, 132 + 12 * i)
        if name in (b"rTRC", b"gTRC", b"bTRC"):
            data[start : start + 12] = b"curv" + bytes(8)
    return bytes(data)


def test_what_a_profile_does_decides_and_not_its_name(tmp_path: Path) -> None:
    assert open_profile(srgb_profile(), "a") is None
    icc = linear(srgb_profile())
    assert open_profile(icc, "a") is not None
    value = 55  # of linear light, 0.2157: 0.5019 in sRGB
    Image.fromarray(np.full((H, W, 3), value, np.uint8)).save(tmp_path / "a.png", icc_profile=icc)
    assert abs(pixels(tmp_path / "a.png").mean() - 0.502) < 0.005


@pytest.mark.parametrize(
    "start, words",
    [
        (b"\0\0\0\x18ftypheic", "HEIC; save it as PNG or JPEG"),
        (b"\0\0\0\x18ftypisom", "MP4; save a frame"),
        (b"8BPS\0\1", "PSD; save it"),
        (b"<svg xmlns='a'>", "SVG; render it"),
        (b"<?xml version='1.0'?>\n<svg>", "SVG; render it"),
        (b"%PDF-1.7", "PDF; render"),
        (b"<!DOCTYPE html>", "a web page; save the picture itself"),
    ],
)
@pytest.mark.parametrize("in_memory", [False, True])
def test_unknown_formats_are_named(
    tmp_path: Path, start: bytes, words: str, in_memory: bool
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(start + bytes(200))
    with pytest.raises(InputError) as error:
        load_picture(io.BytesIO(path.read_bytes()) if in_memory else path)
    assert words in str(error.value) and "read are JPEG, PNG" in str(error.value)


@pytest.mark.parametrize("reader", [load_picture, as_tensor, geostyle.as_tensor])
@pytest.mark.parametrize(
    "source, words",
    [("https://a.org/b.png", "a URL"), (os.curdir, "a folder"), (io.StringIO("a"), "binary mode"),
     (io.BytesIO(), "0 bytes")],
)  # fmt: skip
def test_what_is_no_picture_is_one_line(reader: Any, source: Any, words: str) -> None:
    with pytest.raises(InputError, match=f"^content: [^\n]*{words}"):
        reader(source)


class Named:
    """A path of another library."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


def test_pictures_of_every_kind(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    save_picture(Image.fromarray(RGB), path)
    expected = as_tensor(path)
    gray = torch.rand(H, W) > 0.5
    for given in (Named(path), io.BytesIO(path.read_bytes()), path.open("rb"), RGB, str(path)):
        assert torch.equal(as_tensor(given), expected)
    for mask in (gray, gray[None], gray.numpy(), gray.float()):
        assert torch.equal(as_mask(mask)[0, 0], gray.float())
    save_picture(RGB, Named(tmp_path / "b.png"))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), RGB)
    with pytest.raises(InputError, match="output: expected a path"):
        save_picture(RGB, io.BytesIO())  # type: ignore[arg-type]


def said(caplog: pytest.LogCaptureFixture, words: str) -> None:
    assert len(caplog.messages) == 1 and words in caplog.messages[0], caplog.messages
    caplog.clear()


def test_what_is_left_out_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frames = [Image.fromarray(np.roll(RGB, i, 0)) for i in range(3)]
    clear = Image.fromarray(np.dstack([RGB, RGB[..., 0]]))
    labels = np.zeros((H, W), np.uint8)
    labels[5:] = 1
    with caplog.at_level(logging.WARNING):
        for suffix in ("gif", "webp", "png", "tif"):
            frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
            load_picture(tmp_path / f"a.{suffix}")
            said(caplog, "3 frames; only the first is taken")
        as_tensor(clear, "tex_style")
        said(caplog, "tex_style: it is partly transparent")
        save_picture(clear, tmp_path / "b.jpg")
        said(caplog, "holds no transparency")
        for mask in (labels, Image.fromarray(labels), torch.from_numpy(labels)):
            assert as_mask(mask).mean() == 0.75
            said(caplog, "1 is taken as white")
        folder = tmp_path / "mixed"
        folder.mkdir()
        for name in ("a.jfif", "b.HEIC", "c", "notes.txt"):
            (folder / name).write_bytes(b"x")
        assert [path.name for path in list_pictures(folder)] == ["a.jfif"]
        said(caplog, "2 of ")


@pytest.mark.parametrize("size", [(20, 2000), (2000, 20)])
def test_a_panorama_is_not_squeezed(size: tuple[int, int]) -> None:
    picture, theta = torch.rand(1, 3, *size), affine(size)
    with pytest.raises(InputError, match="which 400 would squeeze"):
        geostyle.warp(picture, theta, size_px=400)
    assert geostyle.warp(picture, theta, size_px=1600).tensor.shape[-2:] in ((16, 1600), (1600, 16))


def affine(size: tuple[int, int], **changes: Any) -> geostyle.WarpParameters:
    return geostyle.WarpParameters("affine", 4, torch.zeros(6), size, size, **changes)


def test_warps_of_every_kind(tmp_path: Path) -> None:
    picture, theta = torch.rand(1, 3, H, W), affine((H, W))
    theta.save(tmp_path / "theta.json")
    text = (tmp_path / "theta.json").read_text("utf-8")
    (tmp_path / "marked.json").write_text("\ufeff" + text, "utf-8")
    estimate = geostyle.estimate_warp(picture, picture, estimator="none")
    expected = geostyle.warp(picture, theta).tensor
    for name in ("theta.json", "marked.json"):
        for given in (str(tmp_path / name), tmp_path / name, Named(tmp_path / name)):
            assert torch.equal(geostyle.warp(picture, given).tensor, expected)
    assert geostyle.warp(picture, estimate).parameters is not None
    for wrong in (None, 3, {"a": 1}, tmp_path, tmp_path / "none.json"):
        with pytest.raises(InputError, match="^theta"):
            geostyle.warp(picture, wrong)  # type: ignore[arg-type]
    for wrong_size in (0, -3, float("nan"), "12", True):
        with pytest.raises(InputError, match="^size_px: expected"):
            geostyle.warp(picture, theta, size_px=wrong_size)  # type: ignore[arg-type]


def test_transparency_is_warped_with_the_content() -> None:
    array = np.dstack([RGB, np.full((H, W), 255, np.uint8)])
    array[:, : W // 2, 3] = 0
    warped = geostyle.warp(array, affine((H, W), mirrored=True))
    assert warped.alpha is not None and warped.image.mode == "RGBA"
    assert warped.alpha[..., : W // 2].min() == 1 and warped.alpha[..., W // 2 :].max() == 0
    result = geostyle.transfer(array, theta=affine((H, W)))
    assert result.alpha is not None and result.alpha[..., : W // 2].max() == 0


@pytest.mark.parametrize("separator", [",", ";", "\t", ", "])
def test_points_of_every_kind(tmp_path: Path, separator: str) -> None:
    content, geo = PAIRS
    heads = ["content_x", "content_y", "geo_style_x", "geo_style_y"]
    rows = [heads, *([str(v) for v in a + b] for a, b in zip(content, geo, strict=True))]
    text = "\n".join(separator.join(row) for row in rows)
    (tmp_path / "a.csv").write_text("\ufeff" + text, "utf-8")
    (tmp_path / "a.json").write_text(json.dumps({"content": content, "geo_style": geo}))
    expected = Correspondences(*PAIRS)  # type: ignore[arg-type]
    for given in (
        expected, {"content": content, "geo_style": np.array(geo)}, Named(tmp_path / "a.csv"),
        str(tmp_path / "a.json"),
    ):  # fmt: skip
        found = Correspondences.of(given)
        assert found is not None and torch.equal(found.content, expected.content)
        assert torch.equal(found.geo_style, expected.geo_style)


def test_a_short_line_of_points_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("content_x,content_y,geo_style_x,geo_style_y\n1,2,3\n")
    with pytest.raises(InputError, match=r"^points: file [^\n]*$"):
        Correspondences.load(path)


@pytest.mark.parametrize(
    "points",
    [{"content": [[1, 2]]}, {"content": [["a", 2]], "geo_style": [[1, 2]]}, 3, [[1, 2, 3, 4]],
     {"content": [[1, 2], [1, 2]], "geo_style": [[1, 2], [5, 6]]},
     {"content": [[1, 2], [5, 6]], "geo_style": [[1, 2], [1, 2]]}],
)  # fmt: skip
def test_unusable_points_are_one_line(points: Any) -> None:
    with pytest.raises(InputError, match=r"^points: expected [^\n]*$"):
        Correspondences.of(points)


@pytest.mark.parametrize("weights", [[float("nan"), 1], [float("inf"), 1], ["a", 1], 1, [-1, 2]])
def test_unusable_weights_are_one_line(weights: Any) -> None:
    with pytest.raises(InputError, match="^tex_weights: expected 2"):
        normalized_weights(weights, 2)


def test_results_of_a_batch_have_names_of_their_own(tmp_path: Path) -> None:
    names = ["a.jpg", "a.png", "a_jpg.png", "A.png", "a_jpg-2.png"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    job = BatchJob(content=tmp_path, tex_style=(Path("t.png"),))  # type: ignore[arg-type]
    found = [unit.name.casefold() for unit in list_units(job)]
    assert len(set(found)) == len(names)


def test_names_that_are_no_text_are_written(tmp_path: Path) -> None:
    from geostyle.io.files import read_json, write_json
    from geostyle.io.runs import RunFolder

    path = Path(os.fsdecode(b"a\xff.png"))
    write_json(tmp_path / "a.json", {"path": path})
    assert read_json(tmp_path / "a.json") == {"path": str(path)}
    RunFolder(tmp_path).log(name=str(path))
    job = BatchJob(content=path, tex_style=(path,))
    RunFolder(tmp_path).save_settings(job)
    assert config.resolve(BatchJob, tmp_path / "settings.yaml") == job


def test_home_and_saved_originals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from geostyle.cli.transfer import Job

    monkeypatch.setenv("HOME", str(tmp_path))
    argv = ["--tex-style", "t.png", "--output=~/x"]
    job, _ = config.parse(Job, argv, prog="a", description=None)
    assert job.output == tmp_path / "x" and job.tex_style == (Path("t.png"),)
    run = tmp_path / "run"
    (run / "originals").mkdir(parents=True)
    (run / "originals/tex_style-1.png").write_bytes(b"x")
    (run / "settings.yaml").write_text("tex_style: [sub/t.png]\n")
    entry = {"path": str(tmp_path / "sub/t.png"), "copy": "originals/tex_style-1.png"}
    (run / "originals/files.json").write_text(json.dumps({"tex_style-1": entry}))
    assert config.resolve(Job, run / "settings.yaml").tex_style == (
        run / "originals/tex_style-1.png",
    )
    (run / "settings.yaml").write_text("tex_style: [other.png]\n")  # put in by hand
    assert config.resolve(Job, run / "settings.yaml").tex_style == (Path("other.png"),)


@pytest.mark.parametrize(
    "flag, meant",
    [("--gpu", "--device"), ("--cuda", "--device"), ("--steps", "--iterations"),
     ("--style", "--tex-style"), ("--image-size", "--size"), ("--outptu", "--output"),
     ("--xyz", ""), ("--cat", "")],
)  # fmt: skip
def test_suggestions_are_sensible(flag: str, meant: str) -> None:
    known = ["--device", "--output", "--iterations", "--tex-style", "--size", "--content", "--lr"]
    assert suggestion(flag, known) == (f"; did you mean {meant!r}?" if meant else "")


@pytest.mark.parametrize("painter", ["gram", "matched"])
def test_grays_stay_gray(painter: str) -> None:
    gray, texture = (torch.rand(1, 1, 64, 64).expand(-1, 3, -1, -1) for _ in range(2))
    options: dict[str, Any] = {"painter": painter, "iterations": (4,), "split": 0, "turns": 1}
    result = geostyle.transfer(gray, tex_style=texture, guidance=0.0, **options)
    assert is_gray(result.tensor) and not torch.equal(result.tensor, gray)
    colored = geostyle.transfer(gray, tex_style=torch.rand(3, 64, 64), guidance=0.0, **options)
    assert not is_gray(colored.tensor)


def test_grays_keep_their_lightness() -> None:
    gray = torch.rand(1, 1, H, W).expand(-1, 3, -1, -1)
    assert (without_chroma(gray) - gray).abs().max() < 2e-3


def frames(path: Path) -> str:
    pictures = [Image.fromarray(np.roll(RGB, i, 0)) for i in range(3)]
    pictures[0].save(path.with_suffix(".gif"), save_all=True, append_images=pictures[1:])
    return str(path.with_suffix(".gif"))


def clear(path: Path) -> str:
    Image.fromarray(np.dstack([RGB, RGB[..., 0]])).save(path.with_suffix(".png"))
    return str(path.with_suffix(".png"))


def pano(path: Path) -> str:
    Image.fromarray(np.tile(RGB, (1, 40, 1))).save(path.with_suffix(".png"))
    return str(path.with_suffix(".png"))


def mixed(path: Path) -> str:
    """A folder with a picture, one that is left out by its suffix, and another folder."""
    (path / "more").mkdir(parents=True)
    Image.fromarray(RGB).save(path / "a.png")
    (path / "b.HEIC").write_bytes(b"x")
    return str(path)


def large(path: Path) -> str:
    Image.fromarray(np.tile(RGB, (30, 30, 1))).save(path.with_suffix(".png"))
    return str(path.with_suffix(".png"))


ADAPTED = {
    frames: "3 frames; only the first is taken",
    clear: "partly transparent; it is taken on white",
    pano: "would squeeze",
    mixed: "left out, as no pictures: b.HEIC, more/",
    large: "512",
}
FAST = "--iterations 1 --size 16"
# Commands with {} for a picture or folder of each kind, and what they would do to it unasked. The
# others read pictures by the same functions.
COMMANDS: list[tuple[str, tuple[Any, ...]]] = [
    ("transfer --content {} --tex-style t.png --dry-run --size 24", (frames, pano)),
    ("transfer --content {} --tex-style t.png --dry-run", (large,)),
    ("transfer --tex-style {} --content t.png --dry-run", (frames, clear)),
    ("transfer --geo-style {} --content t.png --dry-run", (frames, clear)),
    ("batch --content {} --tex-style t.png --dry-run --output o --size 24", (pano, mixed)),
    ("batch --content t.png --tex-style {} --dry-run --output o", (frames, clear, mixed)),
    ("batch --content t.png --geo-style {} --dry-run --output o", (frames, clear, mixed)),
    ("texture {} --exemplar-size 24 --dry-run", (frames, clear, pano)),
    ("texture {} --dry-run", (large,)),
    ("reconstruct {} --size 24 --dry-run", (frames, clear, pano)),
    ("neural-style --content {} --tex-style t.png --size 24 --dry-run", (frames, clear, pano)),
    ("neural-style --tex-style {} --content t.png --size 24 --dry-run", (frames, clear, pano)),
    ("mix {} t.png --exemplar-size 24 --dry-run", (frames, clear, pano)),
    ("mix t.png t.png --content {} --size 24 --dry-run", (frames, clear, pano)),
    ("fast-apply {} o --size 24 --device cpu", (frames, clear, pano, mixed)),
    ("fast-train --tex-style {} --images d --style-size 32 --dry-run --crop-size 32",
     (frames, clear, pano)),
    ("evaluate pairs --content {} --geo-style t.png --dry-run", (mixed,)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "make"), [(command, kind) for command, kinds in COMMANDS for kind in kinds]
)
def test_every_command_says_what_it_adapts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str], tiny_weights: Path, command: str, make: Any,
) -> None:  # fmt: skip
    from geostyle.cli import run

    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    for name in ("t.png", "d/a.png", "d/b.png"):
        Image.fromarray(np.tile(RGB, (2, 2, 1))).save(tmp_path / name)
    verb, *words = command.format(make(tmp_path / "given")).split()
    if verb not in ("fast-apply", "evaluate"):
        words += ["--weights", str(tiny_weights)]
    with caplog.at_level(logging.WARNING):
        run(verb, words)
    printed = capsys.readouterr()
    said_once = "\n".join([*caplog.messages, printed.out, printed.err])
    assert said_once.count(ADAPTED[make]) == 1 or make is large and "512" in said_once, said_once


READERS: dict[str, Callable[[Any], Any]] = {
    "load_picture": load_picture,
    "as_tensor": as_tensor,
    "as_tensor, bytes": lambda path: as_tensor(io.BytesIO(Path(path).read_bytes())),
    "as_tensor, PIL": lambda path: as_tensor(Image.open(path)),
    "geo_style": lambda path: geostyle.estimate_warp(RGB, path, estimator="none"),
    "tex_style": lambda path: geostyle.transfer(
        RGB, tex_style=path, iterations=(1,), painter="gram", guidance=0.0
    ),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("make", [frames, clear])
def test_every_reader_says_what_it_adapts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, make: Any
) -> None:
    with caplog.at_level(logging.WARNING):
        READERS[name](make(tmp_path / "given"))
    words = ADAPTED[make].partition(";")[0]
    assert sum(words in line for line in caplog.messages) == 1, caplog.messages


@pytest.mark.parametrize("estimator", ["none", "ransac-affine", "robust", "points"])
def test_points_that_are_missed_are_told(caplog: pytest.LogCaptureFixture, estimator: str) -> None:
    content, geo = ([[50.0, 50], [60, 150], [150, 60]], [[100.0, 50], [110, 150], [200, 60]])
    picture = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    points = {"content": content, "geo_style": geo}
    options: dict[str, Any] = {"estimator": estimator, "match_sizes_px": (64,)}
    with caplog.at_level(logging.WARNING):
        found = geostyle.estimate_warp(picture, picture.flip(2), points=points, **options)
    missed = [line for line in caplog.messages if line.startswith("points: the warp misses")]
    assert len(missed) == (estimator != "points"), caplog.messages
    if estimator == "none":
        assert missed == [
            "points: the warp misses 3 of 3, the farthest, number 1 at (50, 50), by 50 px of the "
            "content"
        ]
        assert found.parameters.meta["points"] == missed[0].removeprefix("points: ")
