"""predict: classify the pictures of some shards with one model; a Parquet file for each shard, written whole.

A shard whose file is there is not read again. One that is damaged fails the step, after the others have been done.
"""

from __future__ import annotations

import collections
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import menagerie_contract as contract

from model_service import batches, images, inference, predictions
from model_service.answers import Answer, answers
from model_service.batches import Described
from model_service.errors import StepError
from model_service.inference import Classifier, Precision
from model_service.predictions import BadPredictions, Origin, Writer
from model_service.prices import dollars
from model_service.progress import progress
from model_service.registry import BadModel
from model_service.results import Outcome
from model_service.scratch import scratch
from model_service.shards import BadShard
from model_service.storage import Exists, name_in, open_store
from model_service.storage.metered import Meter, Metered
from model_service.streams import streamed
from model_service.words import counted

log = logging.getLogger(__name__)


def predict(step: contract.Predict) -> Outcome:
    begun, meter = time.monotonic(), Meter()
    _check_named(step)
    precision, why = inference.chosen(step.models, step.model, step.precision)
    job = _Job(step, precision, batches.described(step.models, step.shards), meter)
    skipped = job.look_for_done()
    todo = {uri: shard for uri, shard in job.shards.items() if uri not in job.done}
    if todo:
        total = sum(shard.pictures for shard in todo.values())
        note = lambda: f"{len(job.done)} of {len(job.shards)} shards done"  # noqa: E731
        for _ in progress(job.classify(todo), "predict", total, note):
            pass
    job.raise_failures()
    predicted: Counter[str] = sum(job.done.values(), Counter())
    there = ", ".join(sorted(set(job.precisions.values())))
    if there != precision:  # what earlier attempts wrote
        why = f"its files are in {there}" + (f" (this attempt: {why})" if todo else "")
    return Outcome(
        {
            "pictures": predicted.total(),
            "predicted": dict(sorted(predicted.items())),
            "shards": len(job.shards),
            "skipped": skipped,
            "precision": there,
            **_costs(meter, begun, sum(shard.pictures for shard in todo.values())),
        },
        {"predictions": [contract.predictions(step.predicted, step.run, uri) for uri in job.shards]},
        f"{counted(predicted.total(), 'picture')} in {counted(len(job.shards), 'shard')} classified by {step.model}; {why}"
        + (f"; done already: {counted(skipped, 'shard')}" if skipped else ""),
    )


def _check_named(step: contract.Predict) -> None:
    if not step.model:
        raise BadModel(
            "no model is named: --model is empty", remedy="give the version of a model, as train's result has it"
        )
    if not step.shards or not all(step.shards):
        raise BadShard("no shard is named: --shards is empty", remedy="give shards that sort's result names")


