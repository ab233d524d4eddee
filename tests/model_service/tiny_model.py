"""A real ONNX model small enough to make in a millisecond: it looks at a picture's mean colour only."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from model_service import images, registry, selftest
from model_service.inference import Network
from model_service.shards import Sample

SIZE = 32


def save_tiny_model(
    models: str,
    version: str,
    classes: list[str],
    bias: list[float] | None = None,
    *,
    tested_with: list[float] | None = None,
) -> dict[str, Any]:
    """Save the model under that version; returns its card.

    Class i answers to channel i of red, green and blue (then again), so a red picture is the first class; `bias` is
    added to the logits, which tells versions apart. Its self test has the answers of a model with the bias
    `tested_with`, by default its own: with another one, the model is damaged in a way that only a self test shows.
    """
    preprocessing = {
        "version": images.PREPROCESSING,
        "size": SIZE,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
    card = {"classes": classes, "preprocessing": preprocessing}
    sound = [0.0 if math.isnan(b) else b for b in tested_with or bias or [0.0] * len(classes)]
    network = Network(version, card, _model(classes, sound))
    files = {"model.onnx": _model(classes, bias), selftest.FILE: selftest.build(network, _pictures(classes))}
    return registry.save(models, version, files, card)


def _pictures(classes: list[str]) -> Iterator[Sample]:
    """Packed pictures in the colours of the classes, no two alike."""
    for n in range(selftest.QUESTIONS):
        colour = [20, 20, 20]
        colour[n % len(classes) % 3] = 230 - 5 * n
        picture = Image.new("RGB", (48, 40), (colour[0], colour[1], colour[2]))
        yield Sample(f"{n:020x}", images.pack(picture), {"label": classes[n % len(classes)]})


def _model(classes: list[str], bias: list[float] | None) -> bytes:
    weights = np.zeros((3, len(classes)), np.float32)
    for i in range(len(classes)):
        weights[i % 3, i] = 1.5
    return _export(weights, np.asarray(bias or [0.0] * len(classes), np.float32))


def _export(weights: np.ndarray[Any, Any], bias: np.ndarray[Any, Any]) -> bytes:
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["colour"]),
        helper.make_node("Gemm", ["colour", "weights", "bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", weights.shape[1]])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    serialized: bytes = model.SerializeToString()
    return serialized
