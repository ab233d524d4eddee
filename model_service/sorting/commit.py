"""The end of a sort: rows and packed pictures become a batch, which counts from the moment the ledger's head names it.

Order of writes, so that a kill at any instruction loses nothing and a retry repeats nothing: copies and quarantine (while
reading), shards, manifest, ledger, head. Of two sorts at once, the second looks at what the first has committed, and resolves
anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import menagerie_contract as contract

from model_service import batches
from model_service.ledger import Batch, Entry, Parts, read_head, swap_head
from model_service.shards import Sample, ShardWriter
from model_service.sorting.history import look_up
from model_service.sorting.item import Item, Row
from model_service.sorting.resolve import resolve
from model_service.sorting.settlement import Settlement
from model_service.sorting.spool import Spool
from model_service.storage import Blob, Conflict, Exists, Store, name_in

UPLOADS = 4  # shards at once
log = logging.getLogger(__name__)


def commit(
    step: contract.Sort,
    index: int,
    items: list[Item],
    spool: Spool,
    models: Store,
    parts: Parts,
    settlement: Settlement,
) -> list[Row]:
    """Commit a range's batch, unless another attempt has; returns the rows as they were resolved last.

    Raises StepError, and commits nothing, when too many cannot be used.
    """
    written: set[str] = set()
    try:
        while True:
            head = read_head(step.models, models)
            history = look_up(
                [item.blob.name for item in items], [item.row for item in items], parts.tables(head.parts)
            )
            mine = [item for item in items if (item.blob.name, item.blob.generation) not in history.taken]
            if head.of_range(step.run, index):  # another attempt at the same range: its manifest tells
                mine = []
            if len(mine) < len(items):
                kept = {id(item) for item in mine}
                settlement.taken([item for item in items if id(item) not in kept], history, head)
            items, rows = mine, resolve([item.row for item in mine], history, step.holdout)
            settlement.decided(rows, items, history)
            entries = [_entry(item.blob, row) for item, row in zip(items, rows, strict=True) if row["status"] != "left"]
            if not entries:
                return rows
            batch = _write(step, index, rows, items, spool, models)
            written.add(batch.name)
            after = replace(head, batches=(*head.batches, batch), parts=parts.joined(head, entries))
            try:
                swap_head(step.models, models, head, after)
                return rows
            except Conflict:
                log.info("another sort has committed meanwhile: looking again")
    finally:
        for name in written.difference(batches.finished(step.models) if written else ()):
            _discard(step, models, name)


def _entry(blob: Blob, row: Row) -> Entry:
    packed = row["status"] == "packed"
    seen = (row["split"], row["phash"]) if packed else (None, None)
    return Entry(blob.name, blob.generation, row.get("key"), row.get("label"), *seen)


def _write(step: contract.Sort, index: int, rows: list[Row], items: list[Item], spool: Spool, models: Store) -> Batch:
    """Write shards and manifest under a name that their content gives, so that what is there already is the same."""
    with tempfile.TemporaryDirectory(prefix="menagerie-shards-") as folder:
        limit = int(step.shard_megabytes * 1e6)
        writers = {split: ShardWriter(Path(folder), split, limit) for split in contract.SPLITS}
        for row, item in zip(rows, items, strict=True):
            if row["status"] == "packed" and item.number is not None:
                meta = {name: row[name] for name in ("uri", "generation", "sha256", "label", "split")}
                sample = Sample(row["key"], spool.read(item.number), meta)
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
    classes: dict[str, int] = {}
    for row in rows:
        if row["status"] == "packed":
            classes[row["label"]] = classes.get(row["label"], 0) + 1
    return Batch(name, step.run, digest, sum(classes.values()), dict(sorted(classes.items())))


def _put(models: Store, uri: str, data: bytes | Path) -> None:
    with contextlib.suppress(Exists):
        models.write_if_absent(name_in(models, uri), data)


def _discard(step: contract.Sort, models: Store, batch: str) -> None:
    """Remove the files of a batch that was not committed, and now never will be."""
    for blob in models.list(name_in(models, contract.batch(step.models, batch)) + "/"):
        models.delete_if_generation(blob.name, blob.generation)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
