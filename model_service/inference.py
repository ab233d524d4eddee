"""A model ready to classify: OpenVINO on the ONNX file. Shared by predict, judge and serve; no torch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from model_service import images, registry
from model_service.registry import BadModel

BATCH = 8  # pictures per inference: on CPU larger batches gain little and cost memory


class Classifier:
    """One version of the model. `classes` are its labels, in the order of the probabilities; `size` its side in pixels."""

    def __init__(self, models: str, version: str, hint: Literal["THROUGHPUT", "LATENCY"] = "THROUGHPUT") -> None:
        card = registry.card(models, version)
        preprocessing = card["preprocessing"]
        if preprocessing["version"] != images.PREPROCESSING:
            raise BadModel(
                f"model {version} was trained with preprocessing {preprocessing['version']}, "
                f"this release has {images.PREPROCESSING}: retrain, or use the release that made it"
            )
        self.version = version
        self.classes: list[str] = card["classes"]
        self.size: int = preprocessing["size"]
        self._mean = np.asarray(preprocessing["mean"], np.float32) * 255
        self._scale = 1 / (np.asarray(preprocessing["std"], np.float32) * 255)
        core = ov.Core()
        model = core.read_model(model=registry.load(models, version, "model.onnx"))
        self._compiled = core.compile_model(
            model, "CPU", {"PERFORMANCE_HINT": hint, "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": _streams(hint)}
        )
        outputs = self._compiled.output(0).get_partial_shape()[1]
        if outputs.get_length() != len(self.classes):
            raise BadModel(f"model {version} has {outputs} outputs but its card lists {len(self.classes)} classes")

    def probabilities(self, views: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Softmax over the classes: uint8 views [n, size, size, 3] → float32 [n, classes]."""
        inputs = np.ascontiguousarray(((views - self._mean) * self._scale).transpose(0, 3, 1, 2), dtype=np.float32)
        logits = self._compiled(inputs)[0]  # makes its own infer request: safe from several threads
        exponent = np.exp(logits - logits.max(axis=1, keepdims=True))
        result: NDArray[np.float32] = exponent / exponent.sum(axis=1, keepdims=True)
        return result

    def classify(self, jpegs: Iterable[bytes]) -> Iterator[NDArray[np.float32]]:
        """Probabilities [classes] of each packed picture, in order; decoding and inference overlap on all cores."""
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            pending: list[Any] = []
            for batch in _batched(jpegs, BATCH):
                pending.append(pool.submit(self._classify_batch, batch))
                if len(pending) > 2 * (os.cpu_count() or 1):  # bounded, so memory stays flat
                    yield from pending.pop(0).result()
            for future in pending:
                yield from future.result()

    def _classify_batch(self, jpegs: list[bytes]) -> NDArray[np.float32]:
        views = [images.view(images.unpack(jpeg, self.size), self.size) for jpeg in jpegs]
        return self.probabilities(np.stack(views))


def _streams(hint: str) -> str:
    return str(os.cpu_count() or 1) if hint == "THROUGHPUT" else "1"


def _batched(items: Iterable[bytes], n: int) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for item in items:
        batch.append(item)
        if len(batch) == n:
            yield batch
            batch = []
    if batch:
        yield batch
