"""Many arrivals on their way at the same time, and with many arrivals in several processes.

Python's interpreter lock lets one thread of a process run at a time, and a picture on Cloud Storage takes a third as much of
it as its decoder takes of a core. So each process reads a share of its own (every so-manieth object) from beginning to end,
and hands over rows; packed pictures wait in its spool. What it does is safe to repeat and commits nothing: it may die at any
moment, or outlive its parent a little. Within a process threads wait for storage while one decodes: more of these would be
in each other's way.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import menagerie_contract as contract

from model_service.errors import StepError
from model_service.sorting.admission import Admission
from model_service.sorting.reading import Reader, Reading
from model_service.sorting.room import Room
from model_service.sorting.spool import Spool
from model_service.storage import Blob, open_store
from model_service.storage.metered import Meter, Metered

MANY = 300  # arrivals from which processes are worth their start, half a second
MOST = 8  # processes, of some 90 MB each
ROOM, LEAST = 1 << 30, 1 << 28  # bytes to decode in, of all processes together and of each
AHEAD = 1 << 27  # bytes of pictures that a process has fetched and not decoded
_IN_HAND = 3  # times as many objects as a process has threads are fetched, decoded or placed there at most


@dataclass(frozen=True)
class Work:
    """What is to be done for objects. `written`: raw labels that the label manifest gives to names; `spools`: a folder for
    the packed pictures.
    """

    step: contract.Sort
    admission: Admission
    written: Mapping[str, list[str]]
    spools: Path
    threads: int

    @contextlib.contextmanager
    def reader(self, spool: str, meter: Meter, room: Any = contextlib.nullcontext) -> Iterator[Reader]:
        source, to_predict = (Metered(open_store(uri), meter) for uri in (self.step.source, self.step.to_predict))
        with Spool(self.spools / spool) as opened:
            yield Reader(self.step, source, to_predict, self.admission, self.written, opened, room)


def prepare(step: contract.Arriving) -> None:
    """Begin what the start of processes takes longest with, for there will be many arrivals; returns at once."""
    if min(_cores(), MOST) > 1:
        _context(step)
        forkserver.ensure_running()


def read_all(work: Work, blobs: Sequence[Blob], meter: Meter) -> Iterator[Reading]:
    """In their order, some ahead of who asks, so that memory is flat. To be closed."""
    processes = min(_cores(), MOST)
    if len(blobs) < MANY or processes == 1:
        with work.reader("0", meter) as reader:
            yield from _together(reader, blobs, work.threads)
        return
    with contextlib.ExitStack() as stack:
        room = Room(max(ROOM // processes, LEAST), work.spools / "turns")
        each = replace(work, threads=-(-work.threads // processes))
        helpers = [_Helper(each, room, n, blobs[n::processes], meter) for n in range(processes)]
        for helper in helpers:
            stack.enter_context(contextlib.closing(helper))
        for _, helper in zip(blobs, itertools.cycle(helpers), strict=False):
            yield helper.next()


def _together(reader: Reader, blobs: Sequence[Blob], threads: int) -> Iterator[Reading]:
    """Fetched ahead and placed behind by threads, decoded by this one."""
    coming: deque[Future[Reading]] = deque()
    going: deque[Future[Reading]] = deque()
    held, left = 0, deque(blobs)
    pool = ThreadPoolExecutor(threads, "sort")
    try:
        while left or coming:
            while left and len(coming) < threads and (held + left[0].size <= AHEAD or not coming):
                held += left[0].size
                coming.append(pool.submit(reader.fetch, reader.begin(left.popleft())))
            reading = reader.decode(coming.popleft().result())
            held -= reading.blob.size
            going.append(pool.submit(reader.place, reading))
            while going and (going[0].done() or len(going) > threads):
                yield going.popleft().result()
        while going:
            yield going.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _one_by_one(reader: Reader, blobs: Sequence[Blob]) -> Iterator[Reading]:
    for blob in blobs:
        yield reader.place(reader.decode(reader.fetch(reader.begin(blob))))


class _Helper:
    """A process and its share. One that is killed has a successor, which begins with what may have been the cause: one by
    one, so that it is known if that one is killed, too.
    """

    def __init__(self, work: Work, room: Room, number: int, blobs: Sequence[Blob], meter: Meter) -> None:
        self._work, self._room, self._spool, self._left, self._meter = work, room, str(number), deque(blobs), meter
        self._suspects = 0  # so many of the next
        self._start()

    def next(self) -> Reading:
        """Raises what the process raised."""
        with contextlib.suppress(EOFError):
            return self._take(*self._answers.recv())
        self._process.join()
        self._answers.close()
        if (code := self._process.exitcode) is None or code >= 0:
            raise RuntimeError(f"a process that reads ended with {code}: its error is above")
        if not self._suspects:
            self._suspects = _IN_HAND * self._work.threads
            self._start()
            return self.next()
        with self._work.reader(self._spool, self._meter) as reader:
            given_up = self._take(reader.give_up(self._left[0]), {})
        self._start()
        return given_up

    def close(self) -> None:
        self._process.terminate()
        self._process.join()
        self._answers.close()

    def _take(self, answer: Reading | Exception, spent: Mapping[str, int]) -> Reading:
        self._meter.add(**spent)
        if isinstance(answer, Exception):
            raise answer
        self._left.popleft()
        self._suspects = max(0, self._suspects - 1)
        return answer

    def _start(self) -> None:
        blobs, written = list(self._left), self._work.written
        work = replace(self._work, written={blob.name: written[blob.name] for blob in blobs if blob.name in written})
        context = _context(work.step)
        self._answers, theirs = context.Pipe(duplex=False)
        share = work, self._room, self._spool, blobs[: self._suspects], blobs[self._suspects :]
        self._process = context.Process(target=_serve, args=(*share, theirs), daemon=True)
        self._process.start()
        theirs.close()


def _serve(
    work: Work, room: Room, spool: str, suspects: Sequence[Blob], blobs: Sequence[Blob], answers: Connection
) -> None:
    """Read a share, for as long as there is somebody to take it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from a terminal, which sends it to all: the parent ends this process
    meter = Meter()
    try:
        with work.reader(spool, meter, room) as reader:
            for reading in itertools.chain(_one_by_one(reader, suspects), _together(reader, blobs, work.threads)):
                answers.send((reading, meter.take()))
    except Exception as error:
        parent = multiprocessing.parent_process()
        if parent is None or not parent.is_alive():  # it was killed: there is nobody to tell
            os._exit(1)
        if not isinstance(error, StepError):
            raise
        answers.send((error, meter.take()))


def _context(step: contract.Arriving) -> ForkServerContext:
    """Whose processes are forked from one without threads, where that is safe, and which has imported what they need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [__name__, *(["model_service.storage.gcs"] if step.source.startswith("gs://") else [])]
    )
    return context


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
