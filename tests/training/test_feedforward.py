"""Training of feed-forward networks: it learns, and one result however it is interrupted."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from geostyle.data.crops import Photographs, bundled_pictures, hold_out
from geostyle.errors import InputError
from geostyle.feedforward.fast_network import FastNetworkSettings
from geostyle.feedforward.files import FAST, TEXTURE, load_network
from geostyle.feedforward.texture_network import TextureNetworkSettings
from geostyle.training.feedforward import FastLearner, FeedForwardLearner, TextureLearner
from geostyle.training.settings import FastTrainSettings, TextureTrainSettings

SMALL: dict[str, Any] = {
    "style_px": 48,
    "crop_px": 32,
    "batch": 2,
    "steps": 40,
    "device": "cpu",
    "precision": "float32",
}
SHAPE = TextureNetworkSettings(scales=3, width=4)


@pytest.fixture
def common(pictures: Path, tiny_weights: Path) -> dict[str, Any]:
    style = pictures / "paintings" / "00.png"
    return {**SMALL, "tex_style": style, "images": pictures / "photos", "weights": tiny_weights}


def fast(common: dict[str, Any], **changes: Any) -> FastLearner:
    shape = FastNetworkSettings(widths=(4, 6, 8), blocks=(0, 0, 1))
    return FastLearner(FastTrainSettings(**{**common, "network": shape, "warmup": 2, **changes}))


def texture(common: dict[str, Any], **changes: Any) -> TextureLearner:
    values = {"lr": 0.02, **common, "network": SHAPE, **changes}
    return TextureLearner(TextureTrainSettings(**values))


def stylize(common: dict[str, Any], **changes: Any) -> TextureLearner:
    return texture(common, network=dataclasses.replace(SHAPE, mode="stylize", scales=4), **changes)


MAKERS = pytest.mark.parametrize("make", [fast, texture, stylize])


@MAKERS
def test_a_resumed_run_is_the_same_run(make: Any, common: dict[str, Any], tmp_path: Path) -> None:
    straight: FeedForwardLearner = make(common)
    for _ in range(3):
        straight.train_step()
    straight.validate()
    straight.save(tmp_path / "state.safetensors")
    torch.rand(5)  # whatever else draws in between
    for _ in range(3):
        straight.train_step()
    resumed: FeedForwardLearner = make({**common, "save_every": 7})
    resumed.load(tmp_path / "state.safetensors")
    assert resumed.step == 3
    torch.manual_seed(99)
    for _ in range(3):
        resumed.train_step()
    for trainer in (straight, resumed):
        trainer.save_network(tmp_path / f"{trainer is straight}.safetensors")
    written = [(tmp_path / f"{name}.safetensors").read_bytes() for name in (True, False)]
    assert written[0] == written[1]
    own, other = straight.network.state_dict(), resumed.network.state_dict()
    assert all(torch.equal(own[k], other[k]) for k in own)
    assert any(not torch.equal(v, own[k]) for k, v in make(common).network.state_dict().items())


@pytest.mark.parametrize(("make", "steps", "share"), [(fast, 12, 0.8), (texture, 12, 0.3)])
def test_it_learns(make: Any, steps: int, share: float, common: dict[str, Any]) -> None:
    trainer = make({**common, "weights": None, "ema": 0.8, "lr": 0.01}, steps=steps)
    before = trainer.validate()
    while not trainer.done:
        trainer.train_step()
    after, painted = trainer.validate(), trainer.painted
    assert after["val"] < share * before["val"]
    assert painted.shape == (4, 3, 32, 32) and painted.min() >= 0 and painted.max() <= 1


def test_the_loss_is_the_mean_over_pictures(common: dict[str, Any]) -> None:
    trainer = fast(common)
    painted, content = torch.rand(3, 3, 32, 32), torch.rand(3, 3, 32, 32)
    together, parts = trainer.paint_loss(painted, content)
    alone = [trainer.paint_loss(painted[i : i + 1], content[i : i + 1]) for i in range(3)]
    assert float(together) == pytest.approx(sum(float(a) for a, _ in alone) / 3, rel=1e-5)
    assert parts["style"] == pytest.approx(sum(p["style"] for _, p in alone) / 3, rel=1e-5)
    expected = parts["style"] + 0.1 * parts["content"]
    smooth = ((painted[..., 1:] - painted[..., :-1]) ** 2).mean()
    smooth += ((painted[..., 1:, :] - painted[..., :-1, :]) ** 2).mean()
    assert float(together) == pytest.approx(expected + 0.1 * float(smooth), rel=1e-5)
    _, beyond = trainer.paint_loss(painted + 1, content)
    assert beyond["outside"] == pytest.approx(float(painted.pow(2).mean()), rel=1e-5)


def test_the_rate_falls_as_in_the_paper(common: dict[str, Any]) -> None:
    trainer = texture(common, lr=0.1)
    rates = [trainer.rate(step) for step in (0, 999, 1000, 1199, 1200, 1999)]
    assert rates == pytest.approx([0.1, 0.1, 0.07, 0.07, 0.049, 0.1 * 0.7**5])


def test_validation_goes_on_without_pictures_of_its_own(tmp_path: Path, pictures: Path) -> None:
    for path in (pictures / "photos").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (held_out,) = Photographs(tmp_path, 32, 0).held_out
    held_out.write_bytes(b"")
    own = Photographs(tmp_path, 32, 0)
    assert own.validation(2).shape == (2, 3, 32, 32) and list(own.skipped) == [held_out]


@MAKERS
def test_resuming_under_other_settings_is_refused(
    make: Any, common: dict[str, Any], pictures: Path, tmp_path: Path
) -> None:
    make(common).save(tmp_path / "state.safetensors")
    for changes, said in (
        ({"lr": 0.5}, "own settings"),
        ({"tex_style": pictures / "paintings" / "01.png"}, "own tex_style"),
        ({"weights": None}, "own features"),
    ):
        with pytest.raises(InputError, match=f"resume: expected the run's {said}"):
            make(common, **changes).load(tmp_path / "state.safetensors")


def test_resuming_on_other_photographs_is_refused(
    common: dict[str, Any], pictures: Path, tmp_path: Path
) -> None:
    fast(common).save(tmp_path / "state.safetensors")
    with pytest.raises(InputError, match="resume: expected the run's own images"):
        fast(common, images=pictures / "paintings").load(tmp_path / "state.safetensors")


def test_training_never_sees_what_validates(common: dict[str, Any]) -> None:
    own = Photographs(common["images"], 32, 0)
    assert own.known and own.held_out and not set(own.known) & set(own.held_out)
    assert own.notes == ["7 pictures to train on, 1 held out"]
    assert not any(torch.equal(own.validation(1), own.batch(i, 1)) for i in range(20))
    assert Photographs(None, 32, 0).notes[0].startswith("images: none given, taking the bundled")
    known, held_out = hold_out(bundled_pictures())
    assert len(known) >= 8 and held_out
    assert hold_out(known[:1]) == (known[:1], known[:1])


def test_what_is_written_says_how_it_was_made(common: dict[str, Any], tmp_path: Path) -> None:
    trainer = fast(common)
    trainer.train_step()
    trainer.save_network(tmp_path / "f.safetensors")
    net, about = load_network(tmp_path / "f.safetensors", FAST)
    assert about["tex_style"]["name"] == "00.png" and about["training"]["steps"] == 1
    assert about["features"]["name"] == "lite"
    trainer.validate()
    painted = trainer.painted
    again = net(trainer.validation.inputs[0]).clamp(0, 1)
    assert (again - painted).abs().max() < 0.02  # float16
    sampler = texture(common)
    sampler.train_step()
    sampler.save_network(tmp_path / "t.safetensors")
    sampler.validate()
    made = load_network(tmp_path / "t.safetensors", TEXTURE)[0](*sampler.validation.inputs)
    assert (made.clamp(0, 1) - sampler.painted).abs().max() < 0.05


def test_training_begins_with_the_weights_of_a_network(
    common: dict[str, Any], tmp_path: Path
) -> None:
    trained = fast(common, seed=5)
    trained.train_step()
    start, other = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    trained.save_network(start)
    trained.train_step()
    trained.save_network(other)
    weights = load_network(start, FAST)[0].state_dict()
    begun = fast(common, start=start)
    for state in (begun.network.state_dict(), begun.average):
        assert all(torch.equal(value, weights[key]) for key, value in state.items())
    begun.save(tmp_path / "state.safetensors")
    fast(common, start=start).load(tmp_path / "state.safetensors")
    for changed in (other, None):
        with pytest.raises(InputError, match="resume: expected the run's own start"):
            fast(common, start=changed).load(tmp_path / "state.safetensors")
    begun.save_network(tmp_path / "begun.safetensors")
    about = load_network(tmp_path / "begun.safetensors", FAST)[1]
    assert about["training"]["start"] == {"name": "first.safetensors", "hash": begun.start_hash}
    with pytest.raises(
        InputError, match=r"start: expected .* widths \[4, 6, 8\], got \[16, 32, 64\]"
    ):
        fast(common, start=Path("night"))  # a bundled one
    with pytest.raises(InputError, match="start: expected a .safetensors file, or one of .*night"):
        fast(common, start=Path("nigth"))
    with pytest.raises(InputError, match="start: expected .*fast-style-network|texture-network"):
        texture(common, start=start)


def test_a_style_is_needed(common: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="tex_style: expected a picture file, got none"):
        fast({**common, "tex_style": None})
