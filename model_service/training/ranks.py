"""The processes of a training on several GPUs of this machine, one each: started, watched and ended by the step's own.

Each does the same work on its share of every batch (training/distributed.py); training/together.py averages their gradients.
Where one of them ends, all end: what runs again goes on from the last checkpoint.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, NoReturn

import menagerie_contract as contract
import torch
from torch import distributed

from model_service.errors import StepError
from model_service.results import Outcome
from model_service.scratch import scratch

Work = Callable[[contract.Train], Outcome]
_PATIENCE = timedelta(days=30)  # of a rank with the others: decoding takes long, and that one died shows in another way
_GRACE = 2.0  # seconds in which the others' ends show what the first one's was about
TERMINATED = 128 + signal.SIGTERM

log = logging.getLogger(__name__)


def run(work: Work, step: contract.Train, processes: int | None = None) -> Outcome:
    """What the work makes of the step, by a process a GPU where there are several (on CPUs: by so many as are said).

    Raises what a rank raised; StepError when one was killed; SystemExit when this one was asked to terminate.
    """
    count = torch.cuda.device_count() if processes is None else processes
    if count < 2:
        return work(step)
    log.info("training by %d processes, each its share of every batch", count)
    spawn = multiprocessing.get_context("spawn")  # CUDA lives through no fork
    with scratch("ranks") as folder:
        pipes = [spawn.Pipe(duplex=False) for _ in range(count)]
        ranks = [
            spawn.Process(target=_rank, args=(work, step, number, count, f"file://{folder}/meeting", pipe[1]))
            for number, pipe in enumerate(pipes)
        ]
        try:
            with _passing_on_sigterm(ranks):
                for process in ranks:
                    process.start()
                for _, sender in pipes:
                    sender.close()
                return _result(ranks, [receiver for receiver, _ in pipes])
        finally:
            for process in ranks:
                if process.pid is not None:
                    process.kill()
                    process.join()


@contextmanager
def _passing_on_sigterm(ranks: list[Any]) -> Iterator[None]:
    """To rank 0, which takes a checkpoint and ends; so all do."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can be told
        return

    def pass_on(*_: object) -> None:
        ranks[0].terminate() if ranks[0].is_alive() else sys.exit(TERMINATED)

    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _result(ranks: list[Any], receivers: list[Connection]) -> Outcome:
    """Rank 0's, once it is there; raises as soon as any rank failed."""
    said: dict[int, Any] = {}
    until: float | None = None
    while until is None or time.monotonic() < until:
        open_ends = [process.sentinel for n, process in enumerate(ranks) if n not in said]
        wait([*open_ends, *(r for n, r in enumerate(receivers) if n not in said)], timeout=_GRACE if until else None)
        for number, process in enumerate(ranks):
            if number not in said and (over := _over(process, receivers[number])) is not None:
                said[number] = over
        if isinstance(said.get(0), Outcome):
            return said[0]  # type: ignore[no-any-return]
        well = all(number > 0 and (end == 0 or isinstance(end, Outcome)) for number, end in said.items())
        if until is None and not well:
            until = time.monotonic() + _GRACE  # when one dies, the others fail for that
        if len(said) == len(ranks):
            break
    raise failure(said)


def _over(process: BaseProcess, receiver: Connection) -> Any:
    """How it ended: what it made or raised, else its exit code; None: it runs."""
    ended = not process.is_alive()
    with suppress(EOFError, OSError):
        if receiver.poll():
            return receiver.recv()
    return process.exitcode if ended else None


def failure(said: dict[int, Any]) -> BaseException:
    """What explains best how they ended."""
    if said.get(0) == TERMINATED:
        return SystemExit(TERMINATED)
    for number, end in said.items():
        if isinstance(end, int) and end != 0:
            how = signal.Signals(-end).name if end < 0 else f"exit code {end}"
            return StepError(
                f"process {number} of the training ended by {how}, and with it all others",
                remedy="run the step again: it goes on from the last checkpoint. SIGKILL often is too little memory: give "
                "the step more (the Param pods), or a smaller --batch-size",
                retry=True,
            )
    errors = [end for end in said.values() if isinstance(end, Exception)]
    stated = [error for error in errors if isinstance(error, StepError)]  # which says more than what followed from it
    return (stated or errors or [StepError("the training's first process ended without a result", retry=True)])[0]


def _rank(work: Work, step: contract.Train, number: int, count: int, meeting: str, sender: Connection) -> None:
    """The whole life of a process."""
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    # Of the others, none heeds it: they end with rank 0.
    signal.signal(signal.SIGTERM, _stop if number == 0 else signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING if number else logging.INFO, format="%(message)s", stream=sys.stdout)
    if gpu := torch.cuda.is_available():
        torch.cuda.set_device(number)
    backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
    try:
        distributed.init_process_group(backend, init_method=meeting, rank=number, world_size=count, timeout=_PATIENCE)
        sender.send(work(step))
    except StepError as error:
        sender.send(error)
    except Exception as error:  # others' may be made of what no pipe can carry: told in words
        told = RuntimeError(f"{type(error).__name__}: {error}")
        told.add_note(traceback.format_exc())
        sender.send(told)


def _end_with_parent() -> None:
    """A killed step leaves no process behind."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _stop(number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
