"""Public sets of picture pairs with keypoints, read as their authors lay them out.

PF-WILLOW and PF-PASCAL: Ham et al., "Proposal Flow", CVPR 2016 and TPAMI 2018, with the lists of
pairs of Rocco et al. SPair-71k: Min et al., 2019. Their images and keypoints are not distributed
with this project.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geostyle.coords import Size
from geostyle.errors import InputError, expecting
from geostyle.evaluation.metrics import Array

PF_PASCAL_LISTS = ("test_pairs_pf_pascal.csv", "test_pairs.csv")
PASCAL_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip


@dataclass(frozen=True)
class KeypointPair:
    """A pair of pictures with keypoints of the same parts in both.

    Attributes:
        source, target: the pictures; the target's keypoints are mapped to the source.
        kind: the class.
        source_points, target_points: (K, 2) pixels (x, y), 0 at the first pixel's center.
        unit: of errors: the long side of the box around the source's keypoints ("keypoints") or of
            the source picture ("picture"), or a number of source pixels.
    """

    source: Path
    target: Path
    kind: str
    source_points: Array
    target_points: Array
    unit: str | float = "keypoints"

    def unit_px(self, source_size: Size) -> float | None:
        """Return the unit in pixels of a source of size (H, W); None for that of the keypoints."""
        if self.unit == "keypoints":
            return None
        return float(max(source_size)) if self.unit == "picture" else float(self.unit)


def read_pf_willow(root: Path) -> list[KeypointPair]:
    """Read the pairs listed in ``root/pairs.csv``, or the authors' ``test_pairs_pf.csv``.

    Columns: source_image, target_image, class (may be missing: the picture's folder), XA, YA, XB,
    YB; the last four hold ";"-joined keypoints in pixels counted from 1 (A = source, B = target).
    Unit: the keypoints' box.

    Raises: InputError where the file is missing, or a line of it is not of that form.
    """
    table = _first(root, ("pairs.csv", "test_pairs_pf.csv"))
    pairs = []
    for number, row in _rows(table):
        a, b = _listed_points(row, table, number)
        pair = _picture_paths(root, row, table, number)
        kind = row.get("class") or pair[0].parent.name
        pairs.append(KeypointPair(pair[0], pair[1], kind, a, b))
    return _some(pairs, table)


def read_pf_pascal(root: Path) -> list[KeypointPair]:
    """Read the pairs of PF-PASCAL's test list.

    ``root`` holds test_pairs_pf_pascal.csv (or test_pairs.csv) with the columns of
    `read_pf_willow`, class being a number from 1 or a name. Where XA … YB are missing, keypoints
    are read from Annotations/CLASS/PICTURE.mat ("kps", NaN where a part is hidden). Unit: the
    source picture's long side.

    Raises: InputError where a file is missing, or is not of that form.
    """
    table = _first(root, PF_PASCAL_LISTS)
    pairs = []
    for number, row in _rows(table):
        kind = str(row.get("class", ""))
        if kind.isdigit() and 1 <= int(kind) <= len(PASCAL_CLASSES):
            kind = PASCAL_CLASSES[int(kind) - 1]
        pair = _picture_paths(root, row, table, number)
        if "XA" in row:
            a, b = _listed_points(row, table, number)
        else:
            a, b = (_annotated_points(root, kind, path) for path in pair)
            with _expecting_pair(table, number):
                _check_points(a, b)
        visible = np.isfinite(a).all(1) & np.isfinite(b).all(1)
        pairs.append(KeypointPair(pair[0], pair[1], kind, a[visible], b[visible], "picture"))
    return _some(pairs, table)


def read_spair(root: Path, split: str = "test") -> list[KeypointPair]:
    """Read the pairs of SPair-71k, from ``root/Layout/large/SPLIT.txt`` and PairAnnotation/SPLIT.

    The set's task is to map keypoints of its source picture to its target, so its target is our
    source (the content), and errors are in units of that picture's object box (long side).

    Raises: InputError where a file is missing, or is not of that form.
    """
    layout = _first(root, (f"Layout/large/{split}.txt", f"Layout/small/{split}.txt"))
    with expecting(f"root: expected names in {str(layout)!r}"):
        names = layout.read_text("utf-8").split()
    pairs = []
    for name in names:
        path = root / "PairAnnotation" / split / f"{name}.json"
        if not path.is_file():
            path = path.with_name(f"{name.replace(':', '_')}.json")  # unpacked where : is no name
        with expecting(f"root: expected an annotation in {str(path)!r}"):
            note: dict[str, Any] = json.loads(path.read_text("utf-8"))
            kind = str(note["category"])
            pictures = [
                root / "JPEGImages" / kind / Path(str(note[f"{k}_imname"])).name
                for k in ("trg", "src")
            ]
            a, b = (np.asarray(note[f"{k}_kps"], dtype=np.float64) for k in ("trg", "src"))
            left, top, right, bottom = (float(v) for v in note["trg_bndbox"])
            unit = max(right - left, bottom - top)
            _check_points(a, b, finite=True)
        pairs.append(KeypointPair(pictures[0], pictures[1], kind, a, b, unit))
    return _some(pairs, layout)


def _first(root: Path, names: Sequence[str]) -> Path:
    for name in names:
        if (root / name).is_file():
            return root / name
    raise InputError(f"root: expected a folder with {' or '.join(names)}, got {str(root)!r}")


def _rows(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    with expecting(f"root: expected CSV in {str(table)!r}"):
        rows = list(csv.DictReader(table.read_text("utf-8-sig").splitlines()))
    yield from enumerate(rows, start=2)


def _picture_paths(root: Path, row: dict[str, str], table: Path, number: int) -> list[Path]:
    with _expecting_pair(table, number):
        names = [row["source_image"], row["target_image"]]
        if not all(names):
            raise ValueError("no name of a picture")
    found = []
    for name in names:
        # The lists name the set's own folder first, which may itself be the root.
        inside, beside = root / name, root.parent / name
        found.append(beside if not inside.exists() and beside.exists() else inside)
    return found


def _listed_points(row: dict[str, str], table: Path, number: int) -> tuple[Array, Array]:
    with _expecting_pair(table, number):
        a, b = (np.stack([_numbers(row["X" + k]), _numbers(row["Y" + k])], 1) - 1 for k in "AB")
        _check_points(a, b, finite=True)
    return a, b


def _check_points(a: Array, b: Array, *, finite: bool = False) -> None:
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 2:
        raise ValueError(f"keypoints of shapes {a.shape} and {b.shape}")
    if finite and not np.isfinite((a, b)).all():
        raise ValueError("keypoints that are not finite")


def _numbers(text: str) -> Array:
    return np.array([float(part) for part in text.split(";") if part.strip()])


def _annotated_points(root: Path, kind: str, picture: Path) -> Array:
    from scipy.io import loadmat  # comes with scikit-image

    path = root / "Annotations" / kind / f"{picture.stem}.mat"
    with expecting(f"root: expected keypoints in {str(path)!r}"):
        points: Array = np.asarray(loadmat(path)["kps"], dtype=np.float64)
    return points - 1


def _expecting_pair(table: Path, number: int) -> AbstractContextManager[None]:
    return expecting(f"root: expected a keypoint pair in line {number} of {str(table)!r}")


def _some(pairs: list[KeypointPair], table: Path) -> list[KeypointPair]:
    pairs = [pair for pair in pairs if len(pair.source_points)]
    if not pairs:
        raise InputError(f"root: expected pairs in {str(table)!r}, got none")
    return pairs
