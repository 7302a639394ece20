"""The flow, composed once: content → theta → warp → texture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Unpack

from torch import Tensor

from geostyle.coords import Size, resize, size_of
from geostyle.device import own_world
from geostyle.errors import InputError, check_functions
from geostyle.io.images import as_mask, as_picture, as_tensor
from geostyle.matching import (
    Candidate,
    Estimate,
    Guide,
    candidates,
    describe,
    estimate_pinned,
    reads_features,
)
from geostyle.matching import estimate_warp as estimate
from geostyle.pipeline.geometry import apply_warp, canvas_size, place_alpha, place_masks
from geostyle.pipeline.guidance import source_guide
from geostyle.pipeline.inputs import (
    Points,
    Theta,
    as_guide,
    as_settings,
    as_theta,
    check_tex_styles,
    same_picture,
    several,
    tell_unused,
    with_missed,
)
from geostyle.pipeline.mixing import check_geo_styles, mixed_estimate
from geostyle.pipeline.networks import Networks
from geostyle.pipeline.options import TransferOptions
from geostyle.pipeline.results import GeometryResult, Resume, TransferResult
from geostyle.pipeline.settings import DEFAULT_TEXTURE_PX, TransferSettings
from geostyle.texture import (
    PAINTERS,
    Finished,
    MatchedSettings,
    Painting,
    PaintOptions,
    Progress,
    SourceGuide,
    TextureSettings,
)
from geostyle.texture.interrupts import cancelable, hand_over
from geostyle.texture.memory import check_warp_fits, settle_tiles
from geostyle.warps import WarpParameters


class Pipeline:
    """Geometric style transfer with networks that are loaded on first use and kept.

    Call it as often as there are pictures::

        pipe = geostyle.Pipeline(size_px=768)
        pipe("c.jpg", geo_style="a.jpg", tex_style="b.jpg").save("result.png")

    Args:
        settings: all settings; or single ones by name, such as ``size_px=768, geo_strength=1.5``.

    Raises: InputError for unusable settings.
    """

    def __init__(
        self, settings: TransferSettings | None = None, **changes: Unpack[TransferOptions]
    ) -> None:
        self.settings = as_settings(settings, changes)
        self._networks = Networks()

    @own_world
    def __call__(
        self,
        content: Any,
        *,
        geo_style: Any = None,
        geo_weights: Sequence[float] | None = None,
        geo_regions: Any = None,
        tex_style: Any = None,
        tex_weights: Sequence[float] | None = None,
        tex_mask: Any = None,
        content_mask: Any = None,
        geo_mask: Any = None,
        points: Points = None,
        theta: Theta = None,
        paint: bool = True,
        callback: Callable[[Progress], None] | None = None,
        cancel: Callable[[], bool] | None = None,
        on_geometry: Callable[[GeometryResult], None] | None = None,
        on_level: Callable[[Finished], None] | None = None,
        resume: Resume | None = None,
    ) -> TransferResult:
        """Warp `content` after the geometry of one picture and repaint it with another's texture.

        Args:
            content, geo_style, tex_style: pictures: paths, PIL images, arrays (H, W, 3) or tensors
                (3, H, W) in [0, 1]. Without a style its stage is left out. Both styles may be
                lists of several, which are mixed.
            geo_weights: one non-negative weight per geometry style; default equal.
            geo_regions: one gray picture per geometry style instead, on the result's canvas, white
                where its warp holds; without the last one, its style takes the rest.
            tex_weights: one non-negative weight per texture style; default equal.
            tex_mask: one gray picture per texture style, white where it paints (see
                `normalized_masks`).
            content_mask, geo_mask: gray pictures of the subjects, white on them: nothing else is
                matched.
            points: correspondences given by hand, or a file of them (see `Correspondences`).
                Without a geometry style they are positions in the content and where to move them.
            theta: a warp to apply, or its file, instead of estimating one from `geo_style`.
            paint: False stops after the warp.
            callback: receives a `Progress` after every step of the texture stage; raising
                KeyboardInterrupt in it ends the transfer with the best picture so far.
            cancel: asked after every step; True ends the transfer likewise.
            on_geometry: receives the outcome of the geometry stage before painting begins.
            on_level: receives the finished levels after every level but the last.
            resume: state of an interrupted transfer of the same pictures.

        Returns: the picture with everything it was made from.
        Raises: InputError for unusable pictures or settings; KeyboardInterrupt where the user
            presses Ctrl-C, while painting with the best `TransferResult` so far as its attribute
            `result`.
        Source: Liu et al., "Geometric Style Transfer", section 3: geometry first, texture second.
        """
        picture = as_picture(content, "content", keeps_alpha=True)
        content = picture.tensor
        geo_styles = [as_tensor(style, "geo_style") for style in several(geo_style)]
        styles = [as_tensor(style, "tex_style") for style in several(tex_style)]
        masks = [as_mask(mask) for mask in several(tex_mask)]
        check_tex_styles(len(styles), tex_weights, len(masks))
        guide = as_guide(content_mask, geo_mask, points, geo_weights, geo_regions)
        check_geo_styles(len(geo_styles), guide, self.settings.geometry)
        theta = as_theta(theta)
        check_functions(callback=callback, cancel=cancel, on_geometry=on_geometry)
        check_functions(on_level=on_level)
        if resume is None:
            tell_unused(theta, next(iter(geo_styles), None), guide)
            self.check_memory(size_of(content), len(styles) if paint else 0, theta)
            geometry = self.warp(content, geo_styles, theta, guide, painted=bool(styles))
            placed = place_masks(masks, geometry, self.settings, len(styles), tex_weights)
            alpha = place_alpha(picture.alpha, geometry)
            geometry = replace(geometry, masks=placed, alpha=alpha)
            if paint:
                only = geo_styles[0] if len(geo_styles) == 1 else None
                guides = self.source_guides(content, only, styles, geometry, guide)
                geometry = replace(geometry, guides=guides)
            inside = geometry.inside
        else:
            geometry = GeometryResult(
                resume.canvas, masks=resume.masks, guides=resume.guides, alpha=resume.alpha
            )
            inside = resume.inside
        settings, painting, painted, ctrl_c = self.settings, None, None, None
        if styles and paint:
            options = PaintOptions(
                tex_weights, geometry.masks, inside=inside, guides=geometry.guides
            )
            painting = self.painting(geometry.tensor, styles, options)
            precision = self.networks(geometry=False).precision
            settings = replace(settings, precision=precision, texture=painting.settings)
        geometry = replace(geometry, settings=settings)
        if on_geometry is not None:
            on_geometry(geometry)
        if painting is not None:
            finished = None if resume is None else resume.finished
            painted = painting.run_or_stop(cancelable(callback, cancel), finished, on_level)
            ctrl_c, painted = painted.ctrl_c, replace(painted, ctrl_c=None)
            settings = replace(settings, texture=painted.settings or settings.texture)
        tensor = geometry.tensor if painted is None else painted.image
        return hand_over(TransferResult(tensor, geometry, painted, settings), ctrl_c)

    @own_world
    def networks(self, *, geometry: bool = True, texture: bool = True) -> Networks:
        """The networks of the stages asked for, loaded where they are not yet."""
        self._networks = self._networks.load(self.settings, geometry=geometry, texture=texture)
        return self._networks

    @own_world
    def estimate(self, content: Tensor, geo_style: Tensor | None, guide: Guide) -> Estimate:
        """Estimate the warp that gives `content` the geometry of `geo_style`; see `estimate_warp`.

        Args:
            content, geo_style: (1, 3, H, W), sRGB in [0, 1]; without a geometry style the guide's
                points are followed.
        """
        settings, seed = self.settings.geometry, self.settings.seed
        if geo_style is None:
            assert guide.points is not None
            found = estimate_pinned(size_of(content), guide.points, settings)
        else:
            network = self.networks(texture=False).geometry
            assert network is not None
            found = estimate(content, geo_style, network, settings, guide, seed=seed)
        if guide.points is not None:
            found = with_missed(guide.points, found, content, geo_style, settings.frame)
        return found

    @own_world
    def candidates(
        self, content: Tensor, geo_style: Tensor, guide: Guide, count: int
    ) -> list[Candidate]:
        """Up to `count` distinct warps to choose from; candidate i is the one that choose=i takes.

        Arguments as for `estimate`.

        Raises: InputError for an estimator that compares no pictures.
        """
        settings = self.settings.geometry
        if not reads_features(settings):
            raise InputError(
                f"preview: expected 1 with --estimator {settings.estimator}, got {count}"
            )
        network = self.networks(texture=False).geometry
        assert network is not None
        guide.check(size_of(content), size_of(geo_style))
        a = describe(content, network, settings, guide.content_mask)
        b = describe(geo_style, network, settings, guide.geo_mask)
        return candidates(a, b, settings, count, points=guide.points, seed=self.settings.seed)

    def check_memory(
        self, content: Size, n_styles: int, theta: WarpParameters | None = None
    ) -> None:
        """Check that the canvas, and its painting in tiles, fit into memory, before computing.

        Args:
            content: its (H, W).
            n_styles: number of texture styles; 0 where nothing is painted.
            theta: a warp that is given.

        Raises: InputError naming the largest size that fits.
        """
        settings = self.settings
        size = canvas_size(content, theta, self._size_px(content, bool(n_styles)))
        check_warp_fits(size, settings.texture)
        if n_styles:
            networks = self.networks(geometry=False).texture
            settle_tiles(
                settings.texture.with_defaults(**PAINTERS[settings.painter].defaults),
                networks,
                size,
            )

    def _size_px(self, content: Size, painted: bool) -> int | None:
        """The long side of the result; None for the content's own."""
        if self.settings.size_px is None and painted:
            return min(DEFAULT_TEXTURE_PX, max(content))
        return self.settings.size_px

    @own_world
    def warp(
        self,
        content: Tensor,
        geo_style: Tensor | Sequence[Tensor] | None,
        theta: WarpParameters | None = None,
        guide: Guide | None = None,
        *,
        painted: bool = True,
    ) -> GeometryResult:
        """The geometry stage: estimate theta where none is given, set its strength, warp.

        Args:
            content, geo_style: (1, 3, H, W), sRGB in [0, 1]; several geometry styles are mixed.
            theta: the warp to apply instead of estimating one.
            guide: masks and points, for the estimate.
            painted: whether texture follows, which limits the default size.
        """
        settings, guide, found = self.settings, guide or Guide(), None
        size_px = self._size_px(size_of(content), painted)
        geo_styles = several(geo_style)
        given = geo_styles or theta is not None or guide.points is not None
        if settings.geo_strength == 0 or not given:
            return GeometryResult(resize(content, canvas_size(size_of(content), None, size_px)))
        if theta is None:
            found = mixed_estimate(
                [self.estimate(content, style, guide) for style in geo_styles or [None]], guide
            )
            theta = found.parameters
        strength, extend = settings.geo_strength, settings.extend
        warped = apply_warp(content, theta, strength, size_px, extend)
        return replace(warped, estimate=found)

    @own_world
    def source_guides(
        self,
        content: Tensor,
        geo_style: Tensor | None,
        tex_styles: Sequence[Tensor],
        geometry: GeometryResult,
        guide: Guide,
    ) -> tuple[SourceGuide, ...]:
        """Return guides to each texture style's parts for the canvas; none without guidance.

        Args: as for `warp`, whose outcome `geometry` is; `guide` holds for a texture style that is
            the geometry style.
        """
        settings = self.settings
        if not (settings.guided and tex_styles):
            return ()
        network = self.networks(texture=False).geometry
        assert network is not None
        return tuple(
            source_guide(
                content,
                style,
                geometry,
                network,
                settings.geometry,
                guide if geo_style is not None and same_picture(style, geo_style) else None,
                seed=settings.seed,
            )
            for style in tex_styles
        )

    @own_world
    def painting(
        self,
        canvas: Tensor,
        tex_styles: Sequence[Tensor],
        options: PaintOptions | None = None,
        settings: TextureSettings | None = None,
        matched: MatchedSettings | None = None,
    ) -> Painting:
        """The texture stage, ready to `run`.

        Args:
            canvas, tex_styles: (1, 3, H, W), sRGB in [0, 1].
            options: weights, masks and start; the rest is taken from the pipeline's settings.
            settings, matched: default the pipeline's own.
        """
        own = self.settings
        options = replace(
            options or PaintOptions(),
            seed=own.seed,
            border_px=own.border_px,
            preserve_color=own.preserve_color,
            matched=matched or own.matched,
        )
        networks = self.networks(geometry=False).texture
        painter = PAINTERS[own.painter]
        return painter(canvas, tex_styles, networks, settings or own.texture, options)


