"""A container's process: its own process group, its output into a log, its end as an exit code."""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
from collections.abc import Callable

from tests.support.k8s.logs import Log
from tests.support.k8s.node import REPOSITORY

_groups: set[int] = set()  # process groups that run now


class Process:
    """Starts at `start`; `ended` is its exit code, 128 + signal for one that was killed."""

    def __init__(self, log: Log, on_line: Callable[[bytes], None] = lambda _: None) -> None:
        self.log = log
        self._on_line = on_line
        self._pid = 0
        self.ended: asyncio.Task[int] | None = None

    async def start(self, words: list[str], environment: dict[str, str]) -> None:
        """Raises OSError when there is no such program."""
        process = await asyncio.create_subprocess_exec(
            *words,
            env=environment,
            cwd=REPOSITORY,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        self._pid = process.pid
        _groups.add(process.pid)
        self.ended = asyncio.create_task(self._follow(process))

    def signal(self, number: int) -> None:
        if self._pid in _groups:
            try:
                os.killpg(self._pid, number)
            except ProcessLookupError:
                return

    async def stop(self, grace: float) -> int:
        """SIGTERM, and SIGKILL after `grace` seconds."""
        assert self.ended is not None
        self.signal(signal.SIGTERM if grace > 0 else signal.SIGKILL)
        await asyncio.wait([self.ended], timeout=grace)
        self.signal(signal.SIGKILL)
        return await self.ended

    async def _follow(self, process: asyncio.subprocess.Process) -> int:
        reading = asyncio.create_task(self._read(process))
        code = await process.wait()
        self.signal(signal.SIGKILL)  # a container ends with its first process, whoever else is in it
        _groups.discard(self._pid)
        await reading
        self.log.end()
        return 128 - code if code < 0 else code

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        seen = 0
        while data := await process.stdout.read(65536):
            self.log.write(data)
            for line in self.log.lines[seen:]:
                self._on_line(line.data)
            seen = len(self.log.lines)


@atexit.register
def end_all() -> None:
    """Nothing a test started outlives it."""
    for group in list(_groups):
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            continue
