"""What the model sees of each picture of a training set, on this machine's disk: decoded once up to a budget, packed beyond it.

Both are files written in one sequence while the shards come in. A decoded picture is read through memory-mapped pages; a packed
one (about a third of the size at 224 px) is decoded anew each time it is asked for, on the same path to the same pixels.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_service import images
from model_service.errors import StepError
from model_service.shards import Sample

GIGABYTE = 1e9  # bytes
DECODED, PACKED = "views.uint8", "pictures.jpeg"
_SPARE = 0.2e9  # bytes of disk that are left for shards on their way, checkpoints and exports
_CHUNK = 64  # pictures decoded side by side


class Views:
    """Pictures as uint8 [side, side, 3], by index. Threads may share it; pickled, it is opened anew from the same files."""

    def __init__(self, folder: Path, side: int, decoded: int, ends: NDArray[np.int64]) -> None:
        """The first `decoded` are in DECODED; JPEG i of those after them ends at byte ends[i] of PACKED."""
        self._folder, self._side, self.decoded, self._ends = folder, side, decoded, ends

    def __len__(self) -> int:
        return self.decoded + len(self._ends)

    def __getitem__(self, i: int) -> NDArray[np.uint8]:
        if not 0 <= i < len(self):
            raise IndexError(i)
        if i < self.decoded:
            view: NDArray[np.uint8] = self._mapped[i]
            return view
        place = i - self.decoded
        start = int(self._ends[place - 1]) if place else 0
        return _seen(os.pread(self._packed, int(self._ends[place]) - start, start), self._side)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (self[i] for i in range(len(self)))

    def __reduce__(self) -> tuple[Any, ...]:
        return Views, (self._folder, self._side, self.decoded, self._ends)

    def __del__(self) -> None:
        if "_packed" in self.__dict__:
            os.close(self._packed)

    @cached_property
    def _mapped(self) -> NDArray[np.uint8]:
        shape = (self.decoded, self._side, self._side, 3)
        return np.memmap(self._folder / DECODED, np.uint8, "r", shape=shape)

    @cached_property
    def _packed(self) -> int:
        return os.open(self._folder / PACKED, os.O_RDONLY)


def fits(pictures: int, side: int, gigabytes: float) -> int:
    """How many of the pictures are kept decoded within the budget."""
    return min(pictures, int(gigabytes * GIGABYTE) // _bytes(side))


def check_room(folder: Path, side: int, decoded: int, packed: int, packed_bytes: int) -> None:
    """Raise StepError when the disk has no room for so many decoded pictures and `packed` others of so many bytes in all."""
    needed = decoded * _bytes(side) + packed_bytes + _SPARE
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StepError(
            f"the training set does not fit on this machine's disk: {decoded} decoded pictures ({_gb(decoded * _bytes(side))}) "
            f"and {packed} packed ones ({_gb(packed_bytes)}) need {_gb(needed)} in {folder.parent}, where {_gb(free)} are free",
            remedy="lower --cache-gigabytes (packed pictures are smaller, and slower) or --max-pictures, give the step more "
            "ephemeral storage (the Param pods), or set TMPDIR to a folder with more room",
        )


def write(samples: Iterable[Sample], folder: Path, side: int, decoded: int) -> Views:
    """Take the pictures, in order: so many of them decoded, the others packed."""
    samples = iter(samples)
    ends: list[int] = []
    with (folder / DECODED).open("wb") as out, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        taken = 0
        for chunk in _chunks(itertools.islice(samples, decoded)):
            for view in pool.map(lambda sample: _seen(sample.jpeg, side), chunk):
                out.write(view.tobytes())
            taken += len(chunk)
    end = 0
    with (folder / PACKED).open("wb") as out:
        for sample in samples:
            end += out.write(sample.jpeg)
            ends.append(end)
    return Views(folder, side, taken, np.array(ends, np.int64))


def _chunks(samples: Iterator[Sample]) -> Iterator[list[Sample]]:
    while chunk := list(itertools.islice(samples, _CHUNK)):
        yield chunk


def _seen(jpeg: bytes, side: int) -> NDArray[np.uint8]:
    return images.view(images.unpack(jpeg, side), side)


def _bytes(side: int) -> int:
    return side * side * 3


def _gb(size: float) -> str:
    return f"{size / GIGABYTE:.1f} GB"
