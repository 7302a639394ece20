"""Picture files and arrays to tensors and back; the only place where uint8 meets float32."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import io
import logging
import os
import re
import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageCms
from torch import Tensor

from geostyle.errors import InputError
from geostyle.io.icc import MatrixProfile, parse_profile
from geostyle.io.runs import write_bytes

# Formats that Pillow reads by itself: others run programs (EPS) or cannot be told from noise (TGA).
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".ppm", ".pgm",
            ".jp2", ".avif")  # fmt: skip
MIN_SIDE_PX = 16
MAX_MEGAPIXELS = 200  # 3 GB of memory while it is read
LIMIT_VARIABLE = "GEOSTYLE_MAX_MEGAPIXELS"
_ORIENTATION = 0x0112  # EXIF tag
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # TIFF tags
_pillow_lock = threading.Lock()
if hasattr(os, "register_at_fork"):  # a worker must not start with the lock of another thread
    os.register_at_fork(
        before=_pillow_lock.acquire,
        after_in_parent=_pillow_lock.release,
        after_in_child=_pillow_lock.release,
    )
_log = logging.getLogger(__name__)
# Pillow reports damage as an exception, too; unless the application listens, once is enough.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture read from a file.

    tensor: (1, 3, H, W) float32, sRGB in [0, 1], composited over white where transparent;
    alpha: (1, 1, H, W) float32 in [0, 1], None where all is opaque;
    icc: the file's color profile, already applied; bit_depth: of the channels read, 8 or 16.
    """

    tensor: Tensor
    alpha: Tensor | None = None
    icc: bytes | None = None
    bit_depth: int = 8
    path: Path | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.tensor.shape[-2], self.tensor.shape[-1]


def load_picture(
    path: str | Path,
    *,
    name: str = "content",
    min_side_px: int = MIN_SIDE_PX,
    max_pixels: float | None = None,
) -> Picture:
    """Read a picture file: upright (EXIF), sRGB (ICC), RGB from any mode, 16 bits where it has 16.

    Args:
        name: the argument's name, for errors.
        min_side_px: the smallest side accepted.
        max_pixels: the largest H·W accepted; default 200 million, or what the environment variable
            GEOSTYLE_MAX_MEGAPIXELS says.

    Returns: the first frame, as a `Picture`.
    Raises: InputError, one line, whatever is wrong with the file.
    Differs: 16-bit colors under a profile of tables, not primaries, are converted with 8 bits.
    """
    path = Path(path)
    expected = f"{name}: expected a picture file, got {str(path)!r}"
    max_pixels = pixel_limit() if max_pixels is None else max_pixels
    with _readable(expected, max_pixels) as formats:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise InputError(f"{expected} ({kind})")
        if status.st_size == 0:
            raise InputError(f"{expected} (0 bytes)")
        with Image.open(path, formats=formats) as image:
            _check_size(image.size, min_side_px, max_pixels, name, repr(str(path)))
            return dataclasses.replace(_decode(image, path, name), path=path)


def pixel_limit() -> float:
    """The largest picture that is read, in pixels: a small file can hold a huge one.

    Raises: InputError where GEOSTYLE_MAX_MEGAPIXELS is no positive number.
    """
    text = os.environ.get(LIMIT_VARIABLE, str(MAX_MEGAPIXELS))
    with contextlib.suppress(ValueError):
        if float(text) > 0:
            return float(text) * 1e6
    raise InputError(f"{LIMIT_VARIABLE}: expected a number of millions of pixels, got {text!r}")