@own_world
def transfer(
    content: Any,
    *,
    geo_style: Any = None,
    geo_weights: Sequence[float] | None = None,
    geo_regions: Any = None,
    tex_style: Any = None,
    tex_weights: Sequence[float] | None = None,
    tex_mask: Any = None,
    content_mask: Any = None,
    geo_mask: Any = None,
    points: Points = None,
    theta: Theta = None,
    callback: Callable[[Progress], None] | None = None,
    cancel: Callable[[], bool] | None = None,
    on_geometry: Callable[[GeometryResult], None] | None = None,
    settings: TransferSettings | None = None,
    **changes: Unpack[TransferOptions],
) -> TransferResult:
    """Warp `content` after the geometry of one picture and repaint it with another's texture.

    Args: pictures and callbacks as for calling a `Pipeline`; settings as for making one.
    Returns: the picture with everything it was made from.
    Raises: InputError for unusable pictures or settings; KeyboardInterrupt where the user presses
        Ctrl-C, while painting with the best `TransferResult` so far as its attribute `result`.
    """
    inputs = {k: v for k, v in locals().items() if k not in ("settings", "changes")}
    return Pipeline(settings, **changes)(**inputs)


@own_world
def estimate_warp(
    content: Any,
    geo_style: Any,
    *,
    content_mask: Any = None,
    geo_mask: Any = None,
    points: Points = None,
    settings: TransferSettings | None = None,
    **changes: Unpack[TransferOptions],
) -> Estimate:
    """Estimate the warp that gives `content` the geometry of `geo_style`.

    Args: as for `transfer`.
    Returns: theta with its confidence and the matches it rests on; strength is not applied.
    """
    pictures = as_tensor(content, "content"), as_tensor(geo_style, "geo_style")
    guide = as_guide(content_mask, geo_mask, points)
    return Pipeline(settings, **changes).estimate(*pictures, guide)
