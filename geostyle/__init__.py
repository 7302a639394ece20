"""geostyle: geometric style transfer.

Warp a content picture so that its geometry takes after one picture, then repaint it with the
texture of another::

    import geostyle

    result = geostyle.transfer("content.jpg", geo_style="a.jpg", tex_style="b.jpg")
    geostyle.save_picture(result.image, "result.png")

Names are loaded on first use, so that ``import geostyle`` itself stays instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geostyle.errors import GeostyleError, InputError
    from geostyle.io.images import load_picture, save_picture
    from geostyle.pipeline import TransferResult, TransferSettings, estimate_warp, transfer, warp

__version__ = "0.1.0"

_HOME = {
    "GeostyleError": "errors",
    "InputError": "errors",
    "load_picture": "io.images",
    "save_picture": "io.images",
    "TransferResult": "pipeline",
    "TransferSettings": "pipeline",
    "estimate_warp": "pipeline",
    "transfer": "pipeline",
    "warp": "pipeline",
}

__all__ = [
    "GeostyleError",
    "InputError",
    "TransferResult",
    "TransferSettings",
    "__version__",
    "estimate_warp",
    "load_picture",
    "save_picture",
    "transfer",
    "warp",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'geostyle' has no attribute {name!r}")
    value = getattr(import_module(f"geostyle.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOME))
