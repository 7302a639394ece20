"""Distillation of VGG-19 into the bundled network `lite`.

Gram matrices and correlation tensors see features only through inner products between positions. So
the student need not imitate the teacher's channels: it is enough that a linear map M of its
features imitates the teacher's, f_t ≈ M f_s, and then to keep any L with LᵀL = MᵀM (here from the
singular value decomposition of M) as the layer's tap: ⟨L f_i, L f_j⟩ = ⟨M f_i, M f_j⟩ ≈ ⟨t_i, t_j⟩,
at the student's own width.

Three ideas carry the training:

1. *Start from the teacher.* Each student convolution is the teacher's, cut to a spanning subset of
its channels
   (column-pivoted QR on activations) and composed with the least-squares map from student to
   teacher features.
2. *Regress features and Gram matrices* at every layer, relative to the teacher's own energy.
3. *Train where optimization goes.* A pool of pictures is optimized against the student's own
texture loss while the
   student trains, and is fed back as training data: what fools the student but not the teacher is
       unlearned.

Source: the linear maps follow Wang et al., "Collaborative Distillation for Ultra-Resolution
Universal Style
    Transfer", CVPR 2020, section 3.2.
Differs: inner products instead of a decoder's reconstruction; the maps are folded into taps instead
of dropped;
    ideas 1 and 3.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geostyle.config import check, setting, to_dict
from geostyle.data.crops import CropSource, ReadAhead
from geostyle.device import resolve_device, resolve_precision
from geostyle.features.extractor import FeatureExtractor, load_features
from geostyle.io.checkpoint import save_checkpoint
from geostyle.io.images import is_validation, list_pictures
from geostyle.training.learner import Learner, schedule

STATE_KIND = "distill-state"
# These may change when a run is resumed: no weight depends on them.
FREE = ("output", "save_every", "teacher_weights", "device")
GRAM_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
# Layers that style, content and geometry read; the others only lead there, and count less.
READ_LAYERS = (*GRAM_LAYERS, "relu4_2", "pool4")
LEADING_WEIGHT = 0.3
# Pictures of the pool take steps of Adam like this, and leave it after RESTART steps on average.
POOL_LR = 0.02
POOL_BETAS = (0.9, 0.99)
RESTART = 80
MAPS_EVERY = 4  # steps between two solutions of the linear maps


@dataclass(frozen=True)
class DistillSettings:
    """Settings of a distillation run."""

    images: tuple[str, ...] = setting((), help="folders of training pictures")
    teacher_weights: str | None = setting(None, help="VGG-19 weights file (default: torchvision's)")
    output: str = setting("lite.safetensors", help="file the student is written to")
    channels: tuple[int, ...] = setting(
        (16, 40, 80, 160, 192), help="width of the five blocks, or of all 13 convolutions"
    )
    crop_px: int = setting(128, help="side of a training crop", min=32)
    batch: int = setting(8, help="crops per step", min=1)
    on_policy: int = setting(2, help="crops of a batch taken from the optimized pool", min=0)
    pool: int = setting(48, help="pictures under optimization", min=1)
    steps: int = setting(2500, help="optimizer steps", min=0)
    lr: float = setting(5e-4, help="peak learning rate", min=0.0)
    gram_weight: float = setting(
        0.3, help="weight of the Gram term beside the feature term", min=0.0
    )
    init_crops: int = setting(48, help="crops the closed-form start is computed from", min=1)
    calibration_crops: int = setting(256, help="crops the taps are solved from in the end", min=8)
    save_every: int = setting(100, help="steps between saved states", min=1)
    seed: int = setting(0, help="seed of crops and pool", min=0)
    device: str = setting("auto", help="auto, cpu, cuda or mps")
    precision: str = setting(
        "auto", choices=("auto", "float32", "bfloat16"), help="of teacher and student convolutions"
    )

    def __post_init__(self) -> None:
        check(self)


class Student(nn.Module):
    """The network under training, with its linear maps to the teacher's features.

    The maps are not trained by gradient: each is the least-squares solution on running second
        moments of
    student and teacher, so the network always sees the best map for what it is now.
    """

    def __init__(self, channels: tuple[int, ...], dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.dtype = dtype  # of its convolutions; the weights stay in float32
        self.net = FeatureExtractor("lite", channels=channels)
        self.maps: dict[str, Tensor] = {}
        self.moments: dict[str, tuple[Tensor, Tensor]] = {}

    def features(self, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """The network's features in float32, computed in the student's precision."""
        low = self.dtype != torch.float32
        with torch.autocast(image.device.type, self.dtype, enabled=low):
            return {k: v.float() for k, v in self.net(image, layers).items()}

    def mapped(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """Gram matrices of `GRAM_LAYERS` and features of relu4_2, as mapped to the teacher's."""
        features, maps = self.features(image, [*GRAM_LAYERS, "relu4_2"]), self.maps
        kept = torch.einsum("ts,bshw->bthw", maps["relu4_2"], features["relu4_2"])
        return [maps[k] @ _gram(features[k]) @ maps[k].T for k in GRAM_LAYERS], kept

    @torch.no_grad()
    def update_map(
        self, layer: str, own: Tensor, cross: Tensor, decay: float = 0.0, solve: bool = True
    ) -> None:
        """Take E[f fᵀ] (C_s, C_s) and E[t fᵀ] (C_t, C_s) into running means; solve their map."""
        if decay and layer in self.moments:
            old_own, old_cross = self.moments[layer]
            own, cross = old_own.lerp(own, 1 - decay), old_cross.lerp(cross, 1 - decay)
        self.moments[layer] = (own, cross)
        if not solve:
            return
        ridge = 1e-4 * own.diagonal().mean() * torch.eye(len(own), device=own.device)
        self.maps[layer] = torch.linalg.solve(own + ridge, cross.T).T.contiguous()

    def state(self) -> dict[str, Tensor]:
        """The maps and the moments they are solved from, by name."""
        named = {f"maps.{layer}": m for layer, m in self.maps.items()}
        for layer, (own, cross) in self.moments.items():
            named |= {f"own.{layer}": own, f"cross.{layer}": cross}
        return named

    def restore(self, named: Mapping[str, Tensor]) -> None:
        """Go back to what `state` gave."""
        parts: dict[str, dict[str, Tensor]] = {"maps": {}, "own": {}, "cross": {}}
        for name, value in named.items():
            part, _, layer = name.partition(".")
            parts.get(part, {})[layer] = value
        self.maps = parts["maps"]
        self.moments = {k: (own, parts["cross"][k]) for k, own in parts["own"].items()}

    def export(self) -> dict[str, Tensor]:
        """Tensors of the shipped network: convolutions, maps folded into taps."""
        tensors = {k: v.detach().clone() for k, v in self.net.state_dict().items()}
        for layer, m in self.maps.items():
            _, s, vh = torch.linalg.svd(m.double(), full_matrices=False)
            tensors[f"taps.{layer}.weight"] = (s[:, None] * vh).float()[:, :, None, None]
        return {k: v.contiguous().half() for k, v in tensors.items()}


