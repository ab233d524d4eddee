"""What arriving pictures are compared with: the pictures a model was trained on, as it saw them, kept beside the model.

What the network says of a picture (probabilities, embedding) is kept for the validation part alone: it knows the pictures that
it learned from by heart, so any new picture would look strange beside them. How pictures look is kept for both parts.
"""

from __future__ import annotations

import collections
import hashlib
import io
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from model_service.inference import Inference, Network
from model_service.looks import look
from model_service.registry import RETRAIN, BadModel
from model_service.training.dataset import Dataset

FILE = "reference.parquet"
MOST = 1000  # pictures: 1.2 MB with embeddings of 512 numbers


@dataclass(frozen=True)
class Reference:
    """`counts` are of the whole training set, by class in the model's order; the rest is of the n pictures kept.

    The first v of them are of the validation part: `probabilities` [v, classes], `embeddings` float16 [v, dimensions] (None:
    the model gives none). `brightness` and `sharpness` as in looks.Look; `width` and `height` in pixels, as packed: [n].
    """

    counts: dict[str, int]
    labels: list[str]
    probabilities: NDArray[np.float32]
    embeddings: NDArray[np.float16] | None
    brightness: NDArray[np.float32]
    sharpness: NDArray[np.float32]
    width: NDArray[np.int32]
    height: NDArray[np.int32]

    @property
    def classes(self) -> list[str]:
        return list(self.counts)

    @property
    def watched(self) -> int:
        """How many of the pictures are of the validation part."""
        return len(self.probabilities)


def schema(counts: dict[str, int], dimensions: int | None) -> pa.Schema:
    """A row a picture; `predicted`, `probabilities` (in the order of the classes) and `embedding` are null in part "train".

    The metadata has "counts", pictures of the whole training set by class as JSON, "classes", one a line, and "dimensions", the
    embedding's, of which each is a little-endian float16; a model without has no such column.
    """
    embedding = [] if dimensions is None else [("embedding", pa.binary(2 * dimensions))]
    return pa.schema(
        [
            ("key", pa.string()),
            ("label", pa.string()),
            ("part", pa.string()),
            ("predicted", pa.string()),
            ("probabilities", pa.list_(pa.float32(), len(counts))),
            *embedding,
            ("brightness", pa.float32()),
            ("sharpness", pa.float32()),
            ("width", pa.int32()),
            ("height", pa.int32()),
        ],
        metadata={
            "classes": "\n".join(counts),
            "counts": json.dumps(counts, ensure_ascii=False),
            "dimensions": "" if dimensions is None else str(dimensions),
        },
    )


def build(network: Network, data: Dataset, watched: Sequence[int], seed: int, most: int = MOST) -> bytes:
    """The Parquet file, of at most so many pictures: the `watched` (of the validation part) first, then others, by hash."""
    order = sorted(range(len(data.keys)), key=lambda i: hashlib.sha256(f"{seed}/{data.keys[i]}".encode()).digest())
    validation = set(watched)
    chosen = sorted(order, key=lambda i: i not in validation)[:most]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        answers: list[Inference] = list(
            pool.map(lambda i: network.infer(data.views[i]), [i for i in chosen if i in validation])
        )
    told = collections.Counter(data.labels)
    rows = []
    for place, i in enumerate(chosen):
        width, height = data.sizes[i]
        row = {"key": data.keys[i], "label": data.labels[i], "part": "train", "width": width, "height": height}
        row |= look(data.views[i])._asdict()
        if place < len(answers):
            probabilities, embedding = answers[place]
            row |= {"part": "validation", "predicted": network.classes[int(np.argmax(probabilities))]}
            row["probabilities"] = probabilities
            row["embedding"] = None if embedding is None else embedding.astype("<f2").tobytes()
        rows.append(row)
    out = io.BytesIO()
    counts = {label: told[label] for label in network.classes}
    pq.write_table(pa.Table.from_pylist(rows, schema(counts, network.dimensions)), out, compression="zstd")
    return out.getvalue()


def read(data: bytes) -> Reference:
    """What `build` wrote. Raises BadModel for anything else."""
    try:
        return _read(data)
    except (pa.ArrowException, KeyError, TypeError, ValueError) as error:  # ArrowInvalid is a ValueError, too
        raise BadModel(f"the model's {FILE} is damaged: {error}", remedy=RETRAIN) from error


def _read(data: bytes) -> Reference:
    table = pq.read_table(io.BytesIO(data))
    counts = json.loads(table.schema.metadata[b"counts"])
    watched = table.slice(0, table["part"].to_pylist().count("validation"))
    embeddings = None
    if dimensions := table.schema.metadata[b"dimensions"]:
        embeddings = np.frombuffer(b"".join(watched["embedding"].to_pylist()), "<f2").reshape(-1, int(dimensions))
    probabilities = np.array(watched["probabilities"].to_pylist(), np.float32).reshape(-1, len(counts))
    looks = [table[name].to_numpy() for name in ("brightness", "sharpness", "width", "height")]
    return Reference(counts, table["label"].to_pylist(), probabilities, embeddings, *looks)
