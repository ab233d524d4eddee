"""Room to decode in: how much memory the pictures may take that processes beside each other decode at the same moment."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Room:
    """A picture that takes more than `share` bytes is decoded while no other process decodes anything. The processes go by a
    lock on the file `turns` (flock), which one that dies gives back.
    """

    share: int
    turns: Path

    @contextlib.contextmanager
    def __call__(self, size: int) -> Iterator[None]:
        file = os.open(self.turns, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(file, fcntl.LOCK_EX if size > self.share else fcntl.LOCK_SH)
            yield
        finally:
            os.close(file)
