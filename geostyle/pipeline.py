"""The main job as stages: content → theta → warp → texture; no mathematics, no file access."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from geostyle.config import check, resolve, setting
from geostyle.coords import Size, check_shape, inside_mask, resize, size_of
from geostyle.device import resolve_device, seed_everything
from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor, load_features
from geostyle.features.precision import Probe, in_precision
from geostyle.io.images import as_mask, as_tensor, fit_size
from geostyle.matching import (
    Candidate,
    Correspondences,
    Estimate,
    GeometrySettings,
    Guide,
    candidates,
    describe,
    estimate_pinned,
    reads_features,
)
from geostyle.matching import estimate_warp as estimate
from geostyle.texture import (
    PRESERVE_COLORS,
    Finished,
    Progress,
    TextureResult,
    TextureSettings,
    add_border,
    after_transfer,
    before_transfer,
    cut_border,
    keep_unmasked,
    mask_shares,
    schedule,
    transfer_texture,
)
from geostyle.texture.memory import hungriest, settle_tiles
from geostyle.texture.settings import MIN_TEX_SCALE
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
    preserve_color: str = setting(
        "off",
        choices=PRESERVE_COLORS,
        help="keep the content's colors: lab repaints its lightness alone, histogram recolors "
        "the texture styles first",
    )
    border_px: int = setting(
        8,
        flag="--border",
        min=0,
        max=256,
        help="pixels of mirrored content that are painted beyond the edges and cut off, where "
        "networks leave flat and off-color rims",
    )
    mask_frame: str = setting(
        "content",
        choices=("content", "result"),
        help="what --tex-mask is drawn on: the content, with which it is warped, or the result",
    )
    features: str = setting(
        "lite",
        choices=("lite", "vgg19", "vgg16", "lite+vgg19"),
        help="network whose features are matched; lite+vgg19: lite, which also finds the warp, and "
        "VGG-19 for the last steps of painting",
    )
    weights: Path | None = setting(
        None, help="local file with that network's weights; of lite+vgg19, with VGG-19's"
    )
    pooling: str = setting("max", choices=("max", "average"), help="pooling in the texture stage")
    device: str = setting("auto", help="auto, cpu, cuda, cuda:N or mps")
    precision: str = setting(
        "auto",
        choices=("auto", "float32", "bfloat16", "float32+bfloat16", "bfloat16+float32"),
        help="of the texture stage's convolutions, or of its two networks'; geometry is always "
        "estimated in float32",
    )
    seed: int = setting(0, min=0, max=2**32 - 1, help="seed of everything random")
    geometry: GeometrySettings = setting(GeometrySettings())
    texture: TextureSettings = setting(TextureSettings())

    def __post_init__(self) -> None:
        check(self)
        if "+" in self.precision and "+" not in self.features:
            raise InputError(
                f"precision: expected that of one network, {self.features}, got {self.precision!r}"
            )


@dataclass(frozen=True)
class Networks:
    """The networks of the two stages, none where a stage is left out; often one and the same.

    `texture` holds one, or two in the order in which they paint. `probes` are the timings that
    chose their precision, where there were any.
    """

    geometry: FeatureExtractor | None = None
    texture: tuple[FeatureExtractor, ...] = ()
    probes: tuple[Probe, ...] = ()

    @property
    def precision(self) -> str:
        """Of the texture stage as a setting: "bfloat16", or where two differ "float32+bfloat16"."""
        names = [str(network.dtype).removeprefix("torch.") for network in self.texture]
        return "+".join(dict.fromkeys(names))

    def describe(self) -> dict[str, str]:
        """Name, precision and device of each, as they turned out, and what was measured."""

        def told(networks: Sequence[FeatureExtractor]) -> str:
            return "; ".join(
                f"{n.name}, {str(n.dtype).removeprefix('torch.')}, {n.mean.device}"
                for n in networks
            )

        stages = {
            "geometry": told([] if self.geometry is None else [self.geometry]),
            "texture": told(self.texture),
            "precision": "; ".join(map(str, self.probes)),
        }
        return {stage: text for stage, text in stages.items() if text}


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
        settings: as resolved; they repeat the result.
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
    tex_weights: Sequence[float] | None = None,
    tex_mask: Any = None,
    content_mask: Any = None,
    geo_mask: Any = None,
    points: Correspondences | str | Path | None = None,
    parameters: WarpParameters | None = None,
    settings: TransferSettings | None = None,
    callback: Callable[[Progress], None] | None = None,
    on_bent: Callable[[Bent], None] | None = None,
    **changes: Any,
) -> TransferResult:
    """Warp `content` after the geometry of one picture and repaint it with the texture of another.

    Args:
        content, geo_style, tex_style: pictures: paths, PIL images, arrays (H, W, 3) or tensors
            (3, H, W) in [0, 1]. Without a style its stage is left out. `tex_style` may be a list of
            several, which are mixed.
        tex_weights: one non-negative weight a texture style; default equal.
        tex_mask: one gray picture a texture style, white where it paints (see `mask_shares`).
        content_mask, geo_mask: gray pictures of the subjects, white where they are: nothing else is
            matched.
        points: correspondences given by hand, or a file of them (see `Correspondences`). Without a
            geometry style they say where in the content's own picture its parts shall be.
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
    tex_styles = [as_tensor(style, "tex_style") for style in _several(tex_style)]
    masks = [as_mask(mask) for mask in _several(tex_mask)]
    check_tex_styles(len(tex_styles), tex_weights, len(masks))
    guide = as_guide(content_mask, geo_mask, points)
    networks = load_networks(
        settings,
        geometry=geo_style is not None and parameters is None,
        texture=bool(tex_styles),
    )
    bent = bend(content, geo_style, settings, networks, parameters, guide, painted=bool(tex_styles))
    if on_bent is not None:
        on_bent(bent)
    painted = None
    if tex_styles:
        shares = place_masks(masks, bent, settings, len(tex_styles), tex_weights)
        settings = settle(settings, networks, bent.image, regions=len(masks) or 1)
        painted = paint(
            bent.image,
            tex_styles,
            settings,
            networks,
            callback,
            tex_weights=tex_weights,
            shares=shares,
        )
        settings = replace(settings, texture=painted.settings or settings.texture)
    image = bent.image if painted is None else painted.image
    return TransferResult(image, bent, painted, settings)


