"""Distillation of VGG-19 into the bundled network `lite`.

1. The student starts from the teacher, in closed form (`student.py`).
2. Features and Gram matrices of every layer are regressed, relative to the teacher's own energy.
3. It is trained on the pictures that optimization visits: a pool of pictures is optimized on the
   student's own texture loss during training and fed back as training data, so that the student
   unlearns what lowers its loss but not the teacher's.

Source: the linear maps follow Wang et al., "Collaborative Distillation for Ultra-Resolution
    Universal Style Transfer", CVPR 2020, section 3.2.
Differs: inner products instead of a decoder's reconstruction; the maps become taps of the network
    instead of being dropped; the start and the pool.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geostyle.data.crops import CropSource
from geostyle.device import resolve_device, resolve_precision
from geostyle.distributed import ALONE, Processes
from geostyle.errors import InputError
from geostyle.features.extractor import load_features
from geostyle.io.checkpoint import load_checkpoint, save_checkpoint
from geostyle.io.images import is_validation, list_pictures
from geostyle.io.runs import RunFolder
from geostyle.texture.memory import check_descent_fits
from geostyle.texture.settings import OptimizerSettings
from geostyle.training.learner import Learner
from geostyle.training.settings import DistillSettings
from geostyle.training.student import (
    GRAM_LAYERS,
    Student,
    distillation_loss,
    feature_moments,
    initialize_from_teacher,
    relative_errors,
    teacher_targets,
)

# Crops beside those of training: their indices are far from those that training reads.
POOL_INDEX, START_INDEX, CALIBRATION_INDEX = 10**9, 2 * 10**9, 3 * 10**9
# Pictures of the pool are optimized by Adam, and leave it after RESTART steps on average.
POOL_LR = 0.02
POOL_BETAS = (0.9, 0.99)
RESTART = 80
MAPS_EVERY = 4  # steps between two solutions of the linear maps


class OnPolicyPool:
    """Pictures that are optimized, from a crop or noise, to the texture of another crop.

    Each is optimized by Adam on the student's own style and content loss, as texture transfer
    would do it, so the student is trained on the results of its own errors.

    Args:
        source: of the crops.
        size: number of pictures.
    """

    TENSORS = ("pictures", "contents", "styles", "first", "second", "taken")

    def __init__(self, source: CropSource, size: int, device: torch.device) -> None:
        self.source, self.size, self.device = source, size, device
        self.pictures = torch.empty(size, 3, source.crop_px, source.crop_px, device=device)
        self.contents, self.styles = (torch.empty_like(self.pictures) for _ in range(2))
        self.first, self.second = (torch.zeros_like(self.pictures) for _ in range(2))
        self.taken = torch.zeros(size, device=device)
        for i in range(size):
            self.restart(i, i)

    def restart(self, slot: int, draw: int) -> None:
        """Put a new picture and texture in `slot`; `draw` numbers the crops used."""
        rng = np.random.default_rng((self.source.seed, 77, draw))
        first = POOL_INDEX + 2 * draw
        self.contents[slot] = self.pictures[slot] = self.source.crop(first).to(self.device)
        if rng.random() < 0.3:
            noise = torch.from_numpy(rng.random(self.pictures[slot].shape, dtype=np.float32))
            self.pictures[slot] = noise.to(self.device)
        self.styles[slot] = self.source.crop(first + 1).to(self.device)
        self.first[slot] = self.second[slot] = self.taken[slot] = 0

    def advance(self, student: Student, slots: Tensor) -> None:
        """Take one step with pictures `slots` on the student's style loss + 0.1 · content loss."""
        picture = self.pictures[slots].requires_grad_(True)
        with torch.no_grad():
            style_target, _ = student.mapped(self.styles[slots])
            _, content_target = student.mapped(self.contents[slots])
        style, content = student.mapped(picture)
        errors = [
            relative_errors(g, a).clamp(max=10).sum()
            for g, a in zip(style, style_target, strict=True)
        ]
        loss = torch.stack(errors).mean() + 0.1 * relative_errors(content, content_target).sum()
        (grad,) = torch.autograd.grad(loss, picture)
        # A step of Adam with moments and a count of steps for each picture.
        beta1, beta2 = POOL_BETAS
        taken = self.taken[slots] + 1
        first = self.first[slots].lerp(grad, 1 - beta1)
        second = self.second[slots].lerp(grad.square(), 1 - beta2)
        unbiased = first / (1 - beta1**taken).view(-1, 1, 1, 1)
        scale = (second / (1 - beta2**taken).view(-1, 1, 1, 1)).sqrt().clamp_min(1e-12)
        stepped = (picture.detach() - POOL_LR * unbiased / scale).clamp(0, 1)
        self.pictures[slots], self.taken[slots] = stepped, taken
        self.first[slots], self.second[slots] = first, second

    def state(self) -> dict[str, Tensor]:
        """Return all tensors by name."""
        return {f"pool.{name}": getattr(self, name) for name in self.TENSORS}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned."""
        for name in self.TENSORS:
            setattr(self, name, state[f"pool.{name}"].to(self.device))


class DistillLearner(Learner):
    """A student of VGG-19 in training.

    Args:
        settings: see `DistillSettings`.

    `prepare` comes before the first step.

    Raises: InputError where there are no pictures or no weights of the teacher.
    """

    state_kind = "distill-state"
    free = (*Learner.free, "validate_every", "teacher_weights", "device")
    validates_start = True
    plotted = tuple(f"val_{layer}" for layer in GRAM_LAYERS)

    def __init__(self, settings: DistillSettings, processes: Processes = ALONE) -> None:
        self.device = resolve_device(settings.device)
        torch.manual_seed(settings.seed)
        train, self.held_out = split_pictures(settings.images)
        self.source = CropSource(train, settings.crop_px, settings.seed)
        dtype = resolve_precision(settings.precision, self.device)
        weights = settings.teacher_weights
        self.exact = self.teacher = load_features("vgg19", weights=weights, device=self.device)
        crop, most = (settings.crop_px,) * 2, max(settings.batch, settings.init_crops)
        check_descent_fits(self.exact, crop, OptimizerSettings(optimizer="adam"), most)
        if dtype != torch.float32:
            self.teacher = load_features("vgg19", weights=weights, device=self.device, dtype=dtype)
        self.student = Student(settings.channels, dtype).to(self.device)
        network = self.student.network
        network.convs.to(memory_format=torch.channels_last)
        self.layers = network.layer_names
        # Shallow pools repeat the layer before; they are calibrated at the end.
        self.trained = [k for k in self.layers if k.startswith("relu") or k == "pool4"]
        adam = torch.optim.Adam(network.parameters(), lr=settings.lr, betas=(0.9, 0.99))
        super().__init__(settings, network, adam, processes, ramp=(0, 20))

    def prepare(self) -> None:
        """Compute the closed-form start, the pool and what validation compares with."""
        settings = self.settings
        crops = self.source.batch(START_INDEX, settings.init_crops).to(self.device)
        with torch.no_grad():
            features = self.exact(crops, self.layers)
            self.scales = {k: float(v.pow(2).mean().sqrt()) for k, v in features.items()}
        if settings.start is None:
            initialize_from_teacher(self.student, self.exact, crops, self.scales)
        else:
            self.begin_from(settings.start, crops, features)
        self.start_average()
        self.pool = OnPolicyPool(self.source, settings.pool, self.device)
        if self.held_out:
            self.val_crops = CropSource(self.held_out, settings.crop_px, 1).batch(0, 16)

    @torch.no_grad()
    def begin_from(self, start: Path, crops: Tensor, features: dict[str, Tensor]) -> None:
        """Copy an earlier student's convolutions; solve for its maps on `crops`."""
        tensors, about = load_checkpoint(start, kind="features", name="start")
        expected, got = list(self.settings.channels), about.get("channels")
        if got != expected:
            raise InputError(f"start: expected a network of channels {expected}, got {got}")
        convs = {k.removeprefix("convs."): v for k, v in tensors.items() if k.startswith("convs.")}
        self.student.network.convs.load_state_dict(convs)
        for first in range(0, len(crops), 8):
            part = slice(first, first + 8)
            for layer, f_s in self.student.features(crops[part], self.layers).items():
                moments = feature_moments(f_s, features[layer][part] / self.scales[layer])
                self.student.update_map(layer, *moments, decay=first / (first + 8))

    def read(self, step: int) -> Tensor:
        """Return the crops of a step that do not come from the pool."""
        batch = self.settings.batch
        return self.source.batch(step * batch, batch - min(self.settings.on_policy, batch))

    def loss(self, batch: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Advance the pool; return the loss of crops and pool pictures, and the errors by layer."""
        settings, step, crops = self.settings, self.step, batch.to(self.device)
        rng = np.random.default_rng((settings.seed, 5, step))
        if settings.on_policy:
            count = min(settings.on_policy, settings.batch)
            slots = torch.from_numpy(rng.choice(settings.pool, count, replace=False))
            slots = slots.to(self.device)
            self.pool.advance(self.student, slots)
            crops = torch.cat([crops, self.pool.pictures[slots]])
            for slot in slots.tolist():
                if rng.random() < 1 / RESTART:
                    self.pool.restart(slot, settings.pool + step * settings.pool + slot)
        loss, errors = distillation_loss(
            self.student,
            crops,
            teacher_targets(self.teacher, crops, self.trained, self.scales),
            gram_weight=settings.gram_weight,
            match_weight=settings.match_weight,
            decay=0.98,
            solve=step % MAPS_EVERY == 0,
        )
        return loss, {k: float(v) for k, v in errors.items()}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Validate on held-out crops: the student, after the last step as it is written."""
        self.validated = student = self.finished() if self.done else self.student
        if not self.held_out:
            return {}
        crops = self.val_crops.to(self.device)
        targets = teacher_targets(self.exact, crops, self.layers, self.scales)
        _, errors = distillation_loss(student, crops, targets, gram_weight=1.0, match_weight=1.0)
        # None of these crops comes from the pool.
        return {f"val_{k}": float(v) for k, v in errors.items() if not k.startswith("pool_gram")}

    @torch.no_grad()
    def finished(self) -> Student:
        """Return the student with averaged weights, its maps solved for on fresh crops."""
        student = copy.deepcopy(self.student)
        student.network.load_state_dict(self.average)
        student.moments = {}
        for n, first in enumerate(range(0, self.settings.calibration_crops, 8)):
            crops = self.source.batch(CALIBRATION_INDEX + first, 8).to(self.device)
            features = student.features(crops, self.layers)
            targets = teacher_targets(self.teacher, crops, self.layers, self.scales)
            for layer, f_s in features.items():
                moments = feature_moments(f_s, targets[layer])
                student.update_map(layer, *moments, decay=n / (n + 1))
        return student

    def save_files(self, run: RunFolder) -> None:
        """Write the validated network after the last step."""
        if self.done:
            about: dict[str, Any] = {"channels": list(self.settings.channels), "teacher": "vgg19"}
            about |= {"steps": self.step, "seed": self.settings.seed}
            tensors = self.validated.export()
            save_checkpoint(Path(self.settings.output), tensors, about, kind="features")

    def summary(self, run: RunFolder) -> list[str]:
        return [f"network: {self.settings.output}"]

    def progress(self) -> dict[str, Any]:
        return {"scales": self.scales}

    def extra(self) -> dict[str, Tensor]:
        return self.student.state() | self.pool.state()

    def restore(self, extra: dict[str, Tensor], stored: dict[str, Any]) -> None:
        self.scales = stored["scales"]
        self.student.restore(extra)
        self.pool.restore(extra)


def split_pictures(folders: tuple[str, ...]) -> tuple[list[Path], list[Path]]:
    """Return the (training, validation) pictures of all folders, split by a hash of their names."""
    paths = [p for folder in folders for p in list_pictures(Path(folder), recursive=True)]
    return [p for p in paths if not is_validation(p)], [p for p in paths if is_validation(p)]
