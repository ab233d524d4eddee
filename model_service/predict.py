"""predict: classify the pictures of some shards with one model; one Parquet file, written whole."""

from __future__ import annotations

import collections
import io
import itertools
from collections.abc import Iterator
from typing import Any

import menagerie_contract as contract
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from model_service import batches
from model_service.errors import StepError
from model_service.inference import Classifier
from model_service.progress import progress
from model_service.results import Outcome
from model_service.scratch import scratch
from model_service.shards import Sample
from model_service.storage import Exists, locate

ROWS = 1024  # pictures held in memory before they go to the file


def schema(classes: list[str], model: str, shards: list[str]) -> pa.Schema:
    """A row a picture; `probabilities` in the order of `classes`, which the metadata has, with the model and the shards."""
    return pa.schema(
        [
            ("key", pa.string()),
            ("uri", pa.string()),
            ("generation", pa.int64()),
            ("split", pa.string()),
            ("label", pa.string()),
            ("predicted", pa.string()),
            ("probability", pa.float32()),
            ("top5", pa.list_(pa.string())),
            ("probabilities", pa.list_(pa.float32(), len(classes))),
            ("model", pa.string()),
        ],
        metadata={"classes": "\n".join(classes), "model": model, "shards": "\n".join(shards)},
    )


def predict(step: contract.Predict) -> Outcome:
    classifier = Classifier(step.models, step.model)
    shards = batches.digests(step.models, step.shards)
    counts: collections.Counter[str] = collections.Counter()
    with scratch("predict") as folder:
        file = folder / "predictions.parquet"
        with pq.ParquetWriter(file, schema(classifier.classes, step.model, list(shards)), compression="zstd") as writer:
            told = progress(_rows(classifier, batches.samples(step.models, shards)), "predict")
            while chunk := list(itertools.islice(told, ROWS)):
                writer.write_table(pa.Table.from_pylist(chunk, writer.schema))
                counts.update(row["predicted"] for row in chunk)
        store, name = locate(step.output)
        try:
            store.write_if_absent(name, file)
        except Exists:  # an earlier attempt wrote it whole
            _check_same(step, store.read(name), list(shards))
    total = sum(counts.values())
    return Outcome(
        {"pictures": total, "predicted": dict(sorted(counts.items()))},
        {"predictions": step.output},
        f"{total} pictures classified by {step.model}",
    )


def _check_same(step: contract.Predict, there: bytes, shards: list[str]) -> None:
    metadata = pq.read_schema(io.BytesIO(there)).metadata
    if (metadata[b"model"].decode(), metadata[b"shards"].decode()) != (step.model, "\n".join(shards)):
        raise StepError(
            f"{step.output} holds the predictions of {metadata[b'model'].decode()} for other shards or by another model",
            remedy="give another --output: nothing is overwritten",
        )


def _rows(classifier: Classifier, samples: Iterator[Sample]) -> Iterator[dict[str, Any]]:
    waiting: collections.deque[Sample] = collections.deque()  # read ahead by the classifier, not answered yet

    def jpegs() -> Iterator[bytes]:
        for sample in samples:
            waiting.append(sample)
            yield sample.jpeg

    for probabilities in classifier.classify(jpegs()):
        meta = waiting.popleft()
        best = np.argsort(-probabilities, kind="stable")[:5]
        yield {
            "key": meta.key,
            **{name: meta.meta[name] for name in ("uri", "generation", "split", "label")},
            "predicted": classifier.classes[best[0]],
            "probability": probabilities[best[0]],
            "top5": [classifier.classes[i] for i in best],
            "probabilities": probabilities,
            "model": classifier.version,
        }
