"""The format of a set of training pairs, which the generator writes and training reads.

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
from dataclasses import dataclass
from pathlib import Path

from geostyle.config import check, setting
from geostyle.config.settings import current_name
from geostyle.errors import InputError, expecting
from geostyle.io.files import write_text

FORMAT = "geostyle-pairs-1"
SPLITS = ("train", "val")
KINDS = ("content", "warped", "stylized")
MANIFEST, SETTINGS, SKIPPED, PREVIEW = (
    "manifest.jsonl", "settings.yaml", "skipped.json", "preview.jpg",
)  # fmt: skip
PER_FOLDER = 1000
FORMER_STYLIZED = "stylised"  # in file names of earlier versions
LARGEST = 1e6  # absolute value of a number in a record
Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Record of one training pair (I_a, I_b, theta) and its origin.

    Attributes:
        split, index: its place in the set; with `seed` they determine everything else.
        content, content_box: the photograph, relative to its folder, and the part of it that I_a
            shows: left, top, right, bottom as shares of its sides.
        tex_style, tex_box: likewise of the painting; None where nothing is repainted. For a fast
            style network, its name, and None.
        family, lattice, theta: the warp, output (I_b) → content (I_a).
        size_px: side of all pictures.
        skipped: pictures drawn before but unreadable, with the reason.
    """

    split: str = setting(choices=SPLITS)
    index: int = setting(min=0)
    seed: int
    content: str
    content_box: Box = setting(min=-LARGEST, max=LARGEST)
    tex_style: str | None
    tex_box: Box | None = setting(min=-LARGEST, max=LARGEST)
    family: str
    lattice: int
    theta: tuple[float, ...] = setting(min=-LARGEST, max=LARGEST)
    size_px: int = setting(min=1)
    skipped: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        check(self)

    @property
    def key(self) -> str:
        """Path of the pair in the set, without suffix: ``train/000/000012``."""
        return pair_key(self.split, self.index)

    def file(self, kind: str) -> str:
        """Return the path, relative to the set, of the "content", "warped" or "stylized" picture.

        Raises: InputError for another kind, and for "stylized" where nothing was repainted.
        """
        have = KINDS if self.tex_style is not None else KINDS[:2]
        if kind not in have:
            raise InputError(f"kind: expected one of {', '.join(have)}, got {kind!r}")
        return f"{self.key}-{kind}.jpg"

    def path(self, folder: Path, kind: str) -> Path:
        """Return the file of a picture in a set, in sets of earlier versions under its old name."""
        path = folder / self.file(kind)
        former = folder / f"{self.key}-{FORMER_STYLIZED}.jpg"
        if kind == "stylized" and not path.exists() and former.exists():
            current_name(FORMER_STYLIZED)  # logs a line
            return former
        return path

    def to_json(self) -> str:
        """Return one line of JSON; floats read back bit for bit."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, where: str) -> Pair:
        """Read a line that `to_json` wrote; `where` names the line in errors.

        Raises: InputError where anything is missing, unknown or of another type.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"data: expected JSON in {where}, got {text[:40]!r}") from error
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise InputError(f"data: expected a pair of format {FORMAT!r} in {where}")
        odd = sorted(set(values) ^ {field.name for field in dataclasses.fields(cls)})
        if odd:
            raise InputError(f"data: expected the keys of a pair in {where}, odd: {', '.join(odd)}")
        try:
            return cls(**values)
        except InputError as error:
            raise InputError(f"data: expected a pair in {where}; {error}") from error


def pair_key(split: str, index: int) -> str:
    """Return the path of a pair in its set, without suffix."""
    return f"{split}/{index // PER_FOLDER:03d}/{index:06d}"


def record_path(folder: Path, split: str, index: int) -> Path:
    """Return the path of a pair's record, which is there once the pair is complete."""
    return folder / f"{pair_key(split, index)}.json"


def write_manifest(folder: Path, pairs: list[Pair]) -> None:
    """Write the list of all pairs, whole or not at all."""
    write_text(folder / MANIFEST, "".join(pair.to_json() + "\n" for pair in pairs))


def read_manifest(folder: Path, split: str | None = None) -> list[Pair]:
    """Read the pairs of a set in order, or those of one split.

    Raises: InputError where there is no finished set, with the command that makes one.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        started = (Path(folder) / SETTINGS).is_file()
        state = "a set that is not finished" if started else "none"
        raise InputError(
            f"data: expected a set of pairs in {str(folder)!r}, got {state}; "
            f"{'finish' if started else 'make'} it with: geostyle make-pairs "
            f"{f'--config {path.with_name(SETTINGS)}' if started else f'--output {folder}'}"
        )
    lines = _text(path).splitlines()
    pairs = [Pair.from_json(line, f"{path}, line {n}") for n, line in enumerate(lines, 1)]
    return [pair for pair in pairs if split in (None, pair.split)]


def fingerprint(pairs: list[Pair]) -> str:
    """Return a short hash of pairs, which names what is computed from them."""
    text = "\n".join(pair.to_json() for pair in pairs)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_record(folder: Path, split: str, index: int) -> Pair:
    """Read a finished pair from its own record.

    Raises: InputError where the record is missing or damaged.
    """
    path = record_path(folder, split, index)
    return Pair.from_json(_text(path), str(path))


def _text(path: Path) -> str:
    with expecting(f"data: expected UTF-8 text in {str(path)!r}"):
        return path.read_text(encoding="utf-8")
