"""Where pictures go that are not packed: copies in the source's own folders `_quarantine/` and `_held/`.

The source is never deleted and nothing is overwritten. Each copy has its original's name and bytes, or the name's hash
where the name leaves no room; where the name is taken by something else, it stands under its generation.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import menagerie_contract as contract

from model_service.sorting.labels import held_label, normalise
from model_service.storage import Blob, Exists, NotFound, Store, StoreError

_LONGEST_NAME, _LONGEST_PART = 1000, 240  # bytes; stores allow 1024 and 255, and `.json` is added to them here
_CHUNK = 1 << 20


def follow(source: Store, blob: Blob, row: Mapping[str, Any]) -> None:
    """Copy what is quarantined or held to where its row says. Safe to repeat."""
    if row["status"] == "quarantined" and row["reason"] != "vanished":
        put_aside(source, blob, row["reason"], row["text"])
    if row["status"] == "held":
        hold(source, blob, row["label"])


def put_aside(source: Store, blob: Blob, reason: str, text: str) -> None:
    """Copy an object to `_quarantine/<reason>/<name>`, with a JSON beside it that says why. Safe to repeat."""
    note = {"name": blob.name, "generation": blob.generation, "bytes": blob.size, "reason": reason, "text": text}
    data = json.dumps(note, indent=2, sort_keys=True, ensure_ascii=False).encode()

    def put(name: str) -> bool:
        return _write_note(source, f"{name}.json", data) and _copy(source, blob, name)

    names = _names(f"{contract.QUARANTINE}/{reason}", blob)
    if blob.name.endswith(".json"):
        next(names)  # where another object's note may stand
    _first_free(source, names, put)


def hold(source: Store, blob: Blob, label: str) -> None:
    """Copy an object to `_held/<label>/<name>`, until the label is allowed. Safe to repeat."""
    if normalise(held_label(blob.name) or "") != label:  # else it is there
        _first_free(source, _names(f"{contract.HELD}/{label}", blob), lambda name: _copy(source, blob, name))


def expect_original(source: Store, held: Blob, data: bytes) -> None:
    """Raise NotFound unless what was held, and has that content, still is what people have there under its own name."""
    name = held.name.split("/", 2)[2]
    generation, _, rest = name.partition("/")
    if re.fullmatch("[0-9a-f]{64}", name.rsplit("/", 1)[-1]):
        return  # the name was too long to be kept
    try:
        live = source.stat(name)
    except NotFound:
        if generation.isdigit() and source.stat(rest).generation == int(generation):
            return
        raise
    if live.size != len(data) or source.read(name, live.generation) != data:
        raise NotFound(f"{source.uri}/{name} is another picture now")


def _names(folder: str, blob: Blob) -> Iterator[str]:
    """The names that a copy may have, the best first."""
    digest = hashlib.sha256(blob.name.encode()).hexdigest()
    long = len(f"{folder}/{blob.generation}/{blob.name}".encode()) > _LONGEST_NAME
    short = digest if long or any(len(part.encode()) > _LONGEST_PART for part in blob.name.split("/")) else blob.name
    yield f"{folder}/{short}"
    yield f"{folder}/{blob.generation}/{short}"
    yield f"{folder}/{blob.generation}/{digest}"


def _first_free(source: Store, names: Iterator[str], put: Callable[[str], bool]) -> None:
    """Put it under the first name that is free, or where it is already. Raises StoreError when there is none."""
    refused: StoreError | None = None
    for name in names:
        try:
            if put(name):
                return
        except StoreError as error:
            if error.retry:
                raise
            refused = error  # a folder stands where the file would, or the other way round
    raise refused or StoreError(f"{source.uri}/{name} is taken by something else", remedy="Move it elsewhere.")


def _copy(source: Store, blob: Blob, name: str) -> bool:
    """False when another content stands there. An object that is gone meanwhile needs no copy."""
    try:
        source.copy_if_absent(source, blob.name, blob.generation, name)
    except NotFound:
        return True
    except Exists:
        return _same(source, blob, name)
    return True


def _same(source: Store, blob: Blob, name: str) -> bool:
    """Whether the object's content stands there, too; by checksums where the store keeps them, and never held whole."""
    try:
        there = source.stat(name)
    except NotFound:
        return False  # it went away just now; another name does no harm
    if there.size != blob.size:
        return False
    try:
        here = source.stat(blob.name)
        if there.crc32c and here.generation == blob.generation:
            return there.crc32c == here.crc32c
        return here.generation != blob.generation or all(
            source.read_range(name, start, _CHUNK) == source.read_range(blob.name, start, _CHUNK)
            for start in range(0, blob.size, _CHUNK)
        )
    except NotFound:
        return True  # gone, as above


def _write_note(source: Store, name: str, data: bytes) -> bool:
    """False when something else stands there. A note on the same object stays as it is, whatever it says."""
    with contextlib.suppress(Exists):
        source.write_if_absent(name, data)
        return True
    try:
        there, ours = json.loads(source.read(name)), json.loads(data)
        return bool(there["name"] == ours["name"] and there["generation"] == ours["generation"])
    except (ValueError, TypeError, KeyError, NotFound):
        return False
