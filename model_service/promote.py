"""promote: the candidate becomes the champion by compare-and-swap, if the verdict says so and nobody else moved it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import menagerie_contract as contract

from model_service import registry
from model_service.errors import StepError
from model_service.results import Outcome
from model_service.storage import Conflict, Exists, NotFound, name_in, open_store


def promote(step: contract.Promote) -> Outcome:
    verdict = _verdict(step)
    card = registry.card(step.models, step.candidate)
    pointer, generation = registry.champion(step.models)
    current = pointer["version"] if pointer else ""
    if current != step.candidate:
        if current != step.champion:
            raise _moved(step, current)
        pointer = {
            "version": step.candidate,
            "previous": step.champion or None,
            "sha256": registry.hashes(card),
            "promoted": datetime.now(UTC).isoformat(timespec="seconds"),
            "run": step.run,
            "verdict": verdict["reason"],
        }
        try:
            registry.move_champion(step.models, pointer, generation)
        except (Conflict, Exists):
            now, _ = registry.champion(step.models)
            raise _moved(step, now["version"] if now else "") from None
    return Outcome(
        {"champion": step.candidate, "previous": step.champion or None},
        {"version": step.candidate},
        f"{step.candidate} is the champion now (before: {step.champion or 'none'})",
    )


def _verdict(step: contract.Promote) -> dict[str, Any]:
    store = open_store(step.models)
    uri = contract.verdict(step.models, step.run)
    try:
        verdict: dict[str, Any] = json.loads(store.read(name_in(store, uri)))
    except NotFound:
        raise StepError(f"{step.candidate} has no verdict: {uri} does not exist", remedy="run judge first") from None
    judged = (verdict["candidate"], verdict["champion"] or "")
    if not verdict["promote"] or judged != (step.candidate, step.champion):
        raise StepError(
            f"the verdict of {step.run} does not promote {step.candidate} over {step.champion or 'none'}: {verdict['reason']}",
            remedy="judge this candidate against today's champion",
        )
    return verdict


def _moved(step: contract.Promote, current: str) -> StepError:
    return StepError(
        f"the champion moved meanwhile: {step.candidate} was judged against {step.champion or 'none'}, "
        f"now it is {current or 'none'}",
        remedy="start a new run: it judges against today's champion",
    )
