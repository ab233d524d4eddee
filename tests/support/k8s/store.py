"""The cluster's memory: objects by resource, namespace and name, and every change with its resource version.

All of it is used from one event loop only, so nothing here waits or locks. Stored objects are never altered in place.
"""

from __future__ import annotations

import asyncio
import copy
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.support.k8s.errors import Json, exists, gone, not_found

Key = tuple[str, str, str]  # plural of the resource, namespace ("" when it has none), name


@dataclass(frozen=True)
class Change:
    version: int
    type: str  # ADDED, MODIFIED or DELETED
    key: Key
    object: Json
    before: Json | None


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    def __init__(self) -> None:
        self.version = 1000
        self.compacted = self.version  # changes up to here are forgotten
        self.changes: list[Change] = []
        self._objects: dict[Key, Json] = {}
        self._watchers: set[asyncio.Event] = set()

    def get(self, key: Key) -> Json:
        """Raises a refusal (404)."""
        if key not in self._objects:
            raise not_found(key[0], key[2])
        return self._objects[key]

    def find(self, key: Key) -> Json | None:
        return self._objects.get(key)

    def all(self, plural: str, namespace: str | None = None) -> list[Json]:
        """In the order of names, as etcd has them."""
        keys = sorted(k for k in self._objects if k[0] == plural and namespace in (None, k[1]))
        return [self._objects[k] for k in keys]

    def items(self) -> list[tuple[Key, Json]]:
        return list(self._objects.items())

    def create(self, key: Key, thing: Json) -> Json:
        """Raises a refusal (409) when the name is taken."""
        if key in self._objects:
            raise exists(key[0], key[2])
        thing = copy.deepcopy(thing)
        thing["metadata"].update(uid=str(uuid.uuid4()), creationTimestamp=now())
        return self._write("ADDED", key, thing, None)

    def replace(self, key: Key, thing: Json) -> Json:
        """Write a new state; one that changes nothing makes no new version."""
        before = self.get(key)
        if thing == before:
            return before
        return self._write("MODIFIED", key, copy.deepcopy(thing), before)

    def edit(self, key: Key, change: Callable[[Json], None]) -> Json | None:
        """Let `change` alter the object, unless it is gone."""
        before = self.find(key)
        if before is None:
            return None
        after = copy.deepcopy(before)
        change(after)
        return self.replace(key, after)

    def remove(self, key: Key) -> Json:
        before = self.get(key)
        del self._objects[key]
        return self._write("DELETED", key, copy.deepcopy(before), before)

    def since(self, version: int) -> list[Change]:
        """Raises a refusal (410) when some of them are forgotten."""
        if version < self.compacted:
            raise gone(version, self.compacted)
        low, high = 0, len(self.changes)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.changes[middle].version <= version else (low, middle)
        return self.changes[low:]

    def compact(self) -> None:
        """Forget all changes so far, as etcd does after minutes: who watches from before gets 410 Gone."""
        self.compacted, self.changes = self.version, []

    @contextmanager
    def watching(self) -> Iterator[asyncio.Event]:
        """An event that is set at every change."""
        event = asyncio.Event()
        self._watchers.add(event)
        try:
            yield event
        finally:
            self._watchers.discard(event)

    def _write(self, kind: str, key: Key, thing: Json, before: Json | None) -> Json:
        self.version += 1
        thing["metadata"]["resourceVersion"] = str(self.version)
        if kind != "DELETED":
            self._objects[key] = thing
        self.changes.append(Change(self.version, kind, key, thing, before))
        for event in self._watchers:
            event.set()
        return thing
