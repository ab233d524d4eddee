"""Progress in a log: a line at most every few seconds, with the rate and what is left."""

from __future__ import annotations

import re

import pytest

from model_service import progress as module
from model_service.progress import progress


@pytest.fixture
def at_every_item(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(module, "EVERY", 0.0)
    caplog.set_level("INFO")
    return caplog


def test_items_pass_through_and_are_told(at_every_item: pytest.LogCaptureFixture) -> None:
    assert list(progress("abc", "sort", 3)) == ["a", "b", "c"]
    assert len(at_every_item.messages) == 3
    assert re.fullmatch(r"sort: 2 of 3, [\d.]+/s, 0 s left", at_every_item.messages[1])


def test_without_a_total_nothing_is_said_of_the_rest(at_every_item: pytest.LogCaptureFixture) -> None:
    assert list(progress(iter("a"), "judge")) == ["a"]
    (line,) = at_every_item.messages
    assert re.fullmatch(r"judge: 1, [\d.]+/s", line)


def test_a_short_job_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert list(progress(range(1000), "sort", 1000)) == list(range(1000))
    assert caplog.messages == []
