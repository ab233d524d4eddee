"""Deletion: with a grace period for running pods, finalizers, and what happens to the objects that an object owns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.k8s.errors import Json, conflict
from tests.support.k8s.store import Key, Store

FOREGROUND = "foregroundDeletion"


def delete(store: Store, key: Key, options: Json | None = None) -> Json | None:
    """Begin a deletion with metav1.DeleteOptions. Returns the object while it still is there, None when it is gone."""
    options = options or {}
    thing = store.get(key)
    for name, value in (options.get("preconditions") or {}).items():
        if thing["metadata"][name] != value:
            raise conflict(key[0], key[2], f"Precondition failed: {name} in precondition: {value}")
    policy = options.get("propagationPolicy") or "Background"
    dependents = owned(store, thing)
    if policy == "Orphan":
        for child in dependents:
            store.edit(child, lambda c: c["metadata"].pop("ownerReferences"))
        dependents = []
    if key[0] == "pods" and (thing["spec"].get("nodeName") and _grace(thing, options) > 0):
        return _mark(store, key, _grace(thing, options))
    if policy == "Foreground" and dependents:
        _mark(store, key, None, FOREGROUND)
        for child in dependents:
            if store.find(child) is not None:
                delete(store, child, {"propagationPolicy": "Foreground"})
        return store.find(key)
    if thing["metadata"].get("finalizers"):
        return _mark(store, key, None)
    remove(store, key)
    return None


def remove(store: Store, key: Key) -> None:
    """Remove an object at once, its dependents after it, and the owners that only waited for it."""
    gone = store.remove(key)
    for child in owned(store, gone):
        if store.find(child) is not None:
            delete(store, child)
    for reference in gone["metadata"].get("ownerReferences") or []:
        for owner in _by_uid(store, reference["uid"]):
            release(store, owner)


def release(store: Store, key: Key) -> None:
    """Let go of an object that is being deleted and that nothing holds any more."""
    thing = store.find(key)
    if thing is None or not thing["metadata"].get("deletionTimestamp") or key[0] == "pods":
        return
    finalizers = thing["metadata"].get("finalizers") or []
    if FOREGROUND in finalizers and not owned(store, thing):
        finalizers = [one for one in finalizers if one != FOREGROUND]
    if not finalizers:
        remove(store, key)


def owned(store: Store, owner: Json) -> list[Key]:
    """The objects whose ownerReferences name this one."""
    uid = owner["metadata"]["uid"]
    return [
        key
        for key, thing in store.items()
        if any(reference["uid"] == uid for reference in thing["metadata"].get("ownerReferences") or [])
    ]


def _by_uid(store: Store, uid: str) -> list[Key]:
    return [key for key, thing in store.items() if thing["metadata"]["uid"] == uid]


def _grace(pod: Json, options: Json) -> int:
    if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    asked = options.get("gracePeriodSeconds")
    return int(pod["spec"]["terminationGracePeriodSeconds"] if asked is None else asked)


def _mark(store: Store, key: Key, grace: int | None, *finalizers: str) -> Json | None:
    def mark(thing: Any) -> None:
        meta = thing["metadata"]
        shorter = grace is not None and grace < meta.get("deletionGracePeriodSeconds", grace + 1)
        if "deletionTimestamp" not in meta or shorter:
            until = datetime.now(UTC) + timedelta(seconds=grace or 0)
            meta["deletionTimestamp"] = until.strftime("%Y-%m-%dT%H:%M:%SZ")
            meta["deletionGracePeriodSeconds"] = grace or 0
        if finalizers:
            meta["finalizers"] = [*(meta.get("finalizers") or []), *finalizers]

    return store.edit(key, mark)