def check_tex_styles(n_styles: int, weights: Sequence[float] | None, n_masks: int) -> None:
    """Hold weights and masks to the number of texture styles, before any work is done."""
    if weights is not None and (
        len(weights) != n_styles or min(weights, default=0) < 0 or sum(weights) <= 0
    ):
        raise InputError(
            f"tex_weights: expected a non-negative number for each texture style, {n_styles}, "
            f"got {list(weights)}"
        )
    if n_masks and (not n_styles or n_masks not in (n_styles, max(1, n_styles - 1))):
        raise InputError(
            "tex_mask: expected one mask for each texture style, or one less than the "
            f"{n_styles} given, got {n_masks}"
        )


def as_guide(
    content_mask: Any = None,
    geo_mask: Any = None,
    points: Correspondences | str | Path | None = None,
) -> Guide:
    """Masks and points of any kind, as `transfer` takes them, for `bend`."""
    return Guide(
        None if content_mask is None else as_mask(content_mask, "content_mask"),
        None if geo_mask is None else as_mask(geo_mask, "geo_mask"),
        Correspondences.load(points) if isinstance(points, str | Path) else points,
    )


def estimate_warp(
    content: Any,
    geo_style: Any,
    *,
    content_mask: Any = None,
    geo_mask: Any = None,
    points: Correspondences | str | Path | None = None,
    settings: TransferSettings | None = None,
    **changes: Any,
) -> Estimate:
    """Estimate the warp that gives `content` the geometry of `geo_style`.

    Args: as for `transfer`.
    Returns: theta with its confidence and the matches it rests on; strength is not applied.
    """
    settings = _settings(settings, changes)
    content, geo_style = as_tensor(content, "content"), as_tensor(geo_style, "geo_style")
    guide = as_guide(content_mask, geo_mask, points)
    network = load_networks(settings, geometry=True, texture=False).geometry
    assert network is not None
    return estimate(content, geo_style, network, settings.geometry, guide, seed=settings.seed)


