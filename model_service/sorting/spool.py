"""Packed pictures on this machine's disk, from when they are read to when it is known which shard they go to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from model_service.scratch import filling


class Slot(NamedTuple):
    """Where a picture is: its file, and the first byte and the number of bytes there."""

    file: Path
    start: int
    size: int


class Spool:
    """A file that only grows, and only by the hands of one process at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with filling():
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._end = os.fstat(self._file).st_size  # of what one that was killed has written

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def add(self, data: bytes) -> Slot:
        """Raises StepError when the disk is full."""
        start, rest = self._end, memoryview(data)
        while rest:
            with filling():
                written = os.write(self._file, rest)
            self._end += written
            rest = rest[written:]
        return Slot(self._path, start, len(data))


class Slots:
    """Reads what is in spools."""

    def __init__(self) -> None:
        self._files: dict[Path, int] = {}

    def __enter__(self) -> Slots:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            os.close(file)

    def read(self, slot: Slot) -> bytes:
        if slot.file not in self._files:
            self._files[slot.file] = os.open(slot.file, os.O_RDONLY)
        return os.pread(self._files[slot.file], slot.size, slot.start)
