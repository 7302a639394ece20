"""A pipeline that keeps its last estimates, warps and guides, so that a painting begins at once.

They depend on nothing but the pictures and the settings: what is kept is what would be computed.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Any, ClassVar, TypeVar

from torch import Tensor

from geostyle.config import to_dict
from geostyle.matching import Candidate, Estimate, Guide
from geostyle.pipeline import GeometryResult, Networks, Pipeline, TransferSettings
from geostyle.texture import SourceGuide
from geostyle.warps import WarpParameters

T = TypeVar("T")
MOST_ESTIMATES, MOST_WARPS, MOST_GUIDES = 64, 2, 4


class Memory:
    """The last few results of slow functions, by what went into them; for several threads.

    Args: most, how many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most, self._kept = most, OrderedDict[Hashable, Future[Any]]()
        self._lock = threading.Lock()

    def recall(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The result kept under `key`, also where another thread is at it, or else computed."""
        with self._lock:
            known = key in self._kept
            future: Future[T] = self._kept.setdefault(key, Future())
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        if not known:
            try:
                future.set_result(compute())
            except BaseException as error:
                with self._lock:
                    self._kept.pop(key, None)
                future.set_exception(error)
                raise
        return future.result()


class RememberingPipeline(Pipeline):
    """A `Pipeline` that shares its networks, estimates and guides with all others of its class."""

    _estimates, _choices = Memory(MOST_ESTIMATES), Memory(MOST_ESTIMATES)
    _warps, _guides = Memory(MOST_WARPS), Memory(MOST_GUIDES)
    _loaded: ClassVar[dict[Hashable, Networks]] = {}
    _loading = threading.RLock()

    def __init__(self, settings: TransferSettings) -> None:
        super().__init__(settings)
        self._key = _network_key(settings)

    def networks(self, *, geometry: bool = True, texture: bool = True) -> Networks:
        """The networks of the stages asked for; loaded once for all pipelines that use the same."""
        with self._loading:
            self._networks = self._loaded.get(self._key, Networks())
            self._loaded[self._key] = super().networks(geometry=geometry, texture=texture)
            return self._loaded[self._key]

    def estimate(self, content: Tensor, geo_style: Tensor | None, guide: Guide) -> Estimate:
        """As `Pipeline.estimate`, from memory where the same was asked before."""
        key = self._estimate_key(content, geo_style, guide)
        compute = super().estimate
        return self._estimates.recall(key, lambda: compute(content, geo_style, guide))

    def candidates(
        self, content: Tensor, geo_style: Tensor, guide: Guide, count: int
    ) -> list[Candidate]:
        """As `Pipeline.candidates`, from memory where the same was asked before."""
        key = (*self._estimate_key(content, geo_style, guide), count)
        compute = super().candidates
        return self._choices.recall(key, lambda: compute(content, geo_style, guide, count))

    def warp(
        self,
        content: Tensor,
        geo_style: Tensor | Sequence[Tensor] | None,
        theta: WarpParameters | None = None,
        guide: Guide | None = None,
        *,
        painted: bool = True,
    ) -> GeometryResult:
        """As `Pipeline.warp`, from memory where the same was asked before."""
        settings, compute = self.settings, super().warp
        if not (geo_style is None or isinstance(geo_style, Tensor)):  # the page has one
            return compute(content, geo_style, theta, guide, painted=painted)
        given = theta and (repr(theta), fingerprint(theta.theta))
        key = (
            *self._estimate_key(content, geo_style, guide or Guide()),
            *(given, settings.geo_strength, settings.size_px, settings.extend, painted),
        )
        return self._warps.recall(
            key, lambda: compute(content, geo_style, theta, guide, painted=painted)
        )

    def source_guides(
        self,
        content: Tensor,
        geo_style: Tensor | None,
        tex_styles: Sequence[Tensor],
        geometry: GeometryResult,
        guide: Guide,
    ) -> tuple[SourceGuide, ...]:
        """As `Pipeline.source_guides`, from memory where the same was asked before."""
        compute = super().source_guides
        if not (self.settings.guided and tex_styles):
            return compute(content, geo_style, tex_styles, geometry, guide)
        key = (
            *self._estimate_key(content, geo_style, guide),
            *map(fingerprint, tex_styles),
            fingerprint(geometry.tensor),
            fingerprint(geometry.grid),
        )
        return self._guides.recall(
            key, lambda: compute(content, geo_style, tex_styles, geometry, guide)
        )

    def _estimate_key(
        self, content: Tensor, geo_style: Tensor | None, guide: Guide
    ) -> tuple[Hashable, ...]:
        points = guide.points
        given = (content, geo_style, guide.content_mask, guide.geo_mask)
        pinned = () if points is None else (points.content, points.geo_style)
        settings = repr(to_dict(self.settings.geometry)), self.settings.seed
        return (self._key, *settings, *map(fingerprint, (*given, *pinned)))


def fingerprint(tensor: Tensor | None) -> str:
    """A hash of a tensor's shape and values; empty for None."""
    if tensor is None:
        return ""
    flat = tensor.detach().cpu().contiguous()
    data = flat.numpy().tobytes()
    return f"{tuple(flat.shape)}{hashlib.blake2b(data, digest_size=16).hexdigest()}"


def _network_key(settings: TransferSettings) -> tuple[Hashable, ...]:
    return (
        settings.features, str(settings.weights), settings.pooling, settings.device,
        settings.precision,
    )  # fmt: skip
