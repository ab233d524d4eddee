"""The files of predictions, found and read. What is damaged, or another program's, is named."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import menagerie_contract as contract
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from model_service.predictions.schema import EMBEDDING, REMEDY, BadPredictions, origin
from model_service.storage import Store, name_in, open_store

SUFFIX = ".parquet"
_DAMAGE = (pa.ArrowException, OSError, KeyError, ValueError)  # what reading a damaged file raises

log = logging.getLogger(__name__)


class File(pq.ParquetFile):  # type: ignore[misc]
    """One of these files, and where it comes from. What is wrong with it is raised as BadPredictions."""

    def __init__(self, uri: str, data: bytes) -> None:
        self.uri = uri
        try:
            super().__init__(io.BytesIO(data), page_checksum_verification=True)
            self.origin = origin(self.schema_arrow)
            if not self.schema_arrow.equals(self.origin.schema()):
                raise ValueError(f"its columns are {', '.join(self.schema_arrow.names)}")
        except _DAMAGE as error:
            raise BadPredictions(f"{uri} is no file of predictions: {error}", remedy=REMEDY) from error

    def read(self, columns: Sequence[str] | None = None, **other: Any) -> pa.Table:
        try:
            table = super().read(columns=None if columns is None else list(columns), use_threads=False)
            for name in table.column_names:
                _check(table, name)
        except _DAMAGE as error:
            raise BadPredictions(f"{self.uri} is damaged: {error}", remedy=REMEDY) from error
        return table


def _check(table: pa.Table, name: str) -> None:
    """Raises ValueError for a column with a null or, of floats, with what is no number."""
    column = table[name].combine_chunks()
    values = column.flatten() if hasattr(column, "flatten") and pa.types.is_nested(column.type) else column
    if column.null_count or values.null_count:
        raise ValueError(f"column {name} has nulls")
    if pa.types.is_floating(values.type) and not np.isfinite(np.asarray(values)).all():
        raise ValueError(f"column {name} has values that are no numbers")


def tables(predicted: str, run: str, columns: Sequence[str] | None = None) -> Iterator[tuple[dict[str, str], pa.Table]]:
    """Metadata and rows of each of a run's files, in name order, one at a time in memory. Columns that a file does not
    have (embedding) are not in its table. Raises BadPredictions for a file that is none, or damaged.
    """
    store = open_store(predicted)
    for name in names(store, run):
        file = opened(store, name)
        yield {key.decode(): value.decode() for key, value in file.schema_arrow.metadata.items()}, file.read(columns)


def names(store: Store, run: str) -> list[str]:
    """Names in the bucket with predictions of a run's files. What else lies there is warned of."""
    folder = name_in(store, contract.predictions_folder(store.uri, run))
    found = [blob.name for blob in store.list(f"{folder}/")]
    for name in found:
        if not name.endswith(SUFFIX):
            log.warning("%s/%s is no file of predictions: it is left out", store.uri, name)
    return [name for name in found if name.endswith(SUFFIX)]


def opened(store: Store, name: str) -> File:
    """One of these files. Raises BadPredictions for another one."""
    return File(f"{store.uri}/{name}", store.read(name))


def embeddings(table: pa.Table) -> NDArray[np.float16]:
    """Of a table with the column: float16 [n, dimensions]."""
    column = table.column("embedding").combine_chunks()
    width = column.type.byte_width
    data = np.frombuffer(column.buffers()[1], np.uint8)[column.offset * width :][: len(column) * width]
    return data.view(EMBEDDING).reshape(len(column), width // EMBEDDING.itemsize)
