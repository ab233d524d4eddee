"""The ledger's files: a row an object in name order, read as streams from this machine's disk.

A commit merges its rows with the files at the end that are not much larger, so that there are only ever a few of them, each
row is rewritten a few times in its life, and what a step holds in memory does not grow (a log-structured merge).
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import menagerie_contract as contract
import pyarrow as pa
import pyarrow.parquet as pq

from model_service.errors import StepError
from model_service.ledger.head import Head, Part
from model_service.scratch import scratch
from model_service.storage import Exists, NotFound, Store, name_in

ROWS = 4_096  # read and written at a time
_TIMES = 4  # a file joins the next one when it has at most so many times the rows

SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("generation", pa.int64()),
        ("key", pa.string()),  # of its content; null if it was never read to its end
        ("label", pa.string()),
        ("split", pa.string()),  # null unless this object's content was packed
        ("phash", pa.uint64()),  # images.perceptual_hash; null when there is none
    ]
)


class Entry(NamedTuple):
    """An object that has been sorted."""

    name: str
    generation: int
    key: str | None = None
    label: str | None = None
    split: str | None = None
    phash: int | None = None


class Parts:
    """Local copies of a ledger's files, verified; a context manager, at whose end they are gone."""

    def __init__(self, models: str, store: Store) -> None:
        self._models, self._store = models, store
        self._scratch = scratch("ledger")

    def __enter__(self) -> Parts:
        self._folder = self._scratch.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._scratch.__exit__(*error)

    def entries(self, parts: Sequence[Part], columns: Sequence[str] = SCHEMA.names) -> Iterator[Entry]:
        """The rows of all these files in one order; columns that are not asked for are None."""
        return heapq.merge(*(self._rows(part, columns) for part in parts), key=order)

    def tables(self, parts: Sequence[Part]) -> Iterator[pa.RecordBatch]:
        """All rows, in no order, a few at a time."""
        for part in parts:
            with pq.ParquetFile(self._fetched(part)) as file:
                yield from file.iter_batches(ROWS)

    def joined(self, head: Head, entries: list[Entry]) -> tuple[Part, ...]:
        """The head's parts with these entries (in any order) added; the new file is written to the store."""
        parts, rows = list(head.parts), len(entries)
        tail: list[Part] = []
        while parts and parts[-1].rows <= _TIMES * rows:
            tail.append(parts.pop())
            rows += tail[-1].rows
        merged = heapq.merge(self.entries(tail), sorted(entries, key=order), key=order)
        path = self._folder / "joined"
        _write(path, merged)
        with path.open("rb") as stream:
            part = Part(hashlib.file_digest(stream, "sha256").hexdigest(), rows)
        with contextlib.suppress(Exists):
            self._store.write_if_absent(name_in(self._store, contract.ledger(self._models, part.digest)), path)
        path.rename(self._path(part))
        return (*parts, part)

    def _rows(self, part: Part, columns: Sequence[str]) -> Iterator[Entry]:
        with pq.ParquetFile(self._fetched(part)) as file:
            for batch in file.iter_batches(ROWS, columns=list(columns)):
                fields: list[Any] = [[None] * len(batch)] * len(SCHEMA)
                for name, column in zip(batch.schema.names, batch.columns, strict=True):
                    fields[SCHEMA.get_field_index(name)] = column.to_pylist()
                yield from map(Entry._make, zip(*fields, strict=True))

    def _path(self, part: Part) -> Path:
        return self._folder / part.digest

    def _fetched(self, part: Part) -> Path:
        path = self._path(part)
        if not path.exists():
            uri, whole = contract.ledger(self._models, part.digest), path.with_suffix(".part")
            try:
                self._store.download(name_in(self._store, uri), whole)
            except NotFound as error:
                raise StepError(
                    f"{uri}, a part of the ledger, is gone",
                    remedy="restore it from the bucket's soft-deleted or earlier versions: without it nobody knows what "
                    "has been sorted",
                ) from error
            with whole.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != part.digest:
                    raise StepError(f"{uri} is damaged: its sha256 differs", remedy="restore an earlier version of it")
            whole.rename(path)
        return path


def order(entry: Entry) -> tuple[bytes, int]:
    """As a store lists: by the UTF-8 bytes of the name."""
    return entry.name.encode(), entry.generation


def _write(path: Path, entries: Iterable[Entry]) -> None:
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        rows: list[Entry] = []
        for entry in entries:
            rows.append(entry)
            if len(rows) == ROWS:
                _append(writer, rows)
                rows = []
        _append(writer, rows)


def _append(writer: pq.ParquetWriter, rows: list[Entry]) -> None:
    columns = [[row[i] for row in rows] for i in range(len(SCHEMA))]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    writer.write_batch(pa.record_batch(arrays, schema=SCHEMA))
