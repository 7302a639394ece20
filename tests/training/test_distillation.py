"""Distillation on tiny networks and pictures: the algebra, the closed-form start, resume."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import geostyle.training.distillation as module
from geostyle.cli import main
from geostyle.data.crops import CropSource
from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor, load_features
from geostyle.io.checkpoint import load_checkpoint
from geostyle.texture.losses import gram
from geostyle.training.distillation import (
    DistillLearner,
    DistillSettings,
    OnPolicyPool,
)
from geostyle.training.loop import STATE, run_training
from geostyle.training.student import (
    Student,
    distillation_loss,
    initialize_from_teacher,
    match_errors,
    teacher_targets,
)

LAYERS = FeatureExtractor("lite", channels=(4, 4, 4, 4, 4)).layer_names


@pytest.fixture
def teacher() -> FeatureExtractor:
    torch.manual_seed(3)
    return FeatureExtractor("vgg19", channels=(6, 8, 8, 8, 8)).requires_grad_(False)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(6):
        small = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        Image.fromarray(small).resize((70, 50 - 5 * i)).save(folder / f"{i}.png")
    return folder


def source(pictures: Path, crop_px: int = 32) -> CropSource:
    return CropSource(sorted(pictures.glob("*.png")), crop_px, seed=1)


def started(teacher: FeatureExtractor) -> tuple[Student, torch.Tensor, dict[str, torch.Tensor]]:
    """A student at its closed-form start, crops, and the teacher's features of them."""
    student = Student((4, 4, 4, 4, 4))
    torch.manual_seed(0)
    crops = torch.rand(3, 3, 32, 32)
    scales = {k: 0.5 for k in LAYERS}
    targets = teacher_targets(teacher, crops, LAYERS, scales)
    initialize_from_teacher(student, teacher, crops, scales)
    return student, crops, targets


def test_loss_by_moments_equals_the_direct_one(teacher: FeatureExtractor) -> None:
    student, crops, targets = started(teacher)
    with torch.no_grad():
        loss, errors = distillation_loss(student, crops, targets, gram_weight=0.3)
        features = student.network(crops, LAYERS)
    want = 0.0
    read = (
        "relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_2", "relu3_3", "relu4_1",
        "relu4_2", "relu5_1", "pool4",
    )  # fmt: skip
    weights = {k: 1.0 if k in read else 0.3 for k in LAYERS}
    for layer in LAYERS:
        mapped = torch.einsum("ts,bshw->bthw", student.maps[layer], features[layer])
        direct = (mapped - targets[layer]).pow(2).sum() / targets[layer].pow(2).sum()
        assert errors[layer] == pytest.approx(float(direct), rel=1e-3, abs=1e-5)
        want += float(direct) * weights[layer] / sum(weights.values())
        if layer in ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"):
            a, b = gram(mapped), gram(targets[layer])
            per_crop = ((a - b).pow(2).sum((1, 2)) / b.pow(2).sum((1, 2))).clamp(max=4)
            want += 0.3 * float(per_crop.mean()) / 5
            assert errors[f"pool_gram_{layer}"] == pytest.approx(float(per_crop[-1]), rel=1e-2)
    assert float(loss) == pytest.approx(want, rel=1e-3)


def test_a_student_as_wide_as_its_teacher_starts_as_the_teacher() -> None:
    torch.manual_seed(3)
    teacher = FeatureExtractor("vgg19", channels=(4, 4, 4, 4, 4)).requires_grad_(False)
    student = Student((4, 4, 4, 4, 4))
    crops = torch.rand(4, 3, 48, 48)
    with torch.no_grad():
        scales = {k: float(v.pow(2).mean().sqrt()) for k, v in teacher(crops, LAYERS).items()}
        initialize_from_teacher(student, teacher, crops, scales)
        targets = teacher_targets(teacher, crops, LAYERS, scales)
        _, errors = distillation_loss(student, crops, targets)
    assert max(errors.values()) < 0.02


