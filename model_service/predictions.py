"""Predictions at rest: a Parquet file a shard, a row a picture. Their schema and names, and how they are read.

docs/predictions.md says what each column means.
"""

from __future__ import annotations

import collections
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from model_service.errors import StepError
from model_service.inference import Inference
from model_service.looks import Look
from model_service.storage import Store, name_in, open_store

log = logging.getLogger(__name__)

TOP = 5  # classes named one by one, the likeliest first
ROWS = 1024  # pictures that a writer holds in memory before they go to its file
EMBEDDING = np.dtype("<f2")  # of an embedding's numbers: BigQuery has no float16, so a row holds their bytes
OF_A_SHARD = ("key", "uri", "generation", "split", "label")  # what is known of a picture before it is predicted
_COLUMNS = [
    ("key", pa.string()),
    ("uri", pa.string()),
    ("generation", pa.int64()),
    ("split", pa.string()),
    ("label", pa.string()),
    ("predicted", pa.string()),
    ("probability", pa.float32()),
    ("margin", pa.float32()),
    ("top5", pa.list_(pa.string())),
    ("top5_probabilities", pa.list_(pa.float32())),
]
_AFTER = [
    ("brightness", pa.float32()),
    ("sharpness", pa.float32()),
    ("model", pa.string()),
    ("preprocessing", pa.string()),
    ("precision", pa.string()),
]
SUFFIX = ".parquet"
_DAMAGE = (pa.ArrowException, OSError, KeyError, ValueError)  # what reading a damaged file raises
REMEDY = "remove it, and run predict again"
_TOLD = ("model", "preprocessing", "precision", "shard", "shard_sha256")  # in the metadata as they are


class BadPredictions(StepError):
    """A file among the predictions that is damaged, not one of them, or of another model."""


@dataclass(frozen=True)
class Origin:
    """What a file of predictions was made by and from. `dimensions` of an embedding; None: the file has none."""

    classes: list[str]
    model: str
    preprocessing: str
    precision: str
    shard: str  # URI
    shard_sha256: str
    dimensions: int | None

    def schema(self) -> pa.Schema:
        """A row a picture; the metadata has the origin itself."""
        embedding = [("embedding", pa.binary(self.dimensions * EMBEDDING.itemsize))] if self.dimensions else []
        probabilities = ("probabilities", pa.list_(pa.float32(), len(self.classes)))
        metadata = {"classes": "\n".join(self.classes), "dimensions": str(self.dimensions or "")}
        metadata |= {name: getattr(self, name) for name in _TOLD}
        return pa.schema([*_COLUMNS, probabilities, *embedding, *_AFTER], metadata=metadata)


def origin(schema: pa.Schema) -> Origin:
    """The origin that a file's schema tells of. Raises KeyError or ValueError when it tells of none."""
    said = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    return Origin(
        classes=said["classes"].split("\n"),
        dimensions=int(said["dimensions"]) if said["dimensions"] else None,
        **{name: said[name] for name in _TOLD},
    )


def rows(
    origin: Origin,
    pictures: Sequence[Mapping[str, Any]],
    probabilities: NDArray[np.float32],
    embeddings: NDArray[np.float32] | None,
    looks: NDArray[np.float32],
) -> pa.Table:
    """The rows of `pictures`, each with what a shard knows of it, from their probabilities [n, classes], embeddings
    [n, dimensions] (needed if the origin has dimensions) and looks [n, 2]: brightness and sharpness.
    """
    count, schema = len(pictures), origin.schema()
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP]
    sorted_ = np.take_along_axis(probabilities, order, axis=1)
    named = pa.array(origin.classes).take(pa.array(order.ravel()))
    offsets = pa.array(np.arange(0, order.size + 1, order.shape[1], dtype=np.int32))
    columns: dict[str, Any] = {
        **{name: [picture[name] for picture in pictures] for name in OF_A_SHARD},
        "predicted": pa.array(origin.classes).take(pa.array(order[:, 0])),
        "probability": sorted_[:, 0],
        "margin": sorted_[:, 0] - (sorted_[:, 1] if sorted_.shape[1] > 1 else 0),
        "top5": pa.ListArray.from_arrays(offsets, named),
        "top5_probabilities": pa.ListArray.from_arrays(offsets, pa.array(sorted_.ravel())),
        "probabilities": pa.FixedSizeListArray.from_arrays(pa.array(probabilities.ravel()), len(origin.classes)),
        "brightness": looks[:, 0],
        "sharpness": looks[:, 1],
        **{name: [getattr(origin, name)] * count for name in ("model", "preprocessing", "precision")},
    }
    if origin.dimensions and embeddings is not None:
        columns["embedding"] = [row.tobytes() for row in embeddings.astype(EMBEDDING)]
    return pa.table({name: columns[name] for name in schema.names}, schema)


class Writer:
    """Fills a local file with the predictions of a shard. `predicted` counts them by class."""

    def __init__(self, path: Path, origin: Origin) -> None:
        self.path, self.origin = path, origin
        self.predicted: collections.Counter[str] = collections.Counter()
        dictionaries = [name for name, kind in _COLUMNS + _AFTER if kind == pa.string() and name not in ("key", "uri")]
        self._file = pq.ParquetWriter(
            path, origin.schema(), compression="zstd", use_dictionary=dictionaries, write_page_checksum=True
        )
        self._waiting: list[tuple[Mapping[str, Any], Inference, Look]] = []

    def add(self, picture: Mapping[str, Any], inference: Inference, look: Look) -> None:
        """`picture`: what its shard knows of it."""
        self._waiting.append((picture, inference, look))
        if len(self._waiting) == ROWS:
            self._write()

    def close(self) -> None:
        if self._waiting:
            self._write()
        self._file.close()

    def _write(self) -> None:
        pictures, inferences, looks = zip(*self._waiting, strict=True)
        probabilities = np.stack([inference.probabilities for inference in inferences])
        if not np.isfinite(probabilities).all():
            raise BadPredictions(
                f"{self.origin.model} gives probabilities that are no numbers for pictures of {self.origin.shard}",
                remedy="predict with another model: this one is unfit",
            )
        embeddings = np.stack([one.embedding for one in inferences]) if self.origin.dimensions else None
        table = rows(self.origin, pictures, probabilities, embeddings, np.asarray(looks, np.float32))
        self.predicted.update(table["predicted"].to_pylist())
        self._file.write_table(table)
        self._waiting.clear()


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
