"""registry promote and rollback: the champion moved by a person, who says why. Every file is verified before."""

from __future__ import annotations

from typing import Any

import menagerie_contract as contract

from model_service.errors import StepError
from model_service.registry import pointer, shelf, words
from model_service.registry.versions import card
from model_service.registry.whole import verify
from model_service.storage import Conflict, Exists

ROLLBACK = "registry rollback"  # stands for the run in what the pointer says of a withdrawn version


def promote(step: contract.Registry) -> None:
    """Make a version the champion. Without --force, its verdict has to promote it over today's champion."""
    if not step.version:
        raise StepError("no version is named", remedy="registry promote VERSION --why=…; `registry list` shows them.")
    if not step.why.strip():
        raise StepError("no reason is given", remedy="Add --why='…': it is kept in the pointer.")
    now, generation = pointer.read(step.models)
    current = (now or {}).get("version") or ""
    described = card(step.models, step.version)
    if current == step.version:
        print(f"{step.version} is the champion already: nothing was changed")
        return
    if not step.force and (objection := _objection(step, described, current)):
        raise StepError(
            f"{step.version} is not promoted: {objection}", remedy="Add --force to promote it nevertheless."
        )
    verify(step.models, described)
    who = words.person()
    said = f"promoted by {who}: {step.why}"
    moved = pointer.following(now, described, run=None, verdict=said, by={"who": who, "why": step.why})
    _move(step, moved, generation)
    print(f"{step.version} is the champion now (before: {current or 'none'})")
    print(_website(step, step.version, described))


def rollback(step: contract.Registry) -> None:
    """Make the champion before this one the champion again, or with VERSION an earlier one. Forth leads promote only."""
    now, generation = pointer.read(step.models)
    left = (now or {}).get("version")
    if now is None or not left:
        raise StepError("there is no champion", remedy="Run the pipeline: it trains one.")
    if step.version == left:
        print(f"{left} is the champion already: nothing was changed")
        return
    before = pointer.earlier(now)
    to = step.version or (before[0] if before else "")
    if to not in before:
        known = f"; before {left} there were {', '.join(before)}" if before else ""
        raise StepError(
            f"{to} was not champion before {left}{known}" if to else f"there was no champion before {left}",
            remedy="Any version can be made champion: registry promote VERSION --force --why=….",
        )
    described = card(step.models, to)
    verify(step.models, described)
    who = words.person()
    why = step.why.strip() or f"{who} rolled it back"
    by = {"who": who, "why": why}
    _move(step, pointer.back(now, described, {"version": left, "run": ROLLBACK, "why": why}, by=by), generation)
    print(f"{to} is the champion again; {left} is withdrawn: {why}")
    further = pointer.earlier(pointer.read(step.models)[0])
    print(f"rolled back once more, {further[0]} would be" if further else "no champion before it is known")
    print(_website(step, to, described))


def _objection(step: contract.Registry, described: dict[str, Any], current: str) -> str:
    """Why its verdict does not make the version champion in place of the current one; "" when it does."""
    verdict = shelf.verdict(step.models, described, current)
    if verdict is None:
        return "it has no verdict"
    if not verdict["promote"]:
        return f"its verdict says {verdict['reason']}"
    if (verdict["champion"] or "") != current:
        return f"it was judged against {verdict['champion'] or 'none'}, and the champion is {current or 'none'} now"
    return ""


def _move(step: contract.Registry, moved: dict[str, Any], generation: int) -> None:
    try:
        pointer.install(step.models, moved, generation)
    except (Conflict, Exists):
        now, _ = pointer.champion(step.models)
        raise StepError(
            f"the champion moved meanwhile, to {now['version'] if now else 'none'}: nothing was changed",
            remedy="Look again (registry list), and repeat the command if it is still what you want.",
        ) from None


def _website(step: contract.Registry, version: str, described: dict[str, Any]) -> str:
    """How the website follows, as a command."""
    result = contract.result(step.models, "by-hand", "deploy")
    run = shelf.run_of(described)
    cleared = f"in Airflow, clear `deploy` in run {run}; or " if run else ""
    return (
        f"the website follows with the next deployment: {cleared}\n  python -m model_service deploy --run=by-hand "
        f"--models={step.models} --result={result} --model={version}\n  with --site=… (this machine) or --target=kubernetes "
        "--image=…, as the pipeline gives them"
    )