def preview(
    content: Tensor,
    geo_style: Tensor,
    settings: TransferSettings,
    networks: Networks,
    guide: Guide,
    count: int,
) -> list[Candidate]:
    """Up to `count` distinct warps to choose from; candidate i is what ``choose=i`` takes.

    Arguments as for `bend`.

    Raises: InputError for an estimator that compares no pictures.
    """
    if not reads_features(settings.geometry):
        raise InputError(
            f"preview: expected 1 with --estimator {settings.geometry.estimator}, got {count}"
        )
    assert networks.geometry is not None
    guide.check(size_of(content), size_of(geo_style))
    geometry, network = settings.geometry, networks.geometry
    a = describe(content, network, geometry, guide.content_mask)
    b = describe(geo_style, network, geometry, guide.geo_mask)
    return candidates(a, b, geometry, count, points=guide.points, seed=settings.seed)


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
    device, names = resolve_device(settings.device), settings.features.split("+")

    def load(name: str, pooling: str) -> FeatureExtractor:
        # The file is that of the last one; others are bundled.
        weights = settings.weights if name == names[-1] else None
        return load_features(name, weights=weights, pooling=pooling, device=device)

    # Matches are found in float32 on the network as trained, whatever paints; where two paint, on
    # the first: on photographs of things its warps are as good, and they take a fifth of the time.
    first = load(names[0], "max") if geometry else None
    if not texture:
        return Networks(first)
    shared = first if settings.pooling == "max" else None
    painters = [shared or load(names[0], settings.pooling)]
    painters += [load(name, settings.pooling) for name in names[1:]]
    wanted = settings.precision.split("+")
    found = [
        in_precision(painter, precision)
        for painter, precision in zip(painters, [*wanted, *wanted], strict=False)
    ]
    probes = tuple(probe for _, probe in found if probe is not None)
    return Networks(first, tuple(painter for painter, _ in found), probes)


def settle(
    settings: TransferSettings, networks: Networks, canvas: Tensor, *, regions: int = 1
) -> TransferSettings:
    """`settings` without "automatic": what was found out about this machine, to be repeated.

    Args:
        networks: as loaded; `networks.texture` is needed.
        canvas: (1, 3, H, W), what is to be repainted.
        regions: textures with a mask of their own.

    Raises: InputError where memory is too short, naming the largest size that would fit.
    """
    bordered = add_border(canvas[:, :1], settings.border_px)
    size = size_of(bordered)
    largest = hungriest(networks.texture, size)
    return replace(
        settings,
        precision=networks.precision,
        texture=settle_tiles(settings.texture, largest, size, regions=regions),
    )


def bend(
    content: Tensor,
    geo_style: Tensor | None,
    settings: TransferSettings,
    networks: Networks,
    parameters: WarpParameters | None = None,
    guide: Guide | None = None,
    *,
    painted: bool = True,
) -> Bent:
    """The geometry stage: estimate theta where none is given, set its strength, warp.

    Args:
        content, geo_style: (1, 3, H, W), sRGB in [0, 1].
        networks: `networks.geometry` is needed where theta is estimated.
        parameters: the warp to apply instead of estimating one.
        guide: masks and points, for the estimate.
        painted: whether texture follows, which is what limits the default size.
    """
    size_px = settings.size_px
    if size_px is None and painted:
        size_px = min(DEFAULT_TEXTURE_PX, max(content.shape[-2:]))
    points = None if guide is None else guide.points
    given = (geo_style, parameters, points)
    if settings.geo_strength == 0 or all(one is None for one in given):
        return Bent(resize(content, _canvas(content, None, size_px)))
    found = None
    if parameters is None:
        found = _estimate(content, geo_style, settings, networks, guide or Guide())
        parameters = found.parameters
    return replace(
        _apply(content, parameters, settings.geo_strength, size_px, settings.extend), estimate=found
    )


