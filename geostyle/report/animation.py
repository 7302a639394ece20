"""Moving pictures: a warp that grows, a texture that grows, a painting as it was made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from geostyle import pipeline
from geostyle.coords import Size, resize
from geostyle.errors import GeostyleError, InputError
from geostyle.io.files import atomic_path
from geostyle.io.images import to_uint8
from geostyle.pipeline import Networks, TransferSettings
from geostyle.texture import Progress
from geostyle.warps import WarpParameters

FORMATS = ("gif", "mp4")
# Browsers play VP9; where OpenCV comes without it, MPEG-4 part 2 plays in most players.
CODECS = ("vp09", "mp4v")
PALETTE_SAMPLES = 12
STEPS_A_FRAME = 6


def eased(n_frames: int) -> list[float]:
    """From 0 to 1 in `n_frames` values that start and end slowly."""
    times = [i / max(1, n_frames - 1) for i in range(n_frames)]
    return [t * t * (3 - 2 * t) for t in times]


def geometry_frames(
    content: Tensor, parameters: WarpParameters, size: Size, n_frames: int, extend: str
) -> Iterator[np.ndarray]:
    """A warp as its strength grows from 0 to 1.

    Args:
        content: (1, 3, H, W), sRGB in [0, 1].
        parameters: the warp at strength 1.
        size: (H, W) of the frames.
        extend: what appears beyond the content, as for `pipeline.warp`.

    Yields: (H, W, 3) uint8.
    """
    # No more pixels than the frames can show: every frame warps them all.
    factor = 2 * max(size) / max(content.shape[-2:])
    if factor < 1:
        small = (round(content.shape[-2] * factor), round(content.shape[-1] * factor))
        content = resize(content, small)
    for strength in eased(n_frames):
        warped = pipeline.warp(
            content, parameters, strength=strength, size_px=max(size), extend=extend
        )
        yield to_uint8(resize(warped.image, size))


def texture_frames(
    canvas: Tensor,
    result: Tensor,
    tex_styles: Sequence[Tensor],
    settings: TransferSettings,
    networks: Networks,
    size: Size,
    n_frames: int,
    *,
    tex_weights: Sequence[float] | None = None,
    shares: Tensor | None = None,
) -> list[np.ndarray]:
    """A texture as its strength grows from 0 to that of `settings`.

    Made from the end: each frame starts from its successor, faded a little to the canvas, and takes
    a few steps at its own strength, which keep it a painting instead of a double exposure.

    Args:
        canvas, result: (1, 3, H, W), before and after painting.
        tex_styles, settings, networks, tex_weights, shares: as for `pipeline.paint`.
        size: (H, W) of the frames.

    Returns: `n_frames` of (H, W, 3) uint8.
    """
    canvas, image = resize(canvas, size), resize(result, size)
    shares = None if shares is None else resize(shares, size, "bilinear")
    frames = [to_uint8(image)]
    shares_of_full = eased(n_frames)
    for number in range(n_frames - 2, 0, -1):
        share, before = shares_of_full[number], shares_of_full[number + 1]
        texture = replace(
            settings.texture,
            tex_strength=share * settings.texture.tex_strength,
            iterations=(STEPS_A_FRAME,),
            stop_after=(),
            plateau=0.0,
            time_budget_s=0.0,
        )
        image = pipeline.paint(
            canvas,
            tex_styles,
            replace(settings, texture=texture),
            networks,
            tex_weights=tex_weights,
            shares=shares,
            start=torch.lerp(canvas, image, share / before),
        ).image
        frames.append(to_uint8(image))
    return [to_uint8(canvas), *reversed(frames)]


class Recorder:
    """Keeps pictures of a painting as it goes: a callback for `pipeline.paint`.

    Args:
        n_frames: about how many are kept, as many a level, more of its first steps, which change
            most.
        size: (H, W) of the frames.
    """

    def __init__(self, n_frames: int, size: Size) -> None:
        self.n_frames, self.size = n_frames, size
        self.frames: list[np.ndarray] = []

    def __call__(self, progress: Progress) -> None:
        share = max(2, self.n_frames // progress.levels)
        kept = {round((progress.steps - 1) * (i / (share - 1)) ** 2) for i in range(share)}
        if progress.step in kept:
            image = progress.image.detach().cpu().clamp(0, 1)
            self.frames.append(to_uint8(resize(image, self.size)))


def save_animation(
    frames: Sequence[np.ndarray], path: Path, *, fps: int = 20, hold_s: float = 1.0
) -> None:
    """Write frames as a looping GIF or as an MP4, whole or not at all; the suffix sets which.

    Args:
        frames: (H, W, 3) uint8 each, all of one size.
        fps: frames a second.
        hold_s: how long the first and the last one stay.

    Raises: InputError for an unknown suffix or without frames.
    """
    if path.suffix not in [f".{kind}" for kind in FORMATS] or not frames:
        raise InputError(f"animation: expected frames for a .gif or .mp4, got {path.name!r}")
    held = max(1, round(hold_s * fps))
    shown = [frames[0]] * held + list(frames[1:-1]) + [frames[-1]] * held
    with atomic_path(path) as temporary:
        (_write_gif if path.suffix == ".gif" else _write_mp4)(shown, temporary, fps)


def _write_gif(frames: Sequence[np.ndarray], path: Path, fps: int) -> None:
    # One palette for all frames, and dots that stay where they are: neither may flicker.
    chosen = np.linspace(0, len(frames) - 1, PALETTE_SAMPLES).round().astype(int)
    sample = Image.fromarray(np.concatenate([frames[i] for i in chosen]))
    palette = sample.quantize(255, method=Image.Quantize.MEDIANCUT)
    dots = _dither(frames[0].shape[:2])
    pictures = [
        Image.fromarray((frame + dots).round().clip(0, 255).astype(np.uint8)).quantize(
            palette=palette, dither=Image.Dither.NONE
        )
        for frame in frames
    ]
    # Pillow joins equal frames that follow each other to one that stays longer.
    pictures[0].save(
        path,
        "GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=round(1000 / fps),
        loop=0,
        optimize=False,
    )


def _dither(size: Size) -> np.ndarray:
    """Bayer's ordered pattern, (H, W, 1), about the size of a palette's steps."""
    pattern = np.zeros((1, 1))
    for _ in range(3):
        pattern = np.block([[4 * pattern, 4 * pattern + 2], [4 * pattern + 3, 4 * pattern + 1]])
    rows, columns = (-(-side // 8) for side in size)
    tiled = np.tile((pattern + 0.5) / 64 - 0.5, (rows, columns))[: size[0], : size[1], None]
    return 12 * tiled


def _write_mp4(frames: Sequence[np.ndarray], path: Path, fps: int) -> None:
    height, width = (side // 2 * 2 for side in frames[0].shape[:2])
    for codec in CODECS:
        fourcc = cv2.VideoWriter.fourcc(*codec)
        writer = cv2.VideoWriter(str(path), fourcc, float(fps), (width, height))
        try:
            if not writer.isOpened():
                continue
            for frame in frames:
                writer.write(np.ascontiguousarray(frame[:height, :width, ::-1]))
        finally:
            writer.release()
        if path.stat().st_size:
            return
    raise GeostyleError(
        f"animation: OpenCV has none of {', '.join(CODECS)}; use --animate-format gif"
    )
