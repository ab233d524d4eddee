"""The end of a sort: rows and packed pictures become a batch, which counts from the moment the ledger's head names it.

Order of writes, so that a kill at any instruction loses nothing and a retry repeats nothing: copies and quarantine (while
reading), shards, manifest, ledger, head. Of two sorts at once, the second looks at what the first has committed, and resolves
anew.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import menagerie_contract as contract

from model_service import batches
from model_service.errors import StepError
from model_service.ledger import Batch, Entry, Parts, read_head, swap_head
from model_service.retractions import RELABELLED
from model_service.scratch import scratch
from model_service.shards import Sample, ShardWriter
from model_service.sorting.history import look_up
from model_service.sorting.item import Item, Row
from model_service.sorting.labels import held_label
from model_service.sorting.resolve import resolve
from model_service.sorting.settlement import Settlement
from model_service.sorting.spool import Slots
from model_service.storage import Blob, Conflict, Exists, Store, name_in

UPLOADS = 4  # shards at once
log = logging.getLogger(__name__)


def commit(
    step: contract.Sort,
    index: int,
    items: list[Item],
    models: Store,
    parts: Parts,
    settlement: Settlement,
) -> list[Row]:
    """Commit a range's batch, unless another attempt has; returns the rows as they were resolved last.

    Raises StepError, and commits nothing, when too many cannot be used.
    """
    lost: dict[str, list[Item]] = {}  # batches that were written in vain, and what is in them
    while True:
        head = read_head(step.models, models)
        history = look_up([item.blob.name for item in items], [item.row for item in items], parts.tables(head.parts))
        done = head.of_range(step.run, index)  # another attempt at the same range has committed it: its manifest tells
        taken = [item for item in items if done or item.id in history.taken]
        if taken:
            settlement.taken(taken, history, head)
            items = [] if done else [item for item in items if item.id not in history.taken]
        for name, packed in lost.items():
            committed = done is not None and done.name == name  # by another attempt: the same content, the same name
            if not committed and (done or any(item.id in history.taken for item in packed)):
                _discard(step, models, name)
        history = settlement.live(history, items)
        rows = resolve([item.row for item in items], history, step.holdout)
        try:
            settlement.decided(rows, items, history)
        except StepError:  # refused for what was committed meanwhile: so would be any other attempt
            for name in lost:
                _discard(step, models, name)
            raise
        entries = [_entry(item.blob, row) for item, row in zip(items, rows, strict=True) if _is_final(item, row)]
        if done or not entries:
            return rows
        batch = _write(step, index, rows, items, models)
        after = replace(head, batches=(*head.batches, batch), parts=parts.joined(head, entries))
        try:
            swap_head(step.models, models, head, after)
        except Conflict:
            log.info("another sort has committed meanwhile: looking again")
            lost[batch.name] = items
            continue
        for name in lost.keys() - {batch.name}:
            _discard(step, models, name)
        return rows


def _is_final(item: Item, row: Row) -> bool:
    """Whether this object need not be looked at again. What waits in `_held/` already waits on."""
    return row["status"] != "left" and not (row["status"] == "held" and held_label(item.blob.name))


def _entry(blob: Blob, row: Row) -> Entry:
    packed = row["status"] == "packed"
    seen = (row["split"], row["phash"]) if packed else (None, None)
    return Entry(blob.name, blob.generation, row.get("key"), row.get("label"), *seen)


def _write(step: contract.Sort, index: int, rows: list[Row], items: list[Item], models: Store) -> Batch:
    """Write shards and manifest under a name that their content gives, so that what is there already is the same."""
    with scratch("shards") as folder, Slots() as slots:
        limit = int(step.shard_megabytes * 1e6)
        writers = {split: ShardWriter(folder, split, limit) for split in contract.SPLITS}
        for row, item in zip(rows, items, strict=True):
            if row["status"] == "packed" and item.slot:
                meta = {name: row[name] for name in ("uri", "generation", "sha256", "label", "split")}
                sample = Sample(row["key"], slots.read(item.slot), meta)
                position, row["offset"] = writers[row["split"]].add(sample)
                row["shard"] = f"{row['split']}-{position:05d}.tar"
        for writer in writers.values():
            writer.close()
        paths = [path for writer in writers.values() for path in writer.paths]
        with ThreadPoolExecutor(UPLOADS) as pool:
            hashes = dict(zip((path.name for path in paths), pool.map(_sha256, paths), strict=True))
            data = batches.write_manifest(rows, hashes)
            digest = hashlib.sha256(data).hexdigest()
            name = f"{step.run}/{index:05d}-{digest[:12]}"
            place = contract.batch(step.models, name)
            list(pool.map(lambda path: _put(models, f"{place}/{path.name}", path), paths))
        _put(models, contract.manifest(step.models, name), data)
    classes = collections.Counter(row["label"] for row in rows if row["status"] == "packed")
    contested = sum(row.get("reason") in ("conflicting-label", RELABELLED) for row in rows)
    return Batch(name, step.run, digest, classes.total(), contested, dict(sorted(classes.items())))


def _put(models: Store, uri: str, data: bytes | Path) -> None:
    with contextlib.suppress(Exists):
        models.write_if_absent(name_in(models, uri), data)


def _discard(step: contract.Sort, models: Store, batch: str) -> None:
    """Remove the files of a batch that was not committed, and now never can be: its range is committed, or what is in it.
    Before that another attempt at the same range may write the same batch, and commit it.
    """
    for blob in models.list(name_in(models, contract.batch(step.models, batch)) + "/"):
        models.delete_if_generation(blob.name, blob.generation)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
