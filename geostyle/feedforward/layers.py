"""Layers that cost less than torch's: instance normalization, and doubling with a convolution."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-5


class _Normalize(torch.autograd.Function):
    """Normalize each channel of each item, then scale and shift.

    On a CPU, torch's own backward passes take four to ten times as long as these few products,
    most of all in bfloat16.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        b, c, h, w = x.shape
        y, mean, scale = torch.native_group_norm(
            x, weight.to(x.dtype), bias.to(x.dtype), b, c, h * w, c, EPSILON
        )
        ctx.save_for_backward(x, mean, scale, weight)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x, mean, scale, weight = ctx.saved_tensors
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        b, c, h, w = x.shape
        exact = weight.dtype
        mean, scale = mean.view(b, c).to(exact), scale.view(b, c).to(exact)
        # Sums over positions as products with ones: (B, 1, N) @ (B, N, C).
        columns, flowing = (t.permute(0, 2, 3, 1).flatten(1, 2) for t in (x, grad))
        ones = x.new_ones(1, 1, h * w).expand(b, 1, h * w)
        of_grad = torch.bmm(ones, flowing).to(exact)[:, 0]
        of_both = (torch.bmm(ones, flowing * columns).to(exact)[:, 0] - mean * of_grad) * scale
        # dx = weight · scale · (grad − mean(grad) − x̂ · mean(grad · x̂)), gathered by grad, x and 1.
        by_grad = weight * scale
        by_x = -by_grad * scale * of_both / (h * w)
        by_one = -by_grad * of_grad / (h * w) - by_x * mean
        by_grad, by_x, by_one = (t.to(x.dtype)[:, :, None, None] for t in (by_grad, by_x, by_one))
        dx = torch.addcmul(by_one, grad, by_grad).addcmul_(x, by_x)
        return dx, of_both.sum(0), of_grad.sum(0)


class InstanceNorm(nn.Module):
    """Normalize each channel of each item to mean 0 and deviation 1, then scale and shift it.

    Args: width, channels.

    Source: Ulyanov, Vedaldi, Lempitsky, "Instance Normalization: The Missing Ingredient for Fast
        Stylization", equation 5.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return maps (B, C, H, W) normalized, in their own precision."""
        if torch.is_grad_enabled() and x.device.type == "cpu":
            return _Normalize.apply(x, self.weight, self.bias)
        # One group per channel: the fastest of torch's kernels for it.
        return F.group_norm(x, x.shape[1], self.weight, self.bias, EPSILON)


# Which of the two source pixels each of a kernel's three taps reads, for even and for odd pixels of
# the doubled picture: [phase, source pixel, tap].
_FOLD = ((((1.0, 0.0, 0.0), (0.0, 1.0, 1.0))), (((1.0, 1.0, 0.0), (0.0, 0.0, 1.0))))


class ResizeConvolution(nn.Module):
    """Doubling by nearest neighbors, padding by reflection and a convolution, computed as one.

    Args:
        n_in, n_out: channels.

    Each pixel of the doubled picture depends on 2×2 source pixels through one of four kernels, so
    four 2×2 convolutions at the small size give the same sums, with 16 products per place instead
    of 36. Reflection at the border of the doubled picture is replication at that of the small one.

    Source: Odena, Dumoulin, Olah, "Deconvolution and Checkerboard Artifacts", Distill 2016, for
        resize and convolution.
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_out, n_in, 3, 3))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, n_in, H, W) to (B, n_out, 2H, 2W), channels last in memory."""
        fold = torch.tensor(_FOLD, dtype=x.dtype, device=x.device)
        kernels = torch.einsum("ast,bqr,oitr->aboisq", fold, fold, self.weight.to(x.dtype))
        kernels = kernels.flatten(0, 2).contiguous(memory_format=torch.channels_last)
        y = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernels)
        y = y.permute(0, 2, 3, 1).unflatten(3, (2, 2, self.weight.shape[0]))
        # Even rows are one place before odd ones: (B, H + 1, W + 1, 2, 2, n_out).
        high, wide = ((slice(None, -1), slice(1, None)) for _ in range(2))
        rows = [
            torch.stack([y[:, high[a], wide[b], a, b] for b in (0, 1)], 3)  # (B, H, W, 2, n_out)
            for a in (0, 1)
        ]
        return torch.stack(rows, 2).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)
