"""A network in training: its optimizer, its averaged weights, its step, saved and restored exactly.

What a step reads must follow from (seed, step) alone; then the state kept here is all of a run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn, optim

from geostyle.errors import GeostyleError, InputError
from geostyle.io.checkpoint import load_checkpoint, save_checkpoint


class Learner:
    """A network, the moving average of its weights, and what moves them.

    Args:
        net: the network, where it is trained.
        optimizer: of its parameters.
        ema: decay of the average, 0 to 1; at step s at most (ramp[0] + s) / (ramp[1] + s).
    """

    def __init__(
        self,
        net: nn.Module,
        optimizer: optim.Optimizer,
        ema: float,
        ramp: tuple[int, int] = (1, 10),
    ) -> None:
        self.network, self.optimizer, self.ema, self.ramp = net, optimizer, ema, ramp
        self.average = {k: v.detach().clone() for k, v in net.state_dict().items()}
        self.extra: dict[str, Tensor] = {}
        self.step = 0

    def update(self, loss: Tensor, rate: float, clip: float) -> float:
        """Take one step down `loss` (a scalar) at a learning rate, the gradient's norm clipped.

        Returns: the norm before clipping.
        Raises: GeostyleError where it is not finite; nothing has moved then.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), clip)
        if not bool(norm.isfinite()):
            raise GeostyleError(f"training: the gradient is not finite at step {self.step}")
        self.optimizer.step()
        self.step += 1
        decay = min(self.ema, (self.ramp[0] + self.step) / (self.ramp[1] + self.step))
        for key, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.average[key].lerp_(value, 1 - decay)
            else:  # a count
                self.average[key].copy_(value)
        return float(norm)

    def save_state(
        self,
        path: Path,
        kind: str,
        identity: dict[str, dict[str, Any]],
        extra: Mapping[str, Tensor] | None = None,
        **more: Any,
    ) -> None:
        """Write all that resuming needs, whole or not at all.

        Args:
            kind: of the file, as `save_checkpoint` takes it.
            identity: sections of JSON types that the run which resumes must share.
            extra: tensors beside the network's, by name; `extra` has them once they are loaded.
            more: what else changes from step to step, JSON types.
        """
        tensors = {f"net.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.items()}
        for number, entry in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{k}": v for k, v in entry.items()}
        tensors |= {f"extra.{k}": v for k, v in (extra or {}).items()}
        save_checkpoint(path, tensors, {**identity, "step": self.step, **more}, kind)

    def load_state(
        self,
        path: Path,
        kind: str,
        identity: dict[str, dict[str, Any]],
        free: Iterable[str] = (),
    ) -> dict[str, Any]:
        """Go back to what `save_state` wrote.

        free: keys that may differ within the identity's sections.

        Returns: the file's config.
        Raises: InputError where the state is damaged, or of a run with another identity.
        """
        tensors, config = load_checkpoint(path, kind, name="resume")
        try:
            for what, new in identity.items():
                for key, old in config[what].items():
                    if key not in free and old != new.get(key):
                        raise InputError(
                            f"resume: expected the run's own {what} ({key} {old}), "
                            f"got {new.get(key)}"
                        )
            self._restore(tensors, config)
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            reason = " ".join(str(error).split())[:120]
            raise InputError(
                f"resume: expected a state of this network in {str(path)!r}, got: {reason}"
            ) from error
        return config

    def _restore(self, tensors: dict[str, Tensor], config: dict[str, Any]) -> None:
        device = next(self.network.parameters()).device
        self.network.load_state_dict(_part(tensors, "net."))
        self.average = {k: v.to(device) for k, v in _part(tensors, "average.").items()}
        self.extra = {k: v.to(device) for k, v in _part(tensors, "extra.").items()}
        entries: dict[int, dict[str, Tensor]] = {}
        for key, value in _part(tensors, "optimizer.").items():
            number, name = key.split(".")
            entries.setdefault(int(number), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": entries, "param_groups": groups})
        self.step = int(config["step"])


def schedule(step: int, steps: int, warmup: int) -> float:
    """Share of the peak learning rate: a linear rise, then a cosine to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
