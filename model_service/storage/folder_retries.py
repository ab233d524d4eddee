"""Which failures of a file system pass, and how long they are waited for: a shared disk hiccups, too."""

from __future__ import annotations

import errno
import functools
import random
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from model_service.storage.interface import StoreError

_PASSING = {errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.EIO, errno.ESTALE, errno.ETIMEDOUT}
WAITS = (0.1, 0.4, 1.5)  # seconds before each further try: each wait is drawn at random up to that

P = ParamSpec("P")
R = TypeVar("R")


def passes(error: StoreError) -> bool:
    """May the same operation succeed a little later? Told by the system's error that caused this one, if it did."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in _PASSING


def patient(operation: Callable[P, R]) -> Callable[P, R]:
    """The operation, begun anew when it fails of what may pass. It must be one that may be: nothing was done, then."""

    @functools.wraps(operation)
    def trying(*args: P.args, **kwargs: P.kwargs) -> R:
        for wait in WAITS:
            try:
                return operation(*args, **kwargs)
            except StoreError as error:
                if not passes(error):
                    raise
            time.sleep(random.uniform(0, wait))  # noqa: S311 - no secret
        return operation(*args, **kwargs)

    return trying