def _columns(x: Tensor) -> Tensor:
    """(B, C, H, W) → (B·H·W, C) in float64."""
    return x.movedim(1, -1).reshape(-1, x.shape[1]).double()


def _moments(f_s: Tensor, f_t: Tensor) -> tuple[Tensor, Tensor]:
    """E[f_s f_sᵀ] and E[f_t f_sᵀ] over all positions of a batch."""
    s, t = (x.movedim(1, -1).reshape(-1, x.shape[1]) for x in (f_s, f_t))
    return s.T @ s / len(s), t.T @ s / len(s)


def _spanning_channels(columns: Tensor, count: int) -> list[int]:
    """Indices of the `count` channels that span `columns` best: pivoted QR on the covariance."""
    residual = (columns.T @ columns).clone()
    chosen: list[int] = []
    for _ in range(count):
        energy = residual.diagonal().clone()
        energy[chosen] = -1
        # The channel whose removal explains most of all the others.
        gain = residual.pow(2).sum(0) / residual.diagonal().clamp_min(1e-9 * energy.max())
        gain[chosen] = -1
        best = int(gain.argmax())
        chosen.append(best)
        column = residual[:, best] / residual[best, best].clamp_min(1e-12).sqrt()
        residual = residual - torch.outer(column, column)
    return sorted(chosen)


