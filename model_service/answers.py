"""What a model says of the pictures of shards: read, decoded, looked at and computed side by side, told in their order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from model_service import images, looks
from model_service.errors import StepError
from model_service.inference import Inference, Network, gpu
from model_service.looks import Look
from model_service.predictions import OF_A_SHARD
from model_service.shards import BadShard, Sample

AHEAD = 8  # pictures in flight, times workers


class Answer(NamedTuple):
    """Of one picture; `picture` is what its shard knows of it: predictions.OF_A_SHARD."""

    picture: Mapping[str, Any]
    inference: Inference
    look: Look


class End(NamedTuple):
    """A shard's pictures have all been answered; or something is wrong with it, and its answers are worth nothing."""

    error: StepError | None


def answers(network: Network, shards: Iterator[tuple[str, Iterator[Sample]]]) -> Iterator[tuple[str, Answer | End]]:
    """For each shard (URI and pictures, as streams.streamed gives them) the answers in the order of its pictures, then its End.

    Python's interpreter lock is no limit: decoders and OpenVINO work without it. The pictures in flight are bounded, and are of
    the next shard while the last one is being finished.
    """
    unusable: BadShard | None = None
    for uri, event in _in_flight(network, shards):
        if isinstance(event, End):
            yield uri, End(event.error or unusable)
            unusable = None
            continue
        try:
            yield uri, event.result()
        except BadShard as bad:  # the end tells whether its bytes are others than they should be
            unusable = unusable or bad


def _in_flight(
    network: Network, shards: Iterator[tuple[str, Iterator[Sample]]]
) -> Iterator[tuple[str, Future[Answer] | End]]:
    # One more than cores: it decodes while each core's stream computes. A GPU computes together what many of them wait for.
    workers = (os.cpu_count() or 1) * (4 if gpu.here() else 1) + 1
    waiting: deque[tuple[str, Future[Answer] | End]] = deque()
    pool = ThreadPoolExecutor(workers, "predict")
    try:
        for uri, samples in shards:
            for sample in _to_its_end(samples):
                waiting.append((uri, sample if isinstance(sample, End) else pool.submit(_answer, network, uri, sample)))
                while len(waiting) > AHEAD * workers:
                    yield waiting.popleft()
        yield from waiting
    finally:
        pool.shutdown(cancel_futures=True)


def _to_its_end(samples: Iterator[Sample]) -> Iterator[Sample | End]:
    try:
        yield from samples
    except StepError as error:
        yield End(error)
    else:
        yield End(None)


def _answer(network: Network, uri: str, sample: Sample) -> Answer:
    try:
        known = {"key": sample.key} | sample.meta
        picture = {name: known[name] for name in OF_A_SHARD}
        view = images.view(images.unpack(sample.jpeg, network.size), network.size)
    except Exception as error:  # a decoder raises anything; its bytes have not been checked yet
        raise BadShard(f"{uri}: picture {sample.key} cannot be decoded: {error!r}") from error
    return Answer(picture, network.infer(view), looks.look(view))
