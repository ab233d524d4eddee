"""How far two models are from each other: by their weights, by what they answer, and by how often they are right."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import safetensors.numpy

from model_service import batches, registry, selftest
from model_service.inference import WEIGHTS, Classifier
from model_service.progress import progress
from model_service.retractions import doubts

CHUNK = 256  # pictures answered to at a time


@dataclass(frozen=True)
class Weights:
    """`same`: bit for bit. The differences are of single numbers; None where the two have not the same shapes."""

    same: bool
    largest: float | None
    mean: float | None


@dataclass
class Answers:
    """To the same `pictures`: how many got the same answer, how many each got right, and softmax differences (shares)."""

    pictures: int = 0
    agreed: int = 0
    right: list[int] = field(default_factory=lambda: [0, 0])
    largest: float = 0.0
    total: float = 0.0

    @property
    def mean(self) -> float:
        """Over pictures, of the largest difference of any class."""
        return self.total / self.pictures if self.pictures else 0.0


def weights(models: str, original: str, rebuilt: str) -> Weights:
    """Of two versions in a bucket. Raises BadModel."""
    a, b = (registry.load(models, version, WEIGHTS) for version in (original, rebuilt))
    one, other = safetensors.numpy.load(a), safetensors.numpy.load(b)
    shapes = [{name: array.shape for name, array in arrays.items()} for arrays in (one, other)]
    if shapes[0] != shapes[1]:
        return Weights(False, None, None)
    largest = total = 0.0
    count = 0
    for name, array in one.items():
        difference = np.abs(array.astype(np.float64) - other[name].astype(np.float64))
        largest = max(largest, float(difference.max(initial=0.0)))
        total += float(difference.sum())
        count += difference.size
    return Weights(a == b, largest, total / count)


def answers(models: str, original: str, rebuilt: str, wanted: dict[str, str]) -> tuple[Answers, Answers]:
    """To the original's self test, and to the held-out pictures of the `wanted` batches (name → sha256 of its manifest)."""
    pair = [Classifier(models, version) for version in (original, rebuilt)]
    test = ((question.jpeg, question.label) for question in selftest.load(models, original))
    return _answers(pair, test), _answers(pair, progress(_held_out(models, wanted), "score"))


def _held_out(models: str, wanted: dict[str, str]) -> Iterable[tuple[bytes, str]]:
    shards: dict[str, str] = {}
    retracted: dict[str, set[str]] = {}
    for name, manifest, doubted in doubts(batches.named(models, wanted)):
        shards |= batches.shards_in(models, name, manifest, "holdout")
        retracted[name] = doubted
    for sample in batches.sure(models, shards, retracted):
        yield sample.jpeg, sample.meta["label"]


def _answers(pair: list[Classifier], pictures: Iterable[tuple[bytes, str]]) -> Answers:
    found, pictures = Answers(), iter(pictures)
    same_classes = pair[0].classes == pair[1].classes
    while chunk := list(itertools.islice(pictures, CHUNK)):
        probabilities = [list(model.classify(jpeg for jpeg, _ in chunk)) for model in pair]
        for (_, label), *given in zip(chunk, *probabilities, strict=True):
            said = [model.classes[int(np.argmax(p))] for model, p in zip(pair, given, strict=True)]
            found.pictures += 1
            found.agreed += said[0] == said[1]
            found.right = [right + (one == label) for right, one in zip(found.right, said, strict=True)]
            difference = float(np.abs(given[0] - given[1]).max()) if same_classes else 1.0
            found.largest = max(found.largest, difference)
            found.total += difference
    return found
