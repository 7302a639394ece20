"""Trained feed-forward networks on disk, and those that come with the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import torch

from geostyle.config import to_dict
from geostyle.errors import InputError
from geostyle.feedforward.fast_network import FastNet, FastNetSettings
from geostyle.feedforward.texture_network import TextureNet, TextureNetSettings
from geostyle.io.checkpoint import load_checkpoint, save_checkpoint

FAST, TEXTURE = "fast-style-network", "texture-network"
PREFIXES = {FAST: "fast_", TEXTURE: "texnet_"}
MAKERS = {FAST: "geostyle fast-train", TEXTURE: "geostyle texnet-train"}
SUFFIX = ".safetensors"


def save_network(path: str | Path, net: FastNet | TextureNet, **about: Any) -> None:
    """Write a network in float16, with its shape.

    about: what it was made from and how, JSON types.
    """
    kind = FAST if isinstance(net, FastNet) else TEXTURE
    tensors = {
        k: v.half() if v.is_floating_point() else v
        for k, v in net.state_dict().items()
        if not k.endswith("num_batches_tracked")
    }
    save_checkpoint(path, tensors, {"network": to_dict(net.settings), **about}, kind)


def load_fast(path: str | Path, *, name: str = "model") -> tuple[FastNet, dict[str, Any]]:
    """A trained fast style network for use, in float32 on the CPU, and what is told about it.

    Raises: InputError where the file is missing, damaged or of another kind.
    """
    net, about = _load(path, FAST, name)
    assert isinstance(net, FastNet)
    return net, about


def load_texture_net(path: str | Path, *, name: str = "model") -> tuple[TextureNet, dict[str, Any]]:
    """A trained texture network, as `load_fast` gives a fast one."""
    net, about = _load(path, TEXTURE, name)
    assert isinstance(net, TextureNet)
    return net, about


def bundled(kind: str) -> dict[str, Path]:
    """The package's own networks of a kind, by name: ``assets/fast_night.safetensors`` is night."""
    folder, prefix = Path(str(resources.files("geostyle") / "assets")), PREFIXES[kind]
    found = sorted(folder.glob(f"{prefix}*{SUFFIX}"))
    return {path.stem.removeprefix(prefix): path for path in found}


def find_network(model: str | Path | None, kind: str, *, name: str = "model") -> Path:
    """The file of a network that is given by its path, by a bundled one's name, or not at all.

    Raises: InputError where there is none, with what there is.
    """
    own = bundled(kind)
    if model is None and own:
        return next(iter(own.values()))
    if model is not None:
        if str(model) in own:
            return own[str(model)]
        if Path(model).is_file():
            return Path(model)
    have = f"or one of {', '.join(own)}" if own else f"as {MAKERS[kind]} writes it; none is bundled"
    raise InputError(f"{name}: expected a {SUFFIX} file, {have}, got {str(model or 'none')!r}")


def _load(path: str | Path, kind: str, name: str) -> tuple[FastNet | TextureNet, dict[str, Any]]:
    tensors, about = load_checkpoint(path, kind, name=name)
    try:
        net: FastNet | TextureNet
        if kind == FAST:
            # Files from before there was noise do not name it.
            net = FastNet(FastNetSettings(**{"noise": False, **about.pop("network")}))
        else:
            net = TextureNet(TextureNetSettings(**about.pop("network")))
        tensors = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
        counts = {k: v for k, v in net.state_dict().items() if k.endswith("num_batches_tracked")}
        net.load_state_dict({**tensors, **counts}, strict=True)
    except (KeyError, TypeError, RuntimeError, InputError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{name}: expected a network in {str(path)!r}, got: {reason}") from error
    if not all(bool(torch.isfinite(v).all()) for v in tensors.values()):
        raise InputError(f"{name}: {str(path)!r} holds values that are not finite")
    return net.eval().requires_grad_(False), about
