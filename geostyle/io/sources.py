"""Picture files, and objects that are read like files, opened; formats that are not read, named."""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from geostyle.errors import InputError

SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".tif", ".tiff", ".webp", ".bmp", ".dib",
    ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx", ".avif"})  # fmt: skip
READABLE = "JPEG, PNG, TIFF, WebP, BMP, GIF, PPM, JPEG 2000 and AVIF"
_EXPORT = "save it as PNG or JPEG"
# Start of a file, as a pattern; what it is; what helps.
_KINDS = (
    (rb"....ftyp(heic|heix|heim|heis|hevc|hevx|mif1|msf1)", "HEIC", _EXPORT),
    (rb"....ftyp(crx |qt  |isom|iso\d|mp4\d|M4V |avc1|3gp.|dash|MSNV)", "a video, such as MP4",
     "save a frame of it as PNG"),
    (rb"\x1aE\xdf\xa3|RIFF....AVI |FLV|\x00\x00\x01\xba", "a video", "save a frame of it as PNG"),
    (rb"8BP[SB]", "PSD", _EXPORT),
    (rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*(<!DOCTYPE svg[^>]*>\s*)?<svg", "SVG",
     "render it to PNG"),
    (rb"\x1f\x8b", "SVGZ or another compressed file", "unpack it, or render it to PNG"),
    (rb"\s*<(!doctype html|html)", "a web page", "save the picture itself"),
    (rb"%PDF", "PDF", "render a page to PNG"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "EPS", "render it to PNG"),
    (rb"\x76\x2f\x31\x01|#\?(RADIANCE|RGBE)", "a picture of high dynamic range",
     "tone-map it and save it as PNG"),
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", "JPEG XL", _EXPORT),
    (rb"\x00\x00[\x01\x02]\x00", "ICO", _EXPORT),
    (rb"PK\x03\x04|Rar!|7z\xbc\xaf", "an archive", "unpack it"),
    (rb"gimp xcf", "XCF", _EXPORT),
    (rb"version https://git-lfs", "a pointer of Git LFS", "fetch the file with git lfs pull"),
    (rb"(II\*\x00|MM\x00\*|II\+\x00|MM\x00\+|IIU\x00)", "a TIFF of a kind that is not read",
     _EXPORT),
)  # fmt: skip
_SUFFIXES = {
    ".heic": "HEIC", ".heif": "HEIC", ".psd": "PSD", ".svg": "SVG", ".mp4": "MP4", ".mov": "a video"
}  # fmt: skip
# Text that says how a picture is turned; all other text of a PNG is passed over.
_KEPT_TEXT = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0", b"Raw profile type APP1\0")
_LONGEST_TEXT = 1 << 18


def as_path(source: Any, expected: str) -> Path:
    """The path that text or an `os.PathLike` names.

    Raises: InputError for anything else, and for a URL.
    """
    if isinstance(source, bytes | bytearray):
        raise InputError(f"{expected} (wrap the bytes of a file in io.BytesIO)")
    if not isinstance(source, str | os.PathLike):
        raise InputError(f"{expected} (as_tensor takes pictures in memory)")
    path = Path(os.fsdecode(source))
    if not os.fsdecode(source):
        raise InputError(f"{expected} (an empty path)")
    if re.match(r"(?i)(https?|ftp|s3|gs|data|file):", str(path)) and not path.exists():
        raise InputError(f"{expected} (a URL; download it first)")
    return path


@contextlib.contextmanager
def opened(source: Any, expected: str) -> Iterator[tuple[BinaryIO, Path | None]]:
    """Open a picture's file, or read an object like a file; the text of a PNG is left out.

    Args:
        source: a path, or an object with `read`, which stays open.
        expected: the start of a message: the argument, what was expected and what came.

    Yields: the file, and its path where it has one.
    Raises: InputError for folders, other things that are no files, and empty ones.
    """
    if hasattr(source, "read"):
        with contextlib.suppress(Exception):
            source.seek(0)
        data = source.read()
        if not isinstance(data, bytes | bytearray):
            raise InputError(f"{expected} (of text; open it in binary mode)")
        if not data:
            raise InputError(f"{expected} (0 bytes)")
        yield _without_text(io.BytesIO(data)), None
        return
    path = as_path(source, expected)
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise InputError(f"{expected} ({kind})")
    if status.st_size == 0:
        raise InputError(f"{expected} (0 bytes)")
    with path.open("rb") as file:
        yield _without_text(file), path


def kind_of(file: BinaryIO, path: Path | None) -> str:
    """Return the kind of a file that no decoder knows, and what helps; empty where unknown."""
    with contextlib.suppress(OSError, ValueError):
        file.seek(0)
        head = file.read(2048).removeprefix(b"\xef\xbb\xbf")
        for pattern, kind, help_ in _KINDS:
            if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
                return f"{kind}; {help_}"
    kind = _SUFFIXES.get(path.suffix.lower(), "") if path is not None else ""
    return kind and f"named as {kind}, but not one"


def _without_text(file: BinaryIO) -> BinaryIO:
    """The file, or a copy of a PNG without its text, of which decoders refuse large amounts."""
    file.seek(0)
    found, kept = file.read(8) == b"\x89PNG\r\n\x1a\n", [b"\x89PNG\r\n\x1a\n"]
    dropped = False
    while found:
        head = file.read(8)
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head)
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            start = file.read(min(length, 32))
            if length > _LONGEST_TEXT or not start.startswith(_KEPT_TEXT):
                file.seek(length - len(start) + 4, os.SEEK_CUR)
                dropped = True
                continue
            body = start + file.read(length - len(start) + 4)
        else:
            body = file.read(length + 4)
        kept += [head, body]
    file.seek(0)
    return io.BytesIO(b"".join(kept)) if dropped else file
