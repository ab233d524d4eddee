"""The self test that every exported model carries: a few pictures and what the website must answer to them. No torch.

It is a shard (`<key>.jpg` as packed, `<key>.json` with the true label and the expected probabilities), listed with its
hash in model.json. Whoever deploys the model asks the website these questions.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from model_service import images, registry
from model_service.errors import StepError
from model_service.inference import Network
from model_service.registry import BadModel
from model_service.scratch import scratch
from model_service.shards import BadShard, Sample, ShardWriter, read_shard

FILE = "selftest.tar"
QUESTIONS = 8
DIGITS = 4  # of a probability: machines agree on these, and not on those after them


@dataclass(frozen=True)
class Question:
    """A picture file, its true label, and the probability of each class that the website must answer."""

    jpeg: bytes
    label: str
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Picture:
    """What choosing goes by: the picture's key and label, and its shorter side as packed, in pixels."""

    key: str
    label: str
    side: int


def choose(pictures: Iterable[Picture], watched: set[str], seed: int) -> list[str]:
    """The keys of the pictures to ask, fewer when there are fewer: those not learned from first, spread over the classes.

    Only what the website takes can be asked; raises StepError when it takes none of them, as no such model can be deployed.
    """
    least = images.Limits().min_side
    askable = [p for p in pictures if p.side >= least]
    if not askable:
        raise StepError(
            "no training picture is large enough for the website, so nothing can prove that it serves the model",
            remedy=f"put pictures with a shorter side of at least {least} pixels into the source bucket",
        )
    # Learned from only when nothing else is left; within each part a picture of every class before a second of any.
    order = sorted((p.key not in watched, hashlib.sha256(f"{seed}/{p.key}".encode()).digest(), p) for p in askable)
    seen: Counter[tuple[bool, str]] = Counter()
    ranked = []
    for learned, digest, picture in order:
        ranked.append((learned, seen[learned, picture.label], digest, picture.key))
        seen[learned, picture.label] += 1
    return [key for *_, key in sorted(ranked)[:QUESTIONS]]


def build(network: Network, samples: Iterable[Sample]) -> bytes:
    """The file for a model: what it answers to these packed pictures, each with its `label`, on the website's path."""
    with scratch("selftest") as folder:
        writer = ShardWriter(folder, "selftest", limit=sys.maxsize)
        for sample in samples:
            view = images.seen(sample.jpeg, images.Limits(), network.size)
            answer = (round(p, DIGITS) for p in network.probabilities(view).tolist())
            expected = dict(zip(network.classes, answer, strict=True))
            meta = {"label": sample.meta["label"], "probabilities": expected}
            writer.add(Sample(sample.key, sample.jpeg, meta))
        writer.close()
        return writer.paths[0].read_bytes()


def load(models: str, version: str) -> list[Question]:
    """The questions of a version, its hash checked. Raises BadModel, also for a model that carries none."""
    with scratch("selftest") as folder:
        path = folder / FILE
        path.write_bytes(registry.load(models, version, FILE))
        try:
            return [Question(s.jpeg, s.meta["label"], s.meta["probabilities"]) for s in read_shard(path)]
        except (BadShard, KeyError) as error:
            raise BadModel(f"the self test of model {version} is damaged: {error}") from error
