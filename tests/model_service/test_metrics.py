"""Measures of predictions against numbers worked out by hand, and against scikit-learn's where it has them."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import brier_score_loss, log_loss, top_k_accuracy_score

from model_service.evaluation.metrics import Predictions, interval, measure

#            true: 4 cats, 3 dogs, 1 zebra; predicted: 4 cats, 4 dogs, no zebra
LABELS = ["cat", "cat", "cat", "cat", "dog", "dog", "dog", "zebra"]
PREDICTED = ["cat", "cat", "cat", "dog", "dog", "dog", "cat", "dog"]


def sure(predicted: list[str], known: list[str], of: float = 1.0) -> NDArray[np.float32]:
    """Probabilities of someone who is so sure of each, and spreads the rest."""
    rows = np.full((len(predicted), len(known)), (1 - of) / max(1, len(known) - 1), np.float32)
    rows[np.arange(len(predicted)), [known.index(label) for label in predicted]] = of
    return rows


def measured(labels: list[str], predicted: list[str], known: list[str], of: float = 1.0) -> dict[str, Any]:
    found = measure(Predictions(labels, predicted, sure(predicted, known, of)), known)
    json.dumps(found, allow_nan=False)
    return found


def drawn(pictures: int, classes: int, seed: int = 0) -> tuple[Predictions, list[str]]:
    """Of a model that is right more often than not and too sure of it."""
    chance = np.random.default_rng(seed)
    known = [f"class {i:03d}" for i in range(classes)]
    logits = 3 * chance.normal(size=(pictures, classes))
    true = (logits + 2 * chance.normal(size=logits.shape)).argmax(1)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    guessed = probabilities.argmax(1)
    return Predictions([known[i] for i in true], [known[i] for i in guessed], probabilities.astype(np.float32)), known


def test_what_one_counts_by_hand() -> None:
    found = measured(LABELS, PREDICTED, ["zebra", "dog", "cat"])
    assert (found["pictures"], found["right"], found["accuracy"]) == (8, 5, 0.625)
    assert found["by_class"] == {
        "cat": {"precision": 3 / 4, "recall": 3 / 4, "f1": pytest.approx(3 / 4), "support": 4},
        "dog": {"precision": 2 / 4, "recall": pytest.approx(2 / 3), "f1": pytest.approx(4 / 7), "support": 3},
        "zebra": {"precision": None, "recall": 0.0, "f1": 0.0, "support": 1},
    }
    assert found["classes"] == ["cat", "dog", "zebra"]
    assert found["confusion"] == [[3, 1, 0], [1, 2, 0], [0, 1, 0]]
    assert found["new_classes"] == []


@pytest.mark.parametrize(
    ("hits", "pictures", "low", "high"),
    # Wilson's score by its formula, z = 1.959964: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)
    [
        (5, 8, 0.3057, 0.8632),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (1, 1, 0.2065, 1.0),
        (950, 1000, 0.9347, 0.9619),
    ],
)
def test_the_interval_of_the_accuracy(hits: int, pictures: int, low: float, high: float) -> None:
    assert interval(hits, pictures) == pytest.approx([low, high], abs=1e-4)


def test_log_loss_and_brier_by_hand() -> None:
    rows = np.array([[0.7, 0.2, 0.1], [0.5, 0.25, 0.25]], np.float32)
    found = measure(Predictions(["a", "b"], ["a", "a"], rows), ["a", "b", "c"])
    assert found["log_loss"] == pytest.approx(-(math.log(0.7) + math.log(0.25)) / 2)
    assert found["brier"] == pytest.approx(((0.09 + 0.04 + 0.01) + (0.25 + 0.5625 + 0.0625)) / 2)


@pytest.mark.parametrize(("pictures", "classes"), [(300, 3), (20_000, 12)])
@pytest.mark.filterwarnings("ignore:The y_prob values do not sum to one")  # in float32, to one and a millionth
def test_what_scikit_learn_has_too(pictures: int, classes: int) -> None:
    given, known = drawn(pictures, classes)
    found = measure(given, known)
    exact = given.probabilities.astype(np.float64)
    assert found["log_loss"] == pytest.approx(log_loss(given.labels, exact, labels=known), rel=1e-4)
    assert found["brier"] == pytest.approx(
        brier_score_loss(given.labels, exact, labels=known, scale_by_half=False), rel=1e-4
    )
    assert found["top5"] == (
        pytest.approx(top_k_accuracy_score(given.labels, exact, k=5, labels=known)) if classes > 5 else 1.0
    )


def test_of_equally_probable_classes_the_first_come_first() -> None:
    known = list("abcdefg")
    rows = np.full((2, 7), 1 / 7, np.float32)
    assert measure(Predictions(["e", "f"], ["a", "a"], rows), known)["top5"] == 0.5


def test_calibration_by_hand() -> None:
    # 4 pictures at 0.9, half of them right; 6 at 0.6, all right: gaps of 0.4 and 0.4
    rows = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 6, np.float32)
    found = measure(Predictions(["a", "a", "b", "b", *"aaaaaa"], ["a"] * 10, rows), ["a", "b"])
    assert found["ece"] == pytest.approx(0.4)
    filled = [b for b in found["reliability"] if b["count"]]
    assert len(found["reliability"]) == 15
    assert [(b["low"], b["high"], b["count"]) for b in filled] == [
        (pytest.approx(low / 15), pytest.approx((low + 1) / 15), count) for low, count in ((9, 6), (13, 4))
    ]
    assert [(b["confidence"], b["accuracy"]) for b in filled] == [
        (pytest.approx(0.6), 1.0),
        (pytest.approx(0.9), 0.5),
    ]
    assert {(b["confidence"], b["accuracy"]) for b in found["reliability"] if not b["count"]} == {(None, None)}


def test_a_calibrated_model_has_hardly_an_error_of_calibration() -> None:
    chance = np.random.default_rng(1)
    confidence = chance.uniform(0.5, 1, 40_000).astype(np.float32)
    rows = np.stack([confidence, 1 - confidence], axis=1)
    labels = ["a" if right else "b" for right in chance.random(40_000) < confidence]
    assert measure(Predictions(labels, ["a"] * 40_000, rows), ["a", "b"])["ece"] < 0.01


def test_the_surer_the_more_often_right() -> None:
    # 10 pictures, 0.95 down to 0.50; the two least sure are wrong
    confidence = np.linspace(0.95, 0.5, 10).astype(np.float32)
    rows = np.stack([confidence, 1 - confidence], axis=1)
    found = measure(Predictions(["a"] * 8 + ["b"] * 2, ["a"] * 10, rows), ["a", "b"])["abstention"]
    assert [row["coverage"] for row in found] == [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    assert [row["accuracy"] for row in found[:4]] == pytest.approx([0.8, 8 / 9, 1.0, 1.0])
    assert found[1]["threshold"] == pytest.approx(0.55)


def test_what_is_equally_sure_is_answered_together() -> None:
    found = measured(["a", "a", "b", "b"], ["a"] * 4, ["a", "b"], of=0.9)["abstention"]
    assert found == [{"coverage": 1.0, "accuracy": 0.5, "threshold": pytest.approx(0.9)}]


def test_the_pairs_mixed_up_most_come_first() -> None:
    labels = ["a"] * 3 + ["b"] * 5 + ["c"]
    predicted = ["b", "b", "c", "a", "a", "a", "b", "c", "c"]
    assert measured(labels, predicted, ["a", "b", "c"])["confused"] == [
        {"true": "b", "predicted": "a", "count": 3},
        {"true": "a", "predicted": "b", "count": 2},
        {"true": "a", "predicted": "c", "count": 1},
        {"true": "b", "predicted": "c", "count": 1},
    ]


def test_no_more_than_twenty_pairs() -> None:
    given, known = drawn(5000, 30)
    confused = measure(given, known)["confused"]
    assert len(confused) == 20
    counts = [pair["count"] for pair in confused]
    assert counts == sorted(counts, reverse=True)


def test_a_label_the_model_does_not_know_is_an_error_and_a_new_class() -> None:
    found = measured(["cat", "yak", "yak"], ["cat", "cat", "dog"], ["cat", "dog"])
    assert found["new_classes"] == ["yak"]
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert found["classes"] == ["cat", "dog", "yak"]
    assert found["confusion"] == [[1, 0, 0], [0, 0, 0], [1, 1, 0]]
    assert found["by_class"]["yak"] == {"precision": None, "recall": 0.0, "f1": 0.0, "support": 2}
    assert found["top5"] == pytest.approx(1 / 3)
    assert found["log_loss"] == pytest.approx(-2 / 3 * math.log(np.finfo(np.float32).eps)), "no infinity"
    assert found["brier"] == pytest.approx(4 / 3)


def test_a_class_without_pictures_has_no_recall() -> None:
    by_class = measured(["cat"], ["cat"], ["cat", "dog"])["by_class"]
    assert by_class["dog"] == {"precision": None, "recall": None, "f1": None, "support": 0}
    assert by_class["cat"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}


def test_one_picture() -> None:
    found = measured(["cat"], ["dog"], ["cat", "dog"], of=0.75)
    assert (found["accuracy"], found["ece"], found["log_loss"]) == (0.0, 0.75, pytest.approx(math.log(4)))
    assert found["interval"] == pytest.approx([0, 0.7935], abs=1e-4)
    assert found["abstention"] == [{"coverage": 1.0, "accuracy": 0.0, "threshold": 0.75}]


def test_no_picture_has_no_measure() -> None:
    found = measured([], [], ["cat", "dog"])
    assert (found["pictures"], found["right"], found["confusion"]) == (0, 0, [[0, 0], [0, 0]])
    assert {found[name] for name in ("accuracy", "interval", "top5", "log_loss", "brier", "ece")} == {None}
    assert found["reliability"] == found["abstention"] == found["confused"] == []


def test_a_model_that_answers_no_number_is_still_measured() -> None:
    rows = np.array([[np.nan, np.nan], [0.5, 0.5]], np.float32)
    found = measure(Predictions(["a", "b"], ["a", "a"], rows), ["a", "b"])
    json.dumps(found, allow_nan=False)
    assert found["log_loss"] is None
    assert found["accuracy"] == 0.5
