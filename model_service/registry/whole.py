"""Whether a version is whole: every file read once, in blocks, and its sha256 compared with the card's."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import menagerie_contract as contract

from model_service.registry.versions import RESTORE, BadModel
from model_service.storage import NotFound, Store, name_in, open_store

READERS = 4  # files read at the same time, a block of each in memory
BLOCK = 8 << 20  # bytes asked for at once

log = logging.getLogger(__name__)


def verify(models: str, described: dict[str, Any], told: Callable[[str, str], object] | None = None) -> None:
    """Read every file of the version of that card. Raises BadModel that names all that are not whole; `told` hears of
    each file what is wrong with it, "" for nothing.
    """
    store, version = open_store(models), described["version"]

    def look(file: str) -> str:
        uri = f"{contract.model(models, version)}/{file}"
        try:
            found = _sha256(store, name_in(store, uri))
        except NotFound:
            return f"model {version} is not whole: {uri} is missing"
        right = found == described["files"][file]["sha256"]
        return "" if right else f"{uri} is not the file its card describes: its sha256 differs"

    with ThreadPoolExecutor(READERS) as pool:
        found = dict(zip(described["files"], pool.map(look, described["files"]), strict=True))
    for file, wrong in found.items():
        if told:
            told(file, wrong)
    if wrongs := [wrong for wrong in found.values() if wrong]:
        raise BadModel("; ".join(wrongs), remedy=RESTORE)
    log.info("%s: %d files, hashes as its card says", version, len(found))


def _sha256(store: Store, name: str) -> str:
    digest, start = hashlib.sha256(), 0
    while block := store.read_range(name, start, BLOCK):
        digest.update(block)
        start += len(block)
        if len(block) < BLOCK:
            break
    return digest.hexdigest()
