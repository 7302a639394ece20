"""An estimate of the memory a transfer needs, and how to cut the picture so that it fits.

The estimate counts the maps that one evaluation keeps, by width, stride and precision, and scales
them by two factors fitted to the peak resident memory of 22 processes on Linux, x86-64, torch 2.14
(`benchmarks/memory.py`: lite and VGG-19, float32 and bfloat16, 256 to 1024 px, whole and in tiles
of 256 px). Every one of those peaks was within 11 % of it; what a transfer added to its process was
at most 1.19 times the estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from geostyle.coords import Size
from geostyle.device import available_bytes, resident_bytes
from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.settings import (
    CONTENT_LAYER,
    MIN_TILE_PX,
    STYLE_LAYERS,
    OptimizerSettings,
    TextureSettings,
)
from geostyle.texture.tiles import Tiling

# Peak = FIXED + KEPT · (maps of an evaluation + weights) + vectors of the optimizer.
KEPT, FIXED_BYTES = 0.78, 90e6
# Allows for errors of the estimate and for other work on the machine.
MARGIN = 1.2
# Of a warp, for each pixel of its result: 265 measured at 2560 px, completed with patches (146 with
# a smooth fill).
WARP_BYTES = 265.0
# Each is slower and takes less memory than the one before.
TILINGS = tuple(
    Tiling(tile_px, blocks)
    for tile_px, blocks in ((1024, 2), (512, 2), (512, 3), (512, 4), (256, 4), (256, 5))
)


def peak_bytes(
    network: FeatureExtractor,
    size: Size,
    tiling: Tiling | None = None,
    *,
    batch: int = 1,
    regions: int = 1,
    vectors: int = 32,
) -> float:
    """Bytes that a transfer adds to the process at its peak.

    Args:
        network: the network whose features are matched.
        size: (H, W) of the finest level.
        tiling: how it is cut; None for not at all.
        batch: pictures painted at once.
        regions: textures with a mask of their own.
        vectors: copies of the picture's pixels that the optimizer holds (see `vectors_held`).
    """
    names = network.layer_names
    names = names[: names.index(STYLE_LAYERS[-1]) + 1]
    item = torch.finfo(network.dtype).bits // 8
    if tiling is None or max(size) <= tiling.tile_px:
        maps = _maps_bytes(network, names, size, item, regions)
    else:
        # Tiles and deeper blocks run in turn; the map between them and its gradient stay.
        pool = f"pool{tiling.blocks}"
        last = names.index(pool) if pool in names else len(names) - 1
        stride = network.stride(names[last])
        margin = -(-network.reach_px(names[last]) // stride) * stride
        height, width = (min(side, tiling.tile_px + 2 * margin) for side in size)
        maps = _maps_bytes(network, names[: last + 1], (height, width), item, regions)
        if last + 1 < len(names):
            deep = _maps_bytes(network, names[last + 1 :], size, item, regions)
            maps = max(maps, deep) + 2 * item * _values(network, names[last], size)
    weights = sum(parameter.numel() for parameter in network.parameters()) * item
    target = 4 * _values(network, CONTENT_LAYER, size)
    pixels = 3 * 4 * size[0] * size[1]
    return FIXED_BYTES + KEPT * weights + batch * (KEPT * maps + target + vectors * pixels)


def hungriest(networks: Sequence[FeatureExtractor], size: Size) -> FeatureExtractor:
    """The one of several networks that takes the most memory at `size` (H, W)."""
    return max(networks, key=lambda network: peak_bytes(network, size))


def vectors_held(settings: OptimizerSettings) -> int:
    """Copies of the picture's pixels that live together: pairs, gradients, trials, the best."""
    if settings.optimizer == "adam":
        return 13
    return 12 + 2 * min(settings.history, max(settings.iterations))


def settle_tiles(
    settings: TextureSettings,
    networks: Sequence[FeatureExtractor],
    size: Size,
    *,
    batch: int = 1,
    regions: int = 1,
    more: Callable[[FeatureExtractor, Size], float] = lambda network, size: 0.0,
) -> TextureSettings:
    """`settings` with the largest tiles that fit into memory in place of "automatic".

    Args:
        networks: all that paint.
        size, batch, regions: as for `peak_bytes`.
        more: (network, size) → bytes that the painter takes beside that.

    Raises: InputError naming the largest size that would fit, where no way of cutting does.
    """
    if settings.tile_px:
        return settings
    network = hungriest(networks, size)
    device = network.mean.device
    available = allowed_bytes(settings, device)
    vectors = vectors_held(settings)

    def needed(size: Size, tiling: Tiling | None) -> float:
        peak = peak_bytes(network, size, tiling, batch=batch, regions=regions, vectors=vectors)
        return peak + more(network, size)

    tilings = () if network.padding == "circular" else TILINGS
    tiling = choose_tiling(needed, size, available, tilings)
    if tiling is None:
        return replace(settings, tile_px=max(MIN_TILE_PX, *size))
    return replace(settings, tile_px=tiling.tile_px, tile_blocks=tiling.blocks)


