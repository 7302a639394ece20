"""Training of the geometry network on pairs of pictures whose warp is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from geostyle.coords import inside_mask, resize, resize_grid, size_of
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
from geostyle.device import (
    available_bytes,
    resolve_device,
    resolve_precision,
    seed_everything,
)
from geostyle.distributed import ALONE, Processes
from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor, load_features
from geostyle.io.runs import RunFolder
from geostyle.matching.correlation import correlate
from geostyle.matching.network import (
    GeometryNetwork,
    cells_per_side,
    save_geometry_network,
    square_features,
)
from geostyle.training.geometry_losses import bending_penalty, fold_penalty, image_loss
from geostyle.training.learner import Learner
from geostyle.training.settings import LOSSES, TrainSettings
from geostyle.warps.folds import fold_mask

STATE_KIND = "geonet-state"
# Memory of a step for each of the cells⁴ values of a pair's correlation: 44 measured at 24 cells,
# 26 at 32 and 21 at 40 (head "fit", 4 pairs, torch 2.14), and 4 for the correlation itself.
VALUE_BYTES = 48
REFERENCE_PX = 240  # grid errors are stated in pixels of a picture of this side


class GeometryLearner(Learner):
    """A geometry network in training.

    Args:
        settings: see `TrainSettings`.
        processes: this process among those that train together.

    `prepare` comes before the first step.

    Raises: InputError where there is no data, or the batch does not divide among the processes.
    """

    state_kind, file_name = STATE_KIND, "geonet.safetensors"
    several_processes = True
    plotted = ("val_stylized", "val_plain")

    def __init__(self, settings: TrainSettings, processes: Processes = ALONE) -> None:
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
        cells = cells_per_side(settings.network, extractor)
        check_step_fits(cells, settings.batch // processes.world, self.device)
        self.geonet = GeometryNetwork(settings.network, cells).to(self.device)
        optimizer = torch.optim.AdamW(
            self.geonet.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
        )
        # Fresh pairs are computed where the network is trained, and wait for their turn.
        read_on = torch.device("cpu") if settings.fresh else self.device
        super().__init__(settings, self.geonet, optimizer, processes, read_on=read_on)
        self.shared_network = processes.share(self.geonet)
        self.best, self.waited = math.inf, 0

    def prepare(self) -> None:
        """Compute the correlations that are not there yet, and wait for the other processes'."""
        own = self.processes
        blocks = sum(len(c.blocks[own.rank :: own.world]) for c in self.caches.values())
        with tqdm(total=blocks, desc="correlations", disable=not own.first) as bar:
            for cache in self.caches.values():
                cache.build(own.rank, own.world, bar.update)
        own.wait()

    @property
    def done(self) -> bool:
        """True once all steps are taken, or once validation has stopped improving."""
        return super().done or bool(0 < self.settings.patience <= self.waited)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch, a scalar, and no further figures."""
        batch = batch.to(self.device)
        settings, family = self.settings, self.geonet.family
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            theta, matched = self.shared_network(batch.correlation)
        grid = family.grid(theta, (TRUTH_CELLS, TRUTH_CELLS))
        inside = inside_mask(batch.truth).float()
        weights = inside + settings.outside_weight * (1 - inside)
        if settings.loss == "image":
            assert batch.content is not None and batch.target is not None
            loss = image_loss(
                batch.content, batch.target, family.grid(theta, size_of(batch.target))
            )
        else:
            compare = LOSSES[settings.loss]
            loss = compare(grid, batch.truth, weights)
            if matched is not None and settings.match_weight:
                cells = min(matched.shape[1], TRUTH_CELLS)
                points, truth = (resize_grid(grid, cells) for grid in (matched, batch.truth))
                inside = inside_mask(truth).float()
                loss = loss + settings.match_weight * compare(points, truth, inside)
        if settings.fold_weight:
            loss = loss + settings.fold_weight * fold_penalty(grid)
        if settings.bending_weight:
            loss = loss + settings.bending_weight * bending_penalty(family, theta)
        return loss, {}

    def read(self, step: int) -> Batch:
        """Return this process's share of the batch of a step."""
        settings, pairs = self.settings, self.train_set
        places = range(step * settings.batch, (step + 1) * settings.batch)
        indices, kinds, turns, generators = [], [], [], []
        for place in places[self.processes.rank :: self.processes.world]:
            epoch, number = divmod(place, len(pairs))
            order = np.random.default_rng((settings.seed, 0, epoch)).permutation(len(pairs))
            indices.append(int(order[number]))
            rng = np.random.default_rng((settings.seed, 1, place))
            plain = rng.random() < settings.plain
            kinds.append(len(pairs.targets) - 1 if plain else 0)
            turns.append(int(rng.integers(SYMMETRIES)) if settings.symmetries else 0)
            generators.append(rng if rng.random() < settings.fresh else None)
        pictures: tuple[Tensor | None, ...] = (None, None)
        if settings.loss == "image":
            pictures = tuple(
                load_pictures(pairs, indices, names, settings.image_px)
                for names in (["content"] * len(indices), [pairs.targets[k] for k in kinds])
            )
        batch = Batch(self.caches[pairs].read(indices, kinds), pairs.truth[indices], *pictures)
        for place, fresh in enumerate(generators):
            if fresh is not None:
                self._refresh(batch, place, indices[place], pairs.targets[kinds[place]], fresh)
        return symmetric(batch, turns) if settings.symmetries else batch

    @torch.no_grad()
    def _refresh(
        self, batch: Batch, place: int, index: int, kind: str, rng: np.random.Generator
    ) -> None:
        """Replace the item `place` of a batch by a fresh pair made of pair `index`."""
        assert self.extractor is not None
        content, target, truth = self.train_set.fresh(index, kind, rng)
        network = self.settings.network
        source, goal = (square_features(x, self.extractor, network) for x in (content, target))
        batch.correlation[place] = correlate(source, goal, center=network.center)[0].cpu()
        batch.truth[place] = truth[0]
        if batch.content is not None and batch.target is not None:
            size = size_of(batch.content)
            batch.content[place] = resize(content, size)[0]
            batch.target[place] = resize(target, size)[0]

    def validate(self) -> dict[str, float]:
        """Validate the averaged weights, and compare them with the best so far.

        Returns: mean grid error on `val` pairs in pixels at 240 inside the picture, as a share of
            doing nothing ("val" over all, and of stylized and plain pairs apart), the rate of
            folded cells, and "best" (1 where this is).
        """
        figures: dict[str, float] = {}
        if self.processes.first:
            figures = evaluate_network(self.averaged(), self.caches[self.val_set], self.val_set)
        value = self.processes.agree(figures.get("val", math.inf), self.device)
        better = value < self.best
        self.best, self.waited = (value, 0) if better else (self.best, self.waited + 1)
        return {**figures, "best": float(better)}

    def save_files(self, run: RunFolder) -> None:
        """Write the averaged network where it is the best so far."""
        if self.waited == 0:
            save_geometry_network(
                run.file(self.file_name),
                self.average,
                self.settings.network,
                cells=self.geonet.cells,
                features=self.features,
                training={"steps": self.step, "seed": self.settings.seed, "val": self.best},
            )

    def summary(self, run: RunFolder) -> list[str]:
        return [*super().summary(run), f"best: {100 * self.best:.1f} % of doing nothing"]

    def identity(self) -> dict[str, dict[str, Any]]:
        return {**super().identity(), "features": self.features}

    def progress(self) -> dict[str, Any]:
        return {"best": None if math.isinf(self.best) else self.best, "waited": self.waited}

    def restore(self, extra: dict[str, Tensor], stored: dict[str, Any]) -> None:
        self.best = math.inf if stored["best"] is None else stored["best"]
        self.waited = stored["waited"]


