"""measure: pf-willow, pf-pascal, spair, texture-source, painting, features, synthetic; pairs"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from geostyle.config import Parser

# Modules of this folder, each with `run(benchmark, argv)`; imported when they are called.
BENCHMARKS = {
    "pf-willow": "_evaluate_keypoints",
    "pf-pascal": "_evaluate_keypoints",
    "spair": "_evaluate_keypoints",
    "pairs": "_evaluate_pairs",
    "synthetic": "_evaluate_synthetic",
    "features": "_evaluate_features",
    "painting": "_evaluate_painting",
    "texture-source": "_evaluate_texture_source",
}


def main(argv: Sequence[str]) -> int:
    """Run one benchmark and print its table; 0 when done."""
    parser = Parser(prog="geostyle evaluate", description=__doc__)
    parser.add_argument("benchmark", choices=BENCHMARKS)
    benchmark = parser.parse_args(argv[:1]).benchmark
    status: int = import_module(f"geostyle.cli.{BENCHMARKS[benchmark]}").run(benchmark, argv[1:])
    return status
