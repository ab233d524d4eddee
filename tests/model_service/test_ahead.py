"""Reading ahead: in order, no further than there is room, and over when it is closed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator

import pytest

from model_service.ahead import Ahead


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def counted(taken: list[int], end: int = 100) -> Generator[int]:
    for n in range(end):
        taken.append(n)
        yield n


def test_items_come_in_order() -> None:
    with contextlib.closing(Ahead(counted([]), 3)) as ahead:
        assert list(ahead) == list(range(100))
        assert list(ahead) == [], "and then no more"


def test_some_are_taken_before_anybody_asks_and_no_more_than_there_is_room_for() -> None:
    taken: list[int] = []
    with contextlib.closing(Ahead(counted(taken), 3)) as ahead:
        until(lambda: len(taken) == 3)
        time.sleep(0.02)
        assert taken == [0, 1, 2]
        assert next(ahead) == 0
        until(lambda: len(taken) == 4)
        time.sleep(0.02)
        assert taken == [0, 1, 2, 3]


def test_an_error_is_raised_when_it_is_its_turn() -> None:
    def items() -> Generator[int]:
        yield from counted([], 2)
        raise ValueError("the third")

    with contextlib.closing(Ahead(items(), 10)) as ahead:
        assert [next(ahead), next(ahead)] == [0, 1]
        with pytest.raises(ValueError, match="the third"):
            next(ahead)


def test_closed_it_takes_no_more_and_its_thread_is_gone() -> None:
    taken: list[int] = []
    ended = []

    def items() -> Generator[int]:
        try:
            yield from counted(taken)
        finally:
            ended.append(True)

    ahead = Ahead(items(), 2)
    until(lambda: len(taken) == 2)
    ahead.close()
    assert taken == [0, 1]
    assert ended, "its items are told"
    assert "ahead" not in {thread.name for thread in threading.enumerate()}
    ahead.close()
