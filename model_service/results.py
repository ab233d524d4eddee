"""The result document: a step's last write and the only proof of its success. A success is never replaced; a failure is."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_service.storage import Conflict, Exists, Store, StoreError, locate, read_live

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What a step says when it is done: `counts` for people, `outputs` (URIs, versions) for the steps after it."""

    counts: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    message: str = ""


def place(uri: str, models: str) -> None:
    """Raise StoreError for a result in a folder that is not there, which would be made silently.

    Folders are made below the bucket with models alone, where results belong, and that bucket itself has to be there.
    """
    locate(uri)
    inside = uri.startswith(f"{models}/")
    folder = models if inside else uri.rpartition("/")[0]
    if folder.startswith("file:///") and not Path(folder.removeprefix("file://")).is_dir():
        raise StoreError(
            f"--result={uri} would be in {folder}, which does not exist",
            remedy=f"Check --models, or create its folder: mkdir -p {folder.removeprefix('file://')}"
            if inside
            else f"Give a --result below --models, as {models}/runs/<run>/<step>.json, or create the folder.",
        )


def begin(uri: str, *, again: bool = False) -> dict[str, Any] | None:
    """The result of an earlier attempt that succeeded, else None; what a failed one left is cleared away.

    With `again` a success is cleared away too: the step is to be proved anew. Raises StoreError for a result in a folder that
    cannot be written, before any work is done in vain.
    """
    store, name = locate(uri)
    found, generation = _read(store, name)
    if found is not None and found["status"] == "ok" and not again:
        return found
    _check_writable(uri)
    if found is None:
        return None
    store.delete_if_generation(name, generation)
    return None


def _check_writable(uri: str) -> None:
    if not uri.startswith("file:///"):
        return  # a bucket tells when it is written to
    folder = Path(uri.removeprefix("file://")).parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        raise StoreError(
            f"{uri} could not be written: {folder} is read-only for user {os.geteuid()}",
            remedy="Mount it so that it can be written, or give that user access (chown or chmod).",
        )


def finish(uri: str, document: dict[str, Any]) -> dict[str, Any]:
    """Write the result. If another attempt already succeeded, its result stands and is returned."""
    store, name = locate(uri)
    data = json.dumps(document, indent=2, ensure_ascii=False).encode()
    while True:
        try:
            store.write_if_absent(name, data)
            return document
        except Exists:
            found, generation = _read(store, name)
        if found is not None and found["status"] == "ok":
            return found
        try:
            if found is not None:
                store.compare_and_swap(name, data, generation)
                return document
        except Conflict:
            continue  # another attempt wrote in between: look again


def _read(store: Store, name: str) -> tuple[dict[str, Any] | None, int]:
    """A document that is damaged (half a file, another program's) proves no success: it makes room as a failure does."""
    data, generation = read_live(store, name)
    if data is None:
        return None, generation
    try:
        document = json.loads(data)
    except ValueError:
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("status"), str):
        log.warning("%s/%s is damaged, no result of a step: it is replaced", store.uri, name)
        document = {"status": "damaged"}
    return document, generation
