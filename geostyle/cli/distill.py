"""distil the bundled feature network from VGG-19"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from geostyle import config
from geostyle.data.crops import CropSource
from geostyle.errors import InputError
from geostyle.io.files import make_folder
from geostyle.io.runs import RunFolder
from geostyle.training.distillation import DistillSettings, distill, split_pictures


def main(argv: Sequence[str]) -> int:
    """Train (or go on training) a student network; 0 when its file is written."""
    parser = config.Parser(
        prog="geostyle distill",
        description="Distil VGG-19 into a small network with the same layer names. A run that was "
        "stopped goes on from its last saved state when called again with the same --run.",
    )
    parser.add_argument("config", type=Path, nargs="?", help="YAML file with settings")
    parser.add_argument(
        "--run", type=Path, help="run folder to go on in; default: a new one below runs/"
    )
    config.add_arguments(parser, DistillSettings)
    args = parser.parse_args(argv)
    settings = config.resolve(DistillSettings, args.config, config.overrides(args, DistillSettings))
    # Folders without pictures are told of before a run begins.
    CropSource(split_pictures(settings.images)[0], settings.crop_px, settings.seed)
    if args.run:
        make_folder(args.run)
    run = RunFolder(args.run) if args.run else RunFolder.create(Path("runs"), "distill")
    with run.lock(), tqdm(total=settings.steps, unit="step", dynamic_ncols=True) as bar:
        state = run.file("state.safetensors")
        if run.file("state.pt").is_file():
            raise InputError(f"run: expected a run of this version, got an older one in {run.path}")
        if not state.is_file():
            run.save_environment(verb="distill", seed=settings.seed)
            run.save_settings(settings)
            run.keep_metrics(lambda line: False)

        def go_on(step: int) -> None:
            bar.update(step)
            run.keep_metrics(lambda line: line.get("step", 0) <= step)

        def log(figures: dict[str, float]) -> None:
            run.log(**figures)
            bar.update(int(figures["step"]) - bar.n)
            if "loss" in figures:
                bar.set_postfix(loss=f"{figures['loss']:.4f}")

        written = distill(settings, state, log=log, on_resume=go_on)
    run.close()
    print(f"network: {written}\nlog: {run.file('metrics.jsonl')}")
    return 0
