"""Decoding, hashing and packing: in processes beside this one when there are many pictures.

Python's interpreter lock lets one thread run at a time: with decoders in the same process, those that read and copy wait for
it, and most of all on Cloud Storage. The processes only compute; all that is read and written stays here.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

from model_service import images
from model_service.images import BadImage, Limits

MANY = 300  # pictures from which the processes are worth their start, a fifth of a second
MOST = 8  # processes, of some 80 MB each


class Decoded(NamedTuple):
    """A packed picture, its sides in pixels and its perceptual hash."""

    jpeg: bytes
    width: int
    height: int
    phash: int | None


def decode(data: bytes, limits: Limits) -> Decoded:
    """Raises BadImage."""
    picture = images.decode(data, limits)
    return Decoded(images.pack(picture), picture.width, picture.height, images.perceptual_hash(picture))


class Decoder:
    """`decode`, for many threads at once; to be closed. `pictures`: about how many there will be."""

    def __init__(self, limits: Limits, pictures: int) -> None:
        self._limits, self._mending = limits, threading.Lock()
        self._pool = _pool(_cores()) if pictures >= MANY and _cores() > 1 else None

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def decode(self, data: bytes) -> Decoded:
        """Raises BadImage, also for a picture that kills its decoder."""
        pool = self._pool
        if pool is None:
            return decode(data, self._limits)
        with contextlib.suppress(BrokenProcessPool):
            return pool.submit(decode, data, self._limits).result()
        with self._mending:  # the pool ended with the process; those after it get a new one
            if self._pool is pool:
                pool.shutdown(wait=False)
                self._pool = _pool(_cores())
        try:  # it or another of those under way did it: each once more, alone
            with _pool(1) as alone:
                return alone.submit(decode, data, self._limits).result()
        except BrokenProcessPool:
            raise BadImage("unreadable", f"{images.REASONS['unreadable']} (it kills its decoder)") from None


def _pool(processes: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("forkserver")  # which has no threads: fork is safe there
    context.set_forkserver_preload([__name__])
    return ProcessPoolExecutor(min(processes, MOST), context)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
