"""registry list: every version in a line, the newest first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import menagerie_contract as contract

from model_service.registry import pointer, shelf, tags, words
from model_service.registry.tags import Tags
from model_service.registry.versions import CARD, BadModel
from model_service.verdicts import BadVerdict

_HEAD = ("VERSION", "CREATED", "PICTURES", "CLASSES", "VALIDATION", "HOLDOUT", "TAG", "")


def overview(step: contract.Registry) -> None:
    now, _ = pointer.read(step.models)
    shelved = shelf.versions(step.models)
    tagged = tags.ask(step.registry)
    if not shelved:
        print(f"no models in {step.models} yet: run the pipeline, and it trains the first one")
    cards = shelf.cards(step.models, (one.version for one in shelved if one.finished))
    verdicts = shelf.verdicts(step.models, cards)
    rows = [
        _row(one, cards.get(one.version), verdicts.get(one.version), tagged, marks(now, one.version)) for one in shelved
    ]
    if rows:
        print(words.columns([_HEAD, *rows]))
    for line in _remarks(step, now, shelved, verdicts, tagged):
        print(line)
    if tagged.failed:
        raise tagged.failed


def marks(now: dict[str, Any] | None, version: str) -> list[str]:
    """What the pointer says of a version."""
    said = {
        "champion": (now or {}).get("version"),
        "previous": (now or {}).get("previous"),
        "withdrawn": ((now or {}).get("withdrawn") or {}).get("version"),
    }
    return [mark for mark, named in said.items() if named == version]


def _remarks(
    step: contract.Registry,
    now: dict[str, Any] | None,
    shelved: list[shelf.Shelved],
    verdicts: dict[str, dict[str, Any] | BadVerdict],
    tagged: Tags,
) -> Iterator[str]:
    """What is to be known beside the table."""
    champion = (now or {}).get("version")
    if champion and champion not in {one.version for one in shelved if one.finished}:
        yield (
            f"THE CHAMPION IS NOT THERE: {contract.champion(step.models)} names {champion}, and "
            f"{contract.model(step.models, champion)}/{CARD} does not exist. Restore that version (gcloud storage ls "
            "--all-versions), or make another one champion: registry rollback, or registry promote VERSION --force --why=…."
        )
    for verdict in verdicts.values():
        if isinstance(verdict, BadVerdict):
            yield f"{verdict.message}. {verdict.remedy}"
    if tagged.note:
        yield tagged.note


def _row(
    one: shelf.Shelved,
    described: dict[str, Any] | BadModel | None,
    verdict: dict[str, Any] | BadVerdict | None,
    tagged: Tags,
    said: list[str],
) -> tuple[str, ...]:
    said = said + ["being removed"] * one.removing
    tag = tagged.shown(one.version, without="–")
    if not isinstance(described, dict):
        said.append("unfinished" if described is None else "damaged: see show")
        return (one.version, words.day(one.created), "–", "–", "–", "–", tag, ", ".join(said))
    return (
        one.version,
        words.day(one.created),
        str(described["data"]["pictures"]),
        str(len(described.get("classes", ())) or "–"),
        words.share((described.get("metrics") or {}).get("accuracy")),
        "damaged" if isinstance(verdict, BadVerdict) else words.share(shelf.held_out(verdict)),
        tag,
        ", ".join(said),
    )
