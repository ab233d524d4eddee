"""Batches: folders of labelled pictures."""

from __future__ import annotations

import io
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random

from demo.pictures.animals import KINDS
from demo.pictures.broken import write_broken
from demo.pictures.drawing import draw

# A seed owns this many numbers, so that the names of two batches never meet; the last ones are for broken files.
NUMBERS_PER_SEED = 100_000
_FIRST_BROKEN = NUMBERS_PER_SEED - 100


def encoded(kind: str, number: int) -> bytes:
    """The JPEG file of one picture."""
    buffer = io.BytesIO()
    quality = Random(f"{kind}:{number}:quality").randint(70, 95)
    draw(kind, number).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _write(job: tuple[Path, str, int]) -> None:
    path, kind, number = job
    path.write_bytes(encoded(kind, number))


def write_batch(
    folder: Path, *, per_kind: int, seed: int, broken: bool = True, kinds: Sequence[str] = KINDS, workers: int = 1
) -> list[Path]:
    """Write `<kind>_<n>.jpg` files, each the picture draw(kind, n), and return all paths, broken files last.

    More than one worker needs a main module that can be imported again, as every spawned process does that.
    """
    if not 0 <= per_kind <= _FIRST_BROKEN:
        raise ValueError(f"per_kind must be 0 to {_FIRST_BROKEN}, not {per_kind}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, but is {seed}")
    folder.mkdir(parents=True, exist_ok=True)
    first = seed * NUMBERS_PER_SEED
    jobs = [(folder / f"{kind}_{n}.jpg", kind, n) for n in range(first + 1, first + per_kind + 1) for kind in kinds]
    if workers > 1:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            list(pool.map(_write, jobs, chunksize=32))
    else:
        for job in jobs:
            _write(job)
    paths = [path for path, _, _ in jobs]
    if broken:
        number = first + _FIRST_BROKEN + 1
        paths += write_broken(folder, number, encoded(KINDS[0], number))
    return paths
