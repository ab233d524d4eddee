"""Threads that decode and infer, so that the event loop never waits; with a limit on how many pictures wait for one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Busy(Exception):
    """As many jobs are waiting as are allowed to."""


class Workers:
    """A thread pool of one thread a core that takes at most `waiting` more jobs than it has threads."""

    def __init__(self, threads: int | None = None, waiting: int = 32) -> None:
        threads = threads or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="worker")
        self._most = threads + waiting
        self._inside = 0  # changed on the event loop only, so it needs no lock

    async def run(self, job: Callable[[], T]) -> T:
        """The job's result, or Busy at once. The job runs to its end even if nobody waits for it any more."""
        if self._inside >= self._most:
            raise Busy
        future = asyncio.get_running_loop().run_in_executor(self._pool, job)
        self._inside += 1
        future.add_done_callback(self._left)
        return await future

    def close(self, *, wait: bool = True) -> None:
        """`wait`: for the jobs that were begun; those that were not are done too, or else dropped."""
        self._pool.shutdown(wait=wait, cancel_futures=not wait)

    def _left(self, _: object) -> None:
        self._inside -= 1
