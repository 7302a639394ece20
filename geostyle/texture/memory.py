"""How much memory a transfer will take, known before it begins, and how to cut it so that it fits.

The estimate counts the maps that one evaluation keeps, by width, stride and precision, and scales
them by two factors fitted to the peak resident memory of 22 processes on Linux, x86-64, torch 2.14
(`benchmarks/memory.py`: lite and VGG-19, float32 and bfloat16, 256 to 1024 px, whole and in tiles
of 256 px). It lay within 11 % of every one of those peaks; what a transfer added to its process was
at most 1.19 times the estimate of that.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from geostyle.coords import Size
from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.score import CONTENT_LAYER, STYLE_LAYERS
from geostyle.texture.settings import MIN_TILE_PX, TextureSettings
from geostyle.texture.tiles import Tiling

# Peak = FIXED + KEPT · (maps of an evaluation + weights) + vectors of the optimizer.
KEPT, FIXED_BYTES = 0.78, 90e6
# What may go wrong with the estimate, and what else the machine does meanwhile.
MARGIN = 1.2
# Ways to cut, each slower and smaller than the one before.
TILINGS = tuple(
    Tiling(tile_px, blocks)
    for tile_px, blocks in ((1024, 2), (512, 2), (512, 3), (512, 4), (256, 4), (256, 5))
)


def peak_bytes(
    extractor: FeatureExtractor,
    size: Size,
    tiling: Tiling | None = None,
    *,
    batch: int = 1,
    regions: int = 1,
    vectors: int = 32,
) -> float:
    """Bytes that a transfer adds to the process at its peak.

    Args:
        extractor: the network whose features are matched.
        size: (H, W) of the finest level.
        tiling: how it is cut; None for not at all.
        batch: pictures painted at once.
        regions: textures with a mask of their own.
        vectors: copies of the picture's pixels that the optimizer holds (see `vectors_held`).
    """
    names = extractor.layer_names
    names = names[: names.index(STYLE_LAYERS[-1]) + 1]
    item = torch.finfo(extractor.dtype).bits // 8
    if tiling is None or max(size) <= tiling.tile_px:
        maps = _maps_bytes(extractor, names, size, item, regions)
    else:
        # Tiles and the deeper blocks take turns; the map between them and its gradient stay.
        pool = f"pool{tiling.blocks}"
        last = names.index(pool) if pool in names else len(names) - 1
        stride = extractor.stride(names[last])
        margin = -(-extractor.reach_px(names[last]) // stride) * stride
        height, width = (min(side, tiling.tile_px + 2 * margin) for side in size)
        maps = _maps_bytes(extractor, names[: last + 1], (height, width), item, regions)
        if last + 1 < len(names):
            deep = _maps_bytes(extractor, names[last + 1 :], size, item, regions)
            maps = max(maps, deep) + 2 * item * _values(extractor, names[last], size)
    weights = sum(parameter.numel() for parameter in extractor.parameters()) * item
    target = 4 * _values(extractor, CONTENT_LAYER, size)
    pixels = 3 * 4 * size[0] * size[1]
    return FIXED_BYTES + KEPT * weights + batch * (KEPT * maps + target + vectors * pixels)


def hungriest(extractors: Sequence[FeatureExtractor], size: Size) -> FeatureExtractor:
    """The one of several networks that takes the most memory at `size` (H, W)."""
    return max(extractors, key=lambda extractor: peak_bytes(extractor, size))


def vectors_held(settings: TextureSettings) -> int:
    """Copies of the picture's pixels that live at once: pairs, gradients, trials, the best."""
    if settings.optimizer == "adam":
        return 13
    return 12 + 2 * min(settings.history, max(settings.iterations))


def settle_tiles(
    settings: TextureSettings,
    extractor: FeatureExtractor,
    size: Size,
    *,
    batch: int = 1,
    regions: int = 1,
) -> TextureSettings:
    """`settings` with a number of pixels for "automatic": the largest that fits into memory.

    Args:
        extractor, size, batch, regions: as for `peak_bytes`.

    Raises: InputError naming the largest size that would fit, where no way of cutting does.
    """
    if settings.tile_px:
        return settings
    device = extractor.mean.device
    if settings.memory_gb:
        own = 0.0 if device.type == "cuda" else resident_bytes()
        available = 1e9 * settings.memory_gb - own
    else:
        available = available_bytes(device)
    tiling = choose_tiling(
        extractor,
        size,
        available,
        batch=batch,
        regions=regions,
        vectors=vectors_held(settings),
        tilings=() if extractor.padding == "circular" else TILINGS,
    )
    if tiling is None:
        return replace(settings, tile_px=max(MIN_TILE_PX, *size))
    return replace(settings, tile_px=tiling.tile_px, tile_blocks=tiling.blocks)


