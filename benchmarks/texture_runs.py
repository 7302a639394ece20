"""Runs of the texture benchmark: trajectories, bursts for timing, peaks of memory."""

from __future__ import annotations

import ast
import hashlib
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from measuring import peak_memory_bytes  # noqa: E402
from yardstick import METHODS, plain_transfer  # noqa: E402

from geostyle.coords import resize, size_of  # noqa: E402
from geostyle.features.extractor import FeatureExtractor, load_features  # noqa: E402
from geostyle.io.images import fit_size, load_picture, save_picture  # noqa: E402
from geostyle.pipeline import Pipeline, TransferSettings  # noqa: E402
from geostyle.texture import Progress, TextureSettings, schedule, score, style_size  # noqa: E402
from geostyle.texture.objective import TextureObjective  # noqa: E402
from geostyle.texture.schedule import finishing_steps  # noqa: E402

LIBRARY = ROOT / "geostyle"
SCORE_EVERY = 10  # evaluations of the yardstick
# Code that can change a trajectory; the pictures are hashed as loaded.
PLAIN_CODE = [
    ROOT / "benchmarks/yardstick.py",
    *sorted((LIBRARY / "features").glob("*.py")),
    *(LIBRARY / "texture" / f"{name}.py" for name in ("objective", "losses", "tiles", "score")),
]
OUR_CODE = [
    *sorted((LIBRARY / "texture").glob("*.py")),
    *sorted((LIBRARY / "features").glob("*.py")),
    *sorted((LIBRARY / "pipeline").glob("*.py")),
    LIBRARY / "coords.py",
]


@dataclass(frozen=True)
class Task:
    """One picture to repaint.

    Attributes:
        content: (1, 3, H, W), sRGB in [0, 1].
        style: (1, 3, h, w), as loaded.
        scaled: the same, at the scale of the scorer.
    """

    content: Tensor
    style: Tensor
    scaled: Tensor

    @classmethod
    def load(cls, content_path: Path, style_path: Path, size_px: int) -> Task:
        """Read a pair for a result of `size_px`."""
        picture = load_picture(content_path, name="content")
        content = resize(picture.tensor, fit_size(picture.size, size_px)).clamp(0, 1)
        style = load_picture(style_path, name="style").tensor
        scaled = resize(style, style_size(style, size_of(content), 1.0))
        return cls(content, style, scaled.clamp(0, 1))

    def to(self, device: str) -> Task:
        """The same on another device."""
        return Task(*(t.to(device) for t in (self.content, self.style, self.scaled)))

    def fingerprint(self) -> str:
        """A hash of the pictures as they are used."""
        return _digest(*(t.contiguous().numpy().tobytes() for t in (self.content, self.scaled)))


