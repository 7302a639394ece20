"""Misuses of public functions and commands: refused in one line, told in one line, or put right."""

from __future__ import annotations

import dataclasses
import io
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

import geostyle
from geostyle import config
from geostyle.cli import run
from geostyle.distributed import join_processes
from geostyle.errors import InputError, expecting
from geostyle.io.files import check_folder
from geostyle.io.images import list_pictures, load_picture, save_picture
from geostyle.matching import Correspondences
from geostyle.texture.descent import DescentSettings
from geostyle.texture.objective import normalized_weights
from geostyle.training import distillation, geometry

H, W = 32, 40
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (H, W, 3), dtype=np.uint8)
PICTURE = torch.from_numpy(RGB).permute(2, 0, 1).float()[None] / 255
SYNTHESIS = geostyle.SynthesisSettings(descent=DescentSettings(iterations=(1,)))
THETA = geostyle.WarpParameters("affine", 4, torch.full((6,), 0.05), (H, W), (H, W))
DENSE = r"expected a dense tensor with values, got one"
FUNCTION = "expected a function, got 3"


@pytest.fixture(scope="module")
def features() -> Any:
    return geostyle.load_features("lite")


Call = Callable[[Any, Path], Any]
MASKED = np.ma.masked_array(RGB / 255.0, RGB > 250)
# A call, given the network and a folder, and the start of its one-line error.
REFUSED: dict[str, tuple[Call, str]] = {
    "meta tensor": (lambda f, p: geostyle.as_tensor(PICTURE.to("meta")), f"content: {DENSE}"),
    "sparse tensor": (lambda f, p: geostyle.as_tensor(PICTURE[0].to_sparse()), f"content: {DENSE}"),
    "masked array": (lambda f, p: geostyle.as_tensor(MASKED), "content: .* masked array"),
    "empty path": (lambda f, p: geostyle.as_tensor(""), "content: .*an empty path"),
    "bytes": (lambda f, p: load_picture(b"\x89PNG"), "content: .* io.BytesIO"),  # type: ignore
    "no path": (lambda f, p: load_picture(None), "content: .* got NoneType"),  # type: ignore
    "array for a path": (lambda f, p: load_picture(RGB), "content: .*as_tensor takes"),  # type: ignore
    "0 to 255": (lambda f, p: geostyle.synthesize(255 * PICTURE, f), "exemplars: .* got 0 to 255"),
    "two at once": (
        lambda f, p: geostyle.synthesize(PICTURE.repeat(2, 1, 1, 1), f), "exemplars: expected a"),
    "no exemplar": (lambda f, p: geostyle.synthesize([], f), "exemplars: expected at least one"),
    "network by name": (lambda f, p: geostyle.synthesize(PICTURE, "lite"), "network: expected"),
    "network none": (lambda f, p: geostyle.score(RGB, RGB, RGB, None), "network: expected"),
    "seed": (lambda f, p: geostyle.synthesize(PICTURE, f, seed=-1), "seed: expected 0 to"),
    "seed, huge": (lambda f, p: geostyle.synthesize(PICTURE, f, seed=2**80), "seed: expected 0 to"),
    "size": (lambda f, p: geostyle.synthesize(PICTURE, f, size=(32.5, 32)), "size: expected"),  # type: ignore
    "settings, dict": (
        lambda f, p: geostyle.synthesize(PICTURE, f, {"tile": 1}),  # type: ignore
        "settings: expected SynthesisSettings"),
    "synthesis callback": (lambda f, p: geostyle.synthesize(PICTURE, f, callback=3), FUNCTION),
    "other size": (lambda f, p: geostyle.score(RGB, RGB[:20], RGB, f), "content: .* got 40x20"),
    "layer": (lambda f, p: geostyle.gram_errors(RGB, RGB, f, "relu9"), "layer: "),
    "integers": (lambda f, p: f(torch.zeros(1, 3, H, W).byte(), ["relu1_1"]), "image: expected"),
    "Pipeline, size": (lambda f, p: geostyle.Pipeline(512), "settings: expected TransferSettings"),
    "Pipeline, dict": (lambda f, p: geostyle.Pipeline({"seed": 1}), "settings: expected Transfer"),
    "transfer, file": (lambda f, p: geostyle.transfer(RGB, settings="a.yaml"), "settings: "),
    "callback": (lambda f, p: geostyle.transfer(RGB, callback=3), f"callback: {FUNCTION}"),
    "cancel": (lambda f, p: geostyle.transfer(RGB, cancel=3), f"cancel: {FUNCTION}"),
    "on_geometry": (lambda f, p: geostyle.transfer(RGB, on_geometry=3), f"on_geometry: {FUNCTION}"),
    "weights, mapping": (lambda f, p: normalized_weights({0: 1, 1: 2}, 2), "tex_weights: expected"),
    "weights, huge": (lambda f, p: normalized_weights([1e308, 1e308], 2), r"tex_weights: .*e\+308"),
    "one warp": (lambda f, p: geostyle.mean_warp(THETA), "warps: expected a list"),  # type: ignore
    "no warps": (lambda f, p: geostyle.mean_warp(None), "warps: expected a list"),  # type: ignore
    "weight": (lambda f, p: geostyle.mean_warp([THETA, THETA], 1), "geo_weights: expected"),  # type: ignore
    "no masks": (lambda f, p: geostyle.regional_warp([THETA], None), "geo_regions: expected 1"),  # type: ignore
    "masks": (
        lambda f, p: geostyle.regional_warp([THETA], [-torch.ones(1, 1, 8, 8)]),
        r"geo_regions: expected values in \[0, 1\]"),
    "meta": (
        lambda f, p: dataclasses.replace(THETA, meta={"a": {1}}).save(p / "a.json"), "meta: "),
    "save to none": (lambda f, p: THETA.save(None), "output: expected a path"),  # type: ignore
    "load": (lambda f, p: geostyle.WarpParameters.load(io.BytesIO()), "theta: expected a path"),  # type: ignore
    "strength": (lambda f, p: THETA.grid(None, "a"), "strength: expected a finite"),  # type: ignore
    "device": (lambda f, p: geostyle.load_features(device="cudaa"), "device: expected one of"),
    "dtype": (lambda f, p: geostyle.load_features(dtype="float32"), "dtype: expected"),  # type: ignore
    "weights path": (lambda f, p: geostyle.load_features(weights=3), "weights: expected a path"),  # type: ignore
    "pooling": (lambda f, p: geostyle.load_features(pooling="avg"), "pooling: expected one of"),
    "quality": (lambda f, p: save_picture(RGB, p / "a.jpg", quality="a"), "quality: "),  # type: ignore
    "bits": (lambda f, p: save_picture(RGB, p / "a.png", bit_depth="16"), "bit_depth: .*'16'"),  # type: ignore
    "profile": (lambda f, p: save_picture(RGB, p / "a.png", icc="sRGB"), "icc: expected"),  # type: ignore
    "alpha": (lambda f, p: save_picture(PICTURE, p / "a.png", alpha=torch.ones(3, 3)), "alpha: "),
    "save meta": (lambda f, p: save_picture(PICTURE.to("meta"), p / "a.png"), f"picture: {DENSE}"),
    "points twice": (
        lambda f, p: points(p, '{"content": [[1, 2]], "content": [[3, 4]], "geo_style": [[1, 2]]}'),
        "points: .* twice"),
    "folder of a long name": (lambda f, p: check_folder(p / ("a" * 300)), "output: expected a wr"),
    "folder with NUL": (lambda f, p: check_folder("a\0b"), "output: expected a writable path"),
    "setting twice": (
        lambda f, p: resolved(p, "geometry: {lattice: 3}\ngeometry.lattice: 4"),
        "geometry.lattice: .*twice"),
    "former name, too": (
        lambda f, p: resolved(p, "texture: {optimiser: adam, optimizer: lbfgs}"),
        "texture.optimizer: .*twice"),
    "base 60": (lambda f, p: resolved(p, "size_px: 10:30"), "size_px: expected an integer"),
}  # fmt: skip


