"""A copy of a run's metrics, settings and pictures in Weights & Biases, where it is asked for."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geostyle.errors import InputError
from geostyle.io.files import write_text

MODES = ("disabled", "offline", "online")
ID_FILE = "wandb-id.txt"  # the run's name at Weights & Biases, which a resumed run goes on with

_log = logging.getLogger(__name__)


class Mirror:
    """A run of Weights & Biases that follows a run folder.

    It starts with the first thing it is given. Only what is given is sent: no code, console output,
    machine data or git state. A failure after the start ends the mirror with one line, not the run.

    Args:
        folder: the run folder; it keeps the run's files and id.
        mode: "offline" writes below the folder, for ``wandb sync``; "online" sends.

    Raises: InputError without the wandb package.
    """

    def __init__(self, folder: Path, mode: str) -> None:
        try:
            import wandb
        except ImportError as error:
            raise InputError(
                f"wandb: expected the wandb package for {mode!r}, got none; install it: "
                "pip install 'geostyle[train]'"
            ) from error
        self.wandb: Any = wandb
        self.folder, self.mode = folder, mode
        self.run: Any = None
        self.failed = False

    def settings(self, values: Mapping[str, Any]) -> None:
        """Take over the settings of the run, nested as in its file.

        Raises: InputError where Weights & Biases cannot be started.
        """
        self._start()
        self._try(lambda: self.run.config.update(dict(values), allow_val_change=True))

    def log(self, line: str) -> None:
        """Take over one line of metrics.jsonl."""
        self._start()
        metrics = json.loads(line)
        self._try(lambda: self.run.log(metrics, step=metrics.get("step")))

    def picture(self, path: Path, step: int) -> None:
        """Take over a picture file, under its name without ending."""
        self._start()
        self._try(lambda: self.run.log({path.stem: self.wandb.Image(str(path))}, step=step))

    def finish(self) -> None:
        """End the run; offline, the package's own process completes its files soon after."""
        if self.run is not None:
            self._try(self.run.finish)
        self.run = None

    def _start(self) -> None:
        if self.run is not None or self.failed:
            return
        file = self.folder / ID_FILE
        known = file.read_text("ascii", "replace").strip() if file.is_file() else ""
        name = known or uuid.uuid4().hex[:8]
        quiet = self.wandb.Settings(
            console="off", silent=True, disable_git=True, disable_code=True, x_disable_meta=True,
            x_disable_stats=True, x_save_requirements=False,
        )  # fmt: skip
        try:
            self.run = self.wandb.init(
                project="geostyle",
                name=self.folder.name,
                id=name,
                resume="allow",
                dir=str(self.folder),
                mode=self.mode,
                settings=quiet,
            )
        except Exception as error:
            got = " ".join(str(error).split())[:200]
            raise InputError(f"wandb: expected a run that it accepts, got: {got}") from error
        if not known:
            write_text(file, name + "\n")

    def _try(self, action: Any) -> None:
        if self.failed:
            return
        try:
            action()
        except Exception as error:
            self.failed = True
            _log.warning("wandb: stopped, the run goes on: %s", " ".join(str(error).split())[:200])
