"""Which pictures of a dataset a training is shown, and how often: new ones, and of earlier ones as many as find room."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Row:
    """A picture as its manifest has it: its batch by name, and its `place`: the number of that batch, and its own in it.

    `shard` is `<batch>/<file>`; width and height are the packed picture's, in pixels.
    """

    batch: str
    place: tuple[int, int]
    shard: str
    key: str
    label: str
    width: int
    height: int


@dataclass
class Reservoir:
    """At most `most` of all pictures offered, those of the newest batch before any other, else drawn without favour.

    Reservoir sampling by random priorities (Efraimidis & Spirakis 2006, doi:10.1016/j.ipl.2005.11.003, all weights one): the
    `most` lowest stay. A priority is a hash of seed and key, so the draw is the same in any order of the offers, and most
    pictures drawn for a dataset are drawn again for the next one. Memory is flat in the number of offers.
    """

    most: int
    seed: int
    offered: int = 0
    _heap: list[tuple[bool, int, tuple[int, int], Row]] = field(default_factory=list)  # the first to go is the first

    def offer(self, row: Row, *, newest: bool) -> None:
        self.offered += 1
        digest = hashlib.sha256(f"replay/{self.seed}/{row.key}".encode()).digest()
        entry = (newest, -int.from_bytes(digest[:16]), row.place, row)
        if len(self._heap) < self.most:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def drawn(self) -> list[Row]:
        """In the order of batches, and of pictures in them."""
        return sorted((entry[-1] for entry in self._heap), key=lambda row: row.place)


def draws(
    labels: Sequence[str], newest: Sequence[bool], learned: Sequence[int], new_weight: float, oversample: bool
) -> NDArray[np.float64] | None:
    """How often each picture is shown, relative to others; the mean over those learned from is 1. None: each as often.

    Pictures of the newest batch are shown `new_weight` times as often as others, of their class when `oversample`d: then each
    class learned from is shown as often as any other.
    """
    weights = np.where(np.asarray(newest, bool), float(new_weight), 1.0)
    if oversample:
        of_class = Counter[str]()
        for i in learned:
            of_class[labels[i]] += weights[i]
        weights /= [of_class[label] or 1.0 for label in labels]
    told = weights[list(learned)]
    return None if told.size == 0 or np.all(told == told[0]) else weights / told.mean()
