"""Is a bucket there, may this account do in it what its step does, and does it guard writes by their generation?

Rights are proved by doing: a probe object is written, swapped and deleted where the step writes. A bucket may give rights
below some prefixes only (IAM conditions), which no list of permissions shows.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Sequence

from model_service.doctor.checks import Finding
from model_service.errors import StepError
from model_service.storage import Conflict, Exists, Store, StoreError, open_store

PROBES = ".menagerie-doctor"  # the folder of probe objects; goes with the last of them
# What no step needs, and so no step's account should have.
EXCESS = ("storage.buckets.delete", "storage.buckets.setIamPolicy")
DELETE = "storage.objects.delete"


class Unguarded(StepError):
    """The bucket took a write that names another generation than the live one."""


def examine(uri: str, writes: Sequence[str] = ("",), excess: Sequence[str] = EXCESS) -> Finding:
    """`writes`: the prefixes below which the account writes (ending in "/", or ""). Raises StoreError, Unguarded."""
    store = open_store(uri)
    store.check()
    for prefix in writes:
        try:
            probe(store, f"{prefix}{PROBES}/{secrets.token_hex(8)}")
        finally:
            _tidy(store, f"{prefix}{PROBES}")
    found = f"{store.uri}: listed; written, swapped and deleted, guarded by generations"
    try:
        more = permitted(store, excess)
    except StoreError as error:  # an emulator: Cloud Storage answers this to anybody
        return Finding("ok", f"{found} (but not asked for rights beyond that: {error})")
    if more:
        return Finding(
            "warning",
            f"{found}; this account may do more than its step needs: {', '.join(more)}",
            "Run steps as the accounts of infra/identity.tf, not as an owner of the bucket.",
        )
    return Finding("ok", found)


def probe(store: Store, name: str) -> None:
    """Write, swap and delete an object, trying each time whether another generation is refused."""
    first = store.write_if_absent(name, b"menagerie doctor: a probe")
    try:
        try:
            store.write_if_absent(name, b"twice")
        except Exists:
            second = store.compare_and_swap(name, b"menagerie doctor: swapped", first.generation)
        else:
            raise _unguarded(store, "wrote over an object that was to be absent")
        try:
            store.compare_and_swap(name, b"late", first.generation)
        except Conflict:
            pass
        else:
            raise _unguarded(store, "swapped an object of another generation")
        try:
            store.delete_if_generation(name, first.generation)
        except Conflict:
            pass
        else:
            raise _unguarded(store, "deleted an object of another generation")
    except BaseException:
        _clean(store, name)
        raise
    store.delete_if_generation(name, second.generation)


def permitted(store: Store, permissions: Sequence[str]) -> list[str]:
    """Which of these IAM permissions this account has on the bucket; none for a folder, which has no IAM."""
    if not store.uri.startswith("gs://"):
        return []
    from model_service.storage.gcs import GcsStore

    assert isinstance(store, GcsStore)
    return store.permitted(permissions)


def _clean(store: Store, name: str) -> None:
    try:
        store.delete_if_generation(name, store.stat(name).generation)
    except StepError:
        return  # the probe's own error says more


def _tidy(store: Store, folder: str) -> None:
    """On a disk the folder of the probes is more than a part of their names: remove it, unless another doctor has some."""
    if store.uri.startswith("file://"):
        with contextlib.suppress(OSError):  # not empty, or not there
            os.rmdir(f"{store.uri.removeprefix('file://')}/{folder}")


def _unguarded(store: Store, what: str) -> Unguarded:
    return Unguarded(
        f"{store.uri} {what}: nothing would keep two runs from overwriting each other",
        remedy="Use Cloud Storage itself, or a folder on a local disk (ext4, xfs, apfs).",
    )
