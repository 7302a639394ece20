"""Training of the geometry network: schedule, averaging, validation, several processes, resume.

What a step reads follows from (seed, step) alone: which pairs, which of their pictures, how they
are turned. So the state of a run is its weights, averages, optimizer and step; nothing of the
order of data or of random numbers is left to be restored.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from geostyle.config import check, setting, to_dict
from geostyle.coords import inside_mask, resize, resize_grid
from geostyle.data.crops import ReadAhead
from geostyle.data.pairs import (
    SYMMETRIES,
    TRUTH_CELLS,
    Batch,
    CorrelationCache,
    PairSet,
    ResidualSet,
    load_pictures,
    symmetric,
)
from geostyle.device import resolve_device, resolve_precision, seed_everything
from geostyle.distributed import Processes
from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor, load_features
from geostyle.io.runs import atomic_path
from geostyle.matching.network import (
    GeoNet,
    NetSettings,
    cells_of,
    correlate_squares,
    describe_square,
    save_geonet,
)
from geostyle.training.geometry_losses import (
    bending_penalty,
    distance_loss,
    fold_penalty,
    grid_loss,
    image_loss,
)
from geostyle.training.learner import Learner, schedule
from geostyle.warps.folds import fold_mask

STATE_KIND = "geonet-state"
# These may change when a run is resumed: no weight depends on them.
FREE = ("output", "wandb", "save_every")
REFERENCE_PX = 240  # grid errors are stated in pixels of a picture of this side


@dataclass(frozen=True)
class TrainSettings:
    """How a geometry network is trained."""

    data: Path = setting(Path("data_gen/out/pairs"), help="set of pairs, as make.py writes it")
    output: Path = setting(Path("runs"), help="folder that gets the numbered run folder")
    network: NetSettings = setting(NetSettings())
    features: str = setting(
        "lite", choices=("lite", "vgg19", "vgg16"), help="network whose features are correlated"
    )
    weights: Path | None = setting(None, help="file of its weights; default: the usual ones")
    feature_precision: str = setting(
        "float32", choices=("auto", "float32", "bfloat16"), help="of its convolutions"
    )
    stage: int = setting(
        1,
        min=1,
        max=2,
        help="place in a cascade: the second network learns what an affine first estimate leaves",
    )
    loss: str = setting(
        "distance",
        choices=("distance", "grid", "image"),
        help="distance of the mapped points, its square, or the paper's on pictures",
    )
    outside_weight: float = setting(
        0.25, min=0.0, max=1.0, help="weight of points whose content lies out of the picture"
    )
    match_weight: float = setting(
        0.5, min=0.0, help="weight of the same loss on every position's own match"
    )
    fold_weight: float = setting(0.1, min=0.0, help="weight of the penalty on folds")
    bending_weight: float = setting(1e-5, min=0.0, help="weight of the spline's bending energy")
    image_px: int = setting(120, min=16, max=1024, help="side at which the image loss compares")
    steps: int = setting(3000, min=1, help="optimizer steps")
    batch: int = setting(32, min=1, help="pairs a step, of all processes together")
    lr: float = setting(1e-3, min=0.0, max=1.0, help="peak learning rate")
    warmup: int = setting(100, min=0, help="steps until the peak")
    weight_decay: float = setting(0.02, min=0.0, help="AdamW's weight decay")
    clip: float = setting(1.0, min=1e-6, help="largest norm of the gradient")
    ema: float = setting(0.998, min=0.0, max=0.99999, help="decay of the averaged weights")
    plain: float = setting(
        0.4, min=0.0, max=1.0, help="share of pairs seen warped but not repainted"
    )
    symmetries: bool = setting(True, help="flip and transpose the pairs at random")
    fresh: float = setting(
        0.0, min=0.0, max=1.0, help="share of pairs warped anew (their features cost time)"
    )
    validate_every: int = setting(100, min=1, help="steps between validations")
    patience: int = setting(
        0, min=0, help="validations without a better one before it stops (0: never)"
    )
    save_every: int = setting(100, min=1, help="steps between saved states")
    seed: int = setting(0, min=0, max=2**31 - 1, help="of the weights and of the order of pairs")
    device: str = setting("auto", help="auto, cpu, cuda or mps")
    precision: str = setting(
        "float32", choices=("auto", "float32", "bfloat16"), help="of the network's convolutions"
    )
    wandb: str = setting(
        "disabled", choices=("disabled", "offline", "online"), help="mirror of the metrics"
    )

    def __post_init__(self) -> None:
        check(self)


class Trainer(Learner):
    """A network in training.

    Args:
        settings: see `TrainSettings`.
        processes: this one among its like.

    `prepare` comes before the first step.

    Raises: InputError where there is no data, or the batch does not divide among the processes.
    """

    def __init__(
        self,
        settings: TrainSettings,
        processes: Processes | None = None,
    ) -> None:
        self.settings, self.processes = settings, processes or Processes()
        if settings.batch % self.processes.world:
            raise InputError(
                f"batch: expected a multiple of {self.processes.world} processes, "
                f"got {settings.batch}"
            )
        pair_set = ResidualSet if settings.stage == 2 else PairSet
        self.train_set = pair_set(settings.data, "train")
        self.val_set = pair_set(settings.data, "val")
        self.device = resolve_device(settings.device)
        self.dtype = resolve_precision(settings.precision, self.device)
        extractor = load_features(
            settings.features,
            weights=settings.weights,
            device=self.device,
            dtype=resolve_precision(settings.feature_precision, self.device),
        )
        self.features = {"name": extractor.name, "hash": extractor.weights_hash}
        self.extractor: FeatureExtractor | None = extractor if settings.fresh else None
        self.caches = {
            pairs: CorrelationCache(pairs, extractor, settings.network)
            for pairs in (self.train_set, self.val_set)
        }

        seed_everything(settings.seed)
        self.net = GeoNet(settings.network, cells_of(settings.network, extractor)).to(self.device)
        self.model: nn.Module = self.net
        if self.processes.world > 1:
            self.model = DistributedDataParallel(self.net)
        optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
        )
        super().__init__(self.net, optimizer, settings.ema)
        self.best = math.inf
        self.waited = 0
        # Fresh pairs are computed where the network is trained, and wait for their turn.
        reader = torch.device("cpu") if settings.fresh else self.device
        self._batches = ReadAhead(self.batch, reader)

    @property
    def blocks(self) -> int:
        """Blocks of correlations that `prepare` sees to in this process."""
        mine = slice(self.processes.rank, None, self.processes.world)
        return sum(len(cache.blocks[mine]) for cache in self.caches.values())

    def prepare(self, on_block: Callable[[], object] = lambda: None) -> None:
        """Compute the correlations that are not there yet, and wait for the other processes'.

        on_block: called after each block that is computed or found.
        """
        for cache in self.caches.values():
            cache.build(self.processes.rank, self.processes.world, on_block)
        self.processes.wait()

    @property
    def done(self) -> bool:
        """Whether all steps are taken, or validation has stopped getting better."""
        stopped = self.settings.patience and self.waited >= self.settings.patience
        return bool(self.step >= self.settings.steps or stopped)

    def train_step(self) -> dict[str, float]:
        """Take one step; the figures of it."""
        started = time.monotonic()
        rate = self.settings.lr * schedule(self.step, self.settings.steps, self.settings.warmup)
        loss = self.loss(self._batches(self.step).to(self.device))
        norm = self.update(loss, rate, self.settings.clip)
        return {
            "step": self.step,
            "loss": float(loss.detach()),
            "lr": rate,
            "gradient_norm": norm,
            "seconds": time.monotonic() - started,
        }

    def loss(self, batch: Batch) -> Tensor:
        """The loss of the network as it is on a batch; a scalar."""
        settings, family = self.settings, self.net.family
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            theta, matched = self.model(batch.correlation)
        grid = family.grid(theta, (TRUTH_CELLS, TRUTH_CELLS))
        inside = inside_mask(batch.truth).float()
        weights = inside + settings.outside_weight * (1 - inside)
        if settings.loss == "image":
            assert batch.content is not None and batch.target is not None
            size = (batch.target.shape[-2], batch.target.shape[-1])
            loss = image_loss(batch.content, batch.target, family.grid(theta, size))
        else:
            compare = distance_loss if settings.loss == "distance" else grid_loss
            loss = compare(grid, batch.truth, weights)
            if matched is not None and settings.match_weight:
                cells = min(matched.shape[1], TRUTH_CELLS)
                points, truth = (resize_grid(grid, cells) for grid in (matched, batch.truth))
                loss = loss + settings.match_weight * compare(
                    points, truth, inside_mask(truth).float()
                )
        if settings.fold_weight:
            loss = loss + settings.fold_weight * fold_penalty(grid)
        if settings.bending_weight:
            loss = loss + settings.bending_weight * bending_penalty(family, theta)
        return loss

    def batch(self, step: int) -> Batch:
        """This process's share of the batch of a step."""
        settings, pairs = self.settings, self.train_set
        places = range(step * settings.batch, (step + 1) * settings.batch)
        indices, kinds, turns, items = [], [], [], []
        for place in places[self.processes.rank :: self.processes.world]:
            epoch, number = divmod(place, len(pairs))
            indices.append(int(_order(settings.seed, epoch, len(pairs))[number]))
            rng = np.random.default_rng((settings.seed, 1, place))
            plain = rng.random() < settings.plain
            kinds.append(len(pairs.targets) - 1 if plain else 0)
            turns.append(int(rng.integers(SYMMETRIES)) if settings.symmetries else 0)
            items.append(rng if rng.random() < settings.fresh else None)
        batch = Batch(
            self.caches[pairs].read(indices, kinds),
            pairs.truth[indices],
            *self._pictures(indices, kinds),
        )
        self._refresh(batch, indices, kinds, items)
        return symmetric(batch, turns) if settings.symmetries else batch

    def _pictures(self, indices: list[int], kinds: list[int]) -> tuple[Tensor | None, ...]:
        if self.settings.loss != "image":
            return None, None
        names, size_px = [self.train_set.targets[k] for k in kinds], self.settings.image_px
        return (
            load_pictures(self.train_set, indices, ["content"] * len(indices), size_px),
            load_pictures(self.train_set, indices, names, size_px),
        )

    @torch.no_grad()
    def _refresh(
        self,
        batch: Batch,
        indices: list[int],
        kinds: list[int],
        generators: list[np.random.Generator | None],
    ) -> None:
        """Replace the items that have a generator by fresh pairs of the same pictures."""
        for place, (index, kind, rng) in enumerate(zip(indices, kinds, generators, strict=True)):
            if rng is None:
                continue
            assert self.extractor is not None
            kind_name = self.train_set.targets[kind]
            content, target, truth = self.train_set.fresh(index, kind_name, rng)
            source, goal = (
                describe_square(picture, self.extractor, self.settings.network)
                for picture in (content, target)
            )
            batch.correlation[place] = correlate_squares(source, goal, self.settings.network)[
                0
            ].cpu()
            batch.truth[place] = truth[0]
            if batch.content is not None and batch.target is not None:
                size = (batch.content.shape[-2], batch.content.shape[-1])
                batch.content[place] = resize(content, size)[0]
                batch.target[place] = resize(target, size)[0]

    def validate(self) -> dict[str, float]:
        """Validate the averaged weights, and note whether they are the best so far.

        Returns: mean grid error on `val` pairs in pixels at 240 inside the picture, as a share of
            doing nothing ("val" over all, and of stylized and plain pairs apart), the rate of
            folded cells, and "best" (1 where this is).
        """
        figures: dict[str, float] = {}
        if self.processes.first:
            figures = evaluate_net(self.averaged(), self.caches[self.val_set], self.val_set)
        value = self.processes.agree(figures.get("val", math.inf), self.device)
        better = value < self.best
        self.best, self.waited = (value, 0) if better else (self.best, self.waited + 1)
        return {**figures, "best": float(better)}

    def averaged(self) -> GeoNet:
        """The network with the averaged weights, for use."""
        net = GeoNet(self.settings.network, self.net.cells).to(self.device)
        net.load_state_dict(self.average)
        return net.eval()

    def save_net(self, path: Path) -> None:
        """Write the averaged network as a checkpoint that estimators load."""
        save_geonet(
            path,
            self.average,
            self.settings.network,
            cells=self.net.cells,
            features=self.features,
            training={"steps": self.step, "seed": self.settings.seed, "val": self.best},
        )

    def save(self, path: Path) -> None:
        """Write all that resuming needs."""
        best = None if math.isinf(self.best) else self.best
        self.save_state(path, STATE_KIND, self._identity(), best=best, waited=self.waited)

    def load(self, path: Path) -> None:
        """Go back to what `save` wrote.

        Raises: InputError where the state is damaged, or of a run with other settings.
        """
        config = self.load_state(path, STATE_KIND, self._identity(), FREE)
        self.waited = config["waited"]
        self.best = math.inf if config["best"] is None else config["best"]

    def _identity(self) -> dict[str, dict[str, Any]]:
        return {"settings": to_dict(self.settings), "features": self.features}