class Contenders:
    """The networks of a benchmark, loaded when they are first needed.

    Args:
        weights: VGG-19 weights file; None: `lite` is the scorer, and the yardstick's network.
        texture: settings of our texture stage.
        evaluations: number of loss evaluations of the yardstick.
        every: steps of ours between two scorings at the full size.
        precisions: by features, as resolved before; others are resolved from "auto".
        device: of everything.
    """

    def __init__(
        self,
        weights: Path | None,
        texture: TextureSettings,
        evaluations: int,
        every: int,
        precisions: dict[str, str],
        device: str = "cpu",
    ) -> None:
        self.weights, self.texture, self.evaluations = weights, texture, evaluations
        self.every, self.precisions, self.device = every, precisions, device
        self.scorer_name = "lite" if weights is None else "vgg19"
        self._plain: FeatureExtractor | None = None
        self._ours: dict[str, Pipeline] = {}

    @property
    def plain(self) -> FeatureExtractor:
        """The scorer: float32, contiguous."""
        if self._plain is None:
            self._plain = load_features(
                self.scorer_name, weights=self.weights, device=self.device, channels_last=False
            )
        return self._plain

    def ours(self, features: str) -> Pipeline:
        """The main job's pipeline, in the precision its default resolves to."""
        if features not in self._ours:
            settings = TransferSettings(
                painter="gram",
                features=features,
                weights=self.weights if "vgg19" in features else None,
                precision=self.precisions.get(features, "auto"),
                device=self.device,
                texture=self.texture,
            )
            pipe = Pipeline(settings)
            self.precisions[features] = pipe.networks(geometry=False).precision
            self._ours[features] = pipe
        return self._ours[features]

    def precision(self, features: str) -> str:
        """What the default precision resolves to here."""
        return self.ours(features).networks(geometry=False).precision

    def fingerprint(self, name: str) -> dict[str, Any]:
        """Settings, weights and code that determine the trajectory of contender `name`."""
        weights = None if self.weights is None else _digest(self.weights.read_bytes())
        same = {"weights": weights}
        if "lite" in name or weights is None:
            same["lite"] = _digest((LIBRARY / "assets/lite.safetensors").read_bytes())
        if name in METHODS:
            return {**same, "code": _code(PLAIN_CODE), "evaluations": self.evaluations}
        settings = {"texture": repr(self.texture), "precision": self.precision(name)}
        return {**same, "code": _code(OUR_CODE), **settings}

    def trajectory(self, name: str, task: Task, picture: Path | None = None) -> dict[str, Any]:
        """Scores of contender `name` during its run, and of its result.

        Args:
            name, task: the contender and the pair.
            picture: file for the result, if any.

        Returns: "levels" (size, network, steps); "points" (level, steps done there, total, seconds
            without scoring); "final" figures of the result; for the yardstick its last "loss", the
            total of its picture before clamping.
        """
        task = task.to(self.device)
        objective = TextureObjective(self.plain, [task.scaled], task.content)
        if name in METHODS:
            image, seen, scored = plain_transfer(
                task.content, task.scaled, self.plain, METHODS[name], self.evaluations, SCORE_EVERY
            )
            start = score(task.content, task.content, task.scaled, self.plain).total
            if abs(seen[0][0] - start) > 1e-4 * start:
                raise AssertionError(f"the yardstick's loss is {seen[0][0]}, the score {start}")
            size = [*task.content.shape[-2:]]
            levels = [{"size": size, "network": self.scorer_name, "steps": len(seen)}]
            points: list[list[Any]] = [[0, *values] for values in scored]
            loss = seen[-1][0]
        else:
            image, levels, points = self._watched(name, task, objective)
            loss = None
        image = image.to(self.device)
        if picture is not None:
            save_picture(image, picture)
        final = score(image, task.content, task.scaled, self.plain)
        figures = {key: getattr(final, key) for key in ("total", "style", "content")}
        points[-1][2] = final.total
        return {"levels": levels, "points": points, "final": figures, "loss": loss}

    def _watched(
        self, name: str, task: Task, objective: TextureObjective
    ) -> tuple[Tensor, list[dict[str, Any]], list[list[Any]]]:
        pipe, full = self.ours(name), size_of(task.content)
        levels = schedule(full, pipe.networks(geometry=False).texture, pipe.settings.texture)
        points: list[list[Any]] = []
        best: list[Any] = [-1, 0.0, None]  # level, its lowest loss, that picture
        scoring, started = 0.0, time.perf_counter()

        @torch.no_grad()
        def watch(p: Progress) -> None:
            nonlocal scoring
            now = time.perf_counter()
            if p.level != best[0] or p.total < best[1]:
                best[:] = [p.level, p.total, p.image]
            done = p.step + 1
            if done == p.steps or (p.size == full and done % self.every == 0):
                total, _, _ = objective(resize(best[2].to(self.device), full).clamp(0, 1))
                points.append([p.level, done, float(total), now - started - scoring])
            scoring += time.perf_counter() - now

        result = pipe.painting(task.content, [task.style]).run(watch)
        told = [{"size": [*v.size], "network": v.network.name, "steps": v.steps} for v in levels]
        return result.image, told, points

    def bursts(self, names: Sequence[str], task: Task, steps: int) -> dict[str, Any]:
        """`burst` of several contenders, one after another."""
        return {name: self.burst(name, task, steps) for name in names}

    def burst(self, name: str, task: Task, steps: int) -> list[dict[str, float]]:
        """Seconds of each level's preparation and of one of its steps, from a few steps of each.

        The yardstick counts its steps alone. L-BFGS has stored few pairs of vectors after so few
        steps, which favors the yardstick, which stores a hundred, more than ours.
        """
        if name in METHODS:
            _, seen, _ = plain_transfer(
                task.content, task.scaled, self.plain, METHODS[name], steps + 1
            )
            return [{"setup_s": 0.0, "step_s": _median_gap([seconds for _, seconds in seen])}]
        pipe = self.ours(name)
        texture = pipe.settings.texture
        finishing = finishing_steps(texture, len(pipe.networks(geometry=False).texture))
        counts = [
            2 * steps if 0 < last < all_ else steps
            for last, all_ in zip(finishing, texture.iterations, strict=True)
        ]
        short = replace(
            texture,
            iterations=tuple(counts),
            finish=tuple(steps if last else 0 for last in finishing),
        )
        stamps: dict[int, list[float]] = {}
        before = time.perf_counter()
        pipe.painting(task.content, [task.style], settings=short).run(
            lambda p: stamps.setdefault(p.level, []).append(time.perf_counter())
        )
        found = []
        for _, times in sorted(stamps.items()):
            step_s = _median_gap(times)
            found.append({"setup_s": max(0.0, times[0] - before - step_s), "step_s": step_s})
            before = times[-1]
        return found

    def peak_gb(self, name: str, task: Task, steps: int) -> float:
        """Peak memory of this process after a few steps of contender `name`."""
        self.burst(name, task, steps)
        return peak_memory_bytes() / 1e9


def _median_gap(stamps: Sequence[float]) -> float:
    return statistics.median(b - a for a, b in zip(stamps, stamps[1:], strict=False))


def _code(paths: Sequence[Path]) -> str:
    """A hash of source files that comments and docstrings do not change."""
    digests = []
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            documented = ast.Module, ast.ClassDef, ast.FunctionDef
            if isinstance(node, documented) and ast.get_docstring(node) is not None:
                node.body = node.body[1:]
        digests.append(ast.dump(tree).encode())
    return _digest(*digests)


def _digest(*parts: bytes) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(hashlib.sha256(part).digest())
    return found.hexdigest()[:16]
