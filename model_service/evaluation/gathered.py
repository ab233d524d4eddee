"""A run's predictions beside what its manifests know of the pictures: columns of numbers, read batch by batch, file by file."""

from __future__ import annotations

import collections
import functools
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import menagerie_contract as contract
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from model_service import batches, predictions
from model_service.errors import StepError
from model_service.predictions import BadPredictions
from model_service.storage import Store
from model_service.words import counted

SAMPLE = 2000  # embeddings that are kept: enough to tell two clouds of points apart, 2 MB of 512 numbers
LISTED = 1000  # quarantined pictures named one by one; the manifests have the others
SEED = 0
_KNOWN = ("key", "uri", "label", "shard", "offset", "copy", "size", "width", "height")
_NUMBERS = ("probability", "margin", "brightness", "sharpness")
_WORDS = ("label", "shard", "batch")  # columns of few words
log = logging.getLogger(__name__)


@dataclass
class Gathered:
    """The n packed pictures of a run whose label is sure, in the order of batches' names and manifests.

    `pictures` has their manifest's columns and `batch`; `predicted` [n] counts in `classes`, `probabilities` is [n, classes],
    `embeddings` float16 [m, dimensions] are of the pictures `sampled` [m]; None: the predictions have none.
    """

    classes: list[str]
    pictures: pa.Table
    doubted: int  # packed pictures left out, since they were met under another label, too
    predicted: NDArray[np.int32]
    probabilities: NDArray[np.float32]
    numbers: dict[str, NDArray[np.float32]]  # [n] each: probability, margin, brightness, sharpness
    sampled: NDArray[np.int64]
    embeddings: NDArray[np.float16] | None
    quarantined: dict[str, int]  # by reason
    quarantine: list[dict[str, str]]  # the first LISTED of them: uri, reason, text
    said: dict[str, set[str]] = field(default_factory=dict)  # precision, preprocessing: of the files of predictions

    @functools.cached_property
    def labels(self) -> list[str]:
        """The true ones, [n]."""
        labels: list[str] = self.pictures["label"].to_pylist()
        return labels

    @functools.cached_property
    def wrong(self) -> NDArray[np.bool_]:
        """[n]; a label that the model does not know is wrong whatever was predicted."""
        true = pc.index_in(self.pictures["label"].cast(pa.string()), value_set=pa.array(self.classes, pa.string()))
        wrong: NDArray[np.bool_] = np.asarray(true.fill_null(-1)) != self.predicted
        return wrong

    def among(self, shards: Iterable[str]) -> int:
        """How many of the pictures are in these shards (URIs, of a model's card): it was trained on them."""
        known = {(contract.batch_of(uri), uri.rsplit("/", 1)[1]) for uri in shards}
        places = self.pictures.select(["batch", "shard"]).group_by(["batch", "shard"]).aggregate([([], "count_all")])
        return sum(row["count_all"] for row in places.to_pylist() if (row["batch"], row["shard"]) in known)


def gather(
    step: contract.Evaluate, classes: Sequence[str], doubted: Mapping[str, set[str]], models: Store, predicted: Store
) -> Gathered:
    """All of a run. `doubted`: see batches.retracted. Raises StepError when predictions are missing, BadPredictions when they
    are another model's.
    """
    slim: dict[str, pa.Table] = {}
    aside: dict[str, list[dict[str, str]]] = {}
    reasons: collections.Counter[str] = collections.Counter()
    packed = 0
    for batch, manifest in batches.manifests(step.models, step.run, models):
        bad = manifest.filter(pc.equal(manifest["status"], "quarantined")).select(["uri", "reason", "text"])
        reasons.update(bad["reason"].to_pylist())
        aside[batch] = bad.slice(0, LISTED).to_pylist()
        table = manifest.filter(pc.equal(manifest["status"], "packed"))
        packed += len(table)
        slim[batch] = _sure(table, batch, doubted.get(batch, set()))
    if not slim:
        raise StepError(
            f"run {step.run} has sorted nothing: it has no batch in {step.models}",
            remedy="sort first, under the same --run",
        )
    names = sorted(slim)  # as their ranges
    count = sum(map(len, slim.values()))
    found = Gathered(
        list(classes),
        pa.concat_tables(slim[name] for name in names).unify_dictionaries(),
        packed - count,
        np.full(count, -1, np.int32),
        np.empty((count, len(classes)), np.float32),
        {name: np.empty(count, np.float32) for name in _NUMBERS},
        np.empty(0, np.int64),
        None,
        dict(sorted(reasons.items())),
        [row for name in names for row in aside[name]][:LISTED],
    )
    starts = dict(zip(names, np.cumsum([0, *(len(slim[name]) for name in names)]).tolist(), strict=False))
    keys = {name: slim[name]["key"].combine_chunks() for name in names}
    sample = _Sample()
    for name in predictions.names(predicted, step.run):
        file = predictions.opened(predicted, name)
        batch = contract.batch_of(_checked(step, file, f"{predicted.uri}/{name}", found).shard)
        if batch in keys:
            _place(found, file, keys[batch], starts[batch], sample)
        else:
            log.warning("%s/%s is of no batch of run %s: it is left out", predicted.uri, name, step.run)
    missing = int((found.predicted < 0).sum())
    if missing:
        raise StepError(
            f"{missing} of {counted(count, 'picture')} of {step.run} {'has' if missing == 1 else 'have'} no prediction",
            remedy="run predict again for this run (clear its failed tasks)",
        )
    found.sampled, found.embeddings = sample.rows, sample.vectors
    return found


