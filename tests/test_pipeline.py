"""The pipeline in Python: what goes in, what comes out, and what every stage is handed."""

from __future__ import annotations

import re
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import geostyle
from geostyle import pipeline
from geostyle.config.settings import leaves
from geostyle.coords import base_grid, resize
from geostyle.errors import InputError
from geostyle.io.images import save_picture
from geostyle.pipeline import TransferSettings
from geostyle.texture import Finished, Progress, TextureSettings
from geostyle.warps import WarpParameters, fold_mask
from tests.pictures import in_8_bits, picture

CONTENT, GEO, TEX = (
    in_8_bits(image) for image in (picture(1, 60, 84), picture(2, 72, 50), picture(3, 40, 40))
)


def shift(amount: float, size: tuple[int, int] = (60, 84)) -> WarpParameters:
    """An affine warp that reads `amount` (normalized) further to the right."""
    theta = torch.tensor([0, 0, amount, 0, 0, 0.0])
    return WarpParameters("affine", 4, theta, size, size)


@pytest.fixture
def quick(tiny_weights: Path) -> dict[str, Any]:
    """Settings of a short painting by statistics."""
    own = {"weights": tiny_weights, "device": "cpu", "precision": "float32"}
    return {**own, "painter": "gram", "iterations": (3, 2)}


