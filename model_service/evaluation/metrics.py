"""How good predictions are, as plain numbers that JSON has: None where there is none, never NaN. Pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import precision_recall_fscore_support

from model_service.evaluation.confusion import confusion

TOP = 5
BINS = 15  # of confidence, equally wide, as Guo et al. 2017 have them
COVERAGES = (1.0, 0.95, *(tenths / 10 for tenths in range(9, 0, -1)))
_BLOCK = 4_000_000  # probabilities that are worked on at once, so that memory stays flat
_LEAST = float(np.finfo(np.float32).eps)  # a true class's probability for the log loss: of 0 it would be infinite


@dataclass(frozen=True)
class Predictions:
    """What was predicted for each of n pictures, and what is true.

    `probabilities` float32 [n, known classes], in the order of the model's classes.
    """

    labels: list[str]
    predicted: list[str]
    probabilities: NDArray[np.float32]


def measure(predictions: Predictions, known: list[str]) -> dict[str, Any]:
    """Every number of the report about how good the predictions are; docs/evaluation.md says what each means.

    `known` are the model's classes; a label it does not know counts as an error and is listed under `new_classes`. Without
    pictures there is no accuracy, nor any other share: None, and the lists are empty.
    """
    classes = sorted(set(known) | set(predictions.labels))
    place = {label: i for i, label in enumerate(classes)}
    true, guessed = (_codes(names, place) for names in (predictions.labels, predictions.predicted))
    right = true == guessed
    pictures, hits = len(right), int(right.sum())
    return {
        "pictures": pictures,
        "right": hits,
        "accuracy": hits / pictures if pictures else None,
        "interval": interval(hits, pictures),
        **_of_probabilities(predictions.probabilities, _codes(predictions.labels, {c: i for i, c in enumerate(known)})),
        **of_confidence(predictions.probabilities, right),
        "by_class": _by_class(classes, true, guessed),
        **confusion(classes, true, guessed),
        "new_classes": sorted(set(predictions.labels) - set(known)),
    }


def interval(hits: int, pictures: int) -> list[float] | None:
    """Within which the true share lies, by Wilson's score, with 95 % confidence."""
    if not pictures:
        return None
    found = binomtest(hits, pictures).proportion_ci(0.95, method="wilson")
    return [float(found.low), float(found.high)]


def _codes(names: list[str], place: dict[str, int]) -> NDArray[np.int64]:
    """Numbers of names; -1 is one without a place."""
    return np.fromiter((place.get(name, -1) for name in names), np.int64, len(names))


def _by_class(classes: list[str], true: NDArray[np.int64], guessed: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
    """A class nobody predicted has no precision, one without pictures no recall: None."""
    if len(true):
        numbered = np.arange(len(classes))
        *scores, support = precision_recall_fscore_support(true, guessed, labels=numbered, zero_division=np.nan)
    else:
        scores, support = [np.full(len(classes), np.nan)] * 3, np.zeros(len(classes), int)
    named = zip(("precision", "recall", "f1"), scores, strict=True)
    columns = {name: [_finite(value) for value in values] for name, values in named} | {"support": support.tolist()}
    return {label: {name: values[i] for name, values in columns.items()} for i, label in enumerate(classes)}


def _of_probabilities(probabilities: NDArray[np.float32], true: NDArray[np.int64]) -> dict[str, float | None]:
    """Top-5, log loss (nats) and Brier score (0 to 2); `true` is -1 for a label the model does not know."""
    if not len(true):
        return {"top5": None, "log_loss": None, "brier": None}
    among, loss, brier = 0, 0.0, 0.0
    rows = max(1, _BLOCK // max(1, probabilities.shape[1]))
    for begin in range(0, len(true), rows):
        given = probabilities[begin : begin + rows].astype(np.float64)
        label = true[begin : begin + rows]
        known = label >= 0
        own = np.where(known, given[np.arange(len(label)), label], 0.0)
        # As a stable sort has it: of equally probable classes the first in the model's order comes first.
        before = np.arange(given.shape[1]) < label[:, None]
        rank = ((given > own[:, None]) | ((given == own[:, None]) & before)).sum(axis=1)
        among += int((known & (rank < TOP)).sum())
        loss -= float(np.log(own.clip(_LEAST, 1)).sum())
        brier += float(
            ((given**2).sum(axis=1) - 2 * own + 1).sum()
        )  # Σ (p - y)²; an unknown class is one more, of p = 0
    return {"top5": among / len(true), "log_loss": _finite(loss / len(true)), "brier": _finite(brier / len(true))}


def of_confidence(probabilities: NDArray[np.float32], right: NDArray[np.bool_]) -> dict[str, Any]:
    """Expected calibration error with its bins, and the accuracy on those that the model is surest of."""
    if not len(right):
        return {"ece": None, "reliability": [], "abstention": []}
    confidence = np.nan_to_num(probabilities.max(axis=1).astype(np.float64)).clip(0, 1)
    bins = (np.ceil(confidence * BINS).astype(int) - 1).clip(0)  # each with its upper edge, without its lower
    count = np.bincount(bins, minlength=BINS)
    sure, hits = (np.bincount(bins, weights, BINS) for weights in (confidence, right))
    reliability = [
        {
            "low": i / BINS,
            "high": (i + 1) / BINS,
            "confidence": float(sure[i] / count[i]) if count[i] else None,
            "accuracy": float(hits[i] / count[i]) if count[i] else None,
            "count": int(count[i]),
        }
        for i in range(BINS)
    ]
    ece = _finite(float(np.abs(sure - hits).sum()) / len(right))
    return {"ece": ece, "reliability": reliability, "abstention": _abstention(confidence, right)}


def _abstention(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> list[dict[str, float]]:
    """Per threshold the share of pictures at least so sure, and the accuracy on these; what is equally sure goes together."""
    order = np.argsort(-confidence, kind="stable")
    falling, hits = confidence[order], np.cumsum(right[order])
    kept = (math.ceil(coverage * len(right) - 1e-9) for coverage in COVERAGES)
    # How many are at least as sure as the last of so many; each number once.
    ends = dict.fromkeys(int(np.searchsorted(-falling, -falling[k - 1], side="right")) for k in kept)
    return [
        {"coverage": k / len(right), "accuracy": float(hits[k - 1] / k), "threshold": float(falling[k - 1])}
        for k in ends
    ]


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
