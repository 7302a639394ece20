"""The figures of the documents: their commands, the code they measure, their tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from figure_tables import Table, fixed, keypoints, layers, records, synthetic


@dataclass(frozen=True)
class Figure:
    """A figure of the documents.

    Attributes:
        command: that measures it and writes its values as JSON to FILE, keeping what it needs to
            go on in the folder WORK; several are joined by ``&&``. What is outside the project
            has a name of `figures.PLACES`.
        code: files and folders whose change makes the figure old; after ``!`` what is left out.
        table: its table, from the values.
        by_hand: why `make` cannot measure it; empty where it can.
    """

    command: str
    code: Sequence[str]
    table: Table | None = None
    by_hand: str = ""


LITE = "geostyle/assets/lite.safetensors"
FEATURES = ("geostyle/features", LITE)
PAINTER = ("geostyle/texture", *FEATURES)
GRAM = (
    *PAINTER,
    *(f"!geostyle/texture/{name}" for name in (
        "cells", "hypercolumns", "keeping", "laplacian", "matched", "neighbors", "splitting")),
)  # fmt: skip
GEOMETRY = (
    "geostyle/coords.py", "geostyle/matching", "geostyle/warps", *FEATURES,
    "geostyle/assets/geonet-lite.safetensors",
)  # fmt: skip
GEOMETRY_VGG = (
    *GEOMETRY,
    "geostyle/assets/geonet-vgg19.safetensors",
    "geostyle/assets/geonet-vgg19-second.safetensors",
)
TRIALS = "tests/reliability"
# What reads and writes files, resumes and answers signals.
FILES = tuple(
    f"geostyle/{name}" for name in (
        "cli", "config", "data", "errors.py", "io", "pipeline", "report", "training")
)  # fmt: skip
TRIAL = (*FILES, *(f"{TRIALS}/{name}.py" for name in ("trial", "forked", "workloads")))
LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "pool4", "relu5_1")
ESTIMATORS = {
    "none": "no warp",
    "ransac-affine": "`ransac-affine`",
    "robust": "`robust`",
    "refined": "`refined` (the default)",
    "regression": "`regression`",
    "oracle": "best fold-free fit to the true keypoints",
}

FIGURES: dict[str, Figure] = {
    # Painting
    "jobs": Figure(
        "python benchmarks/jobs.py --json FILE",
        ("geostyle", "benchmarks/jobs.py"),
        fixed(
            ("at 512 px", "processor seconds", "peak memory, GB"),
            *(
                [label, (f"jobs/{name}/cpu_s", ".1f"), (f"jobs/{name}/peak_gb", ".2f")]
                for name, label in {
                    "help": "`geostyle transfer --help`",
                    "warp": "the warp only",
                    "quick": "warp and texture, `--quick`",
                    "matched": "warp and texture",
                    "gram": "warp and texture, `--painter gram`",
                }.items()
            ),
        ),
    ),
    "gpu": Figure(
        "python benchmarks/gpu.py --weights VGG19 --json FILE",
        ("geostyle", "benchmarks/gpu.py"),
        records(
            "jobs",
            ("on a GPU", "name", "{}"),
            ("seconds", "seconds", ".2f"),
            ("peak memory, GB", "peak_gb", ".1f"),
        ),
        by_hand="needs a GPU",
    ),
    "painting": Figure(
        "python benchmarks/painting.py --photos PHOTOS --art ART --weights VGG19 --work WORK "
        "--json FILE",
        (*PAINTER, "geostyle/evaluation/painting.py", "benchmarks/painting.py"),
        fixed(
            ("error", "matched / gram"),
            ("relaxed earth mover's distance of hypercolumns", ("ratio/remd", ".3f")),
            ("self-similarity to the content", ("ratio/selfsim", ".2f")),
            ("Gram matrices, relu1_1 … relu4_1", ("ratio/gram", ".2f")),
            ("mean color, Lab", ("ratio/color_mean", ".2f")),
            ("color covariance, Lab", ("ratio/color_spread", ".2f")),
            ("processor time of the whole transfer", ("cpu_ratio/median", ".2f")),
        ),
    ),
    "texture-source": Figure(
        "geostyle evaluate texture-source --root PF_WILLOW --limit 24 --json FILE",
        (*PAINTER, "geostyle/matching", "geostyle/evaluation/texture_source.py"),
    ),
    "memory": Figure(
        "python benchmarks/memory.py --weights VGG19 --painter gram --precision float32 "
        "--size 256 512 --json FILE",
        (*GRAM, "benchmarks/memory.py"),
    ),
    "texture-baseline": Figure(
        "make bench",
        GRAM,
        records(
            "rows",
            ("512 px", "method", "{}"),
            ("seconds in all", "seconds", "{}"),
            ("per step at full size", "step_s", "{}"),
            ("peak memory, GB", "peak_gb", ".1f"),
        ),
        by_hand="needs bfloat16 in hardware",
    ),
    # Geometry
    "pf-willow": Figure(
        "geostyle evaluate pf-willow --root PF_WILLOW "
        "--estimators none ransac-affine robust refined regression oracle --json FILE",
        (*GEOMETRY, "geostyle/evaluation/pck.py", "geostyle/evaluation/metrics.py"),
        keypoints(ESTIMATORS),
    ),
    "pf-willow-vgg19": Figure(
        "geostyle evaluate pf-willow --root PF_WILLOW --features vgg19 --weights VGG19 "
        "--limit 120 --estimators ransac-affine refined regression --json FILE",
        (*GEOMETRY_VGG, "geostyle/evaluation/pck.py", "geostyle/evaluation/metrics.py"),
        keypoints(ESTIMATORS | {"regression": "`regression`, a cascade of two networks"}),
    ),
    "pf-willow-ten": Figure(
        "geostyle evaluate pf-willow --root DIR --estimators none refined --json FILE",
        GEOMETRY,
        records(
            "classes",
            ("class", "class", "{}"),
            ("PCK@0.1", "pck", ".1f"),
        ),
        by_hand="needs the six other classes of PF-WILLOW",
    ),
    "synthetic": Figure(
        "geostyle make-pairs --images PHOTOS --styles ART --count 1 --val-count 24 --output WORK "
        "&& geostyle evaluate synthetic --data WORK "
        "--estimators none ransac-affine robust refined regression --json FILE",
        (*GEOMETRY, *GRAM, "geostyle/data", "geostyle/evaluation/synthetic.py"),
        synthetic(ESTIMATORS),
    ),
    "synthetic-matched": Figure(
        "geostyle make-pairs --images PHOTOS --styles ART --count 1 --val-count 12 "
        "--stylize matched --output WORK "
        "&& geostyle evaluate synthetic --data WORK --estimators none regression --json FILE",
        (*GEOMETRY, *PAINTER, "geostyle/data", "geostyle/evaluation/synthetic.py"),
        synthetic(ESTIMATORS),
    ),
    "ablation": Figure(
        "geostyle train-geo --config configs/geometry/train_geo_lite.yaml --data PAIRS --steps 600",
        (*GEOMETRY, "geostyle/training/geometry.py", "geostyle/training/geometry_losses.py"),
        records(
            "rows",
            ("", "training", "{}"),
            ("seeds", "seeds", "d"),
            ("stylized", "stylized", "{}"),
            ("plain", "plain", "{}"),
        ),
        by_hand="trains fourteen networks",
    ),
    # Networks
    "features": Figure(
        "geostyle evaluate features --images PHOTOS --styles ART --reference-weights VGG19 "
        "--no-paint --json FILE",
        (*FEATURES, "geostyle/texture/objective.py", "geostyle/texture/hypercolumns.py",
         "geostyle/evaluation/features.py", "geostyle/evaluation/matches.py"),
        fixed(
            ("", *LAYERS),
            ["cosine", *((f"product_similarity/{layer}", ".2f") for layer in LAYERS)],
        ),
    ),
    "features-painted": Figure(
        "geostyle evaluate features --images PHOTOS --styles ART --reference-weights VGG19 "
        "--json FILE",
        (*GRAM, "geostyle/evaluation/features.py"),
    ),
    "fast-styles": Figure(
        "python benchmarks/feedforward.py --weights VGG19 --photos PHOTOS --held-out --kinds fast "
        "--count 4 --optimized 0 --json FILE",
        ("geostyle/feedforward", "geostyle/texture/score.py", "benchmarks/feedforward.py",
         *(f"geostyle/assets/fast_{name}.safetensors" for name in (
             "charcoal", "gouache", "mosaic", "night", "pointillism", "watercolor", "woodcut"))),
        records(
            "summary/fast",
            ("network", "network", "`{}`"),
            ("style error", "network_style", ".3f"),
            ("content error", "network_content", ".2f"),
            ("seconds a picture", "network_s", ".2f"),
        ),
    ),
    "fast-night": Figure(
        "python benchmarks/feedforward.py --weights VGG19 --photos PHOTOS --held-out --kinds fast "
        "--fast geostyle/assets/fast_night.safetensors --count 12 --every 20 "
        "--json FILE",
        ("geostyle/feedforward", *GRAM, "benchmarks/feedforward.py",
         "geostyle/assets/fast_night.safetensors"),
    ),
    "texture-networks": Figure(
        "python benchmarks/feedforward.py --weights VGG19 --kinds texture --optimized 0 "
        "--json FILE",
        ("geostyle/feedforward", "geostyle/texture/synthesis.py", "benchmarks/feedforward.py",
         "geostyle/assets/texnet_pebbles.safetensors", "geostyle/assets/texnet_scales.safetensors"),
        records(
            "summary/texture",
            ("network", "network", "`{}`"),
            ("Gram error", "network_error_vgg19", ".1%"),
            ("seconds a sample", "network_s", ".3f"),
            ("peak memory, MB", "peak_memory_mb", ".0f"),
        ),
    ),
    # The founding papers
    "texture-synthesis": Figure(
        "python benchmarks/founding_papers.py --features vgg19 --weights VGG19 "
        "--textures TEXTURES --count 4 --size 160 --output WORK --json FILE",
        (*GRAM, "benchmarks/founding_papers.py"),
        layers(
            "texture/layers",
            ("‖G − A‖ / ‖A‖, median", "median", ".2%"),
            ("worst", "worst", ".2%"),
            ("‖G − A‖² / ‖A‖², median", "median_squared", ".3%"),
        ),
    ),
    "reconstructions": Figure(
        "python benchmarks/founding_papers.py --features vgg19 --weights VGG19 --photos PHOTOS "
        "--count 4 --size 160 --output WORK --json FILE",
        (*GRAM, "benchmarks/founding_papers.py"),
        layers(
            "content/layers",
            ("‖F − P‖ / ‖P‖, median", "median", ".2%"),
            ("worst", "worst", ".2%"),
            ("‖F − P‖² / ‖P‖², median", "median_squared", ".3%"),
        ),
    ),
    # The studio, trials, scaling
    "studio": Figure(
        "python benchmarks/studio.py --json FILE",
        ("geostyle/studio", *PAINTER, *GEOMETRY, "benchmarks/studio.py"),
        fixed(
            ("what", "seconds", "at most"),
            ["content and shape dropped until the picture is bent",
             ("warp shown, s/0", ".1f"), ("warp shown, s/1", ".1f")],
            ["the same while another visitor paints at 768 px",
             ("warp shown while another paints, s/0", ".1f"),
             ("warp shown while another paints, s/1", ".1f")],
            ["a prepared painting of 512 px until a frame differs from the warped content",
             ("first frame that differs, s", ".1f"), "–"],
            ["the whole painting of 512 px", ("painting, s", ".0f"), "–"],
        ),
    ),
    "kill": Figure(
        "python tests/reliability/kill.py --kills 25 --operations 15 --json FILE",
        (*TRIAL, f"{TRIALS}/kill.py"),
        records(
            "rows",
            ("command", "name", "{}"),
            ("kills", "disturbed", "d"),
            ("completions", "finished", "d"),
            ("files read", "files", ",d"),
            ("files compared", "compared", ",d"),
        ),
    ),
    "disk": Figure(
        "python tests/reliability/disk.py --times 2 --json FILE",
        (*TRIAL, f"{TRIALS}/disk.py"),
        records(
            "rows",
            ("command", "name", "{}"),
            ("full disks", "disturbed", "d"),
            ("completions", "finished", "d"),
            ("files read", "files", ",d"),
            ("files compared", "compared", ",d"),
        ),
    ),
    "torchrun": Figure(
        "python tests/reliability/torchrun.py --processes 2 4 --kills 2 --json FILE",
        (*TRIAL, "geostyle/distributed.py", f"{TRIALS}/torchrun.py"),
        records(
            "rows",
            ("command", "name", "{}"),
            ("processes", "processes", "d"),
            ("killed", "killed", "d"),
            ("restarted by torchrun", "restarted", "d"),
            ("files read", "files", ",d"),
            ("files compared", "compared", ",d"),
        ),
    ),
    "fuzz": Figure(
        "python tests/reliability/fuzz.py --json FILE",
        (*FILES, "geostyle/features", f"{TRIALS}/fuzz.py", f"{TRIALS}/readers.py"),
    ),
    "folds": Figure(
        "python tests/reliability/folds.py --size 128 --estimated 0.01 --json FILE",
        ("geostyle/warps", "geostyle/coords.py", f"{TRIALS}/folds.py"),
    ),
    "mutants": Figure(
        "make mutants",
        ("geostyle/coords.py", "geostyle/warps", "geostyle/matching/correlation.py"),
        by_hand="an hour",
    ),
    "studio-load": Figure(
        "python tests/reliability/studio_load.py --json FILE",
        ("geostyle/studio", f"{TRIALS}/studio_load.py"),
    ),
    "pairs": Figure(
        "python benchmarks/pairs.py --images PHOTOS --styles ART --weights VGG19 --json FILE",
        ("geostyle/data", "geostyle/training/geometry.py", "geostyle/matching/network.py",
         *GRAM, "benchmarks/pairs.py"),
        fixed(
            ("", "per pair", "a million pairs"),
            ["repainting by optimization under `lite`",
             ("repaint_s", "{:.1f} s"), ("million/repaint_h", "{:,.0f} core-hours")],
            ["correlations of VGG-19, stylized and plain",
             ("correlate_s", "{:.1f} s"), ("million/correlate_h", "{:,.0f} core-hours")],
            ["an epoch of training, in steps of 32 pairs", "–",
             ("million/epoch_h", "{:.1f} core-hours")],
            *(
                [label, (f"bytes/{name}", "{:,.0f} bytes"), (f"million/gb/{name}", "{:,.0f} GB")]
                for name, label in {
                    "pictures": "three JPEGs of 240 px",
                    "record": "its record, a file",
                    "line of the manifest": "its line of `manifest.jsonl`",
                    "correlations": "correlations at `pool4`, two targets in float16",
                }.items()
            ),
        ),
    ),
}  # fmt: skip
