"""A painting in the worker: frames as it grows, and what is known of it when it is done."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from geostyle.coords import resize, size_of
from geostyle.io.files import make_folder, write_bytes
from geostyle.io.images import fit_size, to_pil
from geostyle.studio.quick import points_file, theta_file
from geostyle.studio.remembering import RememberingPipeline

if TYPE_CHECKING:
    from geostyle.pipeline import GeometryResult, TransferResult
    from geostyle.studio.worker import Message, Worker
    from geostyle.texture import Progress

FRAME_PX = 1024  # longest side of a frame that is sent
KEPT_PX, KEPT_FRAMES = 480, 48  # of the frames that a GIF is made of
SHORTEST_GAP_S = 0.08  # between two frames
THUMB_PX = 320


class Painting:
    """One task of the worker's main thread, and the watcher of its transfer.

    Args:
        worker: that paints.
        message: of the server: `given`, the settings by name; or `run`, the folder to go on with.
    """

    def __init__(self, worker: Worker, message: Message) -> None:
        self.worker, self.message, self.number = worker, message, message["id"]
        self.started = time.monotonic()
        self.sent, self.shown, self.kept, self.done = 0.0, 0, -1.0, 0
        self.loss: float | None = None
        self.first: float | None = None
        self.picture: TransferResult | None = None

    def run(self) -> tuple[dict[str, Any], bytes | None]:
        """Paint; what there is to know of it, and its small picture."""
        message = self.message
        prepare = message["task"] == "prepare"
        given: Any = Path(message["run"]) if message["task"] == "resume" else self.settings()
        folder = self.worker.transfer(given, self, RememberingPipeline, prepare=prepare)
        if folder is None or self.picture is None:
            return {}, None
        result = self.picture
        height, width = size_of(result.tensor)
        return {
            "run": folder.name,
            "stopped": result.interrupted,
            "width": width,
            "height": height,
            "loss": self.loss,
            "seconds": time.monotonic() - self.started,
        }, jpeg(result.tensor, THUMB_PX, 88)

    def settings(self) -> dict[str, Any]:
        """The settings by name, with a warp or points in files."""
        given = dict(self.message["given"])
        folder = Path(self.message["folder"])
        if "theta" in given:
            given["theta"] = theta_file(given["theta"], folder)
        if "points" in given:
            given["points"] = points_file(given["points"], folder)
        return given

    def stop(self) -> bool:
        """Return True once the visitor has stopped this painting."""
        return self.number in self.worker.stopped

    def geometry(self, geometry: GeometryResult, run: Path) -> None:
        """Tell the run folder, and show the warped content."""
        size = size_of(geometry.tensor)
        what = {"what": "begun", "run": run.name, "height": size[0], "width": size[1]}
        self.worker.send(self.number, "event", what, jpeg(geometry.tensor, FRAME_PX, 85))

    def step(self, progress: Progress) -> None:
        """Send a frame now and then, keep a few, and make way for quick tasks."""
        now = time.monotonic()
        self.loss, self.done = progress.total, self.done + 1
        if self.first is None:
            self.first = now
        if now - self.sent >= SHORTEST_GAP_S or progress.step == 0:
            self.sent, self.shown = now, self.shown + 1
            self.worker.send(
                self.number,
                "event",
                {
                    "what": "frame",
                    "level": progress.level,
                    "levels": progress.levels,
                    "done": self.done,
                    "steps": progress.all_steps,
                    "loss": progress.total,
                    "seconds": now - self.started,
                },
                jpeg(progress.image, FRAME_PX, 85),
            )
        share = self.done / max(1, progress.all_steps)
        if share - self.kept >= 1 / KEPT_FRAMES:
            self.kept = share
            self.keep(progress.image)
        self.worker.pause()

    def keep(self, image: Tensor) -> None:
        """Keep a small picture for the animation."""
        folder = Path(self.message["frames"])
        make_folder(folder)
        count = len(list(folder.glob("*.jpg")))
        write_bytes(folder / f"{count:04d}.jpg", jpeg(image, KEPT_PX, 90))

    def result(self, result: TransferResult) -> None:
        """Show the finished picture before its files are written."""
        self.picture = result
        what = {"what": "painted", "stopped": result.interrupted}
        self.worker.send(self.number, "event", what, jpeg(result.tensor, 2 * FRAME_PX, 93))


def jpeg(image: Tensor, size_px: int, quality: int) -> bytes:
    """A picture (1, 3, H, W) as JPEG, its long side at most `size_px`."""
    image = image.detach().clamp(0, 1)
    if max(size_of(image)) > size_px:
        image = resize(image, fit_size(size_of(image), size_px), "bilinear").clamp(0, 1)
    data = io.BytesIO()
    to_pil(image.cpu()).save(data, "JPEG", quality=quality, subsampling=0)
    return data.getvalue()
