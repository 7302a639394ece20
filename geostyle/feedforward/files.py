"""Trained feed-forward networks on disk, and those that come with the package."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from geostyle.config import to_dict
from geostyle.device import own_draws, own_world
from geostyle.errors import InputError, expecting
from geostyle.feedforward.fast_network import FastNetwork
from geostyle.feedforward.settings import SUFFIX, FastNetworkSettings, TextureNetworkSettings
from geostyle.feedforward.texture_network import TextureNetwork
from geostyle.io.checkpoint import load_checkpoint, save_checkpoint
from geostyle.io.files import ASSETS

N = TypeVar("N", FastNetwork, TextureNetwork)


@dataclass(frozen=True)
class Kind(Generic[N]):
    """A kind of networks.

    Attributes:
        name: in the files.
        network, settings: classes of the network and of its shape.
        prefix: of the names of bundled files.
        maker: the command that trains one.
        default: bundled network that is taken where none is named.
        former: settings that files of earlier versions do not name.
    """

    name: str
    network: type[N]
    settings: type[Any]
    prefix: str
    maker: str
    default: str
    former: dict[str, Any] = field(default_factory=dict)


FAST = Kind("fast-style-network", FastNetwork, FastNetworkSettings, "fast_", "geostyle fast-train",
            "night", {"noise": False})  # fmt: skip
TEXTURE = Kind("texture-network", TextureNetwork, TextureNetworkSettings, "texnet_",
               "geostyle texnet-train", "pebbles")  # fmt: skip


def save_network(path: str | Path, network: FastNetwork | TextureNetwork, **about: Any) -> None:
    """Write a network in float16, with its shape.

    Args: about, what it was made from and how, JSON types.
    """
    kind = FAST if isinstance(network, FastNetwork) else TEXTURE
    tensors = {
        k: v.half() if v.is_floating_point() else v
        for k, v in network.state_dict().items()
        if not k.endswith("num_batches_tracked")
    }
    config = {"network": to_dict(network.settings), **about}
    save_checkpoint(path, tensors, config, kind.name)


@own_world
def load_network(
    path: str | Path, kind: Kind[N], *, name: str = "network"
) -> tuple[N, dict[str, Any]]:
    """Return a trained network for use, in float32 on the CPU, and what its file says of it.

    Args: name, the argument that errors are about.
    Raises: InputError where the file is missing, damaged or of another kind.
    """
    tensors, about = load_checkpoint(path, kind.name, name=name)
    with expecting(f"{name}: expected a network in {str(path)!r}"):
        with own_draws():
            network = kind.network(kind.settings(**kind.former | about.pop("network")))
        tensors = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
        own = network.state_dict()
        counts = {k: v for k, v in own.items() if k.endswith("num_batches_tracked")}
        network.load_state_dict({**tensors, **counts}, strict=True)
    if not all(bool(torch.isfinite(v).all()) for v in tensors.values()):
        raise InputError(f"{name}: {str(path)!r} holds values that are not finite")
    return network.eval().requires_grad_(False), about


def bundled(kind: Kind[N]) -> dict[str, Path]:
    """Return the package's own networks of a kind: night is ``assets/fast_night.safetensors``."""
    found = sorted(ASSETS.glob(f"{kind.prefix}*{SUFFIX}"))
    return {path.stem.removeprefix(kind.prefix): path for path in found}


def find_network(given: str | Path | None, kind: Kind[N], *, name: str = "network") -> Path:
    """Return the file of a network given by its path or a bundled one's name.

    Args: given, None takes the default of the kind.
    Raises: InputError where there is none, with the names of those that are there.
    """
    own = bundled(kind)
    named = kind.default if given is None else str(given)
    if named in own:
        return own[named]
    if given is not None and Path(given).is_file():
        return Path(given)
    have = f"or one of {', '.join(own)}" if own else f"as {kind.maker} writes it; none is bundled"
    raise InputError(f"{name}: expected a {SUFFIX} file, {have}, got {str(given or 'none')!r}")


def style_picture(name: str) -> Path:
    """Return the bundled picture that the bundled fast style network `name` was trained on."""
    return ASSETS / "pictures" / "styles" / f"{name}.jpg"


def fast_network_of(style: Path) -> Path | None:
    """Return the bundled fast style network of a picture, told by its bytes; None without one."""
    data = style.read_bytes()
    for name, network in bundled(FAST).items():
        if data == style_picture(name).read_bytes():
            return network
    return None
