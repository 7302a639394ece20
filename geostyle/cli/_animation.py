"""Moving pictures of a run: when their frames are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from geostyle.cli._output import AnimationSettings
from geostyle.coords import resize, size_of
from geostyle.io.images import fit_size, to_uint8
from geostyle.io.runs import RunFolder
from geostyle.pipeline import Pipeline, TransferResult
from geostyle.report.animation import (
    Recorder,
    geometry_frames,
    save_animation,
    texture_frames,
)
from geostyle.texture import PaintOptions, Progress
from geostyle.warps import WarpParameters


class Animation:
    """Collects the frames of a run.

    Args:
        settings: parts, format and size.
        canvas: (1, 3, H, W), the warped content.
    """

    def __init__(self, settings: AnimationSettings, canvas: Tensor) -> None:
        self.settings = settings
        self.size = fit_size(size_of(canvas), settings.animate_px)
        self.recorder = Recorder(settings.animate_frames, self.size)

    def watching(self, callback: Callable[[Progress], None]) -> Callable[[Progress], None]:
        """`callback`, and before it the recorder where the painting is asked for."""
        if "painting" not in self.settings.animate:
            return callback

        def both(progress: Progress) -> None:
            self.recorder(progress)
            callback(progress)

        return both

    def save(
        self,
        run: RunFolder,
        pipe: Pipeline,
        content: Tensor,
        result: TransferResult,
        tex_styles: Sequence[Tensor],
        options: PaintOptions,
    ) -> Path | None:
        """Write the moving picture to the run folder; None where nothing moves.

        Args:
            pipe, tex_styles, options: what `result` was painted with; see `texture_frames`.
            content: (1, 3, H, W), before the warp.
        """
        size, n_frames = self.size, self.settings.animate_frames
        frames: list[np.ndarray] = []
        for part in self.settings.animate:
            if part == "geometry" and run.file("theta.json").is_file():
                theta = WarpParameters.load(run.file("theta.json"))
                # Patches would be other ones in every frame.
                extend = pipe.settings.extend.replace("patches", "inpaint")
                frames += geometry_frames(content, theta, size, n_frames, extend)
            elif part == "texture" and result.texture is not None:
                frames += texture_frames(pipe, result, tex_styles, options, size, n_frames)
            elif part == "painting" and self.recorder.frames:
                frames += [*self.recorder.frames, to_uint8(resize(result.tensor, size))]
        if not frames:
            return None
        path = run.file(f"animation.{self.settings.animate_format}")
        save_animation(frames, path)
        return path
