"""Color profiles of three primaries and curves, applied in floating point.

Pillow's color management has 8 bits. Photographs of 16 bits come in such profiles (Adobe RGB,
Display P3, ProPhoto), which take a few lines: curves, a matrix to CIE XYZ under D50, and back.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

ROWS = 256  # at a time, so that large pictures are not held in float64
# Curves are tabulated: fine enough that 16 bits pass there and back.
SAMPLES = np.linspace(0, 1, 65536)


@dataclass(frozen=True)
class MatrixProfile:
    """Curves (3, 65536) from stored to linear values, and the matrix (3, 3) from those to XYZ."""

    curves: np.ndarray
    matrix: np.ndarray

    def to(self, other: MatrixProfile, image: np.ndarray) -> np.ndarray:
        """Convert an image.

        Args: (H, W, 3) floats in [0, 1], stored values under this profile.
        Returns: (H, W, 3) float32 in [0, 1] under `other`, clipped to its gamut.
        """
        matrix = np.linalg.inv(other.matrix) @ self.matrix
        result = np.empty(image.shape, np.float32)
        for top in range(0, len(image), ROWS):
            rows = image[top : top + ROWS]
            linear = np.stack([np.interp(rows[..., c], SAMPLES, self.curves[c]) for c in range(3)])
            mixed = np.einsum("cd,dhw->chw", matrix, linear).clip(0, 1)
            for c in range(3):
                result[top : top + ROWS, :, c] = np.interp(mixed[c], other.curves[c], SAMPLES)
        return result


def parse_profile(icc: bytes) -> MatrixProfile | None:
    """The curves and matrix of a profile; None where it is damaged or of another kind.

    Source: ICC.1:2022, sections 7.3 (tags), 10.6 (curves), 10.18 (parametric curves).
    """
    try:
        if icc[16:24] != b"RGB XYZ ":
            return None
        (count,) = struct.unpack_from(">I", icc, 128)
        entries = [struct.unpack_from(">4sII", icc, 132 + 12 * i) for i in range(min(count, 200))]
        tags = {name: icc[start : start + size] for name, start, size in entries}
        if any(name[:3] in (b"A2B", b"B2A", b"D2B", b"B2D") for name in tags):
            return None  # tables say more than the matrix
        columns = [struct.unpack_from(">3i", tags[name], 8) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
        curves = [_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")]
        profile = MatrixProfile(np.stack(curves), np.array(columns).T / 65536)
        rising = bool((np.diff(profile.curves) >= 0).all())
        if not rising or abs(np.linalg.det(profile.matrix)) < 1e-3:
            return None
        return profile
    except (struct.error, KeyError, ValueError, IndexError, ZeroDivisionError):
        return None


def _curve(tag: bytes) -> np.ndarray:
    """A curve tag at `SAMPLES`."""
    kind = tag[:4]
    if kind == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return SAMPLES
        values = np.array(struct.unpack_from(f">{count}H", tag, 12), float)
        if count == 1:
            return SAMPLES ** (values[0] / 256)
        return np.interp(SAMPLES, np.linspace(0, 1, count), values / 65535)
    if kind != b"para":
        raise ValueError(kind)
    (form,) = struct.unpack_from(">H", tag, 8)
    n = (1, 3, 4, 5, 7)[form]
    p = dict(zip("gabcdef", np.array(struct.unpack_from(f">{n}i", tag, 12)) / 65536, strict=False))
    a, b, c = p.get("a", 1.0), p.get("b", 0.0), p.get("c", 0.0)
    e, f = p.get("e", 0.0), p.get("f", 0.0)
    d = p.get("d", -b / a)  # forms 1 and 2 are flat until the power begins at 0
    if form == 2:
        e, f, c = c, c, 0.0
    power = np.maximum(a * SAMPLES + b, 0) ** p["g"] + e
    return np.where(d <= SAMPLES, power, c * SAMPLES + f).clip(0, 1)
