"""Measures of predictions against numbers worked out by hand, and when they call for retraining."""

from __future__ import annotations

import pytest

from model_service import metrics
from model_service.metrics import Predictions

#            true: 4 cats, 3 dogs, 1 zebra; predicted: 4 cats, 4 dogs, no zebra
LABELS = ["cat", "cat", "cat", "cat", "dog", "dog", "dog", "zebra"]
PREDICTED = ["cat", "cat", "cat", "dog", "dog", "dog", "cat", "dog"]


def test_the_measures_are_what_one_counts_by_hand() -> None:
    assert metrics.measure(Predictions(LABELS, PREDICTED), ["zebra", "dog", "cat"]) == {
        "pictures": 8,
        "right": 5,
        "accuracy": 0.625,
        "by_class": {
            "cat": {"precision": 3 / 4, "recall": 3 / 4, "f1": pytest.approx(3 / 4), "support": 4},
            "dog": {"precision": 2 / 4, "recall": pytest.approx(2 / 3), "f1": pytest.approx(4 / 7), "support": 3},
            "zebra": {"precision": None, "recall": 0.0, "f1": 0.0, "support": 1},
        },
        "classes": ["cat", "dog", "zebra"],
        "confusion": [[3, 1, 0], [1, 2, 0], [0, 1, 0]],
        "new_classes": [],
    }


def test_a_label_the_model_does_not_know_is_an_error_and_a_new_class() -> None:
    measured = metrics.measure(Predictions(["cat", "yak", "yak"], ["cat", "cat", "dog"]), ["cat", "dog"])
    assert measured["new_classes"] == ["yak"]
    assert measured["accuracy"] == pytest.approx(1 / 3)
    assert measured["classes"] == ["cat", "dog", "yak"]
    assert measured["confusion"] == [[1, 0, 0], [0, 0, 0], [1, 1, 0]]
    assert measured["by_class"]["yak"] == {"precision": None, "recall": 0.0, "f1": 0.0, "support": 2}


def test_a_class_without_pictures_has_no_recall() -> None:
    by_class = metrics.measure(Predictions(["cat"], ["cat"]), ["cat", "dog"])["by_class"]
    assert by_class["dog"] == {"precision": None, "recall": None, "f1": None, "support": 0}
    assert by_class["cat"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}


@pytest.mark.parametrize(
    ("accuracy", "unseen", "new_classes", "reasons"),
    [
        (1.0, 0, [], []),
        (0.95, 499, [], []),
        (0.9499, 0, [], ["accuracy on new pictures is 95.0%, below 95.0%"]),
        (0.5, 0, [], ["accuracy on new pictures is 50.0%, below 95.0%"]),
        (1.0, 500, [], ["500 training pictures the model has never seen, at least 500"]),
        (1.0, 0, ["gnu", "yak"], ["new classes: gnu, yak"]),
    ],
)
def test_when_to_retrain(accuracy: float, unseen: int, new_classes: list[str], reasons: list[str]) -> None:
    measured = {"accuracy": accuracy, "new_classes": new_classes}
    assert metrics.retrain(measured, unseen, min_accuracy=0.95, max_new=500) == (bool(reasons), reasons)


def test_every_reason_to_retrain_is_told() -> None:
    needed, reasons = metrics.retrain({"accuracy": 0.1, "new_classes": ["yak"]}, 9, min_accuracy=0.5, max_new=9)
    assert needed
    assert len(reasons) == 3
