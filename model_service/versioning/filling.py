"""What is versioned, fetched into a folder of this machine, each file checked by its sha256."""

from __future__ import annotations

import json
from pathlib import Path

import menagerie_contract as contract

from model_service import batches, registry, streams
from model_service.ledger import Batch
from model_service.registry import CARD, INT8
from model_service.storage import open_store


def batch(models: str, batch: Batch, folder: Path) -> None:
    """Its manifest and its shards. Raises BadShard for one that is missing or has other bytes."""
    found = {contract.manifest(models, batch.name): batch.manifest}
    table = batches.manifest(models, batch.name)
    for split in contract.SPLITS:
        found |= batches.shards_in(models, batch.name, table, split)
    for uri, path in streams.fetched(open_store(models), found, folder):
        path.rename(folder / uri.rpartition("/")[2])


def model(models: str, version: str, folder: Path) -> None:
    """Every file that its card lists, the card, and what judge said of its int8 variant. Raises BadModel."""
    card = registry.card(models, version)
    for name in card["files"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(registry.load(models, version, name))
    (folder / CARD).write_text(_text(card))
    if judged := registry.int8(models, version):
        (folder / INT8).write_text(_text(judged))


def _text(document: object) -> str:
    """As the bucket has it."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)
