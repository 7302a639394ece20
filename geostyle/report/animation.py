"""Moving pictures: a growing warp, a growing texture, a painting as it was made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from geostyle.coords import Size, resize, size_of
from geostyle.errors import GeostyleError, InputError
from geostyle.io.files import atomic_path
from geostyle.io.images import to_uint8
from geostyle.pipeline import Pipeline, TransferResult, warp
from geostyle.report.settings import FORMATS
from geostyle.texture import PaintOptions, Progress, SourceGuide
from geostyle.texture.interrupts import hand_over
from geostyle.warps import WarpParameters

# Browsers play VP9; where OpenCV comes without it, MPEG-4 part 2 plays in most players.
CODECS = ("vp09", "mp4v")
PALETTE_SAMPLES = 12
STEPS_PER_FRAME = 6


def eased(n_frames: int) -> list[float]:
    """`n_frames` values from 0 to 1 that change slowly at both ends."""
    times = [i / max(1, n_frames - 1) for i in range(n_frames)]
    return [t * t * (3 - 2 * t) for t in times]


def geometry_frames(
    content: Tensor, theta: WarpParameters, size: Size, n_frames: int, extend: str
) -> Iterator[np.ndarray]:
    """A warp as its strength grows from 0 to 1.

    Args:
        content: (1, 3, H, W), sRGB in [0, 1].
        theta: the warp at strength 1.
        size: (H, W) of the frames.
        extend: how the picture is filled beyond the content, as for `warp`.

    Yields: (H, W, 3) uint8.
    """
    # Every frame warps the content, so it is reduced to what the frames can show.
    height, width = size_of(content)
    factor = 2 * max(size) / max(height, width)
    if factor < 1:
        content = resize(content, (round(height * factor), round(width * factor)))
    for strength in eased(n_frames):
        warped = warp(content, theta, strength=strength, size_px=max(size), extend=extend)
        yield to_uint8(resize(warped.tensor, size))


def texture_frames(
    pipe: Pipeline,
    result: TransferResult,
    tex_styles: Sequence[Tensor],
    options: PaintOptions,
    size: Size,
    n_frames: int,
) -> list[np.ndarray]:
    """A texture as its strength grows from 0 to that of `result`.

    Frames are made from the last to the first: each starts from its successor, faded a little to
    the canvas, and takes a few steps at its own strength, so that it is a painting instead of a
    double exposure.

    Args:
        pipe: the pipeline that made `result`.
        tex_styles: (1, 3, h, w) each, the texture styles of `result`.
        options: their weights, masks and guides, and where there is content.
        size: (H, W) of the frames.

    Returns: `n_frames` of (H, W, 3) uint8.
    """
    canvas, image = resize(result.geometry.tensor, size), resize(result.tensor, size)
    options = _at_size(options, size)
    # Each frame begins from a painting: neither last steps nor turned copies would show.
    matched = replace(result.settings.matched, quick=False, split=0, turns=1)
    frames, strengths, texture = [to_uint8(image)], eased(n_frames), result.settings.texture
    for number in range(n_frames - 2, 0, -1):
        settings = replace(
            texture,
            tex_strength=strengths[number] * texture.tex_strength,
            iterations=(STEPS_PER_FRAME,),
            stop_after=(),
            plateau=0.0,
            time_budget_s=0.0,
        )
        start = torch.lerp(canvas, image, strengths[number] / strengths[number + 1])
        begun = replace(options, start=start)
        painted = pipe.painting(canvas, tex_styles, begun, settings, matched).run()
        image = hand_over(painted, painted.ctrl_c).image
        frames.append(to_uint8(image))
    return [to_uint8(canvas), *reversed(frames)]


def _at_size(options: PaintOptions, size: Size) -> PaintOptions:
    """Options with their maps at a canvas's `size`."""

    def resized(maps: Tensor) -> Tensor:
        return resize(maps, size, "bilinear")

    return replace(
        options,
        masks=None if options.masks is None else resized(options.masks),
        inside=None if options.inside is None else resized(options.inside),
        guides=tuple(
            None
            if guide is None
            else SourceGuide(
                resized(guide.positions.permute(0, 3, 1, 2)).permute(0, 2, 3, 1),
                resized(guide.confidence),
            )
            for guide in options.guides
        ),
    )


class Recorder:
    """Keeps pictures of a running painting; a callback for `Pipeline`.

    Args:
        n_frames: about how many are kept, equally many per level, more of its first steps, which
            change most.
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
        fps: frames per second.
        hold_s: seconds that the first and the last one are shown.

    Raises: InputError for an unknown suffix or without frames.
    """
    if path.suffix not in [f".{kind}" for kind in FORMATS] or not frames:
        raise InputError(f"animation: expected frames for a .gif or .mp4, got {path.name!r}")
    held = max(1, round(hold_s * fps))
    shown = [frames[0]] * held + list(frames[1:-1]) + [frames[-1]] * held
    with atomic_path(path) as temporary:
        (_write_gif if path.suffix == ".gif" else _write_mp4)(shown, temporary, fps)


def _write_gif(frames: Sequence[np.ndarray], path: Path, fps: int) -> None:
    # One palette and one dither pattern for all frames, so that neither flickers.
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
    # Pillow joins equal consecutive frames to one of longer duration.
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
    """Bayer's ordered pattern, (H, W, 1), of about the amplitude of a palette's steps."""
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