@torch.no_grad()
def initialize_from_teacher(
    student: Student, teacher: FeatureExtractor, crops: Tensor, scales: dict[str, float]
) -> None:
    """Fill `student` in closed form from `teacher` on `crops` (B, 3, H, W), layer by layer.

    Args:
        scales: RMS of each teacher layer; the student's features are of unit RMS.
    """
    features_t = teacher(crops, student.net.layer_names)
    x = (crops - student.net.mean) / student.net.std
    to_teacher = torch.eye(3, dtype=torch.float64, device=crops.device)
    previous_scale = 1.0
    for layer in student.net.layer_names:
        f_t = features_t[layer] / scales[layer]
        if layer.startswith("relu"):
            name = layer.replace("relu", "conv")
            conv_t, conv_s = teacher.convs[name], student.net.convs[name]
            assert isinstance(conv_t, nn.Conv2d) and isinstance(conv_s, nn.Conv2d)
            keep = _spanning_channels(_columns(f_t), conv_s.out_channels)
            weight = conv_t.weight[keep].double() * previous_scale / scales[layer]
            conv_s.weight.copy_(torch.einsum("ochw,cs->oshw", weight, to_teacher))
            assert conv_t.bias is not None and conv_s.bias is not None
            conv_s.bias.copy_(conv_t.bias[keep] / scales[layer])
            x = F.relu(conv_s(x))
        else:
            x = F.max_pool2d(x, 2)
        own, cross = _moments(x, f_t)
        student.update_map(layer, own, cross)
        to_teacher = student.maps[layer].double()
        previous_scale = scales[layer]


def _gram(x: Tensor) -> Tensor:
    flat = x.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[-1]


def _relative(x: Tensor, target: Tensor) -> Tensor:
    """‖x − target‖² / ‖target‖² per item, (B,)."""
    dims = tuple(range(1, x.ndim))
    return (x - target).pow(2).sum(dims) / target.pow(2).sum(dims).clamp_min(1e-12)


