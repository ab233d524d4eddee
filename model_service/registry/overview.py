"""registry list: every version in a line, the newest first."""

from __future__ import annotations

from typing import Any

import menagerie_contract as contract

from model_service.registry import pointer, shelf, words
from model_service.registry.versions import BadModel

_HEAD = ("VERSION", "CREATED", "PICTURES", "CLASSES", "VALIDATION", "HOLDOUT", "TAG", "")


def overview(step: contract.Registry) -> None:
    now, _ = pointer.read(step.models)
    shelved = shelf.versions(step.models)
    tags = shelf.tags(step.registry)
    if not shelved:
        print(f"no models in {step.models} yet: run the pipeline, and it trains the first one")
        return
    cards = shelf.cards(step.models, (one.version for one in shelved if one.finished))
    verdicts = shelf.verdicts(step.models, cards)
    rows = [
        _row(one, cards.get(one.version), verdicts.get(one.version), tags, marks(now, one.version)) for one in shelved
    ]
    print(words.columns([_HEAD, *rows]))
    if tags is None:
        print("tags are not known: name the data registry with --registry")


def marks(now: dict[str, Any] | None, version: str) -> list[str]:
    """What the pointer says of a version."""
    said = {
        "champion": (now or {}).get("version"),
        "previous": (now or {}).get("previous"),
        "withdrawn": ((now or {}).get("withdrawn") or {}).get("version"),
    }
    return [mark for mark, named in said.items() if named == version]


def _row(
    one: shelf.Shelved,
    described: dict[str, Any] | BadModel | None,
    verdict: dict[str, Any] | None,
    tags: dict[str, str] | None,
    said: list[str],
) -> tuple[str, ...]:
    said = said + ["being removed"] * one.removing
    tag = "?" if tags is None else tags.get(one.version, "–")
    if not isinstance(described, dict):
        said.append("unfinished" if described is None else "damaged: see show")
        return (one.version, words.day(one.created), "–", "–", "–", "–", tag, ", ".join(said))
    return (
        one.version,
        words.day(one.created),
        str(described["data"]["pictures"]),
        str(len(described.get("classes", ())) or "–"),
        words.share((described.get("metrics") or {}).get("accuracy")),
        words.share(shelf.held_out(verdict)),
        tag,
        ", ".join(said),
    )
