"""Progress people can read: a bar on a terminal, a line at most every 5 seconds in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
EVERY = 5.0  # seconds between lines in a log

log = logging.getLogger(__name__)


def progress(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Pass the items through, telling how many are done, how fast, and how long the rest will take."""
    if sys.stderr.isatty():
        yield from tqdm(items, desc=what, total=total, unit="")
        return
    start = last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= EVERY:
            last = now
            rate = done / (now - start)
            left = f", {(total - done) / rate:.0f} s left" if total else ""
            log.info("%s: %d%s, %.1f/s%s", what, done, f" of {total}" if total else "", rate, left)
