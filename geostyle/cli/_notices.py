"""Lines printed before a transfer about inputs and settings that may surprise."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geostyle.cli.transfer import Job


def say_mixed(job: Job) -> None:
    """Say that several styles are mixed: a stray picture among them changes the result."""
    for name, what in (("geo_style", "warps after"), ("tex_style", "textures of")):
        if len(paths := getattr(job, name)) > 1:
            names = ", ".join(path.name for path in paths)
            print(f"{name}: the {what} {len(paths)} pictures are mixed: {names}")


def say_unused(job: Job) -> None:
    """Say which settings differ from the defaults and have no use in this transfer."""
    settings = job.transfer
    unused = {}
    if not (job.geo_style or job.theta or job.points) and settings.geo_strength != 1:
        unused["without a geometry style"] = ["geo_strength"]
    if not job.tex_style:
        unused["without a texture style"] = changed(settings.texture) + changed(settings.matched)
    elif settings.painter != "matched":
        unused[f"by the painter {settings.painter}"] = changed(settings.matched)
    for reason, names in unused.items():
        if names:
            print(f"{', '.join(names)}: not used {reason}")


def changed(settings: Any) -> list[str]:
    """Names of the settings whose values are not the defaults."""
    default = type(settings)()
    return [
        field.name
        for field in fields(settings)
        if getattr(settings, field.name) != getattr(default, field.name)
    ]
