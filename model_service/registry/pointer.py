"""The champion pointer, `champion.json`: which version is in use, which ones were before, and who moved it, when and why.

version, previous   the champion and the one before it, null: none
earlier             those before it, the newest first; `previous` is the first of them
sha256              of each of the champion's files
promoted, run       when, and by which run; run null: by a person, or since another one was withdrawn
verdict             why, in a sentence
by                  of a move by hand: {"who", "why"}
withdrawn           the version taken back last, {"version", "run", "why"}, until another one is promoted
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import menagerie_contract as contract

from model_service import documents
from model_service.registry.versions import BadModel, card, hashes, removing
from model_service.storage import Conflict, name_in, open_store, read_live

MOST = 100  # versions that the pointer remembers
WITHDRAWN = ("version", "run", "why")


def champion(models: str) -> tuple[dict[str, Any] | None, int]:
    """The champion pointer and its generation; (None, 0) when there is none yet, None also when it was withdrawn."""
    pointer, generation = read(models)
    return (pointer if pointer and pointer["version"] else None), generation


def move_champion(models: str, pointer: dict[str, Any], generation: int) -> int:
    """Point to another champion if nobody did since `generation` was read (0: there was none); returns the pointer's new
    generation. Raises Exists or Conflict.
    """
    store = open_store(models)
    name = name_in(store, contract.champion(models))
    data = json.dumps(pointer, indent=2, sort_keys=True, ensure_ascii=False).encode()
    if generation == 0:
        return store.write_if_absent(name, data).generation
    return store.compare_and_swap(name, data, generation).generation


def earlier(pointer: dict[str, Any] | None) -> list[str]:
    """The champions before this one, the newest first. A pointer of an earlier release knows one."""
    if pointer is None:
        return []
    return list(pointer.get("earlier") or filter(None, [pointer.get("previous")]))


def following(
    pointer: dict[str, Any] | None, described: dict[str, Any], *, run: str | None, verdict: str, **more: Any
) -> dict[str, Any]:
    """The pointer that follows when the model of that card becomes champion. Pure, but for the time."""
    version = described["version"]
    before = [v for v in ((pointer or {}).get("version"), *earlier(pointer)) if v and v != version][:MOST]
    return _pointing(described, before, run=run, verdict=verdict, **more)


def install(models: str, pointer: dict[str, Any], generation: int) -> None:
    """Move the champion as `move_champion` does, to a version that is there afterwards. Raises Exists, Conflict or BadModel.

    gc marks what it removes before it looks at the pointer; here the pointer moves before the mark is looked for. So of the
    two, one sees the other: what gc has marked is taken back.
    """
    before, seen = read(models)
    if seen != generation:
        raise Conflict("the champion moved meanwhile")
    moved = move_champion(models, pointer, generation)
    version = pointer["version"]
    try:
        card(models, version)
        if not removing(models, version):
            return
        gone = BadModel(
            f"model {version} is being removed by gc", remedy="Train another one, or promote another version."
        )
    except BadModel as error:
        gone = error
    try:
        if before is None:
            store = open_store(models)
            store.delete_if_generation(name_in(store, contract.champion(models)), moved)
        else:
            move_champion(models, before, moved)
    except Conflict:
        pass  # somebody has moved it on: that word is newer
    raise gone


def withdrawn(models: str) -> dict[str, str] | None:
    """The version taken back last, {"version", "run", "why"}, unless another one became champion since."""
    pointer, _ = read(models)
    found: dict[str, str] | None = (pointer or {}).get("withdrawn")
    return found


def withdraw(models: str, version: str, run: str, why: str, serves: str | None = None) -> bool:
    """Take a champion back that cannot be served. False when it is not champion.

    The pointer leads to the version that the website `serves` now, if that one exists; else to the one before, or to none.
    It then says what was withdrawn, and by which run, until another version becomes champion.
    """
    pointer, generation = read(models)
    if pointer is None or pointer["version"] != version:
        return False
    to = serves if serves and _exists(models, serves) else pointer.get("previous")
    moved = back(pointer, card(models, to) if to else None, {"version": version, "run": run, "why": why})
    try:
        move_champion(models, moved, generation)
    except Conflict:
        return False  # another run moved it meanwhile: its word is newer
    return True


def back(
    pointer: dict[str, Any], described: dict[str, Any] | None, withdrawn: dict[str, str], **more: Any
) -> dict[str, Any]:
    """The pointer after its champion was taken back in favour of the model of that card (None: of none). What came between
    is forgotten, so that going back again leads further back, and never forth. Pure, but for the time.
    """
    before, to = earlier(pointer), (described or {}).get("version")
    before = before[before.index(to) + 1 :] if to in before else before if to else []
    said = f"{withdrawn['version']} was withdrawn"
    return _pointing(described, before, run=None, verdict=said, withdrawn=withdrawn, **more)


def _pointing(described: dict[str, Any] | None, before: list[str], **more: Any) -> dict[str, Any]:
    return {
        "version": described["version"] if described else None,
        "previous": before[0] if before else None,
        "earlier": before,
        "sha256": hashes(described) if described else {},
        "promoted": datetime.now(UTC).isoformat(timespec="seconds"),
        **more,
    }


def read(models: str) -> tuple[dict[str, Any] | None, int]:
    """The document as it stands and its generation, (None, 0) when there is none. Raises BadModel for one that is damaged:
    taken for "no champion", it would be lost with the next promotion.
    """
    store = open_store(models)
    data, generation = read_live(store, name_in(store, contract.champion(models)))
    if data is None:
        return None, generation
    uri = contract.champion(models)
    said = documents.parsed(data, complaint, lambda wrong: BadModel(f"{uri} is damaged: {wrong}", remedy=_REPAIR))
    return said, generation


def complaint(pointer: Any) -> str:
    """What is wrong with it in a few words, "" for nothing; of an earlier release's, parts may be missing. Pure."""
    if not isinstance(pointer, dict) or not isinstance(pointer.get("version", 0), str | None):
        return "it names no version"
    for part in ("previous", "run", "verdict"):
        if not isinstance(pointer.get(part), str | None):
            return f"{part!r} is no text"
    before = pointer.get("earlier")
    if before is not None and not (isinstance(before, list) and all(_text(version) for version in before)):
        return "'earlier' is no list of versions"
    gone = pointer.get("withdrawn")
    if gone is not None and not (isinstance(gone, dict) and all(_text(gone.get(key)) for key in WITHDRAWN)):
        return "'withdrawn' does not say which version, by which run and why"
    return ""


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _exists(models: str, version: str) -> bool:
    try:
        return bool(card(models, version)) and not removing(models, version)
    except BadModel:
        return False


_REPAIR = (
    "Restore an older generation of it (gcloud storage ls --all-versions), or delete it to begin without a champion."
)
