"""When a model is to be trained again: a decision of plain numbers, with its reasons in words. Pure."""

from __future__ import annotations

from typing import Any

from model_service.words import counted, few


def needed(
    metrics: dict[str, Any],
    drift: dict[str, Any] | None,
    unseen: int,
    *,
    min_accuracy: float,
    max_new: int,
    on_drift: bool,
) -> tuple[bool, list[str]]:
    """Whether, and why. `unseen`: training pictures the model has never seen. `drift`: None when nothing was compared."""
    reasons = []
    if metrics["new_classes"]:
        reasons.append(f"new classes: {', '.join(few(metrics['new_classes']))}")
    accuracy = metrics["accuracy"]
    if accuracy is not None and accuracy < min_accuracy:
        got, least = _apart(accuracy, min_accuracy)
        reasons.append(f"accuracy on new pictures is {got}, below {least}")
    if unseen >= max_new:
        reasons.append(f"{counted(unseen, 'training picture')} the model has never seen, at least {max_new}")
    if on_drift and drift is not None and drift["drifted"]:
        found = [check["name"] for check in drift["checks"] if check["verdict"] == "drift"]
        reasons.append(f"the pictures have drifted: {', '.join(found)}")
    return bool(reasons), reasons


def _apart(low: float, high: float) -> tuple[str, str]:
    """Two shares as percentages with as many digits as it takes to see that they differ."""
    for digits in range(1, 6):
        texts = f"{low:.{digits}%}", f"{high:.{digits}%}"
        if texts[0] != texts[1]:
            break
    return texts
