"""The main job as stages: content → theta → warp → texture; no mathematics, no file access."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geostyle.config import check, resolve, setting
from geostyle.coords import Size, inside_mask, resize
from geostyle.errors import InputError
from geostyle.estimate import Estimate, GeometrySettings
from geostyle.estimate import estimate_warp as estimate
from geostyle.features import FeatureExtractor, load_features
from geostyle.images import as_tensor, fit_size
from geostyle.runs import resolve_device, resolve_precision, seed_everything
from geostyle.texture import Finished, Progress, TextureResult, TextureSettings, transfer_texture
from geostyle.warps import (
    WarpParameters,
    WarpResult,
    fold_guard,
    make_family,
    sampling_grid,
    warp_image,
)

DEFAULT_TEXTURE_PX = 512


@dataclass(frozen=True)
class TransferSettings:
    """Everything that shapes a result beside the pictures."""

    size_px: int | None = setting(
        None,
        flag="--size",
        min=16,
        max=32768,
        help="long side of the result in pixels; default: the content's own, at most "
        f"{DEFAULT_TEXTURE_PX} where texture is painted",
    )
    geo_strength: float = setting(
        1.0,
        min=0.0,
        max=5.0,
        help="strength of the warp: 0 none, 1 as estimated, above 1 exaggerated",
    )
    extend: str = setting(
        "inpaint",
        choices=("inpaint", "mirror", "border"),
        help="what appears where the warp reaches beyond the content",
    )
    features: str = setting(
        "lite", choices=("lite", "vgg19", "vgg16"), help="network whose features are matched"
    )
    weights: Path | None = setting(None, help="local file with that network's weights")
    pooling: str = setting("max", choices=("max", "average"), help="pooling in the texture stage")
    device: str = setting("auto", help="auto, cpu, cuda, cuda:N or mps")
    precision: str = setting(
        "auto",
        choices=("auto", "float32", "bfloat16"),
        help="of the texture stage's convolutions; geometry is always estimated in float32",
    )
    seed: int = setting(0, min=0, max=2**32 - 1, help="seed of everything random")
    geometry: GeometrySettings = setting(GeometrySettings())
    texture: TextureSettings = setting(TextureSettings())

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Networks:
    """The networks of the two stages, None where a stage is left out; often one and the same."""

    geometry: FeatureExtractor | None = None
    texture: FeatureExtractor | None = None

    def describe(self) -> dict[str, str]:
        """Name, precision and device of each, as they turned out."""
        stages = {"geometry": self.geometry, "texture": self.texture}
        return {
            stage: f"{n.name}, {str(n.dtype).removeprefix('torch.')}, {n.mean.device}"
            for stage, n in stages.items()
            if n is not None
        }


@dataclass(frozen=True)
class Bent:
    """Outcome of the geometry stage.

    Attributes:
        image: (1, 3, H, W), the content on the result's canvas; the very tensor that came in where
            neither the size nor the geometry changes.
        warp: grid, mask and theta; None where nothing was warped.
        parameters: theta as applied, strength and fold guard included; None without a warp.
        estimate: what was found before the strength; None where theta was given, or nothing to do.
    """

    image: Tensor
    warp: WarpResult | None = None
    parameters: WarpParameters | None = None
    estimate: Estimate | None = None


@dataclass(frozen=True)
class TransferResult:
    """Outcome of a transfer.

    Attributes:
        image: (1, 3, H, W), sRGB in [0, 1], on the CPU.
        bent: the geometry stage.
        texture: the texture stage; None where no texture style was given.
        settings: as resolved.
    """

    image: Tensor
    bent: Bent
    texture: TextureResult | None
    settings: TransferSettings

    @property
    def interrupted(self) -> bool:
        """Whether the texture was cut short; `image` is the best picture until then."""
        return self.texture is not None and self.texture.interrupted


def transfer(
    content: Any,
    *,
    geo_style: Any = None,
    tex_style: Any = None,
    parameters: WarpParameters | None = None,
    settings: TransferSettings | None = None,
    callback: Callable[[Progress], None] | None = None,
    on_bent: Callable[[Bent], None] | None = None,
    **changes: Any,
) -> TransferResult:
    """Warp `content` after the geometry of one picture and repaint it with the texture of another.

    Args:
        content, geo_style, tex_style: pictures: paths, PIL images, arrays (H, W, 3) or tensors
            (3, H, W) in [0, 1]. Without a style its stage is left out.
        parameters: a warp to apply instead of estimating one from `geo_style`.
        settings: all settings; or single ones by name, such as ``size_px=768, geo_strength=1.5``.
        callback: receives a `Progress` after every step of the texture stage; raising
            KeyboardInterrupt in it ends the transfer with the best picture so far.
        on_bent: receives the outcome of the geometry stage before painting begins.

    Returns: the picture with everything it was made from.
    Raises: InputError for unusable pictures or settings.
    Source: Liu et al., "Geometric Style Transfer", section 3: geometry first, texture second.
    """
    settings = _settings(settings, changes)
    content = as_tensor(content, "content")
    if geo_style is not None:
        geo_style = as_tensor(geo_style, "geo_style")
    if tex_style is not None:
        tex_style = as_tensor(tex_style, "tex_style")
    networks = load_networks(
        settings,
        geometry=geo_style is not None and parameters is None,
        texture=tex_style is not None,
    )
    bent = bend(content, geo_style, settings, networks, parameters, painted=tex_style is not None)
    if on_bent is not None:
        on_bent(bent)
    painted = (
        None if tex_style is None else paint(bent.image, tex_style, settings, networks, callback)
    )
    image = bent.image if painted is None else painted.image
    return TransferResult(image, bent, painted, settings)


def estimate_warp(
    content: Any, geo_style: Any, *, settings: TransferSettings | None = None, **changes: Any
) -> Estimate:
    """Estimate the warp that gives `content` the geometry of `geo_style`.

    Args: as for `transfer`.
    Returns: theta with its confidence and the matches it rests on; strength is not applied.
    """
    settings = _settings(settings, changes)
    content, geo_style = as_tensor(content, "content"), as_tensor(geo_style, "geo_style")
    network = load_networks(settings, geometry=True, texture=False).geometry
    assert network is not None
    return estimate(content, geo_style, network, settings.geometry, seed=settings.seed)


def warp(
    content: Any,
    parameters: WarpParameters,
    *,
    strength: float = 1.0,
    size_px: int | None = None,
    extend: str = TransferSettings.extend,
) -> WarpResult:
    """Warp `content` by an estimated, loaded or hand-made theta, at any size.

    Args:
        content: as for `transfer`.
        parameters: ``estimate.parameters``, or ``WarpParameters.load("theta.json")``.
        strength: 0 gives no warp, 1 the warp as it is, above 1 exaggerates; never folds.
        size_px: long side of the result; default the canvas at the content's own scale.
        extend: what appears beyond the content: "mirror", "inpaint" or "border".
    """
    bent = _apply(as_tensor(content, "content"), parameters, strength, size_px, extend)
    assert bent.warp is not None
    return bent.warp


def load_networks(
    settings: TransferSettings, *, geometry: bool = True, texture: bool = True
) -> Networks:
    """Load what the stages asked for need, once where one network serves both."""
    device = resolve_device(settings.device)
    precision = resolve_precision(settings.precision, device)

    def load(pooling: str, dtype: torch.dtype) -> FeatureExtractor:
        return load_features(
            settings.features,
            weights=settings.weights,
            pooling=pooling,
            device=device,
            dtype=dtype,
        )

    # Matches are found in float32 on the network as trained, whatever paints.
    first = load("max", torch.float32) if geometry else None
    if not texture:
        return Networks(first)
    if first is not None and (settings.pooling, precision) == ("max", torch.float32):
        return Networks(first, first)
    return Networks(first, load(settings.pooling, precision))


def bend(
    content: Tensor,
    geo_style: Tensor | None,
    settings: TransferSettings,
    networks: Networks,
    parameters: WarpParameters | None = None,
    *,
    painted: bool = True,
) -> Bent:
    """The geometry stage: estimate theta where none is given, set its strength, warp.

    Args:
        content, geo_style: (1, 3, H, W), sRGB in [0, 1].
        networks: `networks.geometry` is needed where theta is estimated.
        parameters: the warp to apply instead of estimating one.
        painted: whether texture follows, which is what limits the default size.
    """
    size_px = settings.size_px
    if size_px is None and painted:
        size_px = min(DEFAULT_TEXTURE_PX, max(content.shape[-2:]))
    if settings.geo_strength == 0 or (geo_style is None and parameters is None):
        return Bent(resize(content, _canvas(content, None, size_px)))
    found = None
    if parameters is None:
        assert geo_style is not None and networks.geometry is not None
        found = estimate(
            content, geo_style, networks.geometry, settings.geometry, seed=settings.seed
        )
        parameters = found.parameters
        if found.message:
            parameters = replace(parameters, meta={**parameters.meta, "message": found.message})
    return replace(
        _apply(content, parameters, settings.geo_strength, size_px, settings.extend), estimate=found
    )


def paint(
    canvas: Tensor,
    tex_style: Tensor,
    settings: TransferSettings,
    networks: Networks,
    callback: Callable[[Progress], None] | None = None,
    finished: Finished | None = None,
    on_level: Callable[[Finished], None] | None = None,
) -> TextureResult:
    """The texture stage: repaint `canvas`, the warped content, after `tex_style`.

    Args:
        canvas, tex_style: (1, 3, H, W), sRGB in [0, 1].
        networks: `networks.texture` is needed.
        callback: see `transfer`.
        finished, on_level: levels to go on from, and what receives them; see `transfer_texture`.

    Returns: the picture, at the size of the canvas and on the CPU.
    """
    assert networks.texture is not None
    seed_everything(settings.seed)
    device = networks.texture.mean.device
    done = transfer_texture(
        canvas.to(device),
        tex_style.to(device),
        networks.texture,
        settings.texture,
        seed=settings.seed,
        callback=callback,
        finished=finished,
        on_level=on_level,
    )
    return replace(done, image=done.image.cpu())


def _apply(
    content: Tensor, parameters: WarpParameters, strength: float, size_px: int | None, extend: str
) -> Bent:
    size = _canvas(content, parameters, size_px)
    family = make_family(parameters.family, parameters.lattice)
    theta = fold_guard(family, family.scale(parameters.theta[None], strength), size)
    applied = replace(parameters, theta=theta[0], meta={**parameters.meta, "strength": strength})
    grid = sampling_grid(family, theta, size).float()
    image = warp_image(content, grid, extend=extend)
    return Bent(image, WarpResult(theta, grid, image, inside_mask(grid)), applied)


def _canvas(content: Tensor, parameters: WarpParameters | None, size_px: int | None) -> Size:
    """The result's (H, W): the content's shape, or that of the frame theta was estimated in."""
    own = (content.shape[-2], content.shape[-1])
    if parameters is not None and parameters.output_size != parameters.content_size:
        own = parameters.output_size
    return own if size_px is None else fit_size(own, size_px)


def _settings(settings: TransferSettings | None, changes: dict[str, Any]) -> TransferSettings:
    if settings is not None and changes:
        raise InputError(
            f"settings: expected either settings or single ones, got {list(changes)} too"
        )
    return resolve(TransferSettings, None, changes) if settings is None else settings
