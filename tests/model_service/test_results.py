"""Results: a success stands for ever, a failure makes room, and of many attempts one wins."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from model_service import results
from model_service.storage import StoreError
from tests.model_service.buckets import read_json

THREADS = 8


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"file://{tmp_path}/runs/r1/train.json"


def ok(attempt: int) -> dict[str, Any]:
    return {"status": "ok", "attempt": attempt}


def failed(attempt: int) -> dict[str, Any]:
    return {"status": "failed", "attempt": attempt}


def test_there_is_none_before_the_first_attempt(uri: str) -> None:
    assert results.begin(uri) is None


def test_a_success_is_never_replaced(uri: str) -> None:
    assert results.finish(uri, ok(1)) == ok(1)
    assert results.finish(uri, ok(2)) == ok(1)
    assert results.finish(uri, failed(3)) == ok(1)
    assert results.begin(uri) == ok(1)
    assert read_json(uri) == ok(1)


def test_a_failure_is_replaced(uri: str) -> None:
    assert results.finish(uri, failed(1)) == failed(1)
    assert results.finish(uri, failed(2)) == failed(2)
    assert read_json(uri) == failed(2)
    assert results.finish(uri, ok(3)) == ok(3)
    assert read_json(uri) == ok(3)


def test_a_new_attempt_clears_the_failure_of_the_last(uri: str) -> None:
    results.finish(uri, failed(1))
    assert results.begin(uri) is None
    assert not Path(uri.removeprefix("file://")).exists()


DAMAGED = [
    b"",
    b"{",
    b"\xff",
    b"null",
    b'"ok"',
    b"[]",
    b"{}",
    b'{"status": 1}',
    b'{"status": ["ok"]}',
    b'{"status": "ok"',
]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_result_is_no_success_and_makes_room(
    uri: str, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = Path(uri.removeprefix("file://"))
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert results.finish(uri, failed(1)) == failed(1)
    assert f"{uri} is damaged" in caplog.text
    path.write_bytes(content)
    assert results.begin(uri) is None
    assert results.finish(uri, ok(2)) == ok(2)
    assert read_json(uri) == ok(2)


@pytest.mark.parametrize("before", [None, failed(-1)])
def test_of_many_attempts_at_once_one_wins(uri: str, before: dict[str, Any] | None) -> None:
    if before:
        results.finish(uri, before)
    together = Barrier(THREADS)

    def attempt(number: int) -> dict[str, Any]:
        together.wait()
        return results.finish(uri, ok(number))

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(attempt, range(THREADS)))
    assert answers == [read_json(uri)] * THREADS


def test_a_success_wins_over_failures_at_the_same_time(uri: str) -> None:
    together = Barrier(THREADS)

    def attempt(number: int) -> None:
        together.wait()
        results.finish(uri, ok(number) if number == 5 else failed(number))

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(attempt, range(THREADS)))
    assert read_json(uri) == ok(5)


def test_a_place_that_is_none_is_refused() -> None:
    with pytest.raises(StoreError, match="ftp://x/y"):
        results.begin("ftp://x/y")


def test_a_step_that_is_proved_anew_clears_its_success(uri: str) -> None:
    results.finish(uri, ok(1))

    assert results.begin(uri, again=True) is None
    assert results.finish(uri, failed(2)) == failed(2)
