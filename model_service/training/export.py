"""A trained network as files that load without pickle: safetensors for training on, ONNX for everything else."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from model_service.errors import StepError
from model_service.inference.runtime import CORE

OPSET = 20
TOLERANCE = (
    1e-3  # largest difference between torch and the exported file: of a softmax, and of an embedding over its largest
)


class _Both(nn.Module):
    """fastai's network [body, head], that also returns what its last layer is given."""

    def __init__(self, network: nn.Sequential) -> None:
        super().__init__()
        *head, self.last = network[1].children()
        self.before = nn.Sequential(network[0], *head)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        embedding = self.before(pictures)
        return self.last(embedding), embedding


def safetensors(network: nn.Module) -> bytes:
    return bytes(save({name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()}))


def onnx(network: nn.Sequential, size: int) -> bytes:
    """float32 [batch, 3, size, size] → logits [batch, classes] and embedding [batch, dimensions], the last layer's input.

    Both are checked against torch: raises StepError if they differ.
    """
    both = _Both(network).cpu().eval().to(memory_format=torch.contiguous_format)
    example = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):  # they tell of every optimisation
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # deprecations inside the exporter
        program = torch.onnx.export(
            both,
            (example,),
            input_names=["pictures"],
            output_names=["logits", "embedding"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=OPSET,
            verbose=False,
        )
        logits, embedding = both(example)
    assert program is not None
    data: bytes = program.model_proto.SerializeToString()
    check(data, example.numpy(), logits.numpy(), embedding.numpy())
    return data


def check(data: bytes, example: np.ndarray, logits: np.ndarray, embedding: np.ndarray) -> None:
    """Whether an exported file answers that to the example. Raises StepError."""
    model = CORE.compile_model(CORE.read_model(model=data), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    answer = model(example)
    probabilities = float(np.abs(_softmax(answer[0]) - _softmax(logits)).max())
    embeddings = float(np.abs(answer[1] - embedding).max() / (np.abs(embedding).max() or 1))
    for what, difference in (("probabilities", probabilities), ("embeddings", embeddings)):
        if not difference <= TOLERANCE:
            raise StepError(
                f"the exported model's {what} differ from the trained one's by {difference:.2g}",
                remedy="report this as a bug",
            )


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponent = np.exp(logits - logits.max(1, keepdims=True))
    result: np.ndarray = exponent / exponent.sum(1, keepdims=True)
    return result
