"""How good predictions are, as plain numbers, and whether they call for retraining. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support


@dataclass(frozen=True)
class Predictions:
    """What was predicted for each picture, and what is true."""

    labels: list[str]
    predicted: list[str]


def measure(predictions: Predictions, known: list[str]) -> dict[str, Any]:
    """Accuracy, per-class precision, recall, F1 and support, and the confusion matrix (rows true, columns predicted).

    `known` are the model's classes; a label it does not know counts as an error and is listed under `new_classes`. Without
    pictures there is no accuracy: None.
    """
    classes = sorted(set(known) | set(predictions.labels))
    right = sum(a == b for a, b in zip(predictions.labels, predictions.predicted, strict=True))
    if predictions.labels:
        accuracy = right / len(predictions.labels)
        matrix = confusion_matrix(predictions.labels, predictions.predicted, labels=classes)
        scores = precision_recall_fscore_support(
            predictions.labels, predictions.predicted, labels=classes, zero_division=np.nan
        )
    else:  # which scikit-learn takes for a mistake
        accuracy, matrix = None, np.zeros((len(classes), len(classes)), int)
        scores = (*np.full((3, len(classes)), np.nan), np.zeros(len(classes), int))
    by_class = {
        label: {name: _number(values[i]) for name, values in zip(_SCORES, scores, strict=True)}
        for i, label in enumerate(classes)
    }
    return {
        "pictures": len(predictions.labels),
        "right": right,
        "accuracy": accuracy,
        "by_class": by_class,
        "classes": classes,
        "confusion": matrix.tolist(),
        "new_classes": sorted(set(predictions.labels) - set(known)),
    }


def retrain(metrics: dict[str, Any], unseen: int, *, min_accuracy: float, max_new: int) -> tuple[bool, list[str]]:
    """Whether the model should be trained again, and why. `unseen`: training pictures it has never seen."""
    reasons = []
    if metrics["new_classes"]:
        reasons.append(f"new classes: {', '.join(metrics['new_classes'])}")
    if metrics["accuracy"] is not None and metrics["accuracy"] < min_accuracy:
        reasons.append(f"accuracy on new pictures is {metrics['accuracy']:.1%}, below {min_accuracy:.1%}")
    if unseen >= max_new:
        reasons.append(f"{unseen} training pictures the model has never seen, at least {max_new}")
    return bool(reasons), reasons


_SCORES = ("precision", "recall", "f1", "support")


def _number(value: float) -> float | int | None:
    """A class nobody predicted has no precision: null rather than a number that looks like one."""
    if np.isnan(value):
        return None
    return int(value) if float(value).is_integer() and not isinstance(value, float) else float(value)