def test_pictures_of_every_kind_give_the_same(tmp_path: Path, quick: dict[str, Any]) -> None:
    array = np.rint(CONTENT[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    save_picture(CONTENT, tmp_path / "content.png")
    kinds = [CONTENT, CONTENT[0], array, Image.fromarray(array), tmp_path / "content.png"]
    results = [
        geostyle.transfer(kind, geo_style=GEO, tex_style=TEX, **quick).tensor for kind in kinds
    ]
    assert results[0].shape == (1, 3, 60, 84)
    for result in results[1:]:
        assert torch.equal(result, results[0])


def test_the_texture_is_painted_on_the_warped_content(quick: dict[str, Any]) -> None:
    result = geostyle.transfer(CONTENT, geo_style=GEO, tex_style=TEX, **quick)
    again = geostyle.transfer(result.geometry.tensor, tex_style=TEX, **quick)
    assert torch.equal(result.tensor, again.tensor)
    assert not torch.equal(result.geometry.tensor, CONTENT)


def test_settings_as_a_whole_and_one_by_one_are_the_same(quick: dict[str, Any]) -> None:
    whole = TransferSettings(
        weights=quick["weights"],
        device="cpu",
        precision="float32",
        painter="gram",
        texture=TextureSettings(iterations=(3, 2)),
    )
    one = geostyle.transfer(CONTENT, tex_style=TEX, settings=whole)
    other = geostyle.transfer(CONTENT, tex_style=TEX, **quick)
    assert one.settings == other.settings
    assert torch.equal(one.tensor, other.tensor)
    with pytest.raises(InputError, match="either settings or single ones"):
        geostyle.transfer(CONTENT, tex_style=TEX, settings=whole, seed=1)
    with pytest.raises(InputError, match="did you mean 'size_px'"):
        geostyle.transfer(CONTENT, tex_style=TEX, size_pxx=64)


def test_the_callback_sees_every_step_after_the_warp(quick: dict[str, Any]) -> None:
    events: list[object] = []
    geostyle.transfer(
        CONTENT,
        geo_style=GEO,
        tex_style=TEX,
        callback=events.append,
        on_geometry=events.append,
        **quick,
    )
    assert isinstance(events[0], pipeline.GeometryResult)
    steps = [event for event in events if isinstance(event, Progress)]
    assert [(p.level, p.step) for p in steps] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert len(events) == 6


def test_an_interrupt_returns_the_best_so_far_at_full_size(quick: dict[str, Any]) -> None:
    def stop(progress: Progress) -> None:
        if progress.step == 1:
            raise KeyboardInterrupt

    result = geostyle.transfer(CONTENT, tex_style=TEX, callback=stop, **quick)
    assert result.interrupted
    assert result.tensor.shape == CONTENT.shape
    assert torch.isfinite(result.tensor).all()


def test_strength_zero_hands_the_content_through(quick: dict[str, Any]) -> None:
    result = geostyle.transfer(CONTENT, geo_style=GEO, geo_strength=0, **quick)
    assert torch.equal(result.tensor, CONTENT)
    assert result.geometry.grid is None and result.warp is None
    geo_frame = geostyle.transfer(CONTENT, geo_style=GEO, geo_strength=0, frame="geo", **quick)
    assert torch.equal(geo_frame.tensor, CONTENT)


def test_no_style_hands_the_content_through() -> None:
    assert torch.equal(geostyle.transfer(CONTENT).tensor, CONTENT)


def test_strength_scales_a_shift_up_to_the_warp_itself() -> None:
    for strength, share in ((0.5, 0.5), (1.0, 1.0), (2.0, 1.0)):
        result = geostyle.warp(CONTENT, shift(0.1), strength=strength)
        moved = result.grid - base_grid((60, 84))
        assert torch.allclose(moved[..., 0], torch.tensor(0.1 * share), atol=1e-6)
        assert torch.allclose(moved[..., 1], torch.tensor(0.0), atol=1e-6)


def test_a_whole_pixel_shift_moves_pixels() -> None:
    result = geostyle.warp(CONTENT, shift(2 * 7 / 84), extend="border")
    torch.testing.assert_close(result.tensor[..., :70], CONTENT[..., 7:77], atol=1e-4, rtol=0)
    assert result.inside[..., :77].all() and not result.inside[..., 77:].any()


def test_a_warp_means_the_same_at_every_size() -> None:
    small, large = (geostyle.warp(CONTENT, shift(0.2), size_px=px) for px in (42, 168))
    assert small.tensor.shape[-2:] == (30, 42) and large.tensor.shape[-2:] == (120, 168)
    reduced = resize(large.tensor, (30, 42))
    assert (reduced - small.tensor).abs().mean() < 0.01


def test_exaggeration_never_folds(quick: dict[str, Any]) -> None:
    found = geostyle.estimate_warp(CONTENT, GEO, **quick)
    for strength in (1.0, 2.0, 5.0):
        assert not fold_mask(geostyle.warp(CONTENT, found.parameters, strength=strength).grid).any()


def test_given_parameters_are_applied_and_recorded(quick: dict[str, Any]) -> None:
    result = geostyle.transfer(CONTENT, theta=shift(0.1), geo_strength=0.5, **quick)
    assert result.geometry.estimate is None
    applied = result.warp
    assert applied is not None and applied.meta["strength"] == 0.5
    # What is recorded is what was applied: at strength 1 it gives the same picture again.
    assert torch.equal(geostyle.warp(CONTENT, applied).tensor, result.tensor)


def test_the_frame_sets_the_canvas(quick: dict[str, Any]) -> None:
    for frame, size in (("content", (46, 64)), ("geo", (64, 44))):
        result = geostyle.transfer(CONTENT, geo_style=GEO, frame=frame, size_px=64, **quick)
        assert result.tensor.shape[-2:] == size


@pytest.mark.parametrize(("painted", "long_side"), [(True, 512), (False, 600)])
def test_only_painting_limits_the_default_size(painted: bool, long_side: int) -> None:
    geometry = geostyle.Pipeline().warp(torch.rand(1, 3, 300, 600), None, painted=painted)
    assert max(geometry.tensor.shape[-2:]) == long_side


def test_small_pictures_are_not_enlarged_by_default(quick: dict[str, Any]) -> None:
    assert geostyle.transfer(CONTENT, tex_style=TEX, **quick).tensor.shape == CONTENT.shape


def test_the_same_seed_gives_the_same_picture(quick: dict[str, Any]) -> None:
    def paint(seed: int) -> Tensor:
        return geostyle.transfer(CONTENT, tex_style=TEX, init="noise", seed=seed, **quick).tensor

    first = paint(1)
    assert torch.equal(paint(1), first)
    assert not torch.equal(paint(2), first)


def test_one_network_serves_both_stages_where_it_can(tiny_weights: Path) -> None:
    def load(**changes: Any) -> pipeline.Networks:
        settings = TransferSettings(
            weights=tiny_weights, device="cpu", **{"precision": "float32", **changes}
        )
        return geostyle.Pipeline(settings).networks()

    same = load()
    assert same.texture == (same.geometry,)
    for changes in ({"pooling": "average"}, {"precision": "bfloat16"}):
        networks = load(**changes)
        assert networks.geometry is not None
        assert networks.geometry.dtype == torch.float32 and networks.geometry.pooling == "max"
        described = networks.describe()
        assert described["geometry"] == "lite, float32, cpu"
        assert described["texture"] == f"lite, {changes.get('precision', 'float32')}, cpu"
    pipe = geostyle.Pipeline(weights=tiny_weights, device="cpu")
    assert pipe.networks(geometry=False, texture=False) == pipeline.Networks()


@pytest.mark.parametrize("name", ["content", "geo_style", "tex_style"])
def test_errors_name_the_picture(name: str) -> None:
    pictures: dict[str, Any] = {"content": CONTENT, "geo_style": GEO, "tex_style": TEX}
    pictures[name] = torch.rand(2, 3, 40, 40)
    with pytest.raises(InputError, match=f"^{name}: "):
        geostyle.transfer(**pictures)


def test_the_front_door_offers_what_it_lists() -> None:
    for name in geostyle.__all__:
        assert getattr(geostyle, name) is not None
    assert set(geostyle.__all__) <= set(dir(geostyle))
    with pytest.raises(AttributeError, match="no attribute 'transfr'"):
        _ = geostyle.transfr


def test_several_textures_are_mixed_by_weight(quick: dict[str, Any]) -> None:
    other = in_8_bits(picture(4, 40, 48))
    alone = geostyle.transfer(CONTENT, tex_style=TEX, **quick).tensor
    first = geostyle.transfer(CONTENT, tex_style=[TEX, other], tex_weights=[1, 0], **quick).tensor
    torch.testing.assert_close(first, alone, atol=1e-5, rtol=0)
    even = geostyle.transfer(CONTENT, tex_style=[TEX, other], **quick).tensor
    assert (even - alone).abs().max() > 0.01
    for weights in ([1.0], [1.0, -1.0], [0.0, 0.0]):
        with pytest.raises(InputError, match="^tex_weights: expected 2 non-negative weights"):
            geostyle.transfer(CONTENT, tex_style=[TEX, other], tex_weights=weights, **quick)


def test_a_mask_is_warped_with_the_content(quick: dict[str, Any]) -> None:
    result = geostyle.transfer(CONTENT, theta=shift(0.1), extend="border", **quick)
    drawn, settings = CONTENT[:, :1], result.settings
    placed = pipeline.place_masks([drawn], result.geometry, settings, 1)
    torch.testing.assert_close(placed, result.geometry.tensor[:, :1])
    settings = replace(settings, mask_frame="result")
    placed = pipeline.place_masks([drawn], result.geometry, settings, 1)
    assert placed is not None and torch.equal(placed, drawn)
    with pytest.raises(InputError, match="^tex_mask: .* shape of the result, 84x60, got 60x84"):
        pipeline.place_masks([drawn.transpose(2, 3)], result.geometry, settings, 1)


def test_a_mask_keeps_the_rest_of_the_content(quick: dict[str, Any]) -> None:
    mask = torch.zeros(1, 60, 84)
    mask[..., :42] = 1
    painted = geostyle.transfer(CONTENT, tex_style=TEX, tex_mask=mask, **quick).tensor
    assert torch.equal(painted[..., 42:], CONTENT[..., 42:])
    assert (painted[..., :42] - CONTENT[..., :42]).abs().max() > 0.01
    with pytest.raises(InputError, match="^tex_mask: expected one mask for each texture style"):
        geostyle.transfer(CONTENT, tex_style=TEX, tex_mask=[mask, mask], **quick)


def test_preserved_colors_are_the_contents(quick: dict[str, Any]) -> None:
    seen: list[Tensor] = []
    result = geostyle.transfer(
        CONTENT,
        tex_style=TEX,
        preserve_color="lab",
        callback=lambda p: seen.append(p.image),
        **quick,
    )
    chroma = [
        image - image.mean(1, keepdim=True) for image in (result.tensor, CONTENT, TEX, seen[-1])
    ]
    assert (chroma[0] - chroma[1]).abs().mean() < 0.3 * chroma[1].abs().mean()
    assert (chroma[3] - chroma[1]).abs().mean() < 0.3 * chroma[1].abs().mean()
    untouched = geostyle.transfer(
        CONTENT, tex_style=TEX, preserve_color="lab", tex_strength=0, **quick
    )
    assert torch.equal(untouched.tensor, CONTENT)


def test_one_pipeline_serves_many_pictures_with_networks_loaded_once(
    quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from geostyle.pipeline import networks

    loaded, load = [], networks.load_features

    def count(*args: Any, **options: Any) -> Any:
        loaded.append(args)
        return load(*args, **options)

    monkeypatch.setattr(networks, "load_features", count)
    pipe = geostyle.Pipeline(**quick)
    assert not loaded  # not before a stage needs them
    given: dict[str, Any] = {"geo_style": GEO, "tex_style": TEX}
    first, again = pipe(CONTENT, **given), pipe(CONTENT, **given)
    assert len(loaded) == 1 and torch.equal(first.tensor, again.tensor)
    assert torch.equal(first.tensor, geostyle.transfer(CONTENT, **given, **quick).tensor)


def test_a_result_holds_everything(quick: dict[str, Any], tmp_path: Path) -> None:
    result = geostyle.transfer(CONTENT, geo_style=GEO, tex_style=TEX, **quick)
    assert result.image.size == (84, 60) and result.warped.size == (84, 60)
    result.save(tmp_path / "result.png")
    saved = np.asarray(Image.open(tmp_path / "result.png"))
    np.testing.assert_array_equal(saved, np.asarray(result.image))
    assert result.warp is not None and result.confidence == result.warp.confidence is not None
    assert result.geometry.inside is not None and not result.interrupted
    assert result.settings.texture.tile_px > 0 and result.settings.precision == "float32"
    plain = geostyle.transfer(CONTENT)
    assert plain.warp is plain.confidence is plain.texture is plain.geometry.inside is None


def test_a_warp_without_painting_and_a_theta_from_a_file(
    quick: dict[str, Any], tmp_path: Path
) -> None:
    result = geostyle.Pipeline(**quick)(CONTENT, geo_style=GEO, tex_style=TEX, paint=False)
    assert result.texture is None and result.warp is not None
    assert torch.equal(result.tensor, result.geometry.tensor)
    result.warp.save(tmp_path / "theta.json")
    again = geostyle.transfer(CONTENT, theta=tmp_path / "theta.json", **quick)
    torch.testing.assert_close(again.tensor, result.tensor, atol=1e-4, rtol=0)


def test_cancel_is_asked_after_every_step(quick: dict[str, Any]) -> None:
    answers = iter([False, False, True])
    seen: list[Progress] = []
    result = geostyle.transfer(
        CONTENT, tex_style=TEX, callback=seen.append, cancel=lambda: next(answers), **quick
    )
    assert result.interrupted and len(seen) == 3
    assert result.tensor.shape == CONTENT.shape


@pytest.mark.parametrize("painter", ["gram", "matched"])
def test_it_resumes_from_any_level_to_the_same_picture(quick: dict[str, Any], painter: str) -> None:
    quick |= {"painter": painter, "split": 2, "turns": 1}
    mask = torch.zeros(1, 60, 84)
    mask[..., :42] = 1
    given: dict[str, Any] = {"geo_style": GEO, "tex_style": TEX, "tex_mask": mask}
    geometries: list[pipeline.GeometryResult] = []
    finished: list[Finished] = []
    pipe = geostyle.Pipeline(**quick)
    whole = pipe(CONTENT, **given, on_geometry=geometries.append, on_level=finished.append)
    known = geometries[0]
    assert len(known.guides) == (painter == "matched") and len(finished) == 1 + len(known.guides)
    for number, levels in enumerate((None, *finished)):
        seen: list[Progress] = []
        resume = geostyle.Resume(known.tensor, known.masks, known.inside, known.guides, levels)
        again = geostyle.Pipeline(**quick)(CONTENT, **given, callback=seen.append, resume=resume)
        assert torch.equal(again.tensor, whole.tensor)
        rest = [5, 2] if painter == "gram" else [7, 4, 2]
        assert len(seen) == rest[number]


def test_the_random_state_of_the_caller_is_left_alone(quick: dict[str, Any]) -> None:
    pipe = geostyle.Pipeline(init="noise", **quick)
    pipe.networks()
    before = torch.get_rng_state()
    pipe(CONTENT, geo_style=GEO, tex_style=TEX)
    assert torch.equal(torch.get_rng_state(), before)


def test_every_setting_is_a_keyword_that_editors_complete() -> None:
    fields = {field.name: hint for _, field, hint, _ in leaves(TransferSettings)}
    hints = get_type_hints(geostyle.TransferOptions)
    assert list(hints) == list(fields)
    for name, hint in hints.items():
        wanted = str(fields[name]).replace("pathlib.Path", "str | pathlib.Path")
        wanted = re.sub(r"tuple\[(.*), \.\.\.\]", r"collections.abc.Sequence[\1]", wanted)
        assert str(hint) == {"device": "str | torch.device"}.get(name, wanted), name
    for function in (geostyle.transfer, geostyle.estimate_warp, geostyle.Pipeline.__init__):
        (last,) = [p for p in signature(function).parameters.values() if p.kind is p.VAR_KEYWORD]
        assert last.annotation == "Unpack[TransferOptions]"