def smaller_tiles(settings: TextureSettings, size: Size) -> TextureSettings | None:
    """What to try next where memory ran out all the same; None where nothing is left.

    Args:
        settings: with which it ran out.
        size: (H, W) of the level that was painted; the levels before it stay whole.
    """
    half = -(-max(size) // 2)
    tried = (
        (-settings.tile_px, settings.tile_blocks)
        if settings.tile_px < max(size)
        else (-max(size), 0)
    )
    ways = [(half, 2), (half, 3), *((t.tile_px, t.blocks) for t in TILINGS)]
    for tile_px, blocks in ways:
        if MIN_TILE_PX <= tile_px <= half and (-tile_px, blocks) > tried:
            return replace(settings, tile_px=tile_px, tile_blocks=blocks)
    return None


def resident_bytes() -> float:
    """Memory that this process has now (its peak, where the system tells no more)."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        return float(pages) * os.sysconf("SC_PAGE_SIZE")
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) * (1 if sys.platform == "darwin" else 1024)


def available_bytes(device: torch.device) -> float:
    """Memory that can still be had: of the GPU, or of the machine and this process's limits."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    found = [math.inf]
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found += [1024 * float(k.split()[1]) for k in lines if k.startswith("MemAvailable")]
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")  # a container's own limit, where it has one
        limit = float((group / "memory.max").read_text(encoding="ascii"))
        found.append(limit - float((group / "memory.current").read_text(encoding="ascii")))
    if sys.platform == "darwin":
        found.append(0.6 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(found)


def choose_tiling(
    extractor: FeatureExtractor,
    size: Size,
    available: float,
    *,
    batch: int = 1,
    regions: int = 1,
    vectors: int = 32,
    tilings: Sequence[Tiling] = TILINGS,
) -> Tiling | None:
    """The fastest way that fits: None for not cutting, or how to cut.

    Args:
        available: bytes that may be taken; other arguments as for `peak_bytes`.
        tilings: ways to cut, fastest first.

    Raises: InputError naming the largest size that would fit, where none does.
    """

    def fits(size: Size, tiling: Tiling | None) -> bool:
        needed = peak_bytes(extractor, size, tiling, batch=batch, regions=regions, vectors=vectors)
        return MARGIN * needed <= available

    if fits(size, None):
        return None
    for tiling in tilings:
        if fits(size, tiling):
            return tiling
    long_side = max(size)
    fitting = next(
        (
            px
            for px in range(long_side // 16 * 16, 15, -16)
            if any(fits(_scaled(size, px), tiling) for tiling in (None, *tilings))
        ),
        0,
    )
    needed = MARGIN * min(
        peak_bytes(extractor, size, tiling, batch=batch, regions=regions, vectors=vectors)
        for tiling in (None, *tilings)
    )
    raise InputError(
        f"size_px: expected a size that fits {available / 1e9:.1f} GB of memory, "
        f"at most {fitting}, got {long_side} (needs {needed / 1e9:.1f} GB)"
    )


def _maps_bytes(
    extractor: FeatureExtractor, names: Sequence[str], size: Size, item: int, regions: int
) -> float:
    """Bytes that one evaluation keeps for its backward pass, and the most that this adds."""
    kept, passing = 3.0 * item * size[0] * size[1], 0.0
    for layer in names:
        values = _values(extractor, layer, size)
        own = 2.0 * item * values  # gradients after and before the layer
        kept += item * values
        if layer.startswith("pool"):
            kept += 8 * values  # where each maximum came from
        if layer in STYLE_LAYERS:
            # Gram matrices are taken of copies in float32, weighted by a mask where there is one.
            kept += 4 * values * (regions if regions > 1 or item < 4 else 0)
            own += 4 * values + (4 * values if item < 4 else 0)
            if extractor.taps:
                kept += item * values
                own += item * values
        if layer == CONTENT_LAYER:
            kept += 8 * values
        passing = max(passing, own)
    return kept + passing


def _values(extractor: FeatureExtractor, layer: str, size: Size) -> int:
    stride = extractor.stride(layer)
    return extractor.channels(layer) * (size[0] // stride) * (size[1] // stride)


def _scaled(size: Size, long_side: int) -> Size:
    factor = long_side / max(size)
    return max(16, round(size[0] * factor)), max(16, round(size[1] * factor))