def smaller_tiles(settings: TextureSettings, size: Size) -> TextureSettings | None:
    """The settings to try next where memory ran out all the same; None where none are left.

    Args:
        settings: with which it ran out.
        size: (H, W) of the level that was painted; the levels before it stay whole.
    """
    long_side = max(size)
    half = -(-long_side // 2)
    cut = settings.tile_px < long_side
    tried = (-settings.tile_px, settings.tile_blocks) if cut else (-long_side, 0)
    for way in (Tiling(half, 2), Tiling(half, 3), *TILINGS):
        if MIN_TILE_PX <= way.tile_px <= half and (-way.tile_px, way.blocks) > tried:
            return replace(settings, tile_px=way.tile_px, tile_blocks=way.blocks)
    return None


def allowed_bytes(settings: TextureSettings, device: torch.device) -> float:
    """Memory that may still be taken: what is free, or what `memory_gb` leaves.

    Raises: InputError where the process alone takes more than `memory_gb`.
    """
    if not settings.memory_gb:
        return available_bytes(device)
    own = 0.0 if device.type == "cuda" else resident_bytes()
    if 1e9 * settings.memory_gb <= own:
        raise InputError(
            f"memory_gb: expected more than the {own / 1e9:.1f} GB that the program takes before "
            f"any picture, got {settings.memory_gb:g}"
        )
    return 1e9 * settings.memory_gb - own


def check_warp_fits(size: Size, settings: TextureSettings | None = None) -> None:
    """Check that a canvas of `size` (H, W) fits into memory, before anything is warped.

    Raises: InputError naming the largest size that fits.
    """
    available = allowed_bytes(settings or TextureSettings(), torch.device("cpu"))
    choose_tiling(lambda size, _: WARP_BYTES * size[0] * size[1], size, available, ())


def check_descent_fits(
    network: FeatureExtractor, size: Size, settings: OptimizerSettings, batch: int = 1
) -> None:
    """Check that pictures of `size` (H, W) can be painted whole, before anything is computed.

    Args: batch, pictures painted at once.
    Raises: InputError naming the largest size that fits.
    """
    vectors = vectors_held(settings)

    def needed(size: Size, _: Tiling | None) -> float:
        return peak_bytes(network, size, batch=batch, vectors=vectors)

    choose_tiling(needed, size, available_bytes(network.mean.device), ())


def choose_tiling(
    needed: Callable[[Size, Tiling | None], float],
    size: Size,
    available: float,
    tilings: Sequence[Tiling] = TILINGS,
) -> Tiling | None:
    """The fastest way that fits: None for not cutting, or how to cut.

    Args:
        needed: bytes that a transfer takes, by its size and tiling; see `peak_bytes`.
        size: (H, W) of the finest level.
        available: bytes that may be taken.
        tilings: ways to cut, fastest first.

    Raises: InputError naming the largest size that would fit, where none does.
    """
    ways = (None, *tilings)

    def fits(size: Size, tiling: Tiling | None) -> bool:
        return MARGIN * needed(size, tiling) <= available

    for tiling in ways:
        if fits(size, tiling):
            return tiling
    long_side = max(size)
    smaller = range(long_side // 16 * 16, 15, -16)
    fitting = (px for px in smaller if any(fits(_scaled(size, px), way) for way in ways))
    least = MARGIN * min(needed(size, way) for way in ways)
    raise InputError(
        f"size_px: expected a size that fits {available / 1e9:.1f} GB of memory, "
        f"at most {next(fitting, 0)}, got {long_side} (needs {least / 1e9:.1f} GB)"
    )


def _maps_bytes(
    network: FeatureExtractor, names: Sequence[str], size: Size, item: int, regions: int
) -> float:
    """Bytes that one evaluation keeps for its backward pass, and the most that this adds."""
    kept, passing = 3.0 * item * size[0] * size[1], 0.0
    for layer in names:
        values = _values(network, layer, size)
        own = 2.0 * item * values  # gradients after and before the layer
        kept += item * values
        if layer.startswith("pool"):
            kept += 8 * values  # where each maximum came from
        if layer in STYLE_LAYERS:
            # Gram matrices are taken of copies in float32, weighted by a mask where there is one.
            kept += 4 * values * (regions if regions > 1 or item < 4 else 0)
            own += 4 * values + (4 * values if item < 4 else 0)
        if layer == CONTENT_LAYER:
            kept += 8 * values
        passing = max(passing, own)
    return kept + passing


def _values(network: FeatureExtractor, layer: str, size: Size) -> int:
    stride = network.stride(layer)
    return network.channels(layer) * (size[0] // stride) * (size[1] // stride)


def _scaled(size: Size, long_side: int) -> Size:
    factor = long_side / max(size)
    return max(16, round(size[0] * factor)), max(16, round(size[1] * factor))
