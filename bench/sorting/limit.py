"""What the processors alone allow: hash, decode, look and encode of pictures that are in memory already."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from concurrent.futures import ThreadPoolExecutor

from model_service import images
from model_service.images import Limits

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_pictures: list[bytes] = []  # for the processes, which take it over as they are forked


def by_threads(pictures: list[bytes]) -> float:
    """Seconds for all of them, a thread a core; what is imported with the first is imported before the clock starts."""
    _work(pictures[0])
    with ThreadPoolExecutor(CORES) as pool:
        begun = time.perf_counter()
        for _ in pool.map(_work, pictures):
            pass
        return time.perf_counter() - begun


def by_processes(pictures: list[bytes]) -> float:
    """Seconds for all of them, a process a core; the processes are there before the clock starts."""
    _pictures[:] = pictures
    with multiprocessing.get_context("fork").Pool(CORES) as pool:
        pool.map(_nth, range(CORES), chunksize=1)
        begun = time.perf_counter()
        pool.map(_nth, range(len(pictures)), chunksize=8)
        return time.perf_counter() - begun


def _nth(number: int) -> None:
    _work(_pictures[number])


def _work(data: bytes) -> None:
    """The very functions that sort uses."""
    hashlib.sha256(data).hexdigest()
    picture = images.decode(data, Limits())
    images.perceptual_hash(picture)
    images.pack(picture)