def check_step_fits(cells: int, batch: int, device: torch.device) -> None:
    """Check that a step of training fits into memory, before anything is computed.

    Args:
        cells: side of the feature maps that are correlated.
        batch: pairs per step, of this process.

    Raises: InputError naming the largest batch that fits.
    """
    available, one = available_bytes(device), VALUE_BYTES * cells**4
    if batch * one > available:
        raise InputError(
            f"batch: expected pairs that fit {available / 1e9:.1f} GB of memory, at most "
            f"{int(available / one)} for each process at {cells}x{cells} positions, got {batch} "
            f"(needs {batch * one / 1e9:.1f} GB)"
        )


@torch.no_grad()
def evaluate_network(
    network: nn.Module, cache: CorrelationCache, pairs: PairSet
) -> dict[str, float]:
    """Return the grid errors of a geometry network on a set; see `GeometryLearner.validate`."""
    assert isinstance(network, GeometryNetwork)
    family, device = network.family, next(network.parameters()).device
    nothing = family.grid(pairs.truth.new_zeros(1, family.n_params), (TRUTH_CELLS,) * 2)
    inside = inside_mask(pairs.truth)
    errors = {"none": grid_error_px(nothing.expand_as(pairs.truth), pairs.truth, inside)}
    figures: dict[str, float] = {}
    folded = []
    for number, kind in enumerate(pairs.targets):
        found = []
        for rows in torch.arange(len(pairs)).split(64):
            correlation = cache.read(rows.tolist(), [number] * len(rows)).to(device)
            found.append(family.grid(network(correlation).theta, (TRUTH_CELLS,) * 2).cpu())
        grids = torch.cat(found)
        errors[kind] = grid_error_px(grids, pairs.truth, inside)
        folded.append(float(fold_mask(grids).float().mean()))
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
    """Return the mean distance (B,) of points (B, G, G, 2) in pixels of a picture of 240 px.

    inside: (B, G, G), the points that count.
    """
    distance = (grids - truth).norm(dim=-1) * (REFERENCE_PX / 2)
    return (distance * inside).sum((1, 2)) / inside.sum((1, 2)).clamp_min(1)
