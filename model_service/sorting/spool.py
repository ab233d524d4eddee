"""Packed pictures on this machine's disk, from when they are read to when it is known which shard they go to."""

from __future__ import annotations

import tempfile
from array import array
from typing import IO

from model_service.scratch import filling, making_room


class Spool:
    """Numbered byte strings in one temporary file without a name: nothing is left of it, however the process ends."""

    def __init__(self) -> None:
        with making_room():
            self._file: IO[bytes] = tempfile.TemporaryFile(prefix="menagerie-spool-")  # noqa: SIM115 (closed at the end)
        self._ends = array("Q", [0])

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        with filling():
            self._file.close()

    def add(self, data: bytes) -> int:
        """Returns the number by which it is read. Raises StepError when the disk is full."""
        with filling():
            self._file.seek(self._ends[-1])
            self._file.write(data)
        self._ends.append(self._ends[-1] + len(data))
        return len(self._ends) - 2

    def read(self, number: int) -> bytes:
        start, end = self._ends[number], self._ends[number + 1]
        with filling():  # the last ones are written only now
            self._file.seek(start)
        return self._file.read(end - start)
