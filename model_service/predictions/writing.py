"""How a shard's predictions become its file, with few of them in memory."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from model_service.inference import Inference
from model_service.looks import Look
from model_service.predictions.schema import AFTER, COLUMNS, EMBEDDING, OF_A_SHARD, BadPredictions, Origin

TOP = 5  # classes named one by one, the likeliest first
ROWS = 1024  # pictures that a writer holds in memory before they go to its file


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
        dictionaries = [name for name, kind in COLUMNS + AFTER if kind == pa.string() and name not in ("key", "uri")]
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