def points(folder: Path, text: str) -> Correspondences:
    (folder / "points.json").write_text(text)
    return Correspondences.load(folder / "points.json")


def resolved(folder: Path, text: str) -> geostyle.TransferSettings:
    (folder / "a.yaml").write_text(text)
    return config.resolve(geostyle.TransferSettings, folder / "a.yaml")


@pytest.mark.parametrize("name", REFUSED)
def test_a_misuse_is_one_line(name: str, features: Any, tmp_path: Path) -> None:
    call, words = REFUSED[name]
    with pytest.raises(InputError, match=words) as error:
        call(features, tmp_path)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("*.p*"))


def test_pictures_of_every_kind_are_taken_everywhere(features: Any, tmp_path: Path) -> None:
    save_picture(RGB, tmp_path / "a.png")
    kinds = [tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(RGB), RGB,
             np.asfortranarray(RGB), PICTURE[0], (255 * PICTURE).round().byte()]  # fmt: skip
    for one in kinds:
        expected = geostyle.score(PICTURE, PICTURE.flip(3), PICTURE, features)
        assert geostyle.score(one, PICTURE.flip(3), one, features) == expected
        assert set(geostyle.gram_errors(one, PICTURE, features, "relu1_1").values()) == {0.0}
    plain = geostyle.synthesize(PICTURE, features, SYNTHESIS).image
    assert torch.equal(
        geostyle.synthesize([Image.fromarray(RGB)], features, SYNTHESIS).image, plain
    )
    for tensor in ((255 * PICTURE).round().byte(), PICTURE):
        save_picture(tensor, tmp_path / "b.png")
        assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), RGB)
    matrix = np.matrix(RGB[..., 0])
    assert torch.equal(geostyle.as_tensor(matrix), geostyle.as_tensor(RGB[..., 0]))
    assert geostyle.Pipeline(device=torch.device("cpu")).settings.device == "cpu"


