"""promote: the candidate becomes the champion by compare-and-swap, if a verdict over the very champion says so.

Another run may have promoted its own model since this run's judge looked. Then the candidate is judged anew, against that one
and by the same rules, and promoted or not as that verdict says; which stands beside the first. Nothing becomes champion
whose files are not those that its card describes: whatever starts from a champion, serves it or tags it would fail from then.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from typing import Any

import menagerie_contract as contract

from model_service import registry, verdicts
from model_service.errors import StepError
from model_service.registry.pointer import read
from model_service.results import Outcome
from model_service.storage import Conflict, Exists, NotFound, name_in, open_store, write_once

ROUNDS = 20  # champions that came meanwhile, each judged against

log = logging.getLogger(__name__)


def promote(step: contract.Promote) -> Outcome:
    """Outputs: `promoted`, whether the candidate is the champion; `version`, the champion now; `verdict`, which decided it."""
    first = _verdict(step)
    card, whole = registry.card(step.models, step.candidate), False
    for _ in range(ROUNDS):
        pointer, generation = read(step.models)
        current = (pointer or {}).get("version") or ""
        if current == step.candidate:
            assert pointer is not None
            return _outcome(step, pointer, _uri(step, first, pointer.get("previous") or ""), "")
        if past := _past(step, pointer):
            return _outcome(step, pointer, _uri(step, first, first["champion"] or ""), past)
        if not whole:  # before minutes are spent on a new verdict
            registry.verify(step.models, card)
            whole = True
        verdict = first if (first["champion"] or "") == current else _anew(step, first, current)
        uri = _uri(step, first, current)
        if not verdict["promote"]:
            return _outcome(step, pointer, uri, verdict["reason"])
        moved = registry.following(pointer, card, run=step.run, verdict=verdict["reason"])
        try:
            registry.install(step.models, moved, generation)
        except (Conflict, Exists):
            log.info("the champion moved in this moment: looking again")
            continue
        return _outcome(step, moved, uri, "")
    raise StepError(f"the champion moved {ROUNDS} times while {step.candidate} was judged", retry=True)


def _outcome(step: contract.Promote, pointer: dict[str, Any] | None, verdict: str, why_not: str) -> Outcome:
    promoted, current = not why_not, (pointer or {}).get("version")
    previous = (pointer or {}).get("previous")
    said = (
        f"{step.candidate} is the champion now (before: {previous or 'none'})"
        if promoted
        else f"{step.candidate} is not promoted, the champion is {current or 'none'}: {why_not}"
    )
    anew = verdict != contract.verdict(step.models, step.run)
    return Outcome(
        {"promoted": promoted, "champion": current, "previous": previous, "judged_anew": anew},
        {"promoted": promoted, "version": current, "verdict": verdict},
        said,
    )


def _past(step: contract.Promote, pointer: dict[str, Any] | None) -> str:
    """Why a candidate that was champion already is not made it again, "" when it was not.

    What this run's own deploy took back is promoted once more when promote is cleared; what a person took back is not.
    """
    if step.candidate in registry.earlier(pointer):
        return "it was champion already, and another one came after it"
    taken = (pointer or {}).get("withdrawn")
    if taken and taken["version"] == step.candidate and taken["run"] != step.run:
        return f"it was withdrawn ({taken['run']}): {taken['why']}"
    return ""


def _verdict(step: contract.Promote) -> dict[str, Any]:
    """Of this run's judge; it promotes the candidate."""
    store = open_store(step.models)
    uri = contract.verdict(step.models, step.run)
    try:
        verdict = verdicts.parse(store.read(name_in(store, uri)), uri)
    except NotFound:
        raise StepError(f"{step.candidate} has no verdict: {uri} does not exist", remedy="run judge first") from None
    if not verdict["promote"] or verdict["candidate"] != step.candidate:
        raise StepError(
            f"the verdict of {step.run} does not promote {step.candidate}; it says of {verdict['candidate']}: "
            f"{verdict['reason']}",
            remedy="judge this candidate against today's champion",
        )
    return verdict


def _uri(step: contract.Promote, first: dict[str, Any], champion: str) -> str:
    """Of the verdict over that champion: the run's own, or one beside it."""
    if (first["champion"] or "") == champion:
        return contract.verdict(step.models, step.run)
    return contract.verdict_anew(step.models, step.run, champion)


def _anew(step: contract.Promote, first: dict[str, Any], champion: str) -> dict[str, Any]:
    """The verdict over another champion than judge knew, by the same rules; made once, whichever attempt makes it."""
    from model_service import judging  # a promotion that nobody crosses does not pay for it

    store, uri = open_store(step.models), _uri(step, first, champion)
    name = name_in(store, uri)
    try:
        return verdicts.parse(store.read(name), uri)
    except NotFound:
        log.info(
            "%s was judged against %s, and now the champion is %s: judging anew",
            *(step.candidate, first["champion"] or "none", champion or "none"),
        )
    known = {rule.name for rule in dataclasses.fields(judging.Rules)}
    if not isinstance(first.get("rules"), dict) or not first["rules"].keys() <= known or "seed" not in first:
        raise StepError(
            f"the champion moved meanwhile: {step.candidate} was judged against {first['champion'] or 'none'} by another "
            f"release, now it is {champion or 'none'}",
            remedy="start a new run: it judges against today's champion",
        )
    found = judging.examine(step.models, step.candidate, champion, judging.Rules(**first["rules"]), first["seed"])
    text = json.dumps(found, indent=2, ensure_ascii=False).encode()
    return verdicts.parse(write_once(store, name, text), uri)
