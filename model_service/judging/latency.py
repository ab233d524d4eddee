"""How long a model takes for one picture, as the website answers: decoded and computed one at a time, on the CPU.

Measured so that a busy machine misleads little: the models take turns on each picture, and each other time the other one
begins, so that what slows the machine for a while slows both; a model's time is a median; how much slower one is, is the
median of what each pair of times has it. If that looks too slow, it is measured anew, and the best of three counts: noise
makes things look slower, and is seldom there three times.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_service import images
from model_service.inference import Network

PICTURES = 32
TURNS = 2  # each model on each picture, each time another first
ROUNDS = 3
_WARM = 4  # pictures before it counts


class Latency(NamedTuple):
    """Seconds a picture, of each model; `slower`: by what share the first takes longer than the last, None of one alone."""

    seconds: list[float]
    slower: float | None


def latency(
    models: Sequence[Network],
    jpegs: Sequence[bytes],
    limit: float,
    clock: Callable[[], float] = time.perf_counter,
) -> Latency | None:
    """Of one model or two; a `slower` over the limit is measured again. None: there are no pictures."""
    if not jpegs:
        return None
    best: Latency | None = None
    for _ in range(ROUNDS):
        times = _times(models, jpegs[:PICTURES], clock)
        slower = float(np.median(times[0] / times[-1])) - 1 if len(models) > 1 else None
        found = Latency([float(value) for value in np.median(times, axis=1)], slower)
        if slower is None or slower <= limit:
            return found
        if best is None or best.slower is None or slower < best.slower:
            best = found
    return best


def _times(models: Sequence[Network], jpegs: Sequence[bytes], clock: Callable[[], float]) -> NDArray[np.float64]:
    """Seconds, [models, pictures · turns]."""
    times = np.empty((len(models), len(jpegs) * TURNS))
    for jpeg in jpegs[:_WARM]:
        for model in models:
            _answer(model, jpeg)
    for turn in range(times.shape[1]):
        order = range(len(models)) if turn // len(jpegs) % 2 == turn % 2 else reversed(range(len(models)))
        for i in order:
            begun = clock()
            _answer(models[i], jpegs[turn % len(jpegs)])
            times[i, turn] = clock() - begun
    return times.clip(1e-9)


def _answer(model: Network, jpeg: bytes) -> None:
    model.infer(images.view(images.unpack(jpeg, model.size), model.size))
