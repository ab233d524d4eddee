"""What processes of a training do in tests of how they end: apart from those tests, as they import little."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import menagerie_contract as contract
import torch

from model_service.errors import StepError
from model_service.results import Outcome
from model_service.training import distributed


def waiting_for_the_other(told: contract.Train) -> Outcome:
    if distributed.rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    torch.distributed.barrier()
    return Outcome()


def refused(told: contract.Train) -> Outcome:
    def no_pictures() -> None:
        raise StepError("nothing to tell apart", remedy="put pictures there")

    distributed.shared(no_pictures)
    return Outcome()


class Unsendable(Exception):
    """One that cannot be made again from what an exception is pickled as."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other}")


def broken(told: contract.Train) -> Outcome:
    raise Unsendable("this", "that")


def sleeping(told: contract.Train) -> Outcome:
    Path(told.models, f"{distributed.rank()}.pid").write_text(str(os.getpid()))
    time.sleep(600)
    return Outcome()
