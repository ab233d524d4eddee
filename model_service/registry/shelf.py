"""All versions of a bucket at once: what one listing tells, and their cards, read side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import menagerie_contract as contract

from model_service import verdicts as judged
from model_service.registry.versions import CARD, REMOVING, BadModel, card
from model_service.storage import Blob, NotFound, name_in, open_store
from model_service.verdicts import BadVerdict

READERS = 16  # cards read at the same time
_BRIEF = ("version", "run", "training", "classes", "metrics", "parent")  # of a card: what it was trained on is long


@dataclass
class Shelved:
    """A version as listed: its objects by their names in its prefix. It is finished when it has a card."""

    version: str
    blobs: dict[str, Blob] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return CARD in self.blobs

    @property
    def removing(self) -> bool:
        return REMOVING in self.blobs

    @property
    def created(self) -> float:
        """When it was finished, or written to last; in seconds since 1970."""
        if self.finished:
            return self.blobs[CARD].created
        return max(blob.created for blob in self.blobs.values())

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(blob.size for blob in self.blobs.values())


def versions(models: str) -> list[Shelved]:
    """All there are, finished or not, the newest first; one listing."""
    store = open_store(models)
    prefix = name_in(store, contract.model(models, "-"))[:-1]
    found: dict[str, Shelved] = {}
    for blob in store.list(prefix):
        version, folder, name = blob.name.removeprefix(prefix).partition("/")
        if folder:  # the pointer stands beside them
            found.setdefault(version, Shelved(version)).blobs[name] = blob
    return sorted(found.values(), key=lambda shelved: (shelved.created, shelved.version), reverse=True)


def cards(models: str, versions: Iterable[str]) -> dict[str, dict[str, Any] | BadModel]:
    """Of their cards what fits in a table, or what is wrong with them."""

    def read(version: str) -> dict[str, Any] | BadModel:
        try:
            described = card(models, version)
        except BadModel as error:
            return error
        brief = {part: described[part] for part in _BRIEF if part in described}
        return brief | {"data": {"pictures": (described.get("data") or {}).get("pictures", "–")}}

    wanted = list(versions)
    with ThreadPoolExecutor(READERS) as pool:
        return dict(zip(wanted, pool.map(read, wanted), strict=True))


def verdicts(models: str, cards: Mapping[str, dict[str, Any] | BadModel]) -> dict[str, dict[str, Any] | BadVerdict]:
    """The verdicts on those versions that have one, of the runs that trained them; or what is wrong with them."""

    def read(version: str) -> dict[str, Any] | BadVerdict | None:
        described = cards[version]
        try:
            return None if isinstance(described, BadModel) else verdict(models, described)
        except BadVerdict as error:
            return error

    with ThreadPoolExecutor(READERS) as pool:
        return {version: found for version, found in zip(cards, pool.map(read, cards), strict=True) if found}


def verdict(models: str, described: dict[str, Any], over: str | None = None) -> dict[str, Any] | None:
    """The verdict on the model of that card, of the run that trained it; None: it was not judged. With `over` the one over
    that champion ("": none), if promote made it later (see promote). Raises BadVerdict.
    """
    run = run_of(described)
    if not run:
        return None
    found = _read(models, contract.verdict(models, run), described)
    if found is None or over is None or (found["champion"] or "") == over:
        return found
    return _read(models, contract.verdict_anew(models, run, over), described) or found


def run_of(described: dict[str, Any]) -> str:
    """The run that trained the model of that card; in cards of earlier releases it stands among the arguments."""
    return str(described.get("run") or (described.get("training") or {}).get("run") or "")


def held_out(verdict: dict[str, Any] | None) -> object:
    """The share of all held-out pictures that the candidate got right."""
    told = verdict or {}
    return (told.get("overall") or told.get("accuracy") or {}).get("candidate")


def _read(models: str, uri: str, described: dict[str, Any]) -> dict[str, Any] | None:
    store = open_store(models)
    try:
        found = judged.parse(store.read(name_in(store, uri)), uri)
    except NotFound:
        return None
    return found if found["candidate"] == described.get("version") else None
