"""judge: champion and candidate on every held-out picture so far. Neither was ever trained on one of them, or one like it.

The candidate's int8 variant is scored on the same pictures: predict uses it only if it is as good as the candidate itself.
A picture that was met under another label later on is no evidence, and is left out.
"""

from __future__ import annotations

import contextlib
import json

import menagerie_contract as contract

from model_service import judging, verdicts
from model_service.errors import StepError
from model_service.results import Outcome
from model_service.storage import (
    Conflict,
    Exists,
    NotFound,
    Store,
    StoreError,
    name_in,
    open_store,
    read_live,
    write_once,
)

IN_FULL = ("by_class", "findings")  # in the verdict alone: of a thousand classes they would fill the log


def judge(step: contract.Judge) -> Outcome:
    store = open_store(step.models)
    uri = contract.verdict(step.models, step.run)
    text, _ = read_live(store, name_in(store, uri))  # of an attempt that was killed before its result
    if text is None:
        _prove_writable(store, name_in(store, uri))
        found = judging.examine(step.models, step.candidate, step.champion, judging.Rules.of(step), step.seed)
        text = json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False).encode()
        text = write_once(store, name_in(store, uri), text)
    verdict = verdicts.parse(text, uri)
    if (verdict["candidate"], verdict["champion"] or "") != (step.candidate, step.champion):
        raise StepError(
            f"run {step.run} has a verdict already, of {verdict['candidate']} against {verdict['champion'] or 'none'}",
            remedy="judge under another --run: nothing is overwritten",
        )
    counts = {name: value for name, value in verdict.items() if name not in IN_FULL}
    return Outcome(counts, {"verdict": uri, "promote": verdict["promote"]}, verdict["reason"])


def _prove_writable(store: Store, verdict: str) -> None:
    """Raise StepError where the verdict could not be written: to score takes minutes. By doing, as the doctor does; what an
    attempt that was killed here has left is taken away by the next.
    """
    name = f"{verdict}.probe"
    try:
        with contextlib.suppress(Exists):
            store.write_if_absent(name, b"may a verdict be written here?")
        with contextlib.suppress(NotFound, Conflict):  # another attempt's
            store.delete_if_generation(name, store.stat(name).generation)
    except StoreError as error:
        raise StepError(
            f"the verdict could not be written, so nothing is scored: {error.message}",
            remedy=error.remedy
            or f"let this account write and delete in {store.uri}, or mount it so that it can be written",
            retry=error.retry,
        ) from error
