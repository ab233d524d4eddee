"""The copies for people: `animals_to_predict/<label>/<stem>.<hash>.<ext>`, made within the storage system."""

from __future__ import annotations

import base64
import contextlib
import hashlib

import google_crc32c

from model_service.sorting.item import Row
from model_service.sorting.labels import copy_name
from model_service.storage import Blob, Conflict, Exists, NotFound, Store, StoreError


def crc32c(data: bytes) -> str:
    """As Cloud Storage gives it: base64 of the big-endian value."""
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def sha256(data: bytes) -> str:
    """In hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def copy(source: Store, blob: Blob, to: Store, row: Row) -> tuple[str, bool]:
    """Copy an object, whose row has its label, size, sha256 and crc32c; returns the copy's name, and whether it was made now.
    Safe to repeat.

    Where another content has the name, the copy's name has the whole hash. Raises NotFound when the object is gone or has
    changed, StoreError when that name is taken, too.
    """
    for digits in (10, 64):
        name = copy_name(blob.name, row["label"], row["sha256"], digits)
        if (made := _make(source, blob, to, name, row)) is not None:
            return name, made
    raise StoreError(f"{to.uri}/{name} is taken by another content", remedy="Remove it: its name is that of a copy.")


def withdraw(to: Store, name: str) -> None:
    """Remove a copy that should not have been made. Safe to repeat."""
    with contextlib.suppress(NotFound, Conflict):
        to.delete_if_generation(name, to.stat(name).generation)


def restore(source: Store, blob: Blob, to: Store, name: str) -> None:
    """Make a copy again that was withdrawn. Nothing is done when it is there, or its original is gone."""
    with contextlib.suppress(Exists, NotFound):
        to.copy_if_absent(source, blob.name, blob.generation, name)


def _make(source: Store, blob: Blob, to: Store, name: str, row: Row) -> bool | None:
    """Copy (True), or find the copy there (False); None when another content has the name."""
    for _ in range(10):
        try:
            to.copy_if_absent(source, blob.name, blob.generation, name)
        except Exists:
            with contextlib.suppress(NotFound):  # another sort may withdraw it just now
                there = to.stat(name)
                if there.size != row["size"]:
                    return None
                same = there.crc32c == row["crc32c"] if there.crc32c else sha256(to.read(name)) == row["sha256"]
                return False if same else None
        else:
            return True
    raise StoreError(f"{to.uri}/{name} comes and goes", retry=True)
