"""What the processors alone allow: the network without decoding, and decoding without the network, of what is in memory."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openvino as ov

from bench.predicting.made import Model, Pictures
from bench.sorting.limit import CORES
from model_service import images
from model_service.inference.precision import INT8, ONNX, has_bf16
from model_service.inference.runtime import CORE
from model_service.shards import read_shard

BATCHES = (1, 2, 4, 8)  # pictures computed together
STREAMS = tuple(sorted({1, CORES}))  # all cores on one batch, or each on its own
_SOME = 64  # pictures that are decoded again and again


def precisions() -> list[str]:
    """Those that this machine's processors have."""
    return ["f32", "bf16", "int8"] if has_bf16() else ["f32", "int8"]


class Forward:
    """The network alone, on all cores, on pixels that are normalised already."""

    def __init__(self, model: Model, precision: str, batch: int, streams: int) -> None:
        network = CORE.read_model(model=model.file(INT8 if precision == "int8" else ONNX))
        side = model.card["preprocessing"]["size"]
        network.reshape([batch, 3, side, side])
        properties = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "NUM_STREAMS": str(streams),
        }
        self._queue = ov.AsyncInferQueue(CORE.compile_model(network, "CPU", properties), streams)
        self._pixels = np.random.default_rng(0).normal(size=(batch, 3, side, side)).astype(np.float32)
        self.rate(0)  # what is made with the first answer is made before the clock starts

    def rate(self, seconds: float) -> float:
        """Pictures a second, in about so many seconds."""
        asked, begun = 0, time.perf_counter()
        while not asked or time.perf_counter() - begun < seconds:
            self._queue.start_async({0: self._pixels}, share_inputs=True)  # waits until one is free
            asked += len(self._pixels)
        self._queue.wait_all()
        return asked / (time.perf_counter() - begun)


def best(model: Model, precision: str, seconds: float) -> tuple[int, int, dict[tuple[int, int], float]]:
    """The batch and streams with which it is fastest, and pictures a second of each that was tried."""
    rates = {
        (batch, streams): Forward(model, precision, batch, streams).rate(seconds)
        for batch, streams in itertools.product(BATCHES, STREAMS)
    }
    return *max(rates, key=lambda setting: rates[setting]), rates


class Decode:
    """Decoding and the view alone, a thread a core, by the very functions that predict and the website use."""

    def __init__(self, side: int, pictures: Pictures, source: str) -> None:
        self._side = side
        if source == "files":
            self._view: Callable[[bytes], object] = self._of_file
            self._pictures = [path.read_bytes() for path in pictures.files[:_SOME]]
        else:
            self._view = self._of_shard
            samples = itertools.chain.from_iterable(read_shard(path) for path in pictures.paths)
            self._pictures = [sample.jpeg for sample in itertools.islice(samples, _SOME)]

    def rate(self, seconds: float) -> float:
        """Pictures a second, in about so many seconds."""
        with ThreadPoolExecutor(CORES) as pool:
            done, begun = 0, time.perf_counter()
            while not done or time.perf_counter() - begun < seconds:
                for _ in pool.map(self._view, self._pictures):
                    done += 1
            return done / (time.perf_counter() - begun)

    def _of_file(self, data: bytes) -> object:
        return images.view(images.decode(data, images.Limits()), self._side)

    def _of_shard(self, data: bytes) -> object:
        return images.view(images.unpack(data, self._side), self._side)


def combined(*rates: float) -> float:
    """Pictures a second when each has to go through all of these, and each of these takes all cores."""
    return 1 / sum(1 / rate for rate in rates)
