"""Feature extractors: against torchvision's networks, by name, with every kind of bad weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import vgg16, vgg19

from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor, build_lite, load_features
from geostyle.features.settings import IMAGENET_MEAN, IMAGENET_STD
from geostyle.texture.losses import gram
from tests.pictures import picture

# Position of a ReLU or pooling layer in torchvision's `features` list, counted by hand.
TORCHVISION_INDEX = {
    "vgg19": {"relu1_1": 1, "relu2_1": 6, "pool3": 18, "relu4_2": 22, "pool4": 27, "relu5_4": 35},
    "vgg16": {"relu1_2": 3, "relu3_3": 15, "pool4": 23, "relu5_1": 25, "pool5": 30},
}


@pytest.fixture(scope="module", params=["vgg19", "vgg16"])
def reference(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, torch.nn.Module, Path]:
    """torchvision's convolutions with random weights, and the file that holds them."""
    torch.manual_seed(1)
    build = {"vgg19": vgg19, "vgg16": vgg16}[request.param]
    with torch.device("meta"):  # without the classifier's half gigabyte
        model = build(weights=None).features
    model = model.to_empty(device="cpu")
    for module in model:
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
            torch.nn.init.normal_(module.bias, std=0.1)
    path = tmp_path_factory.mktemp("vgg") / f"{request.param}.safetensors"
    save_file({f"features.{k}": v for k, v in model.state_dict().items()}, path)
    return request.param, model.eval(), path


def test_layers_equal_torchvisions(reference: tuple[str, torch.nn.Module, Path]) -> None:
    name, model, path = reference
    extractor = load_features(name, weights=path)
    image = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(2))
    x = (image - torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)) / torch.tensor(IMAGENET_STD).view(
        1, 3, 1, 1
    )
    want: dict[int, Tensor] = {}
    with torch.no_grad():
        for index, module in enumerate(model):
            x = module(x)
            want[index] = x.clone()
    indices = TORCHVISION_INDEX[name]
    found = extractor(image, list(indices))
    for layer, index in indices.items():
        torch.testing.assert_close(found[layer], want[index], rtol=1e-4, atol=1e-4)
        assert found[layer].shape[1] == extractor.channels(layer)
        assert found[layer].shape[-2] == 32 // extractor.stride(layer)


def test_the_other_vgg_is_refused(reference: tuple[str, torch.nn.Module, Path]) -> None:
    name, _, path = reference
    other = {"vgg19": "vgg16", "vgg16": "vgg19"}[name]
    with pytest.raises(InputError, match="weights"):
        load_features(other, weights=path)


def test_state_dict_file_with_a_classifier(
    reference: tuple[str, torch.nn.Module, Path], tmp_path: Path
) -> None:
    name, model, _ = reference
    state = {f"features.{k}": v for k, v in model.state_dict().items()}
    torch.save(state | {"classifier.0.weight": torch.zeros(2)}, tmp_path / "full.pth")
    extractor = load_features(name, weights=tmp_path / "full.pth")
    assert torch.equal(extractor.convs["conv1_1"].weight, model[0].weight)  # type: ignore[arg-type]
    assert not any(p.requires_grad for p in extractor.parameters())


@pytest.mark.parametrize("damage", ["missing", "text", "shape", "nan", "absent key", "code"])
def test_bad_weights_are_one_line(
    reference: tuple[str, torch.nn.Module, Path], tmp_path: Path, damage: str
) -> None:
    name, model, _ = reference
    state = {f"features.{k}": v for k, v in model.state_dict().items()}
    path = tmp_path / "bad.pth"
    if damage == "text":
        path.write_text("not weights")
    elif damage == "shape":
        torch.save(state | {"features.2.weight": torch.zeros(3)}, path)
    elif damage == "nan":
        torch.save(state | {"features.0.bias": torch.full((64,), torch.nan)}, path)
    elif damage == "absent key":
        torch.save({k: v for k, v in state.items() if k != "features.5.bias"}, path)
    elif damage == "code":
        torch.save({"features.0.weight": Path("x")}, path)  # needs unpickling of a class
    with pytest.raises(InputError, match="^weights: ") as error:
        load_features(name, weights=path)
    assert "\n" not in str(error.value)


def test_only_as_deep_as_asked() -> None:
    extractor = FeatureExtractor("vgg19", channels=(4, 4, 4, 4, 4))
    seen: list[str] = []
    for name, conv in extractor.convs.items():
        conv.register_forward_hook(lambda *_, name=name: seen.append(name))
    extractor(torch.rand(1, 3, 16, 16), ["relu1_1", "relu2_1"])
    assert seen == ["conv1_1", "conv1_2", "conv2_1"]


def test_gradients_reach_the_picture_through_in_place_relus() -> None:
    torch.manual_seed(0)
    extractor = FeatureExtractor("vgg19", channels=(3, 3, 3, 3, 3)).double().requires_grad_(False)
    image = torch.rand(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x: tuple(extractor(x, ["relu1_1", "relu1_2", "relu2_2"]).values()), (image,)
    )