def as_tensor(image: Any, name: str = "content", *, min_side_px: int = MIN_SIDE_PX) -> Tensor:
    """Turn a picture of any kind into (1, 3, H, W) float32 sRGB in [0, 1].

    Args:
        image: a path; a PIL image; a `Picture`; an array (H, W) or (H, W, 1|3|4); a tensor
            (3, H, W) or (1, 3, H, W), 1 channel allowed. Arrays and tensors: uint8, uint16, or
            floats in [0, 1].
        name: the argument's name, for errors.

    Raises: InputError for anything else, and for values that are not finite or outside [0, 1].
    """
    if isinstance(image, (str, Path)):
        return load_picture(image, name=name, min_side_px=min_side_px).tensor
    if isinstance(image, Picture):
        return image.tensor
    if isinstance(image, Image.Image):
        _check_size(image.size, min_side_px, float("inf"), name, "a PIL image")
        with _readable(f"{name}: expected a readable PIL image, got one", float("inf")):
            return _decode(image, None, name).tensor
    if isinstance(image, np.ndarray):
        axes_fit = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3, 4))
        if not axes_fit or 0 in image.shape:
            raise InputError(
                f"{name}: expected an array (H, W) or (H, W, 3), got shape {image.shape}"
            )
        color, alpha = _split(image, name)
        tensor = _over_white(color, alpha)
    elif isinstance(image, Tensor):
        batch = image[None] if image.ndim == 3 else image
        if batch.ndim != 4 or batch.shape[0] != 1 or batch.shape[1] not in (1, 3):
            shape = tuple(image.shape)
            raise InputError(f"{name}: expected a tensor (3, H, W) or (1, 3, H, W), got {shape}")
        top = {torch.uint8: 255, torch.uint16: 65535}.get(image.dtype, 1)
        if top == 1 and not image.is_floating_point():
            raise InputError(f"{name}: expected uint8, uint16 or floats, got {image.dtype}")
        tensor = batch.detach().to(torch.float32).expand(-1, 3, -1, -1) / top
    else:
        raise InputError(
            f"{name}: expected a path, PIL image, array or tensor, got {type(image).__name__}"
        )
    height, width = tensor.shape[-2:]
    _check_size((width, height), min_side_px, float("inf"), name, "one")
    if not torch.isfinite(tensor).all() or tensor.min() < 0 or tensor.max() > 1:
        low, high = tensor.min().item(), tensor.max().item()
        raise InputError(f"{name}: expected values in [0, 1], got {low:g} to {high:g}")
    return tensor.contiguous()


def as_mask(image: Any, name: str = "tex_mask") -> Tensor:
    """Turn a gray picture of any kind into a mask (1, 1, H, W) in [0, 1]; what is clear is black.

    Args: as for `as_tensor`; colors count by their mean.
    """
    if isinstance(image, (str, Path)):
        image = load_picture(image, name=name)
    elif isinstance(image, Image.Image):
        with _readable(f"{name}: expected a readable PIL image, got one", float("inf")):
            image = _decode(image, None, name)
    mask = as_tensor(image, name).mean(1, keepdim=True)
    if isinstance(image, Picture) and image.alpha is not None:
        mask = mask - (1 - image.alpha)  # takes off the white that lies under the picture
    return mask.clamp(0, 1)


def to_uint8(tensor: Tensor) -> np.ndarray:
    """Turn (1, 3, H, W) or (3, H, W) in [0, 1] into (H, W, 3) uint8, clamped and rounded."""
    return _to_array(tensor, 255).astype(np.uint8)


def save_picture(
    tensor: Tensor,
    path: str | Path,
    *,
    bit_depth: int = 8,
    quality: int | None = None,
    icc: bytes | None = None,
) -> None:
    """Write a picture, whole or not at all; the suffix sets the format.

    Args:
        tensor: (1, 3, H, W) or (3, H, W), sRGB, clamped to [0, 1].
        path: .png, .tif, .tiff, .webp, .bmp, .jpg or .jpeg.
        bit_depth: 8, or 16 for PNG and TIFF.
        quality: 1 to 100, of JPEG (default 95; chroma is kept at full resolution) and of WebP
            (default lossless).
        icc: an RGB profile to convert to and embed, with 16 bits one of primaries and curves; None
            leaves sRGB, untagged.

    Raises: InputError for unusable arguments or an unwritable path, GeostyleError on a full disk.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".png", ".tif", ".tiff", ".webp", ".bmp", ".jpg", ".jpeg"):
        raise InputError(f"output: expected .png, .jpg, .tif, .webp or .bmp, got {path.name!r}")
    if bit_depth not in (8, 16) or (bit_depth == 16 and suffix not in (".png", ".tif", ".tiff")):
        raise InputError(f"bit_depth: expected 8, or 16 for PNG and TIFF, got {bit_depth}")
    if bit_depth == 16 and icc is not None and not can_hold(icc, 16):
        raise InputError("icc: expected an RGB profile of primaries with 16 bits, got another")
    if quality is not None and not 1 <= quality <= 100:
        raise InputError(f"quality: expected 1 to 100, got {quality}")
    try:
        if bit_depth == 16:
            data = _encode_16_bits(tensor, suffix, icc)
        else:
            data = _encode(Image.fromarray(to_uint8(tensor)), suffix, quality, icc)
    except (OSError, ValueError, cv2.error) as error:
        if isinstance(error, InputError):
            raise
        size = "x".join(map(str, tensor.shape[:-3:-1]))
        raise InputError(f"output: expected a size that {suffix} can hold, got {size}") from error
    write_bytes(path, data)


def srgb_profile() -> bytes:
    """An sRGB profile, the same bytes every time."""
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return made[:24] + bytes([7, 208, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]) + made[36:]  # made in 2000


def can_hold(icc: bytes, bit_depth: int = 8) -> bool:
    """Whether pictures can be converted from sRGB to a color profile and carry it."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        ImageCms.buildTransform(ImageCms.createProfile("sRGB"), profile, "RGB", "RGB")
    except (ImageCms.PyCMSError, OSError):
        return False
    return bit_depth == 8 or _is_srgb(icc) or parse_profile(icc) is not None