def plot(metrics: list[dict[str, Any]], path: Path) -> None:
    """Draw the loss and the validated errors over the steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True)
    top.semilogy([m["step"] for m in metrics], [m["loss"] for m in metrics], linewidth=0.8)
    top.set_ylabel("training loss")
    for name in ("val_stylized", "val_plain"):
        points = [(m["step"], 100 * m[name]) for m in metrics if name in m]
        if points:
            bottom.plot(*zip(*points, strict=True), label=name.removeprefix("val_"))
    bottom.set_ylabel("grid error, % of doing nothing")
    bottom.set_xlabel("step")
    bottom.set_ylim(bottom=0)
    if bottom.has_data():
        bottom.legend()
    for axes in (top, bottom):
        axes.grid(alpha=0.3)
    with atomic_path(path) as temporary:
        figure.savefig(temporary)


@torch.no_grad()
def evaluate_net(net: GeoNet, cache: CorrelationCache, pairs: PairSet) -> dict[str, float]:
    """Grid errors of a network on a set; see `Trainer.validate`."""
    nothing = net.family.grid(pairs.truth.new_zeros(1, net.family.n_params), (TRUTH_CELLS,) * 2)
    inside = inside_mask(pairs.truth)
    errors = {"none": grid_error_px(nothing.expand_as(pairs.truth), pairs.truth, inside)}
    figures: dict[str, float] = {}
    folded = []
    device = next(net.parameters()).device
    for number, kind in enumerate(pairs.targets):
        found = []
        for rows in torch.arange(len(pairs)).split(64):
            correlation = cache.read(rows.tolist(), [number] * len(rows)).to(device)
            found.append(net.family.grid(net(correlation).theta, (TRUTH_CELLS,) * 2).cpu())
        grids = torch.cat(found)
        errors[kind] = grid_error_px(grids, pairs.truth, inside)
        folded.append(fold_rate(grids))
        name = "plain" if kind == "warped" else kind
        figures[f"val_{name}_px"] = float(errors[kind].mean())
        figures[f"val_{name}"] = float(errors[kind].mean() / errors["none"].mean())
    shares = [figures[f"val_{'plain' if k == 'warped' else k}"] for k in pairs.targets]
    return {
        "val": sum(shares) / len(shares),
        **figures,
        "val_none_px": float(errors["none"].mean()),
        "val_folded": sum(folded) / len(folded),
    }


def grid_error_px(grids: Tensor, truth: Tensor, inside: Tensor) -> Tensor:
    """Mean distance (B,) of points (B, G, G, 2) where `inside` (B, G, G), in pixels at 240."""
    distance = (grids - truth).norm(dim=-1) * (REFERENCE_PX / 2)
    return (distance * inside).sum((1, 2)) / inside.sum((1, 2)).clamp_min(1)


def fold_rate(grids: Tensor) -> float:
    """Share of cells of `grids` (B, G, G, 2) that fold."""
    return float(fold_mask(grids).float().mean())


def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng((seed, 0, epoch)).permutation(count)
