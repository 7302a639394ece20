"""Quick tasks of the worker: reading pictures, matching, sketches, and files for download."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from geostyle import config
from geostyle.coords import resize, size_of
from geostyle.errors import InputError
from geostyle.feedforward.fast_network import FastNetwork, repaint
from geostyle.feedforward.files import FAST, fast_network_of, load_network
from geostyle.io.files import write_json
from geostyle.io.images import as_mask, fit_size, load_picture, save_picture, to_uint8
from geostyle.io.runs import RunFolder
from geostyle.matching import Correspondences, Estimate
from geostyle.pipeline import TransferSettings, as_guide
from geostyle.report.animation import save_animation
from geostyle.studio.remembering import Memory, RememberingPipeline
from geostyle.warps import WarpParameters

SHOWN_PX, THUMB_PX, SKETCH_PX, FAST_SKETCH_PX = 1600, 240, 160, 384
SUFFIXES = {
    "JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif", "WEBP": ".webp", "BMP": ".bmp", "GIF": ".gif",
    "PPM": ".ppm", "JPEG2000": ".jp2", "AVIF": ".avif",
}  # fmt: skip
# Dials that a fast style network cannot follow.
DIALS = ("tex_strength", "tex_scale", "content_weight", "guidance")
# A sketch shows colors and strokes, not detail.
SKETCH = {"iterations": (16, 14), "split": 0, "turns": 1, "border_px": 0, "step_size": 0.02}
Message = dict[str, Any]
Answer = tuple[Message, bytes | None]


class Quick:
    """The quick tasks by name; each takes a message and returns an answer and perhaps data.

    Args: superseded, whether a later task makes this one useless.
    """

    def __init__(self, superseded: Callable[[Message], bool]) -> None:
        self.superseded = superseded
        self._pictures, self._networks = Memory(4), Memory(2)

    def picture(self, message: Message) -> Answer:
        """Read a picture that was given, and write it as the page shows it."""
        path, name = Path(message["path"]), message["name"]
        picture = load_picture(
            path, name="picture", max_pixels=message["max_pixels"], keeps_alpha=True
        )
        size = picture.size
        for kind, size_px in (("shown", SHOWN_PX), ("thumb", THUMB_PX)):
            small = resize(picture.tensor, fit_size(size, min(size_px, max(size)))).clamp(0, 1)
            save_picture(small, path.with_name(f"{name}.{kind}.jpg"), quality=90)
        kept = path.with_name(name + _suffix_of(path))
        path.rename(kept)
        return {
            "file": kept.name,
            "shown": f"{name}.shown.jpg",
            "thumb": f"{name}.thumb.jpg",
            "width": size[1],
            "height": size[0],
        }, None

    def mask(self, message: Message) -> Answer:
        """Read a mask that was drawn."""
        path, name = Path(message["path"]), message["name"]
        mask = as_mask(load_picture(path, name="mask", max_pixels=message["max_pixels"]))
        kept = path.with_name(f"{name}.png")
        path.rename(kept)
        height, width = size_of(mask)
        covered = float(mask.mean())
        files = {"file": kept.name, "shown": kept.name, "thumb": kept.name}
        return {**files, "width": width, "height": height, "covered": covered}, None

    def match(self, message: Message) -> Answer:
        """The warp between two pictures."""
        pipe, content, geo_style, guide = self._pair(message)
        estimate = pipe.estimate(content, geo_style, guide)
        return described(estimate), None

    def candidates(self, message: Message) -> Answer:
        """Distinct warps between two pictures."""
        pipe, content, geo_style, guide = self._pair(message)
        if geo_style is None or pipe.settings.geometry.geometry == "none":
            return {"candidates": []}, None
        found = pipe.candidates(content, geo_style, guide, message["count"])
        return {
            "candidates": [{"label": one.label, **described(one.estimate)} for one in found]
        }, None

    def sketch(self, message: Message) -> Answer:
        """A small painting in few steps, as the sliders stand; in one pass where that is enough."""
        from geostyle.studio.painting import jpeg

        given = dict(message["given"])
        folder = Path(message["folder"])
        theta = theta_file(given.pop("theta"), folder) if "theta" in given else None
        pictures = {key: given.pop(key, None) for key in ("content", "geo_style", "tex_style")}
        masks = {key: given.pop(key, None) for key in ("content_mask", "geo_mask", "tex_mask")}
        points = given.pop("points", None)
        given.pop("output", None)
        given.pop("format", None)
        settings = config.resolve(TransferSettings, None, given)
        network = None if masks["tex_mask"] else self._fast(pictures["tex_style"], settings, given)
        changes = SKETCH if settings.painter == "matched" else {"iterations": (16, 14)}
        settings = config.resolve(TransferSettings, None, {**given, **changes})
        size_px = SKETCH_PX if network is None else FAST_SKETCH_PX
        pipe = RememberingPipeline(replace(settings, size_px=size_px))
        result = pipe(
            self._read(pictures["content"]),
            geo_style=None if theta else self._maybe(pictures["geo_style"]),
            tex_style=[self._read(path) for path in pictures["tex_style"] or ()],
            tex_mask=[as_mask(self._read(path)) for path in masks["tex_mask"] or ()],
            content_mask=self._maybe(masks["content_mask"]),
            geo_mask=self._maybe(masks["geo_mask"]),
            points=None if points is None else Correspondences(**points),
            theta=theta,
            paint=network is None,
            cancel=lambda: self.superseded(message),
        )
        painted = result.tensor if network is None else repaint(network, result.tensor, seed=0)
        height, width = size_of(painted)
        return {"width": width, "height": height}, jpeg(painted, size_px, 90)

    def _fast(
        self, styles: list[str] | None, settings: TransferSettings, given: Message
    ) -> FastNetwork | None:
        """Return the fast network of the one style, where no setting asks for more than it does."""
        plain = settings.painter == "matched" and settings.preserve_color == "off"
        if not styles or len(styles) > 1 or not plain or any(name in given for name in DIALS):
            return None
        network = fast_network_of(Path(styles[0]))
        if network is None:
            return None
        return self._networks.recall(network, lambda: load_network(network, FAST)[0])

    def animation(self, message: Message) -> Answer:
        """The GIF of a painting as it grew."""
        frames = sorted(Path(message["frames"]).glob("*.jpg"))
        last = load_picture(Path(message["result"]), name="result", keeps_alpha=True).tensor
        size = fit_size(size_of(last), min(message["size_px"], max(size_of(last))))
        pictures = [load_picture(path, name="frame", min_side_px=1).tensor for path in frames]
        shown = [to_uint8(resize(picture, size)) for picture in (*pictures, last)]
        save_animation(shown, Path(message["out"]), fps=12)
        return {}, None

    def tiff(self, message: Message) -> Answer:
        """A result as TIFF, with its bits and its transparency."""
        picture = load_picture(Path(message["result"]), name="result", keeps_alpha=True)
        save_picture(picture, Path(message["out"]), bit_depth=picture.bit_depth, icc=picture.icc)
        return {}, None

    def keep(self, message: Message) -> Answer:
        """Copy a run folder to where results are kept."""
        run = RunFolder.create(message["output"], "transfer")
        left_out = shutil.ignore_patterns(".lock", ".unfinished")
        shutil.copytree(message["run"], run.path, ignore=left_out, dirs_exist_ok=True)
        return {"folder": str(run.path)}, None

    def _pair(self, message: Message) -> tuple[RememberingPipeline, Tensor, Tensor | None, Any]:
        settings = config.resolve(TransferSettings, None, message["settings"])
        points = message.get("points")
        guide = as_guide(
            self._maybe(message.get("content_mask")),
            self._maybe(message.get("geo_mask")),
            None if points is None else Correspondences(**points),
        )
        geo_style = message.get("geo_style")
        if geo_style is None and points is None:
            raise InputError("geo_style: expected a picture or pins, got neither")
        style = None if geo_style is None else self._read(geo_style)
        return RememberingPipeline(settings), self._read(message["content"]), style, guide

    def _read(self, path: str) -> Tensor:
        return self._pictures.recall(
            path, lambda: load_picture(Path(path), name="picture", keeps_alpha=True).tensor
        )

    def _maybe(self, path: str | None) -> Tensor | None:
        return None if path is None else self._read(path)


def described(estimate: Estimate) -> Message:
    """An estimate as JSON types."""
    warp = estimate.parameters
    return {
        "family": warp.family,
        "lattice": warp.lattice,
        "theta": warp.theta.tolist(),
        "output_size": list(warp.output_size),
        "content_size": list(warp.content_size),
        "mirrored": warp.mirrored,
        "confidence": estimate.confidence,
        "message": estimate.message,
    }


def theta_file(given: Message, folder: Path) -> Path:
    """Write a warp that the page has sent to a file; return its path.

    Raises: InputError where it is none.
    """
    try:
        warp = WarpParameters(
            family=str(given["family"]),
            lattice=int(given["lattice"]),
            theta=torch.tensor([float(v) for v in given["theta"]]),
            output_size=tuple(given["output_size"]),
            content_size=tuple(given["content_size"]),
            confidence=given.get("confidence"),
            mirrored=bool(given.get("mirrored", False)),
            meta={"edited": True} if given.get("edited") else {},
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"theta: expected a warp, got another thing ({error})"[:300]) from None
    path = folder / f"{secrets.token_urlsafe(9)}.theta.json"
    warp.save(path)
    return path


def points_file(given: Message, folder: Path) -> Path:
    """Write correspondences that the page has sent to a file; return its path."""
    content: Any = given.get("content")
    geo_style: Any = given.get("geo_style")
    points = Correspondences(content, geo_style)
    path = folder / f"{secrets.token_urlsafe(9)}.points.json"
    write_json(path, {"content": points.content, "geo_style": points.geo_style})
    return path


def _suffix_of(path: Path) -> str:
    """The suffix of a picture file's format."""
    try:
        with Image.open(path) as image:
            return SUFFIXES.get(image.format or "", ".tif")
    except Exception:  # read by another decoder than Pillow's, which reads TIFF alone
        return ".tif"
