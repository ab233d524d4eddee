"""A trained network in plain torch, as something that computes: many threads' pictures together."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from contextlib import ExitStack

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from model_service import backbone
from model_service.errors import StepError
from model_service.inference.network import Floats
from model_service.inference.precision import Precision
from model_service.registry import BadModel

MOST = 256  # pictures computed together


class TorchEngine:
    """An Engine. A GPU computes many pictures in the time of one, so whoever finds it free takes all that wait."""

    def __init__(self, weights: bytes, precision: Precision, device: str, name: str, side: int) -> None:
        try:
            state = load(weights)
            made = backbone.build(name, side)
            last = state[f"1.{8 if made.spatial else 6}.weight"]
            network = made.network(len(last))
            network.load_state_dict(state)
        except (SafetensorError, KeyError, RuntimeError, StepError) as error:
            raise BadModel(f"these are no weights of a {name}: {error}") from error
        self.precision: Precision = precision
        self.outputs = [len(last), backbone.HIDDEN]
        self._device = torch.device(device)
        network = network.eval().to(self._device).to(memory_format=torch.channels_last)
        *head, self._last = network[1].children()
        self._before = nn.Sequential(network[0], *head)
        self._waiting: queue.SimpleQueue[tuple[Floats, Future[list[Floats]]]] = queue.SimpleQueue()
        self._free = threading.Lock()

    def __call__(self, pixels: Floats) -> list[Floats]:
        mine: Future[list[Floats]] = Future()
        self._waiting.put((pixels, mine))
        while not mine.done():
            with self._free:
                if not mine.done():
                    self._compute()
        return mine.result()

    def _compute(self) -> None:
        together: list[tuple[Floats, Future[list[Floats]]]] = []
        while len(together) < MOST and not self._waiting.empty():
            together.append(self._waiting.get())
        try:
            answers = self._forward(np.concatenate([pixels for pixels, _ in together]))
        except Exception as error:
            for _, future in together:
                future.set_exception(error)
        else:
            for (_, future), *answer in zip(together, *answers, strict=True):
                future.set_result(answer)

    def _forward(self, pixels: Floats) -> list[Floats]:
        """[n, 3, size, size] → [n, classes] and [n, dimensions]."""
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            if self.precision == "bf16":
                stack.enter_context(torch.autocast(self._device.type, torch.bfloat16))
            elif self._device.type == "cuda":  # or convolutions would be computed with ten bits
                stack.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=False))
            moved = torch.from_numpy(pixels).to(self._device, memory_format=torch.channels_last)
            embedding = self._before(moved)
            return [tensor.float().cpu().numpy() for tensor in (self._last(embedding), embedding)]
