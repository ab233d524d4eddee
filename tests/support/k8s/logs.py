"""What containers wrote: lines of bytes with the moment each came, kept while their pod is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True)
class Line:
    at: datetime
    data: bytes  # without its newline

    def rendered(self, *, timestamps: bool) -> bytes:
        """As the API gives it; timestamps are RFC 3339 with nanoseconds."""
        stamp = self.at.strftime("%Y-%m-%dT%H:%M:%S.%f000Z ").encode() if timestamps else b""
        return stamp + self.data + b"\n"


@dataclass
class Log:
    """Of one container's one life."""

    lines: list[Line] = field(default_factory=list)
    ended: bool = False
    cuts: list[int] = field(default_factory=list)  # lines after which a reader's connection breaks, one reader each
    _rest: bytes = b""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def write(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        self._add(whole)

    def end(self) -> None:
        self._add([self._rest] if self._rest else [])
        self.ended = True
        self._wake()

    async def follow(self, first: int) -> AsyncIterator[Line]:
        """Every line from number `first` on, as it comes, until the container has ended."""
        while True:
            news = self._news
            for line in self.lines[first:]:
                yield line
                first += 1
            if self.ended and first >= len(self.lines):
                return
            if first >= len(self.lines):
                await news.wait()

    def first(self, *, tail: int | None, since: datetime | None) -> int:
        """Number of the first line wanted."""
        start = 0 if tail is None else max(0, len(self.lines) - tail)
        while since is not None and start < len(self.lines) and self.lines[start].at < since:
            start += 1
        return start

    def _add(self, whole: list[bytes]) -> None:
        last = self.lines[-1].at if self.lines else datetime.min.replace(tzinfo=UTC)
        for data in whole:
            last = max(datetime.now(UTC), last + timedelta(microseconds=1))  # so that no two lines share a moment
            self.lines.append(Line(last, data))
        if whole:
            self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class Logs:
    """The logs of all containers, by pod uid and container; the last is that of the present life."""

    def __init__(self) -> None:
        self._logs: dict[tuple[str, str], list[Log]] = {}

    def open(self, uid: str, container: str) -> Log:
        log = Log()
        self._logs.setdefault((uid, container), []).append(log)
        return log

    def find(self, uid: str, container: str, *, previous: bool = False) -> Log | None:
        lives = self._logs.get((uid, container), [])
        if previous:
            return lives[-2] if len(lives) > 1 else None
        return lives[-1] if lives else None

    def drop(self, uid: str) -> None:
        for key in [k for k in self._logs if k[0] == uid]:
            for log in self._logs.pop(key):
                log.end()
