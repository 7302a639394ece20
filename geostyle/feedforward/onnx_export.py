"""A fast style network as an ONNX file, for programs without torch."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim

from geostyle.errors import InputError
from geostyle.feedforward.fast_network import FastNetwork
from geostyle.io.files import write_bytes

OPSET = 18
EXAMPLE_PX = (67, 90)  # odd, and not square: no side may become a constant of the graph


class _Clamped(nn.Module):
    """The network, its output clamped to [0, 1] like a saved picture."""

    def __init__(self, network: FastNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return self.network(image).clamp(0, 1)


def export_onnx(network: FastNetwork, path: str | Path) -> None:
    """Write `network` for any batch, height and width; a failure leaves no file.

    The graph takes "image" and gives "painted", both (batch, 3, height, width) float32, sRGB in
    [0, 1].

    Raises: InputError where the packages it needs are not installed, or the path is unusable.
    """
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise InputError(
            f"export: expected the packages onnx and onnxscript, got no {' and no '.join(missing)} "
            "(pip install 'geostyle[onnx]')"
        )
    import onnx

    dynamic = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _Clamped(network.float()).eval(),
            (torch.rand(2, 3, *EXAMPLE_PX),),
            dynamo=True,
            dynamic_shapes={"image": dynamic},
            input_names=["image"],
            output_names=["painted"],
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    # The exporter gives sides the names of its own symbols, which readers would see.
    for value in (model.graph.input[0], model.graph.output[0]):
        for axis, name in ((0, "batch"), (2, "height"), (3, "width")):
            value.type.tensor_type.shape.dim[axis].dim_param = name
    onnx.checker.check_model(model)
    write_bytes(path, model.SerializeToString(), name="export")