def test_circular_padding_moves_with_the_picture() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 3, 32, 32)
    moved = image.roll((4, 8), (-2, -1))
    for padding, moves in (("circular", True), ("zeros", False)):
        net = FeatureExtractor("vgg19", channels=(4, 4, 4, 4, 4), padding=padding)
        net.requires_grad_(False)
        here, there = (net(x, ["relu3_1"])["relu3_1"] for x in (image, moved))
        assert torch.allclose(here.roll((1, 2), (-2, -1)), there, atol=1e-5) == moves


def test_average_pooling_averages() -> None:
    torch.manual_seed(0)
    net = FeatureExtractor("vgg19", channels=(4, 4, 4, 4, 4), pooling="average")
    net.requires_grad_(False)
    found = net(torch.rand(1, 3, 16, 16), ["relu1_2", "pool1"])
    blocks = found["relu1_2"].reshape(1, 4, 8, 2, 8, 2).mean((3, 5))
    torch.testing.assert_close(found["pool1"], blocks)


def test_unknown_names_say_what_there_is() -> None:
    net = FeatureExtractor("vgg19", channels=(4, 4, 4, 4, 4))
    image = torch.rand(1, 3, 16, 16)
    with pytest.raises(InputError, match="layer: vgg19 has relu1_1 … pool5, got 'conv9_1'"):
        net(image, ["conv9_1"])
    with pytest.raises(InputError, match="at least 32 px"):
        net(image, ["pool5"])
    for kwargs in ({"pooling": "median"}, {"padding": "mirror"}):
        with pytest.raises(InputError, match=next(iter(kwargs))):
            FeatureExtractor("vgg19", **kwargs)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="features: expected one of"):
        load_features("resnet")


def test_lite_weights_of_other_widths_are_refused(tiny_weights: Path) -> None:
    assert load_features("lite", weights=tiny_weights).channels("relu4_1") == 24
    tensors = load_features("lite", weights=tiny_weights).state_dict()
    with pytest.raises(InputError, match="^weights: expected a lite network"):
        build_lite(dict(tensors), {"channels": [8, 12, 16, 24, 32]})
    with pytest.raises(InputError, match="^weights: expected a lite network"):
        build_lite(dict(tensors), {})


def test_the_hash_of_the_weights_does_not_know_the_precision(tiny_weights: Path) -> None:
    hashes = {
        load_features(weights=tiny_weights, dtype=dtype).weights_hash
        for dtype in (torch.float32, torch.bfloat16)
    }
    assert len(hashes) == 1
    assert load_features().weights_hash not in hashes


@pytest.mark.shared
def test_caffe_files_are_known_by_their_content(
    shared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from safetensors.torch import load_file

    folded = shared.parent / "weights" / "vgg19_caffe.safetensors"
    if not folded.is_file():
        pytest.skip("no weights beside the pictures")
    state = {key: value.float() for key, value in load_file(folded).items()}
    std, mean = torch.tensor(IMAGENET_STD), torch.tensor(IMAGENET_MEAN)
    first = state["features.0.weight"] / (255 * std)[:, None, None]
    shift = 255 * mean - torch.tensor([123.68, 116.779, 103.939])
    state["features.0.bias"] = state["features.0.bias"] - (first * shift[:, None, None]).sum(
        (1, 2, 3)
    )
    state["features.0.weight"] = first.flip(1).contiguous()
    save_file(state, tmp_path / "raw.safetensors")
    image = picture(0, 32, 32).clamp(0, 1)
    wanted = load_features("vgg19", weights=folded)(image, ["relu4_1"])["relu4_1"]
    assert not caplog.messages
    found = load_features("vgg19", weights=tmp_path / "raw.safetensors")(image, ["relu4_1"])
    assert len(caplog.messages) == 1 and "for BGR from 0 to 255" in caplog.messages[0]
    torch.testing.assert_close(found["relu4_1"], wanted, rtol=1e-3, atol=1e-2)
    state["features.2.weight"] = state["features.2.weight"] * 1.1  # of another origin
    save_file(state, tmp_path / "other.safetensors")
    load_features("vgg19", weights=tmp_path / "other.safetensors")
    assert "is not known as vgg19" in caplog.messages[1]


def test_a_tap_may_follow_what_is_linear_in_the_features() -> None:
    network = load_features("lite")
    image = picture(3, 64, 48)
    for layer in ("relu1_1", "relu3_1", "relu4_2"):
        before = network(image, [layer], tapped=False)[layer]
        after = network(image, [layer])[layer]
        tap = network.taps[layer]
        torch.testing.assert_close(after, tap(before))
        torch.testing.assert_close(
            network.tap(layer, F.avg_pool2d(before, 2)), F.avg_pool2d(after, 2)
        )
        torch.testing.assert_close(network.tap_gram(layer, gram(before)), gram(after))
        rows = before[0].flatten(1).T[::3]
        torch.testing.assert_close(network.tap_rows(layer, rows), after[0].flatten(1).T[::3])


def test_a_network_without_taps_returns_the_same_either_way() -> None:
    network = FeatureExtractor("vgg19", channels=(4, 4, 8, 8, 8))
    maps = network(picture(3, 64, 48), ["relu2_1"], tapped=False)["relu2_1"]
    assert network.tap("relu2_1", maps) is maps
    torch.testing.assert_close(network(picture(3, 64, 48), ["relu2_1"])["relu2_1"], maps)
