"""The schema of a set of training pairs: what the generator writes and training reads.

A set is a folder:

    settings.yaml                        how it was made
    train/000/000012.json                one pair; there once its pictures are
    train/000/000012-content.jpg         I_a
    train/000/000012-warped.jpg          I_a seen through theta
    train/000/000012-stylized.jpg        I_b: the warped picture, repainted
    val/…                                pairs of pictures, paintings and warps no training sees
    manifest.jsonl                       all pairs, in order; written last
    skipped.json                         pictures that could not be read, and why
    preview.jpg                          some pairs, to look at

Theta maps the frame of I_b (output) to the frame of I_a (content): I_b shows at p what I_a shows at
theta(p).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geostyle.errors import InputError
from geostyle.io.files import write_text

FORMAT = "geostyle-pairs-1"
SPLITS = ("train", "val")
KINDS = ("content", "warped", "stylized")
MANIFEST, SETTINGS, SKIPPED, PREVIEW = (
    "manifest.jsonl", "settings.yaml", "skipped.json", "preview.jpg",
)  # fmt: skip
PER_FOLDER = 1000
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Pair:
    """One training triple (I_a, I_b, theta) and where it came from.

    Attributes:
        split, index: its place in the set; with `seed` they determine all the rest.
        content, content_box: the photograph, relative to its folder, and the part of it that I_a
            shows: left, top, right, bottom as shares of its sides.
        tex_style, tex_box: likewise of the painting; None where nothing is repainted. Of a fast
            style network, its name, and None.
        family, lattice, theta: the warp, output (I_b) → content (I_a).
        size_px: side of all pictures.
        skipped: pictures drawn before but unreadable, with the reason.
    """

    split: str
    index: int
    seed: int
    content: str
    content_box: Box
    tex_style: str | None
    tex_box: Box | None
    family: str
    lattice: int
    theta: tuple[float, ...]
    size_px: int
    skipped: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """Where the pair lies in the set, without suffix: ``train/000/000012``."""
        return pair_key(self.split, self.index)

    def file(self, kind: str) -> str:
        """The file, relative to the set, of its "content", "warped" or "stylized" picture.

        Raises: InputError for another kind, and for "stylized" where nothing was repainted.
        """
        if kind not in KINDS or (kind == "stylized" and self.tex_style is None):
            have = KINDS if self.tex_style is not None else KINDS[:2]
            raise InputError(f"kind: expected one of {', '.join(have)}, got {kind!r}")
        return f"{self.key}-{kind}.jpg"

    def to_json(self) -> str:
        """One line of JSON; floats read back bit for bit."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, where: str) -> Pair:
        """Read what `to_json` wrote; `where` names the line in errors.

        Raises: InputError where anything is missing, unknown or of another type.
        """
        try:
            values = json.loads(text)
        except ValueError as error:
            raise InputError(f"data: expected JSON in {where}, got {text[:40]!r}") from error
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise InputError(f"data: expected a pair of format {FORMAT!r} in {where}")
        hints = typing.get_type_hints(cls)
        if set(values) != set(hints):
            odd = sorted(set(values) ^ set(hints))
            raise InputError(f"data: expected the keys of a pair in {where}, odd: {', '.join(odd)}")
        pair = cls(**{key: _typed(value, hints[key], key, where) for key, value in values.items()})
        if pair.split not in SPLITS or pair.index < 0 or pair.size_px < 1:
            raise InputError(f"data: expected a pair's split, index and size in {where}")
        return pair


def pair_key(split: str, index: int) -> str:
    """Where a pair lies in its set, without suffix."""
    return f"{split}/{index // PER_FOLDER:03d}/{index:06d}"


def record_path(folder: Path, split: str, index: int) -> Path:
    """The file that says a pair is complete."""
    return folder / f"{pair_key(split, index)}.json"


def write_manifest(folder: Path, pairs: list[Pair]) -> None:
    """Write the list of all pairs, whole or not at all."""
    write_text(folder / MANIFEST, "".join(pair.to_json() + "\n" for pair in pairs))


def read_manifest(folder: Path, split: str | None = None) -> list[Pair]:
    """The pairs of a set, in order; of one split where that is given.

    Raises: InputError where there is no finished set, saying what makes one.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        started = (Path(folder) / SETTINGS).is_file()
        state = "a set that is not finished" if started else "none"
        raise InputError(
            f"data: expected a set of pairs in {str(folder)!r}, got {state}; "
            f"{'finish' if started else 'make'} it with: python data_gen/make.py "
            f"{f'--config {path.with_name(SETTINGS)}' if started else f'--output {folder}'}"
        )
    lines = _text(path).splitlines()
    pairs = [Pair.from_json(line, f"{path}, line {n}") for n, line in enumerate(lines, 1)]
    return [pair for pair in pairs if split in (None, pair.split)]


def fingerprint(pairs: list[Pair]) -> str:
    """A short hash of what the pairs are, for names of what is computed from them."""
    text = "\n".join(pair.to_json() for pair in pairs)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_record(folder: Path, split: str, index: int) -> Pair:
    """A finished pair, from its own record.

    Raises: InputError where the record is missing or damaged.
    """
    path = record_path(folder, split, index)
    return Pair.from_json(_text(path), str(path))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"data: expected UTF-8 text in {str(path)!r}, got: {error}") from error


def _typed(value: Any, hint: Any, key: str, where: str) -> Any:
    """`value` as `hint` (with lists for tuples, as JSON has them), or an InputError."""
    kinds = typing.get_args(hint)
    if type(None) in kinds:
        if value is None:
            return None
        hint = kinds[0]
        kinds = typing.get_args(hint)
    if typing.get_origin(hint) is tuple and isinstance(value, list):
        if Ellipsis in kinds:
            return tuple(_typed(item, kinds[0], key, where) for item in value)
        if len(value) == len(kinds):
            items = zip(value, kinds, strict=True)
            return tuple(_typed(item, kind, key, where) for item, kind in items)
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) < 1e6:
            return float(value)
    elif hint in (int, str) and type(value) is hint:
        return value
    raise InputError(f"data: expected another value of {key} in {where}, got {str(value)[:40]!r}")
