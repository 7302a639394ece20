"""The main jobs on a GPU: the same results as on the CPU, up to the arithmetic. Skipped without."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from geostyle.features.extractor import load_features
from geostyle.io.images import load_picture
from geostyle.matching import GeometrySettings, estimate_warp
from geostyle.pipeline import Pipeline
from geostyle.training.student import Student, distillation_loss, initialize_from_teacher
from geostyle.training.student import teacher_targets as targets_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
PICTURES = Path(__file__).resolve().parents[1] / "geostyle" / "assets" / "pictures"


def pictures() -> list[torch.Tensor]:
    names = ("content/coffee.jpg", "geo/coffee.jpg", "styles/night.jpg")
    return [load_picture(PICTURES / name).tensor for name in names]


def test_a_warp_is_the_one_of_the_cpu() -> None:
    content, geo_style, _ = pictures()
    settings = GeometrySettings(frame="geo")
    found = [
        estimate_warp(content, geo_style, load_features("lite", device=device), settings)
        for device in ("cpu", "cuda")
    ]
    theta, other = (estimate.parameters.theta for estimate in found)
    torch.testing.assert_close(theta, other, rtol=0, atol=0.02)


@pytest.mark.parametrize("painter", ["matched", "gram"])
def test_a_painting_is_near_the_one_of_the_cpu(painter: str) -> None:
    content, geo_style, tex_style = pictures()
    results = []
    for device in ("cpu", "cuda"):
        pipe = Pipeline(size_px=128, device=device, painter=painter, precision="float32")
        results.append(pipe(content, geo_style=geo_style, tex_style=tex_style).tensor.cpu())
    one, two = results
    assert one.shape == two.shape
    assert bool(two.isfinite().all())
    # Rounding grows from step to step: the paintings agree, their strokes only nearly.
    assert float((one - two).abs().mean()) < 0.04
    assert float((one.mean((2, 3)) - two.mean((2, 3))).abs().max()) < 0.01


def test_tiles_and_low_precision_run() -> None:
    content, _, tex_style = pictures()
    pipe = Pipeline(size_px=256, device="cuda", precision="bfloat16", tile_px=128)
    assert bool(pipe(content, tex_style=tex_style).tensor.isfinite().all())


def test_a_student_is_trained() -> None:
    torch.manual_seed(0)
    teacher, student = load_features("lite", device="cuda"), Student((8, 8, 8, 8, 8)).cuda()
    crops = torch.rand(4, 3, 64, 64, device="cuda")
    layers = student.network.layer_names
    with torch.no_grad():
        scales = {k: float(v.pow(2).mean().sqrt()) for k, v in teacher(crops, layers).items()}
    initialize_from_teacher(student, teacher, crops, scales)
    targets = targets_of(teacher, crops, layers, scales)
    loss, _ = distillation_loss(
        student, crops, targets, gram_weight=1.0, match_weight=0.1, decay=0.9
    )
    loss.backward()
    assert bool(loss.isfinite())
