"""A real model small enough to make in a millisecond: it looks at a picture's mean colour only.

`docker run … --entrypoint python TRAIN - < tiny.py` writes, as a tar, a models bucket with it and the site document that
names it: what probe.py asks the website about. The train image's packages only.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from model_service import images, registry

VERSION = "smoke"
SIZE = 32
PREPROCESSING = {
    "version": images.PREPROCESSING,
    "size": SIZE,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}


def model(classes: int, bias: list[float] | None = None) -> bytes:
    """ONNX. Class i answers to channel i of red, green and blue (then again); `bias` is added to the logits."""
    weights = np.zeros((3, classes), np.float32)
    for i in range(classes):
        weights[i % 3, i] = 1.5
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["colour"]),
        helper.make_node("Gemm", ["colour", "weights", "bias"], ["logits"]),
    ]
    added = np.asarray(bias or [0.0] * classes, np.float32)
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(added, "bias")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made)
    serialized: bytes = made.SerializeToString()
    return serialized


def main() -> None:
    card: dict[str, Any] = {"classes": ["red", "green", "blue"], "preprocessing": PREPROCESSING}
    site = json.dumps({"version": VERSION, "previous": None}).encode()
    with tempfile.TemporaryDirectory() as name, tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as tar:
        models = Path(name) / "models"
        models.mkdir()
        registry.save(f"file://{models}", VERSION, {"model.onnx": model(3)}, card)
        tar.add(models, "models")
        info = tarfile.TarInfo("site.json")
        info.size = len(site)
        tar.addfile(info, io.BytesIO(site))


if __name__ == "__main__":
    main()
