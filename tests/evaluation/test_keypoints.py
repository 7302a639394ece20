"""Public keypoint sets, on tiny folders laid out as their authors do."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from geostyle.cli import main
from geostyle.errors import InputError
from geostyle.evaluation.keypoints import read_pf_pascal, read_pf_willow, read_spair
from geostyle.evaluation.pck import UNRELATED, Prediction, errors_of, unrelated_pairs
from geostyle.warps import WarpParameters
from tests.pictures import picture_file

HEAD = "source_image,target_image,class,XA,YA,XB,YB"
A = np.array([[10.0, 8.0], [50.0, 12.0], [30.0, 40.0]])  # pixels counted from 0
B = np.array([[12.0, 20.0], [38.0, 24.0], [25.0, 52.0]])


def joined(points: np.ndarray) -> str:
    return ",".join(";".join(map(str, points[:, k] + 1)) for k in (0, 1))


@pytest.fixture
def pf_pascal(tmp_path: Path) -> Path:
    root = tmp_path / "PF-dataset-PASCAL"
    picture_file(root / "JPEGImages" / "2008_000001.jpg", (48, 64), 1)
    picture_file(root / "JPEGImages" / "2008_000002.jpg", (64, 48), 2)
    names = [f"PF-dataset-PASCAL/JPEGImages/2008_00000{i}.jpg" for i in (1, 2)]
    rows = [f"{','.join(names)},8,{joined(A)},{joined(B)}"]
    (root / "test_pairs_pf_pascal.csv").write_text("\n".join([HEAD, *rows]))
    return root


@pytest.fixture
def spair(tmp_path: Path) -> Path:
    root = tmp_path / "SPair-71k"
    picture_file(root / "JPEGImages" / "cat" / "2009_1.jpg", (48, 64), 1)
    picture_file(root / "JPEGImages" / "cat" / "2009_2.jpg", (64, 48), 2)
    (root / "Layout" / "large").mkdir(parents=True)
    (root / "Layout" / "large" / "test.txt").write_text("000001-2009_1-2009_2:cat\n")
    (root / "PairAnnotation" / "test").mkdir(parents=True)
    note = {
        "src_imname": "2009_1.jpg",
        "trg_imname": "2009_2.jpg",
        "src_kps": A.tolist(),
        "trg_kps": B.tolist(),
        "trg_bndbox": [4, 10, 44, 60],
        "category": "cat",
    }
    path = root / "PairAnnotation" / "test" / "000001-2009_1-2009_2:cat.json"
    path.write_text(json.dumps(note))
    return root


def test_pf_pascal_is_measured_in_pictures(pf_pascal: Path) -> None:
    (pair,) = read_pf_pascal(pf_pascal)
    assert pair.kind == "cat" and pair.source.is_file() and pair.target.is_file()
    np.testing.assert_allclose(pair.source_points, A)
    np.testing.assert_allclose(pair.target_points, B)
    nothing = WarpParameters("none", 4, torch.zeros(0), (64, 48), (48, 64))
    errors = errors_of(pair, Prediction("none", 0, nothing, (48, 64), (64, 48)))
    # Frames fall together: x by 64/48, y by 48/64, from pixel edges.
    carried = (B + 0.5) * (64 / 48, 48 / 64) - 0.5
    np.testing.assert_allclose(errors, np.linalg.norm(carried - A, axis=1) / 64)


def test_pf_pascal_reads_annotations_where_the_list_has_no_points(pf_pascal: Path) -> None:
    rows = (pf_pascal / "test_pairs_pf_pascal.csv").read_text().splitlines()
    short = ["source_image,target_image,class", ",".join(rows[1].split(",")[:3])]
    (pf_pascal / "test_pairs_pf_pascal.csv").unlink()
    (pf_pascal / "test_pairs.csv").write_text("\n".join(short))
    folder = pf_pascal / "Annotations" / "cat"
    folder.mkdir(parents=True)
    hidden = np.array([[np.nan, np.nan]])
    savemat(folder / "2008_000001.mat", {"kps": np.concatenate([A + 1, [[5.0, 5.0]]])})
    savemat(folder / "2008_000002.mat", {"kps": np.concatenate([B + 1, hidden])})
    (pair,) = read_pf_pascal(pf_pascal)
    np.testing.assert_allclose(pair.source_points, A)
    np.testing.assert_allclose(pair.target_points, B)
    path = folder / "2008_000002.mat"
    path.write_bytes(path.read_bytes()[:150])  # loadmat raises errors of its own
    with pytest.raises(InputError, match="root: expected keypoints in .*2008_000002.mat"):
        read_pf_pascal(pf_pascal)


def test_spair_carries_its_source_to_its_target(spair: Path) -> None:
    (pair,) = read_spair(spair)
    assert pair.source.name == "2009_2.jpg" and pair.target.name == "2009_1.jpg"
    np.testing.assert_allclose(pair.source_points, B)
    np.testing.assert_allclose(pair.target_points, A)
    assert pair.unit_px((64, 48)) == 50


def test_pf_willow_takes_the_class_from_the_folder(tmp_path: Path) -> None:
    for i in (1, 2):
        picture_file(tmp_path / "PF-dataset" / "duck(S)" / f"{i}.png", (48, 64), i)
    names = ",".join(f"PF-dataset/duck(S)/{i}.png" for i in (1, 2))
    head = HEAD.replace("class,", "")
    (tmp_path / "test_pairs_pf.csv").write_text(f"{head}\n{names},{joined(A)},{joined(B)}")
    (pair,) = read_pf_willow(tmp_path)
    assert pair.kind == "duck(S)"


@pytest.mark.parametrize(("name", "fixture"), [("pf-pascal", "pf_pascal"), ("spair", "spair")])
def test_the_commands_print_pck(
    name: str,
    fixture: str,
    tiny_weights: Path,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = request.getfixturevalue(fixture)
    args = ["--root", str(root), "--weights", str(tiny_weights), "--match-sizes-px", "64"]
    args += ["--estimators", "none", "refined", "--device", "cpu"]
    assert main(["evaluate", name, *args, "--calibration"]) == 0
    shown = capsys.readouterr().out
    assert "PCK@0.1" in shown and "cat" in shown and "confidence of refined" in shown
    assert main(["evaluate", name, *args, "--classes", "dog"]) == 2
    assert "classes: expected some of cat, got 'dog'" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["list", "annotation", "points"])
def test_damaged_sets_are_one_line(pf_pascal: Path, spair: Path, damage: str) -> None:
    if damage == "list":
        (pf_pascal / "test_pairs_pf_pascal.csv").write_text("a,b\n1,2")
        with pytest.raises(InputError, match="^root: expected .* line 2 .*no 'source_image'"):
            read_pf_pascal(pf_pascal)
        (spair / "Layout" / "large" / "test.txt").unlink()
    else:
        (path,) = (spair / "PairAnnotation" / "test").iterdir()
        text = path.read_text()
        path.write_text("{" if damage == "annotation" else text.replace("[10.0, 8.0], ", ""))
    with pytest.raises(InputError, match="^root: expected"):
        read_spair(spair)


def test_unrelated_pairs_cross_classes(pf_pascal: Path, spair: Path) -> None:
    dog = read_spair(spair)[0]
    pairs = [*read_pf_pascal(pf_pascal), replace(dog, kind="dog")]
    found = unrelated_pairs(pairs, 2)
    assert {p.kind for p in found} == {UNRELATED} and 1 <= len(found) <= 2
    assert [p.source for p in found] == [p.source for p in unrelated_pairs(pairs, 2)]
    views = [replace(dog, kind=f"dog({view})") for view in "SG"]
    assert not unrelated_pairs(views, 2)
    kinds = {pairs[0].source: "cat", pairs[1].source: "dog",
             pairs[0].target: "cat", pairs[1].target: "dog"}  # fmt: skip
    assert all(kinds[p.source] != kinds[p.target] for p in found)
