"""train: a candidate on the train shards of a dataset; its files need no pickle to load, and tell how to make it again."""

from __future__ import annotations

import contextlib

import menagerie_contract as contract

from model_service import registry
from model_service.results import Outcome
from model_service.scratch import scratch
from model_service.training import candidate, distributed, ranks
from model_service.training.tracking import Tracking


def train(step: contract.Train) -> Outcome:
    return ranks.run(work, step)


def work(step: contract.Train) -> Outcome:
    """What each of several processes does (training/ranks.py); of them the first one tells, saves and returns."""
    with contextlib.ExitStack() as stack:
        tracking = None
        if distributed.rank() == 0:
            tracking = stack.enter_context(Tracking(step, stack.enter_context(scratch("tracking"))))
        made = candidate.make(step, tracking=tracking)
        registry.save(step.models, made.name, made.files, made.card, told=made.told)
        if tracking is not None:
            tracking.saved(made.name)
    made.kept.clear()
    message = f"candidate {made.name}: {made.counts['accuracy']:.1%} right on the validation part"
    return Outcome(made.counts, {"version": made.name}, message)
