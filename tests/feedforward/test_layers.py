"""The two layers of our own against torch's, values and gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from geostyle.feedforward.layers import EPSILON, InstanceNorm, ResizeConvolution


def norm(width: int) -> InstanceNorm:
    layer = InstanceNorm(width).double()
    torch.manual_seed(1)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    return layer


def test_normalization_is_torch_s_with_and_without_gradients() -> None:
    layer, x = norm(4), torch.randn(2, 4, 5, 7, dtype=torch.float64)
    expected = F.instance_norm(x, weight=layer.weight, bias=layer.bias, eps=EPSILON)
    torch.testing.assert_close(layer(x), expected)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), expected)
    mean, deviation = layer(x).mean((2, 3)), layer(x).std((2, 3), correction=0)
    torch.testing.assert_close(mean, layer.bias.expand(2, 4))
    torch.testing.assert_close(deviation, layer.weight.abs().expand(2, 4), rtol=1e-4, atol=0)


def test_gradients_of_normalization_are_those_of_its_values() -> None:
    layer = norm(3)
    x = torch.randn(2, 3, 4, 3, dtype=torch.float64, requires_grad=True)

    def call(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.func.functional_call(layer, {"weight": weight, "bias": bias}, x)
        return found

    assert torch.autograd.gradcheck(call, (x, *layer.parameters()))


def test_normalization_in_bfloat16_has_the_gradient_of_float32() -> None:
    torch.manual_seed(0)
    layer, x, flow = InstanceNorm(8), torch.randn(1, 8, 32, 32) + 2, torch.randn(1, 8, 32, 32)
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        own = x.to(dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
        layer(own).backward(flow.to(dtype))
        assert own.grad is not None and own.grad.dtype == dtype
        gradients.append(own.grad.float())
    cosine = F.cosine_similarity(*(g.flatten() for g in gradients), dim=0)
    assert cosine > 0.9995


@pytest.mark.parametrize("size", [(4, 6), (5, 3), (1, 2)])
def test_resize_convolution_is_resizing_and_convolving(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = ResizeConvolution(3, 5).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    doubled = F.interpolate(x, scale_factor=2.0, mode="nearest")
    expected = F.conv2d(F.pad(doubled, (1, 1, 1, 1), mode="reflect"), layer.weight)
    found = layer(x)
    torch.testing.assert_close(found, expected)
    assert found.is_contiguous(memory_format=torch.channels_last)
    flow = torch.randn_like(found)
    wanted = torch.autograd.grad(expected, (x, layer.weight), flow)
    for ours, theirs in zip(
        torch.autograd.grad(found, (x, layer.weight), flow), wanted, strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_a_constant_stays_constant_when_it_is_enlarged() -> None:
    """Every pixel sees the whole kernel, at borders too: the layer itself makes no checkerboard."""
    layer = ResizeConvolution(3, 4).double()
    found = layer(torch.ones(1, 3, 5, 6, dtype=torch.float64))
    torch.testing.assert_close(found, layer.weight.sum((1, 2, 3)).view(1, 4, 1, 1).expand_as(found))
