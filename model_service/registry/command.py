"""registry: the operator's command, and where its answer goes."""

from __future__ import annotations

import logging
import os
import select
import signal
import sys

import menagerie_contract as contract


def registry(step: contract.Registry) -> None:
    """What an operator asks of the models: docs/registry.md. Raises StepError. Its log goes to stderr, so that stdout has
    the answer alone; when nobody reads that to its end (`| head`), it stops without a word.
    """
    from model_service.registry import by_hand, overview, removal, sheet  # which nobody else needs

    actions = {
        "list": overview.overview,
        "show": sheet.sheet,
        "promote": by_hand.promote,
        "rollback": by_hand.rollback,
        "gc": removal.collect,
    }
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
            handler.setStream(sys.stderr)
    try:
        actions[step.action](step)
        sys.stdout.flush()
    except BrokenPipeError:
        if _somebody_reads():
            raise  # of another pipe or socket
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at exit
        sys.exit(128 + signal.SIGPIPE)


def _somebody_reads() -> bool:
    """Whether stdout is still read; a pipe that nobody reads has an error waiting."""
    waiting = select.poll()
    waiting.register(sys.stdout.fileno(), 0)
    return not waiting.poll(0)
