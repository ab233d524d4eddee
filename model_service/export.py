"""A trained network as files that load without pickle: safetensors for training on, ONNX for everything else."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import openvino as ov
import torch
from safetensors.torch import save

from model_service.errors import StepError

OPSET = 20
TOLERANCE = 1e-3  # largest difference of a softmax between torch and the exported file


def safetensors(network: torch.nn.Module) -> bytes:
    return bytes(save({name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()}))


def onnx(network: torch.nn.Module, size: int) -> bytes:
    """float32 [batch, 3, size, size] → logits [batch, classes], checked against torch. Raises StepError if they differ."""
    network = network.cpu().eval().to(memory_format=torch.contiguous_format)
    example = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):  # they tell of every optimisation
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # deprecations inside the exporter
        program = torch.onnx.export(
            network,
            (example,),
            input_names=["pictures"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=OPSET,
            verbose=False,
        )
        expected = torch.softmax(network(example), 1).numpy()
    assert program is not None
    data: bytes = program.model_proto.SerializeToString()
    _check(data, example.numpy(), expected)
    return data


def _check(data: bytes, example: np.ndarray, expected: np.ndarray) -> None:
    core = ov.Core()
    model = core.compile_model(core.read_model(model=data), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    logits = torch.from_numpy(model(example)[0])
    difference = float(np.abs(torch.softmax(logits, 1).numpy() - expected).max())
    if not difference <= TOLERANCE:
        raise StepError(
            f"the exported model differs from the trained one by {difference:.2g}", remedy="report this as a bug"
        )
