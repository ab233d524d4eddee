"""Progress people can read: a bar on a terminal, a line every 5 seconds in a log, also while nothing moves."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
EVERY = 5.0  # seconds between lines in a log

log = logging.getLogger(__name__)


def progress(
    items: Iterable[T], what: str, total: int | None = None, note: Callable[[], str] | None = None
) -> Iterator[T]:
    """Pass the items through, telling how many are done, how fast, and how long the rest will take.

    `note` is asked, from a thread of its own, for what else there is to say ("3 quarantined"); it may have nothing ("").
    """
    note = note or str
    telling = _bar if sys.stderr.isatty() else _lines
    yield from telling(items, what, total, note)


def _bar(items: Iterable[T], what: str, total: int | None, note: Callable[[], str]) -> Iterator[T]:
    with tqdm(desc=what, total=total, unit="") as bar, _Every(lambda: bar.set_postfix_str(note())):
        for item in items:
            yield item
            bar.set_postfix_str(note(), refresh=False)
            bar.update()


def _lines(items: Iterable[T], what: str, total: int | None, note: Callable[[], str]) -> Iterator[T]:
    start, done = time.monotonic(), 0

    def tell() -> None:
        count = done  # of one moment
        rate = count / (time.monotonic() - start)
        words = [
            f"{what}: {count}" + (f" of {total}" if total else ""),
            f"{rate:.1f}/s",
            _left((total - count) / rate) if total and count else "",
            note(),
        ]
        log.info("%s", ", ".join(filter(None, words)))

    with _Every(tell):
        for item in items:
            yield item
            done += 1


def _left(seconds: float) -> str:
    seconds = max(0, round(seconds))
    if seconds < 120:
        return f"{seconds} s left"
    minutes = round(seconds / 60)
    return f"{minutes} min left" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min left"


class _Every:
    """Calls a function every few seconds from entering to leaving, in a thread: what is waited for must not silence it."""

    def __init__(self, tell: Callable[[], object]) -> None:
        self._tell, self._over = tell, threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(EVERY):
            self._tell()
