"""When to train again, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from model_service.evaluation.retraining import needed

DRIFTED = {
    "drifted": True,
    "checks": [
        {"name": "class mix", "verdict": "drift"},
        {"name": "embedding", "verdict": "ok"},
        {"name": "brightness", "verdict": "drift"},
        {"name": "sharpness", "verdict": "too few"},
    ],
    "new_classes": [],
}


def decided(
    accuracy: float | None, unseen: int, new: list[str], drift: dict[str, Any] | None = None, on_drift: bool = True
) -> list[str]:
    metrics = {"accuracy": accuracy, "new_classes": new}
    yes, reasons = needed(metrics, drift, unseen, min_accuracy=0.95, max_new=500, on_drift=on_drift)
    assert yes == bool(reasons)
    return reasons


@pytest.mark.parametrize(
    ("accuracy", "unseen", "new_classes", "reasons"),
    [
        (1.0, 0, [], []),
        (0.95, 499, [], []),
        (None, 0, [], []),
        (0.5, 0, [], ["accuracy on new pictures is 50.0%, below 95.0%"]),
        (0.9499, 0, [], ["accuracy on new pictures is 94.99%, below 95.00%"]),
        (1.0, 500, [], ["500 training pictures the model has never seen, at least 500"]),
        (1.0, 0, ["gnu", "yak"], ["new classes: gnu, yak"]),
    ],
)
def test_each_reason(accuracy: float | None, unseen: int, new_classes: list[str], reasons: list[str]) -> None:
    assert decided(accuracy, unseen, new_classes) == reasons


def test_drift_is_a_reason_if_it_is_meant_to_be() -> None:
    assert decided(1.0, 0, [], DRIFTED) == ["the pictures have drifted: class mix, brightness"]
    assert decided(1.0, 0, [], DRIFTED, on_drift=False) == []
    assert decided(1.0, 0, [], DRIFTED | {"drifted": False, "checks": []}) == []


def test_a_model_that_nothing_was_compared_with_is_not_retrained_for_drift() -> None:
    assert decided(1.0, 0, [], None) == []


def test_every_reason_is_told() -> None:
    assert len(decided(0.1, 900, ["yak"], DRIFTED)) == 4
