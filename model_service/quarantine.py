"""Where unusable pictures go: a copy under `_quarantine/<reason>/` with its original name and bytes, and a JSON beside it."""

from __future__ import annotations

import contextlib
import hashlib
import json

import menagerie_contract as contract

from model_service.storage import Blob, Exists, NotFound, Store, StoreError

_LONGEST_NAME, _LONGEST_PART = 900, 240  # bytes; stores allow 1024 and 255, and something is added to them here


def put_aside(source: Store, blob: Blob, reason: str, text: str) -> None:
    """Copy an object into quarantine; the source is never deleted, nothing there is overwritten. Safe to repeat."""
    note = {"name": blob.name, "generation": blob.generation, "bytes": blob.size, "reason": reason, "text": text}
    data = json.dumps(note, indent=2, sort_keys=True, ensure_ascii=False).encode()
    try:
        _put(source, blob, data, reason, _shortened(blob.name))
    except StoreError:  # a folder stands where the file would, or the other way round
        _put(source, blob, data, reason, hashlib.sha256(blob.name.encode()).hexdigest())


def _put(source: Store, blob: Blob, data: bytes, reason: str, short: str) -> None:
    name = f"{contract.QUARANTINE}/{reason}/{short}"
    if not _write_note(source, f"{name}.json", data):
        # Another content was quarantined under this name before: this one stands under its generation.
        name = f"{contract.QUARANTINE}/{reason}/{blob.generation}/{short}"
        _write_note(source, f"{name}.json", data)
    with contextlib.suppress(Exists, NotFound):  # there from an earlier attempt, or gone meanwhile
        source.copy_if_absent(source, blob.name, blob.generation, name)


def _shortened(name: str) -> str:
    """The name, or its hash where it leaves no room for the folder and for `.json`; the note has the whole name."""
    data = name.encode()
    fits = len(data) <= _LONGEST_NAME and all(len(part) <= _LONGEST_PART for part in data.split(b"/"))
    return name if fits else hashlib.sha256(data).hexdigest()


def _write_note(source: Store, name: str, data: bytes) -> bool:
    """False when another note stands there."""
    try:
        source.write_if_absent(name, data)
    except Exists:
        return source.read(name) == data
    return True
