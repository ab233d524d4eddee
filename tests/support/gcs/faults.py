"""What goes wrong, by a test's order, and what was asked of the server."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field

# https://cloud.google.com/storage/pricing#operations-by-class; deletions and the chunks of an upload are free.
CLASS_A = re.compile(r"objects\.(insert|list|copy|rewrite|compose|patch)|buckets\.(insert|list)")
CLASS_B = re.compile(r"objects\.(get|media)|buckets\.(get|testIamPermissions)")


@dataclass
class Call:
    """A request: its operation, as the reference names it (`media` is get with alt=media, `chunk` a resumable PUT)."""

    method: str
    operation: str
    bucket: str
    name: str
    billed: str = ""  # "A", "B" or "" if it is free
    status: int = 0  # of the answer; 0 when the connection was reset instead
    received: int = 0  # bytes of bodies
    sent: int = 0

    def __post_init__(self) -> None:
        for letter, pattern in (("A", CLASS_A), ("B", CLASS_B)):
            self.billed = letter if pattern.fullmatch(self.operation) else self.billed

    def __str__(self) -> str:
        return f"{self.method} {self.operation} {self.bucket}/{self.name}"


@dataclass
class Fault:
    """Befalls the calls whose text ("GET objects.media bucket/name") the pattern is found in: `times` of them (None: all),
    each with the probability `share`. Each draw is determined by the seed and by how many calls matched before.
    """

    pattern: str = ""
    status: int = 0  # answer with this code
    reset: bool = False  # break the connection instead of answering
    after: bool = False  # both once the request has taken effect; otherwise instead of it
    short: bool = False  # send half of the body, then end the connection
    corrupt: bool = False  # flip a bit of the answer's body
    spoil: bool = False  # flip a bit of the request's body on its way here
    delay: float = 0.0  # seconds before the request is carried out
    meanwhile: Callable[[], object] | None = None  # done just before it is carried out, as by somebody else
    times: int | None = 1
    share: float = 1.0
    seed: int = 0
    befell: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._draws = random.Random(self.seed)

    def befalls(self, call: Call) -> bool:
        if self.befell == self.times or not re.search(self.pattern, str(call)) or self._draws.random() >= self.share:
            return False
        self.befell += 1
        return True
