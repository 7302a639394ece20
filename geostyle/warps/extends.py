"""Names of the ways in which a picture is extended where a warp reaches beyond it."""

from __future__ import annotations

# Distance from the edge over which the mirror image fades, as a share of the shorter side.
REACH = {"patches": 0.05, "inpaint": 0.05, "mirror": 0.5}
EXTENDS = (*REACH, "border")
