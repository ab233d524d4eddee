"""registry gc: old versions make room. Without --yes it only says which.

A version that goes is marked first (removing.json), then loses its card, by which it is a model no more, then its files, and
the mark last. Killed in between, gc goes on with it when it runs again. Between the mark and the card it looks whether the
version has become the champion meanwhile, or was finished; whoever moves the pointer looks for the mark afterwards. So of the
two, one sees the other, and no champion ever loses a file.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import menagerie_contract as contract

from model_service.errors import StepError
from model_service.registry import pointer, shelf, tags, words
from model_service.registry.shelf import Shelved
from model_service.registry.versions import CARD, REMOVING, BadModel
from model_service.storage import Conflict, Store, name_in, open_store, write_once
from model_service.words import counted

YOUNG = 24 * 3600.0  # seconds within which a run may be saving, judging or promoting a version

log = logging.getLogger(__name__)


def collect(step: contract.Registry) -> None:
    """Remove what nobody needs, the oldest first. Raises StepError."""
    shelved = shelf.versions(step.models)
    tagged, uncertain = _tags(step, [one.version for one in shelved])
    cards = shelf.cards(step.models, (one.version for one in shelved if one.finished))
    stays = reasons(shelved, pointer.read(step.models)[0], cards, tagged, step.keep, time.time())
    going = [one for one in reversed(shelved) if not stays[one.version]]
    _tell(shelved, stays, going, "go" if step.yes else "would go")
    if uncertain:
        print(f"TAGS ARE NOT KNOWN: a tagged version may be among these. --yes would be refused: {uncertain}")
    if not step.yes:
        print("nothing was removed" + ("; --yes removes them" if going else ""))
        return
    for one in shelved:
        if stays[one.version] and one.removing:  # killed before it took anything, and needed again
            _delete(open_store(step.models), _place(step, one), [REMOVING])
    freed = [one.size for one in going if _remove(step, one)]
    print(f"removed {counted(len(freed), 'version')}, {words.megabytes(sum(freed))}")


def _tags(step: contract.Registry, versions: Sequence[str]) -> tuple[dict[str, str], str]:
    """Version → tag; and why that may not be all there are, which only a look may ignore. Raises StepError."""
    try:
        return tags.sure(step.registry, versions), ""
    except tags.Uncertain as error:
        if step.yes:
            raise
        return {}, f"{error.message}. {error.remedy}"


def reasons(
    shelved: Sequence[Shelved],
    now: dict[str, Any] | None,
    cards: Mapping[str, dict[str, Any] | BadModel],
    tags: Mapping[str, str],
    keep: int,
    time_: float,
) -> dict[str, str]:
    """Why each version stays, "" for those that go; `shelved` the newest first. Pure.

    Those whose weights the champion, the one before it and tagged ones started from stay, or these could not be rebuilt.
    A removal that was begun is finished, unless the version was made champion before that.
    """
    in_use = wanted(now)
    finished = [one.version for one in shelved if one.finished and not one.removing]
    needed = {**{v: tag for v, tag in tags.items() if v in cards}, **in_use}
    parents: dict[str, str] = {}
    for version in needed:
        described = cards.get(version)
        if isinstance(described, dict) and (parent := described.get("parent")):
            parents.setdefault(parent, f"parent of {version}")
    why: dict[str, str] = {}
    for one in shelved:
        age = "unfinished, and written to" if not one.finished else "finished"
        tagged = tags.get(one.version, "")
        newest = f"among the {keep} newest" if one.version in finished[:keep] else ""
        young = f"{age} within a day" if time_ - one.created < YOUNG else ""
        stays = in_use.get(one.version) or tagged or parents.get(one.version)
        if one.removing and not one.finished and one.version not in in_use:
            why[one.version] = ""  # it lost its card, so it is no model any more
        else:
            why[one.version] = stays or ("" if one.removing else newest or young)
    return why


def wanted(now: dict[str, Any] | None) -> dict[str, str]:
    """The versions that the pointer still needs, and as what. A withdrawn one may still be served by the website."""
    pointed = now or {}
    found = {(pointed.get("withdrawn") or {}).get("version"): "withdrawn, may still be served"}
    found |= dict.fromkeys(pointer.earlier(now)[:1], "to roll back to")
    found |= {pointed.get("version"): "champion"}
    return {version: what for version, what in found.items() if version}


def _tell(shelved: Sequence[Shelved], stays: Mapping[str, str], going: Sequence[Shelved], verb: str) -> None:
    head = ("VERSION", "WRITTEN", "SIZE", "")
    rows = [_row(one, f"stays: {stays[one.version]}") for one in shelved if stays[one.version]]
    rows += [_row(one, "goes" if one.finished else "goes: unfinished") for one in going]
    if rows:
        print(words.columns([head, *rows]))
    size = words.megabytes(sum(one.size for one in going))
    print(f"{counted(len(going), 'version')} of {len(shelved)} {verb}, {size}")


def _row(one: Shelved, fate: str) -> tuple[str, ...]:
    return one.version, words.day(one.created), words.megabytes(one.size), fate


def _remove(step: contract.Registry, one: Shelved) -> bool:
    """False when it is needed after all. Raises StepError when its objects change meanwhile."""
    store = open_store(step.models)
    place = _place(step, one)
    mark = json.dumps({"by": words.person(), "since": datetime.now(UTC).isoformat(timespec="seconds")})
    write_once(store, f"{place}/{REMOVING}", mark.encode())
    if why := _needed(step, store, place, one):
        _delete(store, place, [REMOVING])
        log.warning("%s stays: %s", one.version, why)
        return False
    _delete(store, place, [CARD])
    _delete(store, place, [name for name in _names(store, place) if name != REMOVING])
    if again := [name for name in _names(store, place) if name != REMOVING]:
        raise StepError(
            f"somebody writes {one.version} while it is removed: {', '.join(again)}",
            remedy="See that no training writes it, and run gc again.",
            retry=True,
        )
    _delete(store, place, [REMOVING])
    log.info("removed %s", one.version)
    return True


def _place(step: contract.Registry, one: Shelved) -> str:
    return name_in(open_store(step.models), contract.model(step.models, one.version))


def _needed(step: contract.Registry, store: Store, place: str, one: Shelved) -> str:
    """Why a marked version has to stay after all, "" when it goes."""
    if found := wanted(pointer.read(step.models)[0]).get(one.version):
        return f"{found} meanwhile"
    if not one.finished and CARD in _names(store, place):
        return "it was finished meanwhile"
    return ""


def _names(store: Store, place: str) -> Iterator[str]:
    return (blob.name.removeprefix(f"{place}/") for blob in list(store.list(f"{place}/")))


def _delete(store: Store, place: str, names: Sequence[str]) -> None:
    """Delete the live objects of these names, those that are there."""
    for blob in [blob for blob in store.list(f"{place}/") if blob.name.removeprefix(f"{place}/") in names]:
        try:
            store.delete_if_generation(blob.name, blob.generation)
        except Conflict as error:
            raise StepError(
                f"{blob.name} is written while it is removed", remedy="Run gc again later.", retry=True
            ) from error