def test_warps_and_points_of_every_kind_are_taken(tmp_path: Path) -> None:
    THETA.save(tmp_path / "theta.json")
    expected = geostyle.mean_warp([THETA, THETA]).theta
    estimate = geostyle.estimate_warp(RGB, RGB, estimator="none")
    found = geostyle.mean_warp([str(tmp_path / "theta.json"), THETA], torch.tensor([1.0, 2.0]))
    assert torch.allclose(found.theta, expected)
    assert geostyle.mean_warp([estimate]).family == "none"
    mask = RGB[..., 0] > 128
    drawn = geostyle.regional_warp([THETA, THETA], [mask, torch.from_numpy(~mask)])
    assert torch.allclose(drawn.theta, THETA.theta, atol=1e-4)

    class Table:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return np.array([[1.0, 2.0], [7.0, 5.0]], dtype)

    for given in (Table(), np.array([[1, 2], [7, 5]], object), torch.tensor([[1, 2], [7, 5]])):
        assert Correspondences(given, given).content.tolist() == [[1, 2], [7, 5]]  # type: ignore


def test_what_is_not_used_is_told(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    mask, pairs = RGB[..., 0], {"content": [[1, 2], [9, 9]], "geo_style": [[2, 2], [9, 8]]}
    shares = {"content": [[0.1, 0.2], [0.9, 0.8]], "geo_style": [[0.2, 0.2], [0.9, 0.7]]}
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: geostyle.transfer(RGB, geo_mask=mask), "geo_mask: not used .* without"),
        (lambda: geostyle.transfer(RGB, theta=THETA, points=pairs), "points: not used .* beside"),
        (lambda: geostyle.transfer(RGB, theta=THETA, geo_style=RGB), "geo_style: not used"),
        (lambda: Correspondences.of(shares), "points: all are within 1 px"),
        (lambda: save_picture(255 * PICTURE, tmp_path / "a.png"), "picture: 0 to 255 are clamped"),
    ]
    for call, words in calls:
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            call()
        (line,) = caplog.messages
        assert re.match(words, line), line
    caplog.clear()
    geostyle.transfer(RGB, theta=THETA)
    Correspondences.of(pairs)
    assert not caplog.messages