def _sure(packed: pa.Table, batch: str, doubted: set[str]) -> pa.Table:
    """What is needed of a manifest's packed pictures."""
    table = packed.select(_KNOWN)
    if doubted:
        table = table.filter(pc.invert(pc.is_in(table["key"], value_set=pa.array(sorted(doubted), pa.string()))))
    table = table.append_column("batch", pa.array([batch] * len(table), pa.string()))
    for name in _WORDS:
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, table[name].dictionary_encode())
    return table


def _checked(step: contract.Evaluate, file: pq.ParquetFile, uri: str, found: Gathered) -> predictions.Origin:
    """Where a file's predictions come from. Raises BadPredictions unless they are the model's."""
    origin = predictions.origin(file.schema_arrow)
    if origin.model != step.model:
        raise BadPredictions(
            f"{uri} has predictions by {origin.model}, not by {step.model}",
            remedy=f"evaluate with --model={origin.model}, or predict with {step.model} under another --run",
        )
    if origin.classes != found.classes:
        raise BadPredictions(
            f"{uri} has other classes than {step.model}'s card: {', '.join(origin.classes)}",
            remedy="it was made with another model of that name: predict again under another --run",
        )
    for name in ("precision", "preprocessing"):
        found.said.setdefault(name, set()).add(getattr(origin, name))
    return origin


def _place(found: Gathered, file: pq.ParquetFile, keys: pa.Array, start: int, sample: _Sample) -> None:
    """Put the rows of a file where their pictures are. Those that are no pictures of the batch, or doubted, are left out."""
    there = [name for name in ("embedding",) if name in file.schema_arrow.names]
    table = file.read(columns=["key", "predicted", "probabilities", *_NUMBERS, *there], use_threads=False)
    at = pc.index_in(table["key"], value_set=keys)
    table, rows = table.filter(pc.is_valid(at)), start + np.asarray(at.drop_null(), np.int64)
    guessed = pc.index_in(table["predicted"], value_set=pa.array(found.classes, pa.string())).fill_null(-1)
    found.predicted[rows] = np.asarray(guessed)
    flat = table["probabilities"].combine_chunks().flatten()
    found.probabilities[rows] = np.asarray(flat).reshape(len(rows), len(found.classes))
    for name in _NUMBERS:
        found.numbers[name][rows] = np.asarray(table[name])
    if there:
        sample.add(rows, table)


class _Sample:
    """At most SAMPLE embeddings of all that are added, each as likely as any other: those that draw the least numbers.

    The draws are seeded and the files come in the order of their names, so the same files give the same sample.
    """

    def __init__(self) -> None:
        self._random = np.random.default_rng(SEED)
        self._drawn = np.empty(0)
        self.rows = np.empty(0, np.int64)
        self.vectors: NDArray[np.float16] | None = None

    def add(self, rows: NDArray[np.int64], table: pa.Table) -> None:
        drawn = self._random.random(len(rows))
        best = np.sort(np.argsort(drawn)[:SAMPLE])
        vectors = predictions.embeddings(table.take(pa.array(best)))
        if self.vectors is not None:
            vectors = np.concatenate([self.vectors, vectors])
        drawn, rows = np.concatenate([self._drawn, drawn[best]]), np.concatenate([self.rows, rows[best]])
        kept = np.sort(np.argsort(drawn)[:SAMPLE])
        self._drawn, self.rows, self.vectors = drawn[kept], rows[kept], vectors[kept]