def paint(
    canvas: Tensor,
    tex_styles: Sequence[Tensor],
    settings: TransferSettings,
    networks: Networks,
    callback: Callable[[Progress], None] | None = None,
    finished: Finished | None = None,
    on_level: Callable[[Finished], None] | None = None,
    *,
    tex_weights: Sequence[float] | None = None,
    shares: Tensor | None = None,
    start: Tensor | None = None,
) -> TextureResult:
    """The texture stage: repaint `canvas`, the warped content, after one style or several.

    Args:
        canvas, tex_styles: (1, 3, H, W), sRGB in [0, 1].
        networks: `networks.texture` is needed.
        callback: see `transfer`.
        finished, on_level: levels to go on from, and what receives them; see `transfer_texture`.
        tex_weights: one a style, default equal; not needed beside `shares`.
        shares: (n, 1, H, W), of every style in every pixel of the canvas; see `place_masks`.
        start: (1, 3, H, W), the picture to begin from instead of the settings' own.

    Returns: the picture, at the size of the canvas and on the CPU.
    """
    if settings.texture.tex_strength == 0:
        return TextureResult(canvas, [], False, settings.texture)
    seed_everything(settings.seed)
    device, how = networks.texture[0].mean.device, settings.preserve_color
    size = size_of(canvas)
    sizes = [level.size for level in schedule(size, networks.texture, settings.texture)]
    content, styles = before_transfer(canvas, tex_styles, how, shares)

    def placed(image: Tensor | None) -> Tensor | None:
        return None if image is None else add_border(image, settings.border_px).to(device)

    def report(progress: Progress) -> None:
        if callback is not None:
            seen = cut_border(progress.image, sizes[progress.level])
            if how == "lab":
                seen = after_transfer(seen.cpu(), canvas, how)
            callback(replace(progress, size=sizes[progress.level], image=seen))

    bordered = placed(content)
    assert bordered is not None
    texture = settings.texture
    # The texture's scale is told from the canvas, not from what lies around it.
    scale = texture.tex_scale * max(size) / max(bordered.shape[-2:])
    texture = replace(texture, tex_scale=max(MIN_TEX_SCALE, scale))
    done = transfer_texture(
        bordered,
        [style.to(device) for style in styles],
        networks.texture,
        texture,
        mixture=tex_weights if shares is None else None,
        shares=placed(shares),
        seed=settings.seed,
        start=None if start is None else placed(before_transfer(start, [], how)[0]),
        border=((bordered.shape[-2] - size[0]) // 2, (bordered.shape[-1] - size[1]) // 2),
        callback=report,
        finished=finished,
        on_level=on_level,
    )
    image = after_transfer(done.image.cpu(), canvas, how)
    if shares is not None:
        image = keep_unmasked(image, canvas, shares)
    assert done.settings is not None
    done_as = replace(done.settings, tex_scale=settings.texture.tex_scale)
    return replace(done, image=image, settings=done_as)


def place_masks(
    masks: Sequence[Tensor],
    bent: Bent,
    settings: TransferSettings,
    n_styles: int,
    tex_weights: Sequence[float] | None = None,
) -> Tensor | None:
    """What each of `n_styles` paints of the canvas, from masks warped with the content.

    Args:
        masks: (1, 1, h, w) each, in [0, 1], drawn on `settings.mask_frame`.
        bent: outcome of the geometry stage.
        tex_weights: one a style, default equal.

    Returns: (n_styles, 1, H, W); see `mask_shares`; None without masks.
    Raises: InputError where a mask has not the shape of what it is drawn on.
    """
    if not masks:
        return None
    size = size_of(bent.image)
    warped = bent.warp is not None and bent.parameters is not None
    warped = warped and settings.mask_frame == "content"
    drawn_on = bent.parameters.content_size if warped and bent.parameters else size
    for mask in masks:
        check_shape(mask, drawn_on, "tex_mask", of=f"of the {settings.mask_frame}, ")
    if warped and bent.warp is not None and bent.parameters is not None:
        if bent.parameters.mirrored:
            masks = [mask.flip(-1) for mask in masks]
        masks = [warp_image(mask, bent.warp.grid, extend="border") for mask in masks]
    return mask_shares(masks, n_styles, size, tex_weights)


def _estimate(
    content: Tensor,
    geo_style: Tensor | None,
    settings: TransferSettings,
    networks: Networks,
    guide: Guide,
) -> Estimate:
    if geo_style is None:
        assert guide.points is not None
        return estimate_pinned(size_of(content), guide.points, settings.geometry)
    assert networks.geometry is not None
    network, seed = networks.geometry, settings.seed
    return estimate(content, geo_style, network, settings.geometry, guide, seed=seed)


def _apply(
    content: Tensor, parameters: WarpParameters, strength: float, size_px: int | None, extend: str
) -> Bent:
    size = _canvas(content, parameters, size_px)
    family = make_family(parameters.family, parameters.lattice)
    theta = fold_guard(family, family.scale(parameters.theta[None], strength), size)
    applied = replace(parameters, theta=theta[0], meta={**parameters.meta, "strength": strength})
    grid = sampling_grid(family, theta, size).float()
    if parameters.mirrored:
        content = content.flip(-1)
    image = warp_image(content, grid, extend=extend)
    return Bent(image, WarpResult(theta, grid, image, inside_mask(grid)), applied)


def _canvas(content: Tensor, parameters: WarpParameters | None, size_px: int | None) -> Size:
    """The result's (H, W): the content's shape, or that of the frame theta was estimated in."""
    own = size_of(content)
    if parameters is not None and parameters.output_size != parameters.content_size:
        own = parameters.output_size
    return own if size_px is None else fit_size(own, size_px)


def _several(given: Any) -> list[Any]:
    """A list of pictures from one, several, or none."""
    if given is None:
        return []
    return list(given) if isinstance(given, (list, tuple)) else [given]


def _settings(settings: TransferSettings | None, changes: dict[str, Any]) -> TransferSettings:
    if settings is not None and changes:
        raise InputError(
            f"settings: expected either settings or single ones, got {list(changes)} too"
        )
    return resolve(TransferSettings, None, changes) if settings is None else settings
