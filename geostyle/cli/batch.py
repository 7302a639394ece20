"""transfer every picture of a folder, skipping results that exist

The results are written to one folder under the pictures' own names. Started again, the same command
goes on where it was stopped; pictures that cannot be read are skipped and listed.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geostyle import config
from geostyle.cli import EXIT_ERROR, EXIT_INTERRUPTED
from geostyle.cli._notices import say_mixed, say_unused
from geostyle.cli.transfer import Job
from geostyle.config import setting
from geostyle.errors import InputError
from geostyle.io.files import check_folder, make_folder, read_metrics
from geostyle.io.runs import RunFolder

if TYPE_CHECKING:
    from geostyle.io.images import Picture
    from geostyle.pipeline import Pipeline
    from geostyle.texture import Progress

VERB = "batch"
SETTINGS = "settings.yaml"
# Settings that may differ between two starts of one batch.
FREE = ("content", "output")


@dataclass(frozen=True)
class BatchJob(Job):
    """A transfer of many pictures; each of the three inputs may be a folder."""

    output: Path = setting(Path("batch"), help="folder that gets the results")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.content is None:
            raise InputError("content: expected a folder of pictures, got none")
        if self.animation.animate:
            raise InputError("animate: expected none in a batch, got some")
        for name in ("content_mask", "points"):
            if getattr(self, name) is not None:
                raise InputError(f"{name}: expected none in a batch, got one")
        if self.preview > 1:
            raise InputError(f"preview: expected at most 1 in a batch, got {self.preview}")
        for name in ("geo_style", "tex_style"):
            paths = getattr(self, name)
            if len(paths) > 1 and any(path.is_dir() for path in paths):
                raise InputError(f"{name}: expected one folder, or pictures to mix, got both")


@dataclass(frozen=True)
class Unit:
    """One result: its name without suffix, and what it is made from."""

    name: str
    content: Path
    geo_style: tuple[Path, ...]
    tex_style: tuple[Path, ...]

    def fingerprint(self, extra: Sequence[Path]) -> str:
        """A hash of the pictures it is made from, and of `extra` files."""
        digest = hashlib.sha256()
        for path in (self.content, *self.geo_style, *self.tex_style, *extra):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def load(self, read: Callable[..., Picture]) -> tuple[Picture, dict[str, Any]]:
        """The content, and the styles by the names of `Pipeline`.

        Args: read, `load_picture`, which may remember the styles.

        Raises: InputError for a picture that cannot be used.
        """
        from geostyle.io.images import load_picture

        content = load_picture(self.content, name="content", keeps_alpha=True)
        styles = {
            name: [read(path, name=name) for path in getattr(self, name)]
            for name in ("geo_style", "tex_style")
        }
        return content, styles


def main(argv: Sequence[str]) -> int:
    """Transfer all; 0 when done, 130 when Ctrl-C cut it short."""
    job, args = config.parse(
        BatchJob,
        argv,
        prog="geostyle batch",
        description="Transfer every picture of a folder. The styles may be folders, too: then "
        "every picture is transferred to each of theirs. Results that exist are skipped.",
    )
    from geostyle.io.images import load_picture
    from geostyle.pipeline import Pipeline

    units = list_units(job)
    read = functools.lru_cache(maxsize=8)(load_picture)  # says once what is to be said of a style
    for name in ("geo_style", "tex_style"):
        for path in getattr(job, name):
            if not path.is_dir():
                read(path, name=name)
    say_mixed(job)
    say_unused(job)
    pipe = Pipeline(job.transfer)
    networks = pipe.networks(
        geometry=job.compares_pictures, texture=bool(job.tex_style) and not job.preview
    )
    check_claim(job)
    if args.dry_run:
        return preview(units, job, pipe)
    make_folder(job.output)
    run = RunFolder(job.output)
    with run.lock():
        if not run.file(SETTINGS).is_file():  # first: they make the folder one of a batch
            run.save_settings(job)
        if not run.file("environment.json").is_file():
            run.save_environment(verb=VERB, seed=job.transfer.seed, networks=networks.describe())
        return transfer_all(units, job, pipe, run, read)


def list_units(job: BatchJob) -> list[Unit]:
    """Every combination of the pictures given, named after the pictures from folders.

    Raises: InputError where a folder holds no picture, or is where the results go.
    """
    from geostyle.io.images import list_pictures

    def pictures(paths: tuple[Path, ...], name: str) -> list[tuple[Path, ...]]:
        if len(paths) != 1 or not paths[0].is_dir():
            return [paths]
        if paths[0].resolve() == job.output.resolve():
            raise InputError(
                f"output: expected another folder than {name}'s, got {str(paths[0])!r}"
            )
        return [(path,) for path in list_pictures(paths[0], name=name)]

    folders = [path for path in (*job.geo_style, *job.tex_style) if path.is_dir()]
    found: list[tuple[list[Path], Unit]] = []
    assert job.content is not None
    for (content,), geo, tex in itertools.product(
        pictures((job.content,), "content"),
        pictures(job.geo_style, "geo_style"),
        pictures(job.tex_style, "tex_style"),
    ):
        named = [path for path in (*geo, *tex) if path.parent in folders]
        found.append(([content, *named], Unit("", content, geo, tex)))
    stems = Counter("+".join(path.stem for path in parts).casefold() for parts, _ in found)
    units, taken = [], set[str]()
    for parts, unit in found:
        name = "+".join(path.stem for path in parts)
        if stems[name.casefold()] > 1:  # photo.jpg beside photo.png
            name = "+".join(path.name.replace(".", "_") for path in parts)
        plain, number = name, 2
        while name.casefold() in taken:  # a.jpg and a.png beside a_jpg.png
            name, number = f"{plain}-{number}", number + 1
        taken.add(name.casefold())
        units.append(replace(unit, name=name))
    return units


def preview(units: list[Unit], job: BatchJob, pipe: Pipeline) -> int:
    """Print what would be made, and which pictures would be skipped; the exit status."""
    from geostyle.io.images import picture_size
    from geostyle.warps import WarpParameters

    theta = WarpParameters.load(job.theta) if job.theta else None
    skipped = 0
    for unit in units:
        try:
            size = picture_size(unit.content)
            pipe.check_memory(size, 0 if job.preview else len(unit.tex_style), theta)
            print(f"{unit.content} -> {unit.name}")
        except InputError as error:
            skipped += 1
            print(f"{unit.content}: skipped, {error}")
    return EXIT_ERROR if skipped == len(units) else 0


def check_claim(job: BatchJob) -> None:
    """Check that the folder of the results can be written to, and is one of this batch.

    Raises: InputError where it holds anything but results of the same settings.
    """
    folder, own = job.output, _comparable(job)
    check_folder(folder)
    others: list[str] = []
    if folder.is_dir():
        others = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    if (folder / SETTINGS).is_file():
        # Resolved, so that settings added since take their defaults.
        before = _comparable(config.resolve(BatchJob, folder / SETTINGS))
        changed = [key for key in own if own[key] != before.get(key)]
        if changed:
            key = changed[0]
            raise InputError(
                f"output: expected a folder of its own for other settings, got {str(folder)!r}, "
                f"made with {key} {before.get(key)} instead of {own[key]}"
            )
    elif others:
        raise InputError(
            f"output: expected an empty folder or one of a batch, got {str(folder)!r} "
            f"(with {others[0]!r})"
        )


def transfer_all(
    units: list[Unit], job: BatchJob, pipe: Pipeline, run: RunFolder, read: Callable[..., Picture]
) -> int:
    """Make every result that is missing; one line of metrics.jsonl for each."""
    from tqdm import tqdm

    from geostyle.cli._geometry import held_back
    from geostyle.texture.optimizer import NotFiniteError

    masks = (*job.tex_mask, *job.geo_regions)
    extra = [*masks, *(path for path in (job.theta, job.geo_mask) if path)]
    common, made = shared_inputs(job), done_before(run)
    counts, notes, interrupted = {"done": 0, "done before": 0, "skipped": 0}, list[str](), False
    with tqdm(total=len(units), unit="picture", dynamic_ncols=True) as bar:

        def show(p: Progress) -> None:
            bar.set_postfix_str(f"level {p.level + 1}/{p.levels}, step {p.step + 1}/{p.steps}")

        for unit in units:
            bar.set_description_str(unit.name)
            started = time.monotonic()
            try:
                inputs = unit.fingerprint(extra)
                if made.get(unit.name) == inputs:
                    counts["done before"] += 1
                    bar.update()
                    continue
                content, pictures = unit.load(read)
                result = pipe(content, **pictures, **common, callback=show)
            except KeyboardInterrupt:
                interrupted = True
                break
            except (InputError, NotFiniteError, OSError) as error:
                reason = " ".join(str(error).split())
                counts["skipped"] += 1
                notes.append(f"skipped: {unit.content}: {reason}")
                run.log(stage="skipped", name=unit.name, reason=reason)
                bar.update()
                continue
            if result.interrupted:
                interrupted = True
                break
            # Not inside the try: where one result cannot be written, none can.
            stem = run.file(unit.name)
            path = job.result.save(result.tensor, stem, content, result.alpha)
            seconds = round(time.monotonic() - started, 3)
            if note := held_back(result.geometry):
                notes.append(f"held back: {unit.name}: {note}")
            run.log(stage="done", name=unit.name, file=path.name, inputs=inputs, seconds=seconds)
            counts["done"] += 1
            bar.update()
    run.close()
    summary = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
    print(f"{len(units)} pictures: {summary or 'none done'}; results in {run.path}")
    print(*notes, sep="\n", end="\n" if notes else "")
    if interrupted:
        print("interrupted; the same command goes on from here")
        return EXIT_INTERRUPTED
    return EXIT_ERROR if counts["skipped"] == len(units) else 0


def shared_inputs(job: BatchJob) -> dict[str, Any]:
    """Inputs that all results of a batch share, by the names of `Pipeline`."""
    from geostyle.cli._transfer_run import load_masks, load_optional
    from geostyle.warps import WarpParameters

    return {
        "tex_weights": job.tex_weights,
        "tex_mask": load_masks(job.tex_mask),
        "geo_weights": job.geo_weights,
        "geo_regions": load_masks(job.geo_regions, "geo_regions"),
        "geo_mask": load_optional(job.geo_mask, "geo_mask"),
        "theta": WarpParameters.load(job.theta) if job.theta else None,
        "paint": not job.preview,
    }


def done_before(run: RunFolder) -> dict[str, str]:
    """Fingerprints of the results that exist, by name."""
    path = run.file("metrics.jsonl")
    lines = read_metrics(path) if path.is_file() else []
    return {
        line["name"]: line["inputs"]
        for line in lines
        if line.get("stage") == "done" and {"name", "inputs", "file"} <= line.keys()
        if run.file(str(line["file"])).is_file()
    }


def _comparable(job: BatchJob) -> dict[str, Any]:
    """Settings that must be the same for one batch to go on, flat."""
    flat = config.flatten(config.to_dict(job))
    return {key: value for key, value in flat.items() if key not in FREE}
