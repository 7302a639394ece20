"""What the verbs that train a feed-forward network share: the run from its flags to its loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from torch import Tensor
from tqdm import tqdm

from geostyle import config
from geostyle.cli._resumable import STATE, open_folder, parse
from geostyle.io.files import write_json
from geostyle.io.images import to_uint8
from geostyle.io.runs import RunFolder
from geostyle.report.sheet import Panel, save_sheet
from geostyle.training.feedforward import PainterSettings, PainterTrainer

S = TypeVar("S", bound=PainterSettings)
PREVIEW = "preview.png"
LOG_EVERY = 10


def run_training(
    verb: str,
    description: str,
    settings_class: type[S],
    make: Callable[[S], PainterTrainer],
    argv: Sequence[str],
    *,
    apply: str,
) -> int:
    """Train a network from the first flag to the last line; 0 when its file is written.

    Args:
        make: settings → the trainer.
        apply: the verb that uses the network.
    """
    settings, folder, dry_run = parse(f"geostyle {verb}", verb, description, settings_class, argv)
    print("settings:", *config.dump_yaml(settings).splitlines(), sep="\n  ")
    trainer = make(settings)
    if trainer.photographs is not None:
        print(*trainer.photographs.notes, sep="\n")
    if dry_run:
        return 0
    run = open_folder(folder, settings, verb)
    with run.lock():
        if run.file(STATE).is_file():
            trainer.load(run.file(STATE))
        else:
            run.save_settings(settings)
            run.save_environment(verb=verb, seed=settings.seed)
            trainer.save(run.file(STATE))
        run.keep_metrics(lambda line: line["step"] <= trainer.step)
        train(trainer, run)
    network = run.file(trainer.file_name)
    print(f"network: {network} ({network.stat().st_size / 1e6:.2f} MB)")
    print(f"preview: {run.file(PREVIEW)}\nuse it: geostyle {apply} {network} …")
    run.close()
    return 0


def train(trainer: PainterTrainer, run: RunFolder) -> None:
    """Step, validate, log and save until done."""
    settings = trainer.settings
    with tqdm(total=settings.steps, initial=trainer.step, unit="step", dynamic_ncols=True) as bar:
        while not trainer.done:
            figures: dict[str, Any] = trainer.train_step()
            if trainer.done or trainer.step % settings.validate_every == 0:
                found, painted = trainer.validate()
                figures |= found
                trainer.save_net(run.file(trainer.file_name))
                save_sheet(preview(trainer, painted), run.file(PREVIEW))
            if "val" in figures or trainer.step % LOG_EVERY == 0:
                run.log(**figures)
                shown: dict[str, object] = {
                    k: f"{figures[k]:.3f}" for k in ("loss", "val") if k in figures
                }
                bar.set_postfix(shown, refresh=False)
            # After the network: a state of the last step means that all is written.
            if trainer.done or trainer.step % settings.save_every == 0:
                trainer.save(run.file(STATE))
            bar.update()
    if trainer.photographs is not None and trainer.photographs.skipped:
        listed = {str(path): why for path, why in trainer.photographs.skipped.items()}
        write_json(run.file("skipped.json"), listed)
        print(f"skipped: {len(listed)} pictures, listed in {run.file('skipped.json')}")


def preview(trainer: PainterTrainer, painted: Tensor) -> list[list[Panel]]:
    """Rows of a sheet: the style, then what the network paints, below what it repaints."""

    def row(title: str, pictures: Tensor) -> list[Panel]:
        return [Panel("" if i else title, to_uint8(picture)) for i, picture in enumerate(pictures)]

    rows = [row("style", trainer.style)]
    content = trainer.validation.content
    if content is not None:
        rows.append(row("held out", content.cpu()))
    return [*rows, row(f"step {trainer.step}", painted)]
