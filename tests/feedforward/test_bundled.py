"""The fast styles that come with the package: a table over all of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from geostyle.cli.styles import MEDIA
from geostyle.coords import resize
from geostyle.feedforward.fast_network import repaint
from geostyle.feedforward.files import (
    FAST,
    bundled,
    fast_network_of,
    load_network,
    style_picture,
)
from geostyle.io.checkpoint import tensor_hash
from geostyle.io.files import ASSETS
from geostyle.io.images import fit_size, load_picture

STYLES = bundled(FAST)


def test_there_are_seven_within_seven_megabytes() -> None:
    assert sorted(STYLES) == sorted(MEDIA) and len(STYLES) == 7
    assert sum(path.stat().st_size for path in STYLES.values()) <= 7_000_000


@pytest.mark.parametrize("name", STYLES)
def test_each_paints_a_picture_in_its_own_style(name: str) -> None:
    assert STYLES[name].stat().st_size <= 1_000_000
    network, about = load_network(STYLES[name], FAST)
    picture = load_picture(style_picture(name))
    read = resize(picture.tensor, fit_size(picture.size, about["training"]["style_px"]))
    hash_ = tensor_hash({"style": read.clamp(0, 1)})[:16]
    assert about["tex_style"] == {"name": f"{name}.jpg", "hash": hash_}
    assert fast_network_of(style_picture(name)) == STYLES[name]
    cat = load_picture(ASSETS / "pictures" / "content" / "chelsea.jpg")
    content = resize(cat.tensor, fit_size(cat.size, 128)).clamp(0, 1)
    painted = repaint(network, content)
    assert painted.shape == content.shape and 0 <= painted.min() <= painted.max() <= 1
    assert (painted - content).abs().mean() > 0.05
    # Its colors are nearer to the style's than the content's are.
    before, after = (distance(colors(image), colors(read)) for image in (content, painted))
    assert after < before


def colors(image: Tensor) -> Tensor:
    """Mean and deviation of every channel."""
    return torch.cat([image.mean((0, 2, 3)), image.std((0, 2, 3))])


def distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm())


def test_other_pictures_have_none() -> None:
    assert fast_network_of(ASSETS / "pictures" / "content" / "chelsea.jpg") is None
