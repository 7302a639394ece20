"""Moving pictures: their first and last frames, their files, and that they repeat."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from geostyle.errors import InputError
from geostyle.io.images import to_uint8
from geostyle.pipeline import Pipeline, TransferSettings, warp
from geostyle.report.animation import (
    Recorder,
    eased,
    geometry_frames,
    save_animation,
    texture_frames,
)
from geostyle.texture import PaintOptions, Progress, TextureSettings
from geostyle.warps import WarpParameters
from tests.pictures import picture

CONTENT = picture(1, 48, 64)
SHIFT = WarpParameters("affine", 4, torch.tensor([0, 0, 0.2, 0, 0, 0.0]), (48, 64), (48, 64))


def test_time_starts_and_ends_slowly() -> None:
    values = eased(9)
    assert values[0] == 0 and values[-1] == 1 and values == sorted(values)
    assert values[1] < 1 / 8 < values[5] - values[4]


def test_a_warp_grows_from_the_content_to_itself() -> None:
    frames = list(geometry_frames(CONTENT, SHIFT, (48, 64), 8, "border"))
    assert len(frames) == 8
    np.testing.assert_array_equal(frames[0], to_uint8(CONTENT))
    np.testing.assert_array_equal(
        frames[-1], to_uint8(warp(CONTENT, SHIFT, extend="border").tensor)
    )
    steps = [np.abs(b.astype(int) - a).mean() for a, b in zip(frames, frames[1:], strict=False)]
    assert max(steps) < 0.5 * sum(steps)  # smooth: no jump
    (small,) = list(geometry_frames(CONTENT, SHIFT, (24, 32), 1, "border"))
    assert small.shape == (24, 32, 3)


def test_a_texture_grows_from_the_canvas_to_the_result(tiny_weights: Path) -> None:
    settings = TransferSettings(
        weights=tiny_weights,
        device="cpu",
        precision="float32",
        texture=TextureSettings(iterations=(10, 10)),
    )
    pipe, styles = Pipeline(settings), [picture(2, 40, 40)]
    result = pipe(CONTENT, tex_style=styles)
    frames = texture_frames(pipe, result, styles, PaintOptions(), (48, 64), 5)
    assert len(frames) == 5
    np.testing.assert_array_equal(frames[0], to_uint8(CONTENT))
    np.testing.assert_array_equal(frames[-1], to_uint8(result.tensor))
    distances = [np.abs(frame.astype(int) - frames[0]).mean() for frame in frames]
    assert distances == sorted(distances)


def test_a_painting_is_recorded_from_each_level() -> None:
    recorder = Recorder(12, (24, 32))
    for level, steps in enumerate((20, 10, 1)):
        for step in range(steps):
            image = torch.full((1, 3, 6, 8), level / 2 + 1e-3 * step)
            recorder(Progress(level, 3, step, steps, (6, 8), 1.0, 1.0, 0.0, image))
    assert len(recorder.frames) == 4 + 4 + 1
    assert {frame.shape for frame in recorder.frames} == {(24, 32, 3)}
    assert recorder.frames[0].max() == 0 and recorder.frames[-1].min() == 255


def frames(n: int = 8) -> list[np.ndarray]:
    return list(geometry_frames(CONTENT, SHIFT, (45, 63), n, "border"))


@pytest.mark.parametrize("kind", ["gif", "mp4"])
def test_a_file_holds_the_frames_and_repeats(tmp_path: Path, kind: str) -> None:
    for name in ("one", "two"):
        save_animation(frames(), tmp_path / f"{name}.{kind}", fps=20, hold_s=0.5)
    assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"two.{kind}").read_bytes()
    found = []
    if kind == "gif":
        with Image.open(tmp_path / "one.gif") as image:
            seconds = 0.0
            for number in range(image.n_frames):
                image.seek(number)
                seconds += image.info["duration"] / 1000
                found.append(np.asarray(image.convert("RGB")))
        assert seconds == pytest.approx((8 - 2 + 2 * 10) / 20)
        assert image.info["loop"] == 0
        shape = (45, 63, 3)
    else:
        video = cv2.VideoCapture(str(tmp_path / "one.mp4"))
        while (read := video.read())[0]:
            found.append(read[1][..., ::-1])
        assert len(found) == 8 - 2 + 2 * 10 and video.get(cv2.CAP_PROP_FPS) == 20
        shape = (44, 62, 3)  # even sides
    assert found[0].shape == shape
    for mine, stored in ((frames()[0], found[0]), (frames()[-1], found[-1])):
        assert np.abs(mine[: shape[0], : shape[1]].astype(int) - stored).mean() < 10


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    for path, shown in ((tmp_path / "a.avi", frames(4)), (tmp_path / "a.gif", [])):
        with pytest.raises(InputError, match="^animation: expected frames for a .gif or .mp4"):
            save_animation(shown, path)
    assert not list(tmp_path.iterdir())
