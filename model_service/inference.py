"""A model ready to classify: OpenVINO on the ONNX file. Shared by predict, judge and serve; no torch."""

from __future__ import annotations

import collections
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from model_service import images, registry
from model_service.registry import BadModel

AHEAD = 8  # pictures in flight per core


class Network:
    """An exported model in memory. `classes` are its labels, in the order of the probabilities; `size` its side in pixels."""

    def __init__(
        self,
        version: str,
        card: Mapping[str, Any],
        onnx: bytes,
        hint: Literal["THROUGHPUT", "LATENCY"] = "THROUGHPUT",
    ) -> None:
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
        self._mine = threading.local()
        core = ov.Core()
        model = core.read_model(model=onnx)
        # One picture at a time, one stream a core: within 5 % of the best batch (DESIGN §6).
        model.reshape([1, 3, self.size, self.size])
        self._compiled = core.compile_model(
            model, "CPU", {"PERFORMANCE_HINT": hint, "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": _streams(hint)}
        )
        outputs = self._compiled.output(0).shape[1]
        if outputs != len(self.classes):
            raise BadModel(f"model {version} has {outputs} outputs but its card lists {len(self.classes)} classes")
        # The first inference is made before there are threads: two first ones at once lock each other up inside
        # OpenVINO's bindings (docs/decisions/0002). It also shows whether the model works at all.
        total = float(self.probabilities(np.zeros((self.size, self.size, 3), np.uint8)).sum())
        if not abs(total - 1) < 1e-3:  # also true for NaN
            raise BadModel(f"model {version} gives no probabilities: they sum to {total}")

    def probabilities(self, view: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Softmax over the classes for a uint8 view [size, size, 3]: float32 [classes]. Safe to call from threads."""
        pixels = ((view - self._mean) * self._scale).transpose(2, 0, 1)
        if not hasattr(self._mine, "request"):  # a request serves one thread at a time
            self._mine.request = self._compiled.create_infer_request()
        logits = self._mine.request.infer([np.ascontiguousarray(pixels[None], np.float32)])[0][0]
        exponent = np.exp(logits - logits.max())
        result: NDArray[np.float32] = exponent / exponent.sum()
        return result


class Classifier(Network):
    """One version of the model, as it stands in the bucket with models."""

    def __init__(self, models: str, version: str, hint: Literal["THROUGHPUT", "LATENCY"] = "THROUGHPUT") -> None:
        super().__init__(version, registry.card(models, version), registry.load(models, version, "model.onnx"), hint)

    def classify(self, jpegs: Iterable[bytes]) -> Iterator[NDArray[np.float32]]:
        """Probabilities [classes] of each packed picture, in order; decoding and inference overlap on all cores."""
        pending: collections.deque[Future[NDArray[np.float32]]] = collections.deque()
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for jpeg in jpegs:
                pending.append(pool.submit(self._classify_one, jpeg))
                if len(pending) >= AHEAD * (os.cpu_count() or 1):  # bounded, so memory stays flat
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def _classify_one(self, jpeg: bytes) -> NDArray[np.float32]:
        return self.probabilities(images.view(images.unpack(jpeg, self.size), self.size))


def _streams(hint: str) -> str:
    return str(os.cpu_count() or 1) if hint == "THROUGHPUT" else "1"