@functools.cache
def _srgb() -> MatrixProfile:
    parsed = parse_profile(srgb_profile())
    assert parsed is not None
    return parsed


def _is_srgb(icc: bytes) -> bool:
    return can_hold(icc) and _profile(icc, "icc") is None


def _encode_16_bits(tensor: Tensor, suffix: str, icc: bytes | None) -> bytes:
    """Encode an sRGB picture with 16 bits, converted to a profile where one is given."""
    array = _to_array(tensor, 65535)
    if icc is not None and not _is_srgb(icc) and (matrix := parse_profile(icc)):
        array = (_srgb().to(matrix, array / 65535) * 65535).round()
    array = array.astype(np.uint16)
    if suffix != ".png":
        import tifffile

        buffer = io.BytesIO()
        tifffile.imwrite(
            buffer,
            array,
            photometric="rgb",
            compression="zlib",
            predictor=True,
            metadata=None,
            iccprofile=icc,
        )
        return buffer.getvalue()
    data = cv2.imencode(suffix, np.ascontiguousarray(array[..., ::-1]))[1].tobytes()
    if icc is None:
        return data
    # OpenCV 4 writes no profiles. A chunk is its length, name, body and checksum; the first, IHDR,
    # ends at byte 33.
    body = b"iCCP" + b"ICC profile\0\0" + zlib.compress(icc)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return data[:33] + chunk + data[33:]


def _encode(image: Image.Image, suffix: str, quality: int | None, icc: bytes | None) -> bytes:
    """Encode an sRGB image with 8 bits, converted to a profile where one is given."""
    if icc is not None and not _is_srgb(icc):
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            srgb = ImageCms.createProfile("sRGB")
            image = (
                ImageCms.profileToProfile(
                    image,
                    srgb,
                    profile,
                    renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                    outputMode="RGB",
                    flags=ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.HIGHRESPRECALC,
                )
                or image
            )
        except (ImageCms.PyCMSError, OSError) as error:
            raise InputError(
                f"icc: expected an RGB color profile, got another ({error})"
            ) from error
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": quality or 95, "subsampling": 0},
        "WEBP": {"lossless": quality is None, "quality": quality or 80, "method": 4},
        "TIFF": {"compression": "tiff_lzw"},
    }
    kind = Image.registered_extensions()[suffix]
    buffer = io.BytesIO()
    image.save(buffer, kind, icc_profile=icc, **options.get(kind, {}))
    return buffer.getvalue()


def fit_size(size: tuple[int, int], size_px: int) -> tuple[int, int]:
    """Return the (H, W) of the same shape whose long side is `size_px`; no side under 16 px."""
    scale = size_px / max(size)
    height, width = (max(MIN_SIDE_PX, round(side * scale)) for side in size)
    return height, width


def is_validation(path: str | Path) -> bool:
    """Whether a picture belongs to the tenth that no training sees, by a hash of its file name."""
    return int(hashlib.sha256(Path(path).name.encode()).hexdigest(), 16) % 10 == 0


def list_pictures(
    folder: str | Path, *, recursive: bool = False, name: str = "folder"
) -> list[Path]:
    """List the picture files of a folder by suffix, sorted, hidden files and folders left out.

    Raises: InputError when it is not a folder or has no picture.
    """
    folder = Path(folder)
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(
            f"{name}: expected a folder, got {str(folder)!r} ({error.strerror})"
        ) from error
    files = sorted(folder.rglob("*")) if recursive else inside
    found = [file for file in files if file.suffix.lower() in SUFFIXES and file.is_file()]
    found = [
        file for file in found if not re.search(r"(^|/)\.", file.relative_to(folder).as_posix())
    ]
    if not found:
        raise InputError(f"{name}: expected a folder with pictures, got {str(folder)!r} (none)")
    return found


