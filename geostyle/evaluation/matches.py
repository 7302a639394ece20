"""Agreement of two networks on which part of a texture a part of a picture is most like."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from geostyle.coords import size_of
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.cells import rows_of
from geostyle.texture.colors import match_colors
from geostyle.texture.hypercolumns import cell_size, hypercolumns, layer_scales

# Matches this many cells apart still lie in the same part of a texture.
NEAR_CELLS = 2
# Cells of the picture that are matched at most, spread evenly.
MOST_QUERIES = 2048


@torch.no_grad()
def match_agreement(
    canvas: Tensor, tex_style: Tensor, student: FeatureExtractor, reference: FeatureExtractor
) -> dict[str, float]:
    """Compare the matches of a picture's cells in a texture, found by hypercolumns, as painted.

    Args:
        canvas, tex_style: (1, 3, H, W), sRGB in [0, 1]; the canvas takes on the texture's colors.
        student, reference: the networks.

    Returns: `near`, the share of the student's matches at most `NEAR_CELLS` from the reference's;
        and `lost`, how much less similar the student's matches are than the reference's, both under
        the reference, as a share of the difference between its best cells and its average ones.
    Source: Kolkin et al., "Neural Neighbor Style Transfer", section 3.2.
    """
    like = match_colors(canvas, tex_style)
    ours, theirs = (_similarities(like, tex_style, n) for n in (student, reference))
    chosen, expected = ours.argmax(1), theirs.argmax(1)
    width = cell_size(size_of(tex_style))[1]
    rows = chosen // width - expected // width
    columns = chosen % width - expected % width
    near = torch.maximum(rows.abs(), columns.abs()) <= NEAR_CELLS
    best, got = (theirs.gather(1, at[:, None])[:, 0] for at in (expected, chosen))
    room = (best - theirs.mean(1)).mean().clamp_min(1e-9)
    return {"near": float(near.float().mean()), "lost": float((best - got).mean() / room)}


def _similarities(canvas: Tensor, tex_style: Tensor, network: FeatureExtractor) -> Tensor:
    """(N, M) centered cosines of the picture's cells and the texture's."""
    scales = layer_scales([tex_style], network)
    queries, keys = (rows_of(hypercolumns(x, network, scales)) for x in (canvas, tex_style))
    step = -(-len(queries) // MOST_QUERIES)
    one = normalize((queries - queries.mean(0))[::step], dim=1)
    return one @ normalize(keys - keys.mean(0), dim=1).T
