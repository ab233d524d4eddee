"""The ledger: which objects have been sorted, by name and generation, one sorted Parquet file a run, read as streams."""

from __future__ import annotations

import heapq
import io
from collections.abc import Iterable, Iterator

import menagerie_contract as contract
import pyarrow as pa
import pyarrow.parquet as pq

from model_service.storage import Blob, Store, name_in, open_store

SCHEMA = pa.schema([("name", pa.string()), ("generation", pa.int64()), ("size", pa.int64())])


def write(blobs: Iterable[Blob]) -> bytes:
    """Objects, in any order, as a Parquet file in the order a store lists (UTF-8 bytes of the name)."""
    ordered = sorted(blobs, key=_order)
    columns = [[b.name for b in ordered], [b.generation for b in ordered], [b.size for b in ordered]]
    out = io.BytesIO()
    pq.write_table(pa.table(columns, schema=SCHEMA), out, compression="zstd")
    return out.getvalue()


def read(data: bytes) -> Iterator[Blob]:
    for batch in pq.ParquetFile(io.BytesIO(data)).iter_batches(batch_size=4096):
        for name, generation, size in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield Blob(name, size, generation)


def unsorted(models: str, listing: Iterable[Blob]) -> Iterator[Blob]:
    """The objects of a listing (in name order) that no ledger has at that generation: a merge-join of sorted streams."""
    store = open_store(models)
    known = heapq.merge(*_ledgers(store, name_in(store, contract.ledger(models)) + "/"), key=_order)
    entry = next(known, None)
    for blob in listing:
        generations = set()
        while entry is not None and _order(entry) <= _order(blob):
            if entry.name == blob.name:
                generations.add(entry.generation)
            entry = next(known, None)
        if blob.generation not in generations:
            yield blob


def _order(blob: Blob) -> bytes:
    return blob.name.encode()


def _ledgers(store: Store, prefix: str) -> list[Iterator[Blob]]:
    return [read(store.read(blob.name)) for blob in store.list(prefix)]
