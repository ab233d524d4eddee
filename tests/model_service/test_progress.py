"""Progress: in a log a line every few seconds, moving or not; on a terminal a bar that says the same."""

from __future__ import annotations

import io
import itertools
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from model_service import progress as module
from model_service.progress import progress


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(module, "EVERY", 0.01)
    caplog.set_level("INFO")
    return caplog


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "nothing was told"
        time.sleep(0.001)


def tellers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "progress"]


def test_items_pass_through_and_are_told(soon: pytest.LogCaptureFixture) -> None:
    passed = []
    for item in progress("abc", "sort", 3, lambda: "1 quarantined"):
        passed.append(item)
        soon.clear()
        until(lambda: soon.messages)
    assert passed == ["a", "b", "c"]
    assert re.fullmatch(r"sort: 2 of 3, [\d.]+/s, \d+ s left, 1 quarantined", soon.messages[-1])


def test_without_a_total_nothing_is_said_of_the_rest(soon: pytest.LogCaptureFixture) -> None:
    for _ in progress(iter("ab"), "judge"):
        soon.clear()
        until(lambda: soon.messages)
    assert re.fullmatch(r"judge: 1, [\d.]+/s", soon.messages[-1])


def test_a_stalled_source_is_told_of_too(soon: pytest.LogCaptureFixture) -> None:
    def stalled() -> Iterator[str]:
        until(lambda: len(soon.messages) >= 3)
        yield "a"

    assert list(progress(stalled(), "sort", 2)) == ["a"]
    assert soon.messages[:3] == ["sort: 0 of 2, 0.0/s"] * 3


def test_a_long_rest_is_told_in_minutes_and_hours() -> None:
    assert [module._left(s) for s in (0, 119, 150, 7300)] == ["0 s left", "119 s left", "2 min left", "2 h 2 min left"]


def test_lines_are_no_closer_than_ordered(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(module, "EVERY", 0.2)
    caplog.set_level("INFO")
    for _ in progress(range(60), "sort"):
        time.sleep(0.01)
    assert 2 <= len(caplog.records) <= 4
    times = [record.created for record in caplog.records]
    assert all(later - earlier > 0.19 for earlier, later in itertools.pairwise(times))


def test_a_short_job_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert list(progress(range(1000), "sort", 1000)) == list(range(1000))
    assert caplog.messages == []


def test_it_falls_silent_with_the_source_and_with_who_reads(soon: pytest.LogCaptureFixture) -> None:
    def breaks() -> Iterator[str]:
        yield "a"
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(progress(breaks(), "sort"))
    assert tellers() == []
    reading = progress(iter("abc"), "sort")
    next(iter(reading))
    assert tellers() == ["progress"]
    del reading
    assert tellers() == []


def test_a_terminal_gets_a_bar_that_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(module, "EVERY", 0.01)
    notes = iter(f"{n} quarantined" for n in range(10_000))
    drawn = [0]
    for _ in progress("ab", "sort", 2, lambda: next(notes)):
        drawn[0] = len(terminal.getvalue())
        until(lambda: len(terminal.getvalue()) > drawn[0])
    assert re.search(r"sort:  50%\|.*\| 1/2 \[.*, \d+ quarantined\]", terminal.getvalue())
    assert re.search(r"sort: 100%\|.*\| 2/2 \[.*, \d+ quarantined\]", terminal.getvalue())
