"""Base class of all trainings: a step, the averaged weights, and the saved state.

What a step reads must follow from (seed, step) alone. Then the state saved here is all of a run:
a run that was cut short and resumed ends with the same weights as one that was not.
"""

from __future__ import annotations

import copy
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn, optim

from geostyle.config import to_dict
from geostyle.config.settings import current_name
from geostyle.data.read_ahead import ReadAhead
from geostyle.distributed import Processes
from geostyle.errors import GeostyleError, InputError, expecting
from geostyle.io.checkpoint import load_checkpoint, save_checkpoint
from geostyle.io.runs import RunFolder
from geostyle.training.settings import LoopSettings


class Learner(ABC):
    """Base class of all trainings: a network, its optimizer and the moving average of its weights.

    Args:
        settings: of the training.
        network: on the device where it is trained.
        optimizer: of the network's parameters.
        processes: this process among those that share every batch.
        ramp: at step s the decay of the average is at most (ramp[0] + s) / (ramp[1] + s).
        read_on: device that `read` waits for; batches are read ahead where it is a GPU.

    Raises: InputError where the processes cannot share a batch.
    """

    state_kind: str  # kind of the checkpoint that holds the state
    file_name: str  # of the network in a run folder
    free: tuple[str, ...] = ("output", "wandb", "save_every")  # may change when a run is resumed
    several_processes = False  # whether a batch may be shared among processes
    validates_start = False  # whether the network is worth validating before the first step
    plotted: tuple[str, ...] = ("val",)  # validated figures that the plot shows
    notes: tuple[str, ...] = ()  # lines to print before training

    def __init__(
        self,
        settings: LoopSettings,
        network: nn.Module,
        optimizer: optim.Optimizer,
        processes: Processes,
        *,
        ramp: tuple[int, int] = (1, 10),
        read_on: torch.device | None = None,
    ) -> None:
        world = processes.world
        if world > 1 and not self.several_processes:
            raise InputError(f"processes: expected 1 for this training, got {world}")
        if settings.batch % world:
            raise InputError(
                f"batch: expected a multiple of {world} processes, got {settings.batch}"
            )
        self.settings: Any = settings
        self.processes = processes
        self.network, self.optimizer, self.ramp, self.step = network, optimizer, ramp, 0
        self.start_average()
        self._batches = ReadAhead(self.read, read_on or next(network.parameters()).device)

    def prepare(self) -> None:  # noqa: B027
        """Compute what training needs before its first step."""

    @abstractmethod
    def read(self, step: int) -> Any:
        """Return the batch of a step (this process's share), from (seed, step) alone."""

    @abstractmethod
    def loss(self, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch, a scalar, and further figures to log."""

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        return float(self.settings.lr * schedule(step, self.settings.steps, self.settings.warmup))

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """Return figures of the network that would be written, on data it does not learn from."""

    @abstractmethod
    def save_files(self, run: RunFolder) -> None:
        """Write the network, and what else a run folder gets after a validation."""

    def summary(self, run: RunFolder) -> list[str]:
        """Return lines to print at the end."""
        return [f"network: {run.file(self.file_name)}"]

    def identity(self) -> dict[str, dict[str, Any]]:
        """Return sections of JSON types that a run which is resumed must share."""
        return {"settings": to_dict(self.settings)}

    def progress(self) -> dict[str, Any]:
        """Return what else changes from step to step, JSON types."""
        return {}

    def extra(self) -> dict[str, Tensor]:
        """Return tensors of the state beside those of network, average and optimizer."""
        return {}

    def restore(self, extra: dict[str, Tensor], stored: dict[str, Any]) -> None:  # noqa: B027
        """Take back what `extra` and `progress` returned."""

    @property
    def done(self) -> bool:
        """True once all steps are taken."""
        return bool(self.step >= self.settings.steps)

    def start_average(self) -> None:
        """Start the average from the weights as they are."""
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}

    def averaged(self) -> nn.Module:
        """Return a copy of the network with its averaged weights, for use."""
        network = copy.deepcopy(self.network)
        network.load_state_dict(self.average)
        return network.eval().requires_grad_(False)

    def train_step(self) -> dict[str, float]:
        """Take one step and return its figures."""
        started, rate = time.monotonic(), self.rate(self.step)
        loss, figures = self.loss(self._batches(self.step))
        norm = self.update(loss, rate)
        return {
            "step": self.step,
            "loss": float(loss.detach()),
            **figures,
            "lr": rate,
            "gradient_norm": norm,
            "seconds": time.monotonic() - started,
        }

    def update(self, loss: Tensor, rate: float) -> float:
        """Take one step down `loss` (a scalar) at a learning rate, the gradient's norm clipped.

        Returns: the norm before clipping.
        Raises: GeostyleError where it is not finite; nothing has moved then.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        if not bool(norm.isfinite()):
            raise GeostyleError(f"training: the gradient is not finite at step {self.step}")
        self.optimizer.step()
        self.step += 1
        decay = min(self.settings.ema, (self.ramp[0] + self.step) / (self.ramp[1] + self.step))
        for key, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.average[key].lerp_(value, 1 - decay)
            else:  # a count
                self.average[key].copy_(value)
        return float(norm)

    def save(self, path: Path) -> None:
        """Write all that resuming needs, whole or not at all."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.items()}
        for number, entry in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{k}": v for k, v in entry.items()}
        tensors |= {f"extra.{k}": v for k, v in self.extra().items()}
        config = {**self.identity(), "step": self.step, **self.progress()}
        save_checkpoint(path, tensors, config, self.state_kind)

    def load(self, path: Path) -> None:
        """Go back to what `save` wrote, in this version or an earlier one.

        Raises: InputError where the state is damaged, or of a run with another identity.
        """
        tensors, stored = load_checkpoint(path, self.state_kind, name="resume")
        for what, new in self.identity().items():
            for key, old in stored.get(what, {}).items():
                if key not in self.free and _present(old) != _present(new.get(key)):
                    raise InputError(
                        f"resume: expected the run's own {what} ({key} {old}), got {new.get(key)}"
                    )
        with expecting(f"resume: expected a state of this network in {str(path)!r}"):
            self._restore(tensors)
            self.step = int(stored["step"])
            self.restore(self._part(tensors, "extra"), stored)

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        self.network.load_state_dict(self._part(tensors, "network"))
        self.average = self._part(tensors, "average")
        entries: dict[int, dict[str, Tensor]] = {}
        for key, value in self._part(tensors, "optimizer", device="cpu").items():
            number, name = key.split(".")
            entries.setdefault(int(number), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": entries, "param_groups": groups})

    def _part(self, tensors: dict[str, Tensor], name: str, device: str = "") -> dict[str, Tensor]:
        """Return the tensors named ``name.…``, or as earlier versions called this part."""
        where = device or next(self.network.parameters()).device
        split = [(*key.partition("."), value) for key, value in tensors.items()]
        return {
            key: value.to(where)
            for part, _, key, value in split
            if current_name(part, tell=False) == name
        }


def schedule(step: int, steps: int, warmup: int) -> float:
    """Return the share of the peak learning rate: a linear rise, then a cosine to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _present(value: Any) -> Any:
    """Return `value` with the present names of choices, in nested mappings too."""
    if isinstance(value, Mapping):
        return {key: _present(item) for key, item in value.items()}
    return current_name(value, tell=False) if isinstance(value, str) else value
