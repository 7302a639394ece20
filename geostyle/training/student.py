"""The student of a distillation: a narrow network, and linear maps from its features to VGG-19's.

Gram matrices and correlations see features only through inner products between positions. So the
student need not imitate the teacher's channels: it is enough that a linear map M of its features
imitates the teacher's, f_t ≈ M f_s. Any L with LᵀL = MᵀM (here from the singular value
decomposition of M) then keeps the inner products at the student's own width:
⟨L f_i, L f_j⟩ = ⟨M f_i, M f_j⟩ ≈ ⟨t_i, t_j⟩. L is written to the file as the layer's tap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.hypercolumns import LAYERS as COLUMN_LAYERS
from geostyle.texture.hypercolumns import cell_size, to_cells
from geostyle.texture.losses import energy, gram, squared_distance

GRAM_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
# Layers that style, content, hypercolumns and geometry read; the others only lead there, and count
# less.
READ_LAYERS = (*dict.fromkeys((*GRAM_LAYERS, *COLUMN_LAYERS)), "pool4")
LEADING_WEIGHT = 0.3
# Matches are compared between every N-th cell of one crop and all cells of another, as
# distributions at this temperature of the cosine.
MATCH_EVERY = 4
MATCH_TEMPERATURE = 0.05


class Student(nn.Module):
    """The network in training, with its linear maps to the teacher's features.

    The maps are not trained by gradient: each is the least-squares solution on running second
    moments of student and teacher features, so it is always the best map for the present network.

    Args:
        channels: width of the five blocks, or of all 13 convolutions.
        dtype: type that the convolutions run in; the weights stay in float32.
    """

    def __init__(self, channels: tuple[int, ...], dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.dtype = dtype
        self.network = FeatureExtractor("lite", channels=channels)
        self.maps: dict[str, Tensor] = {}
        self.moments: dict[str, tuple[Tensor, Tensor]] = {}

    def features(self, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Return the network's features in float32, computed in the student's precision."""
        low = self.dtype != torch.float32
        with torch.autocast(image.device.type, self.dtype, enabled=low):
            return {k: v.float() for k, v in self.network(image, layers).items()}

    def mapped(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return Gram matrices of `GRAM_LAYERS` and relu4_2, both mapped to the teacher's width."""
        features, maps = self.features(image, [*GRAM_LAYERS, "relu4_2"]), self.maps
        content = torch.einsum("ts,bshw->bthw", maps["relu4_2"], features["relu4_2"])
        return [maps[k] @ gram(features[k]) @ maps[k].T for k in GRAM_LAYERS], content

    @torch.no_grad()
    def update_map(
        self, layer: str, own: Tensor, cross: Tensor, decay: float = 0.0, solve: bool = True
    ) -> None:
        """Add moments of a batch to the running ones, and solve for the layer's map.

        Args:
            own: E[f_s f_sᵀ], (C_s, C_s).
            cross: E[f_t f_sᵀ], (C_t, C_s).
            decay: weight of the running moments beside the new ones.
            solve: whether the map is solved for now.
        """
        if decay and layer in self.moments:
            old_own, old_cross = self.moments[layer]
            own, cross = old_own.lerp(own, 1 - decay), old_cross.lerp(cross, 1 - decay)
        self.moments[layer] = (own, cross)
        if solve:
            ridge = 1e-4 * own.diagonal().mean() * torch.eye(len(own), device=own.device)
            self.maps[layer] = torch.linalg.solve(own + ridge, cross.T).T.contiguous()

    def state(self) -> dict[str, Tensor]:
        """Return the maps and the moments they are solved from, by name."""
        named = {f"maps.{layer}": m for layer, m in self.maps.items()}
        for layer, (own, cross) in self.moments.items():
            named |= {f"own.{layer}": own, f"cross.{layer}": cross}
        return named

    def restore(self, named: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned."""
        parts: dict[str, dict[str, Tensor]] = {"maps": {}, "own": {}, "cross": {}}
        for name, value in named.items():
            part, _, layer = name.partition(".")
            parts.get(part, {})[layer] = value
        self.maps = parts["maps"]
        self.moments = {k: (own, parts["cross"][k]) for k, own in parts["own"].items()}

    def export(self) -> dict[str, Tensor]:
        """Return the tensors of the finished network in float16, its taps made from the maps."""
        tensors = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        for layer, m in self.maps.items():
            _, s, vh = torch.linalg.svd(m.double(), full_matrices=False)
            tensors[f"taps.{layer}.weight"] = (s[:, None] * vh).float()[:, :, None, None]
        return {k: v.contiguous().half() for k, v in tensors.items()}


@torch.no_grad()
def initialize_from_teacher(
    student: Student, teacher: FeatureExtractor, crops: Tensor, scales: dict[str, float]
) -> None:
    """Set the student's weights and maps from the teacher in closed form, layer by layer.

    Each convolution is the teacher's, cut to the channels that span the others best and composed
    with the least-squares map from student to teacher features of the layer before.

    Args:
        crops: (B, 3, H, W) in [0, 1].
        scales: RMS of each teacher layer; the student's features get unit RMS.
    """
    layers = student.network.layer_names
    targets = teacher_targets(teacher, crops, layers, scales)
    x = (crops - student.network.mean) / student.network.std
    to_teacher = torch.eye(3, dtype=torch.float64, device=crops.device)
    previous_scale = 1.0
    for layer in layers:
        if layer.startswith("relu"):
            name = layer.replace("relu", "conv")
            conv_t, conv_s = teacher.convs[name], student.network.convs[name]
            assert isinstance(conv_t, nn.Conv2d) and isinstance(conv_s, nn.Conv2d)
            keep = _spanning_channels(targets[layer], conv_s.out_channels)
            weight = conv_t.weight[keep].double() * previous_scale / scales[layer]
            conv_s.weight.copy_(torch.einsum("ochw,cs->oshw", weight, to_teacher))
            assert conv_t.bias is not None and conv_s.bias is not None
            conv_s.bias.copy_(conv_t.bias[keep] / scales[layer])
            x = F.relu(conv_s(x))
        else:
            x = F.max_pool2d(x, 2)
        student.update_map(layer, *feature_moments(x, targets[layer]))
        to_teacher = student.maps[layer].double()
        previous_scale = scales[layer]


@torch.no_grad()
def teacher_targets(
    teacher: FeatureExtractor, crops: Tensor, layers: list[str], scales: dict[str, float]
) -> dict[str, Tensor]:
    """Return the teacher's features of `crops` (B, 3, H, W), divided by the scale of each layer."""
    return {k: v.float() / scales[k] for k, v in teacher(crops, layers).items()}


def distillation_loss(
    student: Student,
    crops: Tensor,
    targets: dict[str, Tensor],
    *,
    gram_weight: float = 0.0,
    match_weight: float = 0.0,
    decay: float | None = None,
    solve: bool = True,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the mean relative feature error over layers plus the mean relative Gram error.

    ‖M f − t‖² is expanded into second moments, so features of the teacher's width are never
    formed. Layers outside `READ_LAYERS` count `LEADING_WEIGHT` of the others.

    Args:
        crops: (B, 3, H, W) in [0, 1].
        targets: the teacher's features of the crops, of unit RMS, by layer.
        gram_weight: weight of the Gram term.
        match_weight: weight of the divergence of matches; see `match_errors`.
        decay: weight of the running moments when the maps are updated; None leaves the maps alone.
        solve: whether updated maps are solved for now, or only their moments are kept.

    Returns:
        The loss, a scalar, and its parts: feature errors by layer, Gram errors ("gram_…"), Gram
        errors of the last crop alone ("pool_gram_…"), and, with `match_weight`, the divergence of
        matches ("match") and the share of them found ("matched").
    """
    features = student.features(crops, list(targets))
    weights = {k: 1.0 if k in READ_LAYERS else LEADING_WEIGHT for k in features}
    total = crops.new_zeros(())
    errors: dict[str, Tensor] = {}
    for layer, f_s in features.items():
        f_t = targets[layer]
        own, cross = feature_moments(f_s, f_t)
        if decay is not None:
            student.update_map(layer, own.detach(), cross.detach(), decay, solve)
        m = student.maps[layer]
        energy_t = f_t.pow(2).mean() * f_t.shape[1]
        error = ((m @ own * m).sum() - 2 * (m * cross).sum() + energy_t) / energy_t
        errors[layer] = error.detach()
        total = total + error * weights[layer] / sum(weights.values())
        if layer in GRAM_LAYERS and gram_weight:
            gram_error = relative_errors(m @ gram(f_s) @ m.T, gram(f_t)).clamp(max=4)
            errors[f"gram_{layer}"] = gram_error.detach().mean()
            # The last crops of a batch come from the optimized pool.
            errors[f"pool_gram_{layer}"] = gram_error.detach()[-1]
            total = total + gram_weight * gram_error.mean() / len(GRAM_LAYERS)
    if match_weight:
        divergence, found = match_errors(student, features, targets)
        errors |= {"match": divergence.detach(), "matched": found}
        total = total + match_weight * divergence
    return total, errors


def match_errors(
    student: Student, features: dict[str, Tensor], targets: dict[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Compare the matches between crops that student and teacher find by hypercolumns.

    Every crop is matched with the one before it in the batch. The student's columns are its mapped
    features; their products are formed at its own width.

    Args:
        features, targets: (B, C, H, W) of the same crops by layer, the teacher's of unit RMS.

    Returns: the Kullback-Leibler divergence of the student's distributions of matches from the
        teacher's, a scalar; and the share of best matches within 2 cells of the teacher's.
    Source: Kolkin et al., "Neural Neighbor Style Transfer", section 3.2, for columns and cosine.
    """
    layers = [layer for layer in COLUMN_LAYERS if layer in features]
    height, width = features["relu1_1"].shape[-2:]
    size = cell_size((height, width))

    def columns(maps: dict[str, Tensor], metric: dict[str, Tensor] | None) -> tuple[Tensor, Tensor]:
        own, mapped = [], []
        for layer in layers:
            cells = to_cells(maps[layer], height // maps[layer].shape[-2], size).flatten(2)
            other = cells if metric is None else metric[layer] @ cells
            own.append(cells)
            mapped.append(other)
        one, two = torch.cat(own, 1), torch.cat(mapped, 1)
        norm = (one * two).sum(1, keepdim=True).clamp_min(1e-12).rsqrt()
        return one * norm, two * norm

    def cosines(one: Tensor, two: Tensor) -> Tensor:
        return one[:, :, ::MATCH_EVERY].mT @ two.roll(1, 0)

    metric = {k: student.maps[k].T @ student.maps[k] for k in layers}
    ours = cosines(*columns(features, metric))
    with torch.no_grad():
        theirs = cosines(*columns(targets, None))
    divergence = F.kl_div(
        (ours / MATCH_TEMPERATURE).log_softmax(-1),
        (theirs / MATCH_TEMPERATURE).log_softmax(-1),
        log_target=True,
        reduction="none",
    ).sum(-1)
    best, expected = ours.argmax(-1), theirs.argmax(-1)
    rows, cols = best // size[1] - expected // size[1], best % size[1] - expected % size[1]
    near = torch.maximum(rows.abs(), cols.abs()) <= 2
    return divergence.mean(), near.float().mean()


def feature_moments(f_s: Tensor, f_t: Tensor) -> tuple[Tensor, Tensor]:
    """Return E[f_s f_sᵀ] and E[f_t f_sᵀ] over all positions of features (B, C, H, W)."""
    s, t = (x.movedim(1, -1).reshape(-1, x.shape[1]) for x in (f_s, f_t))
    return s.T @ s / len(s), t.T @ s / len(s)


def relative_errors(x: Tensor, target: Tensor) -> Tensor:
    """Return ‖x − target‖² / ‖target‖² of each item, (B,)."""
    return squared_distance(x, target) / energy(target)


def _spanning_channels(features: Tensor, count: int) -> list[int]:
    """Return the `count` channels of (B, C, H, W) that span all best: pivoted QR on moments."""
    columns = features.movedim(1, -1).reshape(-1, features.shape[1]).double()
    residual = columns.T @ columns
    chosen: list[int] = []
    for _ in range(count):
        energy = residual.diagonal().clone()
        energy[chosen] = -1
        # The channel whose removal explains most of all the others.
        gain = residual.pow(2).sum(0) / residual.diagonal().clamp_min(1e-9 * energy.max())
        gain[chosen] = -1
        best = int(gain.argmax())
        chosen.append(best)
        column = residual[:, best] / residual[best, best].clamp_min(1e-12).sqrt()
        residual = residual - torch.outer(column, column)
    return sorted(chosen)