def test_matches_are_those_of_the_mapped_hypercolumns(teacher: FeatureExtractor) -> None:
    """The products at the student's width are those of its features mapped and put side by side."""
    student, crops, targets = started(teacher)
    features = student.features(crops, LAYERS)
    with torch.no_grad():
        divergence, found = match_errors(student, features, targets)
    used = ["relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_2", "relu3_3", "relu4_1"]
    grids = []
    for maps in (
        {k: torch.einsum("ts,bshw->bthw", m, features[k]) for k, m in student.maps.items()},
        targets,
    ):
        cells = []
        for layer in [*used, "relu4_2"]:
            factor = 4 * maps[layer].shape[-1] // 32
            if factor > 1:
                cells.append(torch.nn.functional.avg_pool2d(maps[layer], factor))
            else:
                cells.append(torch.nn.functional.interpolate(maps[layer], (8, 8), mode="bilinear"))
        columns = torch.nn.functional.normalize(torch.cat(cells, 1).flatten(2), dim=1)
        others = columns[[2, 0, 1]]
        grids.append((columns[:, :, ::4].mT @ others / 0.05).softmax(-1).detach())
    ours, theirs = grids
    direct = (theirs * (theirs.log() - ours.log())).sum(-1).mean()
    assert float(direct) > 0.001
    assert float(divergence) == pytest.approx(float(direct), rel=1e-3)
    one, two = ours.argmax(-1), theirs.argmax(-1)
    close = ((one // 8 - two // 8).abs() <= 2) & ((one % 8 - two % 8).abs() <= 2)
    assert float(found) == pytest.approx(float(close.float().mean()))
    with torch.no_grad():
        loss, errors = distillation_loss(student, crops, targets)
        more, _ = distillation_loss(student, crops, targets, match_weight=2.0)
    assert float(more - loss) == pytest.approx(2 * float(direct), rel=1e-2)
    assert "match" not in errors


def test_every_convolution_may_have_its_own_width() -> None:
    widths = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14)
    network = FeatureExtractor("lite", channels=widths, taps=True)
    found = network(torch.rand(1, 3, 32, 32), LAYERS)
    assert [found[k].shape[1] for k in LAYERS if k.startswith("relu")] == list(widths)
    assert (network.channels("pool1"), network.channels("pool4")) == (3, 13)
    with pytest.raises(InputError, match="channels: expected 5 widths"):
        FeatureExtractor("lite", channels=(4, 4))


def test_taps_keep_the_inner_products_of_the_maps(teacher: FeatureExtractor) -> None:
    student = Student((4, 4, 4, 4, 4))
    student.maps = {k: torch.randn(teacher.channels(k), 4) for k in LAYERS}
    tensors = {k: v.float() for k, v in student.export().items()}
    f = torch.randn(4, 9)
    for layer, m in student.maps.items():
        tap = tensors[f"taps.{layer}.weight"][:, :, 0, 0]
        assert tap.shape == (4, 4)
        torch.testing.assert_close(
            (tap @ f).T @ (tap @ f), (m @ f).T @ (m @ f), rtol=0.02, atol=0.05
        )


def test_pool_moves_towards_its_textures(teacher: FeatureExtractor, pictures: Path) -> None:
    src = source(pictures)
    student = Student((4, 4, 4, 4, 4))
    crops = src.batch(0, 4)
    initialize_from_teacher(student, teacher, crops, {k: 1.0 for k in LAYERS})
    pool = OnPolicyPool(src, 2, torch.device("cpu"))

    def distance() -> float:
        with torch.no_grad():
            a, b = (
                gram(student.network(x, ["relu2_1"])["relu2_1"])
                for x in (pool.pictures, pool.styles)
            )
        return float((a - b).pow(2).sum() / b.pow(2).sum())

    before = distance()
    for _ in range(15):
        pool.advance(student, torch.tensor([0, 1]))
    assert distance() < before
    assert pool.pictures.min() >= 0
    assert pool.pictures.max() <= 1


def small(pictures: Path, teacher_file: Path, output: Path, steps: int) -> DistillSettings:
    return DistillSettings(
        images=(str(pictures),),
        teacher_weights=str(teacher_file),
        output=str(output),
        channels=(4, 4, 4, 4, 4),
        crop_px=32,
        batch=3,
        on_policy=1,
        pool=2,
        steps=steps,
        init_crops=2,
        calibration_crops=8,
        save_every=2,
        device="cpu",
    )


@pytest.fixture
def narrow_vgg(monkeypatch: pytest.MonkeyPatch, teacher: FeatureExtractor) -> None:
    """Let the command distil from a narrow teacher instead of a full VGG-19."""
    monkeypatch.setattr(
        "geostyle.training.distillation.load_features", lambda *args, **kwargs: teacher
    )


def test_a_student_goes_on_from_an_earlier_one(
    pictures: Path, tmp_path: Path, teacher: FeatureExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = module.load_features

    def load(name: str, **kwargs: object) -> FeatureExtractor:
        return teacher if name == "vgg19" else original(name, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "load_features", load)
    first = small(pictures, tmp_path, tmp_path / "first.safetensors", 2)
    run_training(DistillLearner, first, "distill", tmp_path / "first")
    then = dataclasses.replace(first, start=Path(first.output), steps=0, match_weight=0.1)
    learner = DistillLearner(then)
    learner.prepare()
    stored = load_checkpoint(Path(first.output), kind="features")[0]
    for name, weight in learner.student.network.convs.state_dict().items():
        torch.testing.assert_close(weight, stored[f"convs.{name}"].float())
    assert learner.student.maps.keys() == set(LAYERS)
    wrong = dataclasses.replace(then, channels=(4, 4, 4, 4, 5))
    with pytest.raises(InputError, match="start: expected a network of channels"):
        DistillLearner(wrong).prepare()
    missing = dataclasses.replace(then, start=tmp_path / "none.safetensors")
    with pytest.raises(InputError, match="^start: "):
        DistillLearner(missing).prepare()


@pytest.mark.usefixtures("narrow_vgg")
def test_a_stopped_run_resumes_to_the_same_network(pictures: Path, tmp_path: Path) -> None:
    settings = small(pictures, tmp_path, tmp_path / "whole.safetensors", 6)
    run_training(DistillLearner, settings, "distill", tmp_path / "whole")
    whole = load_checkpoint(Path(settings.output), kind="features")[0]
    # Stopped after the state of step 4 was written, in the middle of step 5's work.
    settings = small(pictures, tmp_path, tmp_path / "cut.safetensors", 6)
    state = tmp_path / "cut" / STATE
    calls = 0
    original = module.distillation_loss

    def killed(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += kwargs.get("decay") is not None
        if calls == 5:
            raise KeyboardInterrupt
        return original(*args, **kwargs)  # type: ignore[arg-type]

    module.distillation_loss = killed  # type: ignore[assignment]
    try:
        with pytest.raises(KeyboardInterrupt):
            run_training(DistillLearner, settings, "distill", tmp_path / "cut")
    finally:
        module.distillation_loss = original
    assert load_checkpoint(state, kind="distill-state")[1]["step"] == 4
    with pytest.raises(InputError, match="run's own settings .lr 0.0005., got"):
        changed = dataclasses.replace(settings, lr=1e-3)
        run_training(DistillLearner, changed, "distill", tmp_path / "cut")
    run_training(DistillLearner, settings, "distill", tmp_path / "cut")
    resumed = load_checkpoint(Path(settings.output), kind="features")[0]
    assert whole.keys() == resumed.keys()
    for key in whole:
        assert torch.equal(whole[key], resumed[key]), key


@pytest.mark.usefixtures("narrow_vgg")
def test_the_command_writes_a_network_that_loads(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = "--channels 4 4 4 4 4 --crop-px 32 --batch 2 --on-policy 1 --pool 2 --steps 2"
    flags += " --init-crops 2 --calibration-crops 8 --output net.safetensors --device cpu"
    assert main(["distill", "--images", str(pictures), *flags.split()]) == 0
    network = load_features("lite", weights=tmp_path / "net.safetensors")
    assert network.channels("pool4") == 4
    lines = (tmp_path / "runs/00001-distill/metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == 2
    assert not any("val_pool_gram" in line for line in lines)


def test_no_pictures_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["distill", "--images", str(tmp_path), "--run", str(tmp_path / "r")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_a_wrong_run_folder_or_teacher_is_told_of_in_one_line(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    run = str(tmp_path / "file" / "run")
    assert main(["distill", "--images", str(pictures), "--run", run]) == 2
    assert "writable path" in capsys.readouterr().err.strip().splitlines()[0]
    new = tmp_path / "new" / "run"  # only the teacher is wrong here: nothing is made
    assert (
        main(
            [
                "distill",
                "--images",
                str(pictures),
                "--run",
                str(new),
                "--teacher-weights",
                str(tmp_path / "file"),
            ]
        )
        == 2
    )
    assert not new.exists()