@contextlib.contextmanager
def _readable(expected: str, max_pixels: float) -> Iterator[list[str]]:
    """Turn everything that can go wrong while Pillow reads into one InputError.

    Pillow is held to our pixel limit, and its other warnings are kept off the screen. Gives the
    formats that this build of it reads.
    """
    Image.init()
    with _pillow_lock, warnings.catch_warnings():
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = int(min(max_pixels, 2**62))
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            yield [kind for kind in FORMATS if kind in Image.OPEN]
        except InputError:
            raise
        except FileNotFoundError as error:
            raise InputError(f"{expected} (no such file)") from error
        except Image.UnidentifiedImageError as error:
            raise InputError(f"{expected} (not a picture, or of an unknown format)") from error
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise InputError(f"{expected} ({_over(max_pixels)})") from error
        except MemoryError as error:
            raise InputError(f"{expected} (not enough memory)") from error
        except Exception as error:  # a decoder fed with rubbish can raise anything
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise InputError(f"{expected} ({' '.join(reason.split())[:120]})") from error
        finally:
            Image.MAX_IMAGE_PIXELS = before


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep off the screen what libtiff, libpng and OpenCV print by themselves (under the lock)."""
    try:
        kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    except OSError:  # no stderr to keep clean
        yield
        return
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _over(max_pixels: float) -> str:
    limit = f"{max_pixels / 1e6:g}"
    return f"over {limit} million pixels; if you trust it, set {LIMIT_VARIABLE} above {limit}"


def _check_size(
    size: tuple[int, int], min_side_px: int, max_pixels: float, name: str, what: str
) -> None:
    width, height = size
    got = f"got {what} ({width}x{height} px"
    if width * height > max_pixels:
        raise InputError(f"{name}: expected a smaller picture, {got}, {_over(max_pixels)})")
    if min(size) < min_side_px:
        raise InputError(f"{name}: expected sides of at least {min_side_px} px, {got})")


def _decode(image: Image.Image, path: Path | None, name: str) -> Picture:
    """Turn an opened PIL image, of a file where it has one, into an upright sRGB picture."""
    turn = _orientation(image)
    with _quiet() if image.format == "TIFF" else contextlib.nullcontext():
        image.load()  # also finds out whether the file is whole
    icc = image.info.get("icc_profile") or None
    profile = _profile(icc, name)
    transparent = image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info
    alpha: Tensor | None = None
    array = _read_16_bits(image, path, turn)
    if array is not None and profile is not None:
        matrix = parse_profile(icc or b"") if array.ndim == 3 else None
        if matrix is not None:
            opaque = matrix.to(_srgb(), array[..., :3].astype(np.float32) / 65535)
            clear = array[..., 3:].astype(np.float32) / 65535
            array = np.concatenate([opaque, clear], -1)
        else:  # of other profiles, color management has 8 bits only
            image = Image.fromarray((array >> 8).astype(np.uint8)) if array.ndim == 2 else image
            array = None
    if array is not None:
        color, alpha = _split(array, name)
    elif transparent:
        rgba = image.convert("RGBA")
        color, _ = _split(np.asarray(_to_srgb(rgba.convert("RGB"), profile, name)), name)
        alpha = _split(np.asarray(rgba.getchannel("A")), name)[0][:, :1]
    elif image.mode[:1] in "IF":
        raise InputError(f"{name}: expected 8 or 16 bits per channel, got mode {image.mode!r}")
    else:
        color, _ = _split(np.asarray(_to_srgb(image, profile, name)), name)
    if _orientation(image) == turn:  # the TIFF reader turns by itself
        color = _upright(color, turn)
        alpha = None if alpha is None else _upright(alpha, turn)
    if alpha is not None and bool((alpha == 1).all()):
        alpha = None
    depth = 8 if array is None else 16
    return Picture(_over_white(color, alpha), alpha, icc=icc, bit_depth=depth)


def _split(array: np.ndarray, name: str) -> tuple[Tensor, Tensor | None]:
    """Turn (H, W[, C]) into colors (1, 3, H, W) and alpha (1, 1, H, W), float32 in [0, 1]."""
    top = {"uint8": 255.0, "uint16": 65535.0}.get(array.dtype.name, 1.0)
    if top == 1.0 and array.dtype.kind != "f":
        raise InputError(f"{name}: expected uint8, uint16 or floats, got {array.dtype}")
    array = array[..., None] if array.ndim == 2 else array
    planes = torch.from_numpy(np.array(array.transpose(2, 0, 1), np.float32, order="C"))[None]
    planes /= top
    if array.shape[2] in (2, 4):
        return planes[:, :-1].expand(-1, 3, -1, -1), planes[:, -1:]
    return planes.expand(-1, 3, -1, -1), None


def _over_white(color: Tensor, alpha: Tensor | None) -> Tensor:
    return (color if alpha is None else 1 + alpha * (color - 1)).contiguous()


def _to_array(tensor: Tensor, top: int) -> np.ndarray:
    picture = tensor[0] if tensor.ndim == 4 and tensor.shape[0] == 1 else tensor
    if picture.ndim != 3 or picture.shape[0] != 3:
        raise InputError(f"picture: expected (1, 3, H, W), got {tuple(tensor.shape)}")
    picture = picture.detach().to("cpu", torch.float32)
    if not torch.isfinite(picture).all():
        raise InputError("picture: expected finite values, got NaN or infinity")
    return picture.clamp(0, 1).mul(top).round().permute(1, 2, 0).numpy()


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a damaged EXIF block is no reason to refuse the picture
        return 1


def _upright(planes: Tensor, orientation: int) -> Tensor:
    """Undo an EXIF orientation: rows first (5 to 8 swap the axes), then the flips."""
    planes = planes.transpose(-1, -2) if orientation in (5, 6, 7, 8) else planes
    axes = {2: (-1,), 3: (-1, -2), 4: (-2,), 6: (-1,), 7: (-1, -2), 8: (-2,)}.get(orientation)
    return planes.flip(axes) if axes else planes


def _read_16_bits(image: Image.Image, path: Path | None, turn: int) -> np.ndarray | None:
    """Return (H, W) or (H, W, 3|4) uint16 in RGB order, None where 8 bits are all there is.

    Pillow cuts colors to 8 bits, so OpenCV reads them again; its reading is taken only where the
    high bytes are the picture that Pillow read, so that channel order, turns and damage are held
    to one standard.
    """
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (16,))
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        gray = np.asarray(image).clip(0, 65535).astype(np.uint16)
        if bits[0] < 16:  # 12 bits, kept in the low ones
            gray = (gray * (65535 / (2 ** bits[0] - 1))).round().clip(0, 65535).astype(np.uint16)
        return ~gray if tags.get(_PHOTOMETRIC) == 0 else gray
    if path is None or image.mode not in ("RGB", "RGBA") or "transparency" in image.info:
        return None
    data = np.fromfile(path, np.uint8)
    # A PNG holds its bit depth at a fixed place of its first chunk.
    if not (data[24] == 16 if image.format == "PNG" else tags and set(bits) == {16}):
        return None
    try:
        with _quiet():
            array = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if array is None or array.dtype != np.uint16 or array.ndim != 3 or array.shape[2] < 3:
        return None
    array = array[..., [2, 1, 0, 3][: array.shape[2]]]
    # Seen as int16, which torch can flip.
    planes = torch.from_numpy(array.view(np.int16)).permute(2, 0, 1)
    expected = np.asarray(image)
    for candidate in (planes, _upright(planes, turn)):
        found = candidate.permute(1, 2, 0).numpy().view(np.uint16)
        if found.shape == expected.shape and ((found >> 8) == expected).all():
            return found
    return None


def _profile(icc: bytes | None, name: str) -> ImageCms.ImageCmsProfile | None:
    """Open an embedded profile; None where it is sRGB already, missing or damaged."""
    if icc is None:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        description = ImageCms.getProfileDescription(profile).strip().lower()
    except (ImageCms.PyCMSError, OSError):
        _log.warning("%s: its color profile is damaged; taken as sRGB", name)
        return None
    return None if "srgb" in description or description == "c2" else profile


def _to_srgb(
    image: Image.Image, profile: ImageCms.ImageCmsProfile | None, name: str
) -> Image.Image:
    """Convert an opaque PIL image of any mode to RGB, through its profile where it has one."""
    if image.mode == "LAB":
        profile = profile or ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    elif image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    if profile is not None:
        try:
            converted = ImageCms.profileToProfile(
                image,
                profile,
                ImageCms.createProfile("sRGB"),
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode="RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.HIGHRESPRECALC,
            )
            assert converted is not None
            return converted
        except ImageCms.PyCMSError:
            _log.warning("%s: its color profile does not fit its mode; taken as sRGB", name)
    return image if image.mode == "RGB" else image.convert("RGB")
