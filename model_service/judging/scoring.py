"""What several models say of the same pictures. Memory: a few bytes a picture and model, whatever the classes."""

from __future__ import annotations

import array
import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_service.inference import Classifier
from model_service.shards import Sample

CHUNK = 256  # pictures scored at a time


class Said(NamedTuple):
    """By one model, of n pictures: what it takes each for (as in `Scores.names`), and its probability."""

    predicted: NDArray[np.int32]
    confidence: NDArray[np.float32]


class Scores(NamedTuple):
    """`labels` int32 [n] and all predictions count in `names`; `first` are some of the JPEGs, the first ones."""

    names: list[str]
    labels: NDArray[np.int32]
    said: list[Said]
    first: list[bytes]


def score(models: Sequence[Classifier], samples: Iterable[Sample], keep: int) -> Scores:
    """Of each model, in their order; `keep` is how many of the JPEGs to keep."""
    place = {label: i for i, label in enumerate(sorted({label for model in models for label in model.classes}))}
    codes = [np.array([place[label] for label in model.classes]) for model in models]
    labels, first = array.array("i"), list[bytes]()
    predicted, confidence = [array.array("i") for _ in models], [array.array("f") for _ in models]
    samples = iter(samples)
    while chunk := list(itertools.islice(samples, CHUNK)):
        first += [sample.jpeg for sample in chunk[: max(0, keep - len(first))]]
        labels.extend(place.setdefault(sample.meta["label"], len(place)) for sample in chunk)
        for i, model in enumerate(models):
            for probabilities in model.classify(sample.jpeg for sample in chunk):
                best = int(np.argmax(probabilities))
                predicted[i].append(int(codes[i][best]))
                confidence[i].append(float(probabilities[best]))
    said = [
        Said(np.asarray(guesses, np.int32), np.asarray(sure, np.float32))
        for guesses, sure in zip(predicted, confidence, strict=True)
    ]
    return Scores(list(place), np.asarray(labels, np.int32), said, first)