def distillation_loss(
    student: Student,
    crops: Tensor,
    targets: dict[str, Tensor],
    *,
    gram_weight: float = 0.0,
    decay: float | None = None,
    solve: bool = True,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean relative feature error over layers, plus the relative Gram error of the style layers.

    Layers that nothing reads count `LEADING_WEIGHT` of the others.

    ‖M f − t‖² is expanded into second moments, so that maps of the teacher's width are never
    formed.

    Args:
        crops: (B, 3, H, W); targets: the teacher's features on them, of unit RMS.
        decay: memory of the running moments the maps are solved from; None leaves the maps alone.
        solve: whether the maps are solved anew from these moments, or wait.

    Returns:
        the loss, and the errors it is made of: of the features by layer, of Gram matrices, and of
            the last crop's Gram matrices alone.
    """
    features = student.features(crops, list(targets))
    shares = {k: 1.0 if k in READ_LAYERS else LEADING_WEIGHT for k in features}
    total = crops.new_zeros(())
    errors: dict[str, Tensor] = {}
    for layer, f_s in features.items():
        f_t = targets[layer]
        own, cross = _moments(f_s, f_t)
        if decay is not None:
            student.update_map(layer, own.detach(), cross.detach(), decay, solve)
        m = student.maps[layer]
        energy = f_t.pow(2).mean() * f_t.shape[1]
        error = ((m @ own * m).sum() - 2 * (m * cross).sum() + energy) / energy
        errors[layer] = error.detach()
        total = total + error * shares[layer] / sum(shares.values())
        if layer in GRAM_LAYERS and gram_weight:
            gram_error = _relative(m @ _gram(f_s) @ m.T, _gram(f_t)).clamp(max=4)
            errors[f"gram_{layer}"] = gram_error.detach().mean()
            # The last of a batch are pictures that optimization visits.
            errors[f"pool_gram_{layer}"] = gram_error.detach()[-1]
            total = total + gram_weight * gram_error.mean() / len(GRAM_LAYERS)
    return total, errors


class OnPolicyPool:
    """Pictures on their way from a crop or noise to another's texture under the student.

    Each is optimized as a transfer would be, by Adam on the student's own style and content loss,
    so the student is trained on what its own errors lead to.
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
        """Put a fresh picture and texture in `slot`; `draw` numbers the crops used."""
        rng = np.random.default_rng((self.source.seed, 77, draw))
        first = 10**9 + 2 * draw  # far from the indices that training itself uses
        self.contents[slot] = self.pictures[slot] = self.source.crop(first).to(self.device)
        if rng.random() < 0.3:
            noise = torch.from_numpy(rng.random(self.pictures[slot].shape, dtype=np.float32))
            self.pictures[slot] = noise.to(self.device)
        self.styles[slot] = self.source.crop(first + 1).to(self.device)
        self.first[slot] = self.second[slot] = self.taken[slot] = 0

    def advance(self, student: Student, slots: Tensor) -> None:
        """One step of pictures `slots` on the student's style loss + 0.1 · content loss."""
        picture = self.pictures[slots].requires_grad_(True)
        with torch.no_grad():
            goal, _ = student.mapped(self.styles[slots])
            _, kept = student.mapped(self.contents[slots])
        found, content = student.mapped(picture)
        errors = [_relative(g, a).clamp(max=10).sum() for g, a in zip(found, goal, strict=True)]
        loss = torch.stack(errors).mean() + 0.1 * _relative(content, kept).sum()
        (grad,) = torch.autograd.grad(loss, picture)
        # A step of Adam, but with moments and a count of steps for each picture alone.
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
        """All its tensors by name."""
        return {f"pool.{name}": getattr(self, name) for name in self.TENSORS}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` returned."""
        for name in self.TENSORS:
            setattr(self, name, state[f"pool.{name}"].to(self.device))


def split_pictures(folders: tuple[str, ...]) -> tuple[list[Path], list[Path]]:
    """(training, validation) pictures of all folders, split by a hash of the file name."""
    paths = [p for folder in folders for p in list_pictures(Path(folder), recursive=True)]
    return [p for p in paths if not is_validation(p)], [p for p in paths if is_validation(p)]


def teacher_targets(
    teacher: FeatureExtractor, crops: Tensor, layers: list[str], scales: dict[str, float]
) -> dict[str, Tensor]:
    """The teacher's features of `crops` at unit RMS per layer."""
    with torch.no_grad():
        return {k: v.float() / scales[k] for k, v in teacher(crops, layers).items()}


def distill(
    settings: DistillSettings,
    state_path: Path,
    *,
    log: Callable[[dict[str, float]], None] = lambda _: None,
    on_resume: Callable[[int], None] = lambda _: None,
) -> Path:
    """Train a student and write it; resumes from `state_path` where that exists.

    Args:
        settings: see `DistillSettings`.
        state_path: where the training state is kept (atomically replaced every ``save_every``
            steps).
        log: receives the figures of each logged step.
        on_resume: receives the step that a saved state is of.

    Returns:
        the path of the written checkpoint (``settings.output``).
    Raises:
        InputError: where the state is damaged, or of a run with other settings.
        GeostyleError: where the gradient is not finite; the state is of before that.
    """
    device = resolve_device(settings.device)
    torch.manual_seed(settings.seed)
    dtype = resolve_precision(settings.precision, device)
    train_paths, val_paths = split_pictures(settings.images)
    source = CropSource(train_paths, settings.crop_px, settings.seed)
    exact = load_features("vgg19", weights=settings.teacher_weights, device=device)
    teacher = exact
    if dtype != torch.float32:
        teacher = load_features(
            "vgg19", weights=settings.teacher_weights, device=device, dtype=dtype
        )
    student = Student(settings.channels, dtype).to(device)
    student.net.convs.to(memory_format=torch.channels_last)
    layers = student.net.layer_names

    init = source.batch(2 * 10**9, settings.init_crops).to(device)
    with torch.no_grad():
        scales = {k: float(v.pow(2).mean().sqrt()) for k, v in exact(init, layers).items()}
    initialize_from_teacher(student, exact, init, scales)
    pool = OnPolicyPool(source, settings.pool, device)
    optimizer = torch.optim.Adam(student.parameters(), lr=settings.lr, betas=(0.9, 0.99))
    learner = Learner(student.net, optimizer, ema=0.995, ramp=(0, 20))
    identity = {"settings": to_dict(settings)}
    if state_path.exists():
        stored = learner.load_state(state_path, STATE_KIND, identity, FREE)
        scales = stored["scales"]
        student.restore(learner.extra)
        pool.restore(learner.extra)
        on_resume(learner.step)

    val = None
    if val_paths:
        val_crops = CropSource(val_paths, settings.crop_px, 1).batch(0, 16).to(device)
        val = (val_crops, teacher_targets(exact, val_crops, layers, scales))

    @torch.no_grad()
    def validate() -> dict[str, float]:
        errors = distillation_loss(student, *val, gram_weight=1.0)[1] if val is not None else {}
        # The pool is of training: none of these crops comes from it.
        return {f"val_{k}": float(v) for k, v in errors.items() if not k.startswith("pool_gram")}

    def save() -> None:
        extra = student.state() | pool.state()
        learner.save_state(state_path, STATE_KIND, identity, extra, scales=scales)

    if learner.step == 0:
        log({"step": 0.0, **validate()})
    # The shallow pools are calibrated at the end; training them only repeats the layer before.
    trained = [k for k in layers if k.startswith("relu") or k == "pool4"]
    n_pool = min(settings.on_policy, settings.batch)
    count = settings.batch - n_pool
    fresh = ReadAhead(lambda step: source.batch(step * settings.batch, count), device)
    started = time.monotonic()
    while learner.step < settings.steps:
        step = learner.step
        lr = settings.lr * schedule(step, settings.steps, max(1, settings.steps // 25))
        rng = np.random.default_rng((settings.seed, 5, step))
        crops = fresh(step).to(device)
        if n_pool:
            slots = torch.from_numpy(rng.choice(settings.pool, n_pool, replace=False)).to(device)
            pool.advance(student, slots)
            crops = torch.cat([crops, pool.pictures[slots]])
            for slot in slots.tolist():
                if rng.random() < 1 / RESTART:
                    pool.restart(slot, settings.pool + step * settings.pool + slot)
        targets = teacher_targets(teacher, crops, trained, scales)
        loss, errors = distillation_loss(
            student, crops, targets, gram_weight=settings.gram_weight, decay=0.98,
            solve=step % MAPS_EVERY == 0,
        )  # fmt: skip
        learner.update(loss, lr, clip=1.0)
        step = learner.step
        if step % 20 == 0 or step == settings.steps:
            figures = {"step": float(step), "loss": float(loss.detach()), "lr": lr}
            figures |= {"seconds": time.monotonic() - started}
            if step % settings.save_every == 0:
                figures |= validate()
            log(figures | {k: float(v) for k, v in errors.items()})
        if step % settings.save_every == 0:
            save()
    student.net.load_state_dict(learner.average)
    calibrate(student, teacher, source, scales, settings.calibration_crops, device)
    save_checkpoint(
        Path(settings.output),
        student.export(),
        {
            "channels": list(settings.channels),
            "teacher": "vgg19",
            "steps": learner.step,
            "seed": settings.seed,
        },
        kind="features",
    )
    log({"step": float(learner.step), **validate()})
    return Path(settings.output)


@torch.no_grad()
def calibrate(
    student: Student,
    teacher: FeatureExtractor,
    source: CropSource,
    scales: dict[str, float],
    crops: int,
    device: torch.device,
) -> None:
    """Solve every layer's map anew on `crops` training crops for the network as it is."""
    student.moments = {}
    for n, first in enumerate(range(0, crops, 8)):
        batch = source.batch(3 * 10**9 + first, 8).to(device)
        features = student.features(batch, student.net.layer_names)
        targets = teacher_targets(teacher, batch, student.net.layer_names, scales)
        for layer, f_s in features.items():
            student.update_map(layer, *_moments(f_s, targets[layer]), decay=n / (n + 1))
