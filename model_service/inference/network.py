"""A model in memory: from the pixels of a view to probabilities and the embedding. No torch."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from model_service import images
from model_service.inference.precision import Precision, has_bf16
from model_service.inference.runtime import CORE
from model_service.registry import RESTORE, RETRAIN, BadModel

Floats = NDArray[np.float32]
Hint = Literal["THROUGHPUT", "LATENCY"]


class Inference(NamedTuple):
    """What a model says of one picture."""

    probabilities: Floats  # [classes], summing to 1
    embedding: Floats | None  # [dimensions], the input of the last layer; None: the model was exported without


class Engine(Protocol):
    """What computes. `precision` is what it really computes with, `outputs` the lengths of what it returns."""

    precision: Precision  # never "auto"
    outputs: list[int]

    def __call__(self, pixels: Floats) -> list[Floats]:
        """Normalised pixels [1, 3, size, size] → logits [classes], then the embedding if it has one. Thread-safe."""


class Network:
    """An exported model in memory. `classes` are its labels, in the order of the probabilities; `size` its side in pixels.

    `precision` is what really runs; `dimensions` the length of its embeddings, None for a model exported without.
    """

    def __init__(
        self,
        version: str,
        card: Mapping[str, Any],
        model: bytes | Engine,
        hint: Hint = "THROUGHPUT",
        precision: Precision = "f32",
    ) -> None:
        """`model` is an ONNX file, for the CPU, or what computes elsewhere. Raises BadModel when it does not fit its card."""
        preprocessing = card["preprocessing"]
        if preprocessing["version"] != images.PREPROCESSING:
            raise BadModel(
                f"model {version} was trained with preprocessing {preprocessing['version']}, "
                f"this release has {images.PREPROCESSING}: retrain, or use the release that made it",
                remedy=RETRAIN,
            )
        self.version = version
        self.classes: list[str] = card["classes"]
        self.size: int = preprocessing["size"]
        mean, std = (np.asarray(preprocessing[name], np.float32) for name in ("mean", "std"))
        self._scale, self._shift = (1 / (255 * std)).tolist(), (mean / std).tolist()
        self._mine = threading.local()
        self._engine = _on_cpu(version, model, self.size, hint, precision) if isinstance(model, bytes) else model
        self.precision = self._engine.precision
        outputs, *embedding = self._engine.outputs
        self.dimensions: int | None = embedding[0] if embedding else None
        if outputs != len(self.classes):
            said = f"model {version} has {outputs} outputs but its card lists {len(self.classes)} classes"
            raise BadModel(said, remedy=RESTORE)
        # The first inference is made before there are threads: two first ones at once lock each other up inside
        # OpenVINO's bindings (docs/decisions/0002). It also shows whether the model works at all.
        total = float(self.probabilities(np.zeros((self.size, self.size, 3), np.uint8)).sum())
        if not abs(total - 1) < 1e-3:  # also true for NaN
            raise BadModel(f"model {version} gives no probabilities: they sum to {total}", remedy=RETRAIN)

    def infer(self, view: NDArray[np.uint8]) -> Inference:
        """For a uint8 view [size, size, 3]. Safe to call from threads."""
        logits, *embedding = self._engine(self.normalised(view))
        exponent = np.exp(logits - logits.max())
        return Inference(exponent / exponent.sum(), embedding[0] if embedding else None)

    def probabilities(self, view: NDArray[np.uint8]) -> Floats:
        """Softmax over the classes for a uint8 view [size, size, 3]: float32 [classes]. Safe to call from threads."""
        return self.infer(view).probabilities

    def normalised(self, view: NDArray[np.uint8]) -> Floats:
        """As model.json defines it: [1, 3, size, size] in the calling thread's own memory, until its next call."""
        if not hasattr(self._mine, "pixels"):
            self._mine.pixels = np.empty((1, 3, self.size, self.size), np.float32)
        pixels: Floats = self._mine.pixels
        for channel, (scale, shift) in enumerate(zip(self._scale, self._shift, strict=True)):
            np.multiply(view[..., channel], np.float32(scale), out=pixels[0, channel])
            pixels[0, channel] -= np.float32(shift)
        return pixels


def _on_cpu(version: str, onnx: bytes, size: int, hint: Hint, precision: Precision) -> Engine:
    """Raises BadModel for what OpenVINO cannot read, and for a network made for views of another size."""
    try:
        return _OpenVino(onnx, size, hint, precision)
    except RuntimeError as error:
        why = str(error).strip().splitlines()[-1]
        raise BadModel(
            f"the ONNX file of model {version} is damaged, or made for other views: {why}", remedy=RESTORE
        ) from error
    except _OtherSize as error:
        raise BadModel(f"model {version} is {error}, its card says {size}", remedy=RESTORE) from None


class _OtherSize(Exception):
    """The network's own size is not the one asked for."""


class _OpenVino:
    """On the CPU. For throughput one picture at a time and one stream a core: within 5 % of the best batch (DESIGN §6)."""

    precision: Precision

    def __init__(self, onnx: bytes, size: int, hint: Hint, precision: Precision) -> None:
        model = CORE.read_model(model=onnx)
        made_for = model.inputs[0].partial_shape
        if any(side.is_static and side.get_length() != size for side in list(made_for)[2:]):
            raise _OtherSize(f"made for views of {made_for}")
        model.reshape([1, 3, size, size])
        bf16 = precision == "bf16" or (precision == "auto" and has_bf16())
        properties = {
            "PERFORMANCE_HINT": hint,
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",  # f32 also for what int8 leaves unquantised
            "NUM_STREAMS": str(os.cpu_count() or 1) if hint == "THROUGHPUT" else "1",
        }
        self._compiled = CORE.compile_model(model, "CPU", properties)
        really = self._compiled.get_property("INFERENCE_PRECISION_HINT")  # f32 on a CPU without bf16
        self.precision = "int8" if precision == "int8" else "bf16" if really == ov.Type.bf16 else "f32"
        self.outputs = [output.shape[1] for output in self._compiled.outputs]
        self._mine = threading.local()

    def __call__(self, pixels: Floats) -> list[Floats]:
        if not hasattr(self._mine, "request"):  # a request serves one thread at a time
            self._mine.request = self._compiled.create_infer_request()
        results = self._mine.request.infer([pixels], share_inputs=True)
        return [results[i][0] for i in range(len(self.outputs))]
