"""A version of the model, as it stands in the bucket with models, on many pictures at once."""

from __future__ import annotations

import collections
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import menagerie_contract as contract

from model_service import images, registry
from model_service.inference import gpu
from model_service.inference.network import Engine, Floats, Hint, Network
from model_service.inference.precision import INT8, ONNX, Precision

AHEAD = 8  # pictures in flight per core


class Classifier(Network):
    """Computes on a GPU if there is one, many pictures are to come and int8 was not asked for; else on the CPU."""

    def __init__(self, models: str, version: str, hint: Hint = "THROUGHPUT", precision: Precision = "f32") -> None:
        card = registry.card(models, version, "classes", "preprocessing")
        model: bytes | Engine
        if hint == "THROUGHPUT" and precision != "int8" and gpu.here():
            name, side = card.get("architecture", contract.ARCHITECTURE), card["preprocessing"]["size"]
            model = gpu.engine(registry.load(models, version, gpu.WEIGHTS), precision, name=name, side=side)
        else:
            model = registry.load(models, version, INT8 if precision == "int8" else ONNX)
        super().__init__(version, card, model, hint, precision)

    def classify(self, jpegs: Iterable[bytes]) -> Iterator[Floats]:
        """Probabilities [classes] of each packed picture, in order; decoding and inference overlap on all cores."""
        pending: collections.deque[Future[Floats]] = collections.deque()
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for jpeg in jpegs:
                pending.append(pool.submit(self._classify_one, jpeg))
                if len(pending) >= AHEAD * (os.cpu_count() or 1):  # bounded, so memory stays flat
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def _classify_one(self, jpeg: bytes) -> Floats:
        return self.probabilities(images.view(images.unpack(jpeg, self.size), self.size))