class _Job:
    """`done`: shards whose file is written, with the number of pictures predicted of each class; `precisions`: theirs."""

    def __init__(self, step: contract.Predict, precision: Precision, shards: Mapping[str, Described], meter: Meter):
        self.step, self.precision, self.shards = step, precision, shards
        self.done: dict[str, Counter[str]] = {}
        self.precisions: dict[str, str] = {}
        self._failures: dict[str, StepError] = {}
        self._models, self._predicted = (Metered(open_store(uri), meter) for uri in (step.models, step.predicted))

    def look_for_done(self) -> int:
        """How many of the shards have been done by earlier attempts. Raises BadPredictions for a file that is another one."""
        there = set(predictions.names(self._predicted, self.step.run))
        for uri in self.shards:
            if self._name(uri) in there:
                self.done[uri] = self._accepted(uri)
        return len(self.done)

    def classify(self, shards: Mapping[str, Described]) -> Iterator[Answer]:
        """Every answer, as it goes into its shard's file."""
        hashes = {uri: shard.sha256 for uri, shard in shards.items()}
        with scratch("predict") as folder, streamed(self._models, hashes) as reading:
            # Loaded while the first pictures are on their way.
            classifier = self._classifier
            writer: Writer | None = None
            for uri, event in answers(classifier, reading):
                writer = writer or Writer(folder / "predictions.parquet", self._origin(uri, classifier))
                if isinstance(event, Answer):
                    writer.add(*event)
                    yield event
                    continue
                writer.close()
                try:
                    self._finish(uri, writer, event.error)
                except StepError as error:
                    log.error("%s", error)
                    self._failures[uri] = error
                writer = None

    def raise_failures(self) -> None:
        if not self._failures:
            return
        first, *others = self._failures.values()
        if not others:
            raise first
        all_, failed = len(self.shards), len(self._failures)
        how = (
            f"all {all_} shards failed" if failed == all_ else f"{failed} of {all_} shards failed, the others are done"
        )
        raise type(first)(
            f"{how}. The first: {first}",
            remedy=first.remedy,
            retry=any(error.retry for error in self._failures.values()),
        )

    def _finish(self, uri: str, writer: Writer, error: StepError | None) -> None:
        found, listed = writer.predicted.total(), self.shards[uri].pictures
        if error is None and found != listed:
            error = BadShard(f"{uri} has {counted(found, 'picture')}, but its manifest lists {listed} in it")
        if error:
            raise error
        try:
            self._predicted.write_if_absent(self._name(uri), writer.path)
            self.done[uri], self.precisions[uri] = writer.predicted, writer.origin.precision
        except Exists:  # another attempt at the same was faster
            self.done[uri] = self._accepted(uri)

    def _accepted(self, uri: str) -> Counter[str]:
        """The classes predicted in the file that is there. Raises BadPredictions unless it is what we would write."""
        file = predictions.opened(self._predicted, self._name(uri))
        origin = file.origin
        # With `auto`, every machine has its own; what one has done need not be done again by another.
        demanded = self.precision if self.precision == self.step.precision else origin.precision
        wanted = (self.step.model, uri, self.shards[uri].sha256, demanded)
        if (origin.model, origin.shard, origin.shard_sha256, origin.precision) != wanted:
            raise BadPredictions(
                f"{file.uri} holds the predictions of {origin.model} in {origin.precision} for {origin.shard}, not those "
                f"of {self.step.model} in {demanded} for {uri}",
                remedy="predict under another --run: nothing is overwritten",
            )
        # The model is loaded only where it must be asked whether it has embeddings at all.
        if (origin.dimensions is not None) != (
            self.step.embedding and bool(origin.dimensions or self._classifier.dimensions)
        ):
            has, asked = ("has", "false") if origin.dimensions else ("lacks", "true")
            raise BadPredictions(
                f"{file.uri} {has} embeddings, but --embedding={asked}: a run's files are all alike",
                remedy="predict with the --embedding of the first time, or under another --run: nothing is overwritten",
            )
        table = file.read()
        found, listed = len(table), self.shards[uri].pictures
        if found != listed:
            raise BadPredictions(
                f"{file.uri} is damaged: it has {counted(found, 'row')}, but the manifest of {uri} lists "
                f"{counted(listed, 'picture')}",
                remedy=predictions.REMEDY,
            )
        self.precisions[uri] = origin.precision
        return collections.Counter(table["predicted"].to_pylist())

    @cached_property
    def _classifier(self) -> Classifier:
        return Classifier(self.step.models, self.step.model, precision=self.precision)

    def _origin(self, uri: str, classifier: Classifier) -> Origin:
        return Origin(
            classes=classifier.classes,
            model=classifier.version,
            preprocessing=images.PREPROCESSING,
            precision=classifier.precision,
            shard=uri,
            shard_sha256=self.shards[uri].sha256,
            dimensions=classifier.dimensions if self.step.embedding else None,
        )

    def _name(self, uri: str) -> str:
        return name_in(self._predicted, contract.predictions(self.step.predicted, self.step.run, uri))


def _costs(meter: Meter, begun: float, pictures: int) -> dict[str, Any]:
    """Of this attempt, which classified so many pictures since `begun` (time.monotonic()): what it asked of the stores for
    shards and predictions, and about what that costs.
    """
    spent, seconds = meter.counts(), time.monotonic() - begun
    return {name: spent[name] for name in ("bytes_in", "bytes_out", "class_a", "class_b")} | {
        "usd": dollars(spent["class_a"], spent["class_b"]),
        "seconds": round(seconds, 3),
        "per_second": round(pictures / seconds, 1),
    }
