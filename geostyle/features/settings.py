"""Names of the choices that settings offer for feature networks."""

from __future__ import annotations

NETWORKS = ("lite", "vgg19", "vgg16")
PADDINGS = ("zeros", "reflect", "replicate", "circular")
