"""Names of the choices that settings offer for reports."""

from __future__ import annotations

FORMATS = ("gif", "mp4")