def test_flags_given_twice_are_told(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, _ = config.parse(
        geostyle.TransferSettings, ["--size", "32", "--seed", "1", "--size=48"],
        prog="a", description=None,
    )  # fmt: skip
    assert settings.size_px == 48
    assert caplog.messages == ["--size: given several times; the last counts"]
    with pytest.raises(SystemExit):
        config.parse(geostyle.SynthesisSettings, ["--tile", "false"], prog="a", description=None)
    assert "--tile takes no value, --no-tile turns it off" in capsys.readouterr().err


def test_integers_of_yaml_are_decimal(tmp_path: Path) -> None:
    assert resolved(tmp_path, "size_px: 0100").size_px == 100
    assert resolved(tmp_path, "size_px: 100\nseed: 0x10").seed == 16


def test_whole_files_are_asked_for_whatever_the_caller_has_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_picture(RGB, tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "b.png").write_bytes(data[: len(data) // 2])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(InputError, match="truncated"):
        load_picture(tmp_path / "b.png")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_results_can_be_compared() -> None:
    result = geostyle.transfer(RGB)
    for one in (THETA, result, result.geometry, geostyle.load_picture):
        assert one == one
    assert dataclasses.replace(THETA) != THETA and len({THETA, dataclasses.replace(THETA)}) == 2
    assert dataclasses.replace(result) != result


def test_links_to_nowhere_and_gone_folders_are_found_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, target in (("dangling", tmp_path / "none/x"), ("loop", tmp_path / "loop")):
        (tmp_path / name).symlink_to(target)
        with pytest.raises(InputError, match="output: expected a writable path"):
            check_folder(tmp_path / name)
    check_folder(tmp_path / "new/folder")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(InputError, match="output: expected a writable path, got 'o'"):
        check_folder("o")


def test_pictures_that_are_no_files_are_left_out_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_picture(RGB, tmp_path / "a.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "notes.txt").write_text("x")
    assert [path.name for path in list_pictures(tmp_path)] == ["a.png"]
    (line,) = caplog.messages
    assert "2 of " in line and line.endswith("link.png, pipe.png")


def test_short_memory_is_not_taken_for_a_damaged_file() -> None:
    with pytest.raises(MemoryError), expecting("weights: expected a network"):
        raise MemoryError
    expected = pytest.raises(InputError, match="weights: expected a network, got: no 'a'")
    with expected, expecting("weights: expected a network"):
        raise KeyError("a")


@pytest.mark.parametrize(
    "given, words",
    [({"WORLD_SIZE": "4"}, "RANK=''"), ({"WORLD_SIZE": "x"}, "WORLD_SIZE='x'"),
     ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_PORT": "1"}, "no MASTER_ADDR")],
)  # fmt: skip
def test_variables_of_other_launchers_are_one_line(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], words: str
) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    expected = pytest.raises(InputError, match=f"processes: expected RANK, .*{words}")
    with expected, join_processes("cpu"):
        pass


@pytest.mark.parametrize("words", [[], ["--help"], ["--version"], ["x\u03b1"]])
def test_the_list_of_commands_is_shown_on_any_terminal(
    monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    from geostyle.cli import main

    streams = [io.TextIOWrapper(io.BytesIO(), "ascii", write_through=True) for _ in range(2)]
    monkeypatch.setattr("sys.stdout", streams[0])
    monkeypatch.setattr("sys.stderr", streams[1])
    assert main(words) == (2 if words == ["x\u03b1"] else 0)
    out, err = (stream.buffer.getvalue().decode("ascii") for stream in streams)  # type: ignore
    assert out if words != ["x\u03b1"] else "unknown verb" in err


def panorama(folder: Path, name: str) -> Path:
    save_picture(np.tile(RGB, (1, 40, 1)), folder / name)
    return folder / name


def test_no_evaluation_and_no_training_pair_squeezes_a_panorama(
    tmp_path: Path, features: Any
) -> None:
    from geostyle.data.generate import Generator
    from geostyle.data.make_settings import MakeSettings
    from geostyle.errors import GeostyleError
    from geostyle.evaluation import features as small_networks
    from geostyle.evaluation import texture_source
    from geostyle.evaluation.keypoints import KeypointPair
    from geostyle.report.gallery import PicturePair, show

    wide = [panorama(tmp_path, f"{number}.png") for number in range(3)]
    save_picture(RGB, tmp_path / "plain/a.png")
    plain = tmp_path / "plain/a.png"
    pair = KeypointPair(wide[0], plain, "a", np.zeros((1, 2)), np.zeros((1, 2)))
    pipe = geostyle.Pipeline(size_px=64, estimator="none")
    calls: list[Callable[[], Any]] = [
        lambda: small_networks.load_canvas(wide[0], 64),
        lambda: texture_source.measure([pair], features, None, None, size_px=64),  # type: ignore
        lambda: list(show([PicturePair(plain, wide[0])], pipe)),
    ]
    for call in calls:
        with pytest.raises(InputError, match="would squeeze"):
            call()
    for number in range(3):
        save_picture(np.tile(RGB, (2, 80, 1)), tmp_path / f"wide/{number}.png")
    settings = MakeSettings(
        images=tmp_path / "wide", output=tmp_path / "o", size_px=64, stylize="none", device="cpu"
    )
    with pytest.raises(GeostyleError, match="can be used; .*would squeeze"):
        Generator(settings).draw("train", 0)


def test_trainings_check_memory_first(
    tmp_path: Path, tiny_pairs: Path, tiny_weights: Path, pictures: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from geostyle.cli import run
    from geostyle.features.extractor import FeatureExtractor

    words = f"--data {tiny_pairs} --weights {tiny_weights} --output {tmp_path}/r --device cpu"
    assert run("train-geo", [*words.split(), "--dry-run"]) == 0
    monkeypatch.setattr(geometry, "available_bytes", lambda device: 1e6)
    for more in ([], ["--dry-run"]):
        assert run("train-geo", words.split() + more) == 2
        assert "batch: expected pairs that fit 0.0 GB of memory" in capsys.readouterr().err
    vgg = FeatureExtractor("vgg19", channels=(4, 4, 4, 4, 4))
    monkeypatch.setattr(distillation, "load_features", lambda *args, **kwargs: vgg)
    monkeypatch.chdir(tmp_path)
    words = f"--images {pictures} --crop-px 32 --batch 2 --output {tmp_path}/n --device cpu"
    assert run("distill", [*words.split(), "--dry-run"]) == 0
    monkeypatch.setattr("geostyle.texture.memory.available_bytes", lambda device: 1e6)
    for more in ([], ["--dry-run"]):
        assert run("distill", words.split() + more) == 2
        assert "expected a size that fits 0.0 GB of memory" in capsys.readouterr().err
    assert not (tmp_path / "r").exists() and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--painter", "gram", "--split", "3"], "split: not used by the painter gram"),
        (["--geo-strength", "2"], "geo_strength: not used without a geometry style"),
    ],
)
def test_settings_without_use_are_told(
    flags: list[str], line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    save_picture(PICTURE, tmp_path / "a.png")
    style = ["--tex-style", str(tmp_path / "a.png"), "--size", "32", "--dry-run"]
    words = ["--content", str(tmp_path / "a.png"), "--output", str(tmp_path / "runs"), *style]
    assert run("transfer", words) == 0
    assert "not used" not in capsys.readouterr().out
    assert run("transfer", [*words, *flags]) == 0
    assert line in capsys.readouterr().out.splitlines()
