"""A training on several GPUs, seen by one of its processes (a rank): which it is, what its share is, what all agree on.

On one device nothing here does anything. Rank 0 alone decodes, writes and exports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import distributed

T = TypeVar("T")
FEWEST = 2  # pictures of a batch for each: batch normalisation has no spread of one


def rank() -> int:
    """Which of the processes this is; 0 also where there is only one."""
    return distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0


def world() -> int:
    """How many there are."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def share(batch: int) -> int:
    """Of a batch of so many pictures, how many are this process's."""
    return batch if world() == 1 else max(FEWEST, batch // world())


def mine(indices: list[int]) -> list[int]:
    """Of an epoch's pictures, in the order in which they are learned from, this process's: of each batch an equal part."""
    return indices[: len(indices) // world() * world()][rank() :: world()]


def agreed(value: T) -> T:
    """What rank 0 has as this value. All come here together."""
    if world() == 1:
        return value
    values = [value]
    distributed.broadcast_object_list(values, src=0, device=torch.device("cpu"))
    return values[0]


def shared(make: Callable[[], T]) -> T:
    """What rank 0 makes: the others wait for it, and get it by pickle, whose files (a cache of pictures) are then the same."""
    return agreed(make() if rank() == 0 else None)  # type: ignore[return-value]


def leave() -> None:
    """All have done their part; what is left to do rank 0 does alone."""
    if rank() > 0:
        raise SystemExit(0)
