"""A commit and its tag, made known together, with others doing the same at the same time: who is second begins anew on top."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

from model_service.versioning.programs import Failed
from model_service.versioning.repository import Change, Repository

log = logging.getLogger(__name__)
REFUSALS = 5  # pushes that fail although nobody else was faster, after which it is no race


def publish(repository: Repository, propose: Callable[[], Change | str]) -> str:
    """Push what is proposed on top of the newest state, and return its tag, also if `propose` finds one that says it already.

    A push that was refused, or whose answer was lost, is looked at by what the registry has then: `propose` is asked again.
    Raises Failed when the registry stays as it is and takes no push.
    """
    refused = 0
    while not isinstance(change := propose(), str):
        repository.commit(change)
        try:
            repository.push(change.tag)
            return change.tag
        except Failed as error:
            if repository.fetch():
                log.info("the registry moved meanwhile: %s again, on top of it", change.tag or "the first commit")
                continue
            refused += 1
            if refused == REFUSALS:
                raise
            log.warning("the registry took no push (%s); trying again", error)
            time.sleep(random.uniform(0.5, 1) * 2 ** (refused - 2))  # noqa: S311 (no secret)
    return change
