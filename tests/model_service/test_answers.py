"""Answers: those of each shard in order, then its end; side by side, and no more in flight than is bounded."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from infra.build import tiny
from model_service import answers as module
from model_service.answers import Answer, End, answers
from model_service.inference import Inference, Network
from model_service.shards import BadShard, Sample
from tests.model_service.buckets import CLASSES, square

Shards = Iterator[tuple[str, Iterator[Sample]]]


@pytest.fixture(scope="module")
def network() -> Network:
    return Network("v1", {"classes": CLASSES, "preprocessing": tiny.PREPROCESSING}, tiny.model(3))


def sample(n: int, label: str = "dog", jpeg: bytes = b"") -> Sample:
    meta = {"uri": f"gs://animals_all/{label}_{n}.jpg", "generation": n, "split": "train", "label": label}
    return Sample(f"{n:020x}", jpeg or square(label, n), meta)


def test_a_shards_answers_are_in_its_order_and_then_comes_its_end(network: Network) -> None:
    of = [[sample(n, CLASSES[n % 3]) for n in range(30)], [], [sample(30)]]
    told = list(answers(network, ((f"shard {i}", iter(samples)) for i, samples in enumerate(of))))
    assert [uri for uri, _ in told] == ["shard 0"] * 31 + ["shard 1"] + ["shard 2"] * 2
    assert [event for _, event in told if isinstance(event, End)] == [End(None)] * 3
    found = [event for _, event in told if isinstance(event, Answer)]
    assert [answer.picture["generation"] for answer in found] == list(range(31))
    for answer in found:
        assert CLASSES[int(np.argmax(answer.inference.probabilities))] == answer.picture["label"]
        assert 0 < answer.look.brightness < 1


def test_no_more_pictures_are_in_flight_than_are_bounded(network: Network) -> None:
    jpeg, taken = square("cat"), 0

    def endless() -> Iterator[Sample]:
        nonlocal taken
        while True:
            taken += 1
            yield sample(taken, jpeg=jpeg)

    told = answers(network, iter([("endless", endless())]))
    bound = module.AHEAD * 5 * ((os.cpu_count() or 1) + 1)
    for n in range(1, 300):
        next(told)
        assert taken - n <= bound
    told.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("predict")]


def test_what_is_wrong_with_a_shard_is_told_at_its_end_and_the_next_is_answered(network: Network) -> None:
    def damaged() -> Iterator[Sample]:
        yield sample(0)
        raise BadShard("cut short")

    shards: Shards = iter([("damaged", damaged()), ("whole", iter([sample(1)]))])
    events = [(uri, event.error if isinstance(event, End) else "answer") for uri, event in answers(network, shards)]
    (_, first), (_, error), *others = events
    assert (first, str(error)) == ("answer", "cut short")
    assert others == [("whole", "answer"), ("whole", None)]


@pytest.mark.parametrize("cause", ["cut short", None])
def test_a_picture_that_cannot_be_decoded_fails_its_shard_unless_there_is_a_better_reason(
    network: Network, cause: str | None
) -> None:
    def samples() -> Iterator[Sample]:
        yield sample(0, jpeg=b"no picture")
        yield sample(1)
        if cause:
            raise BadShard(cause)

    *_, (_, end) = answers(network, iter([("shard", samples())]))
    assert isinstance(end, End)
    expected = cause or f"shard: picture {0:020x} cannot be decoded: UnidentifiedImageError"
    assert str(end.error).startswith(expected)


def test_what_fails_in_the_model_is_not_blamed_on_a_shard(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(view: object) -> Inference:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(network, "infer", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        list(answers(network, iter([("shard", iter([sample(0)]))])))
