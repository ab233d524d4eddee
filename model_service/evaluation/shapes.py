"""Whether a document that was read back has the shape that evaluate gives it: each function raises Misshapen if not. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_SHARES = ("accuracy", "top5", "ece")
_MEASURES = (*_SHARES, "log_loss", "brier")
_LISTED = {"key": str, "uri": str, "label": str, "predicted": str, "batch": str, "shard": str, "offset": int}
_MAPPINGS = ("drift", "previous", "review", "sort", "quarantined", "options")
_LISTS = ("errors", "uncertain", "quarantine", "costs")


class Misshapen(ValueError):
    """Says which part of the document is not as it should be."""


def document(told: Any) -> None:
    """Of a whole evaluation. What may be missing is null or missing; what is there can be reported."""
    _need(isinstance(told, dict), "the document")
    _need(isinstance(told.get("model"), str) and isinstance(told.get("run"), str), "run or model")
    measures(told.get("metrics"))
    _matrix(told["metrics"])
    retrain = told.get("retrain")
    _need(isinstance(retrain, dict), "retrain")
    _need(isinstance(retrain.get("needed"), bool) and type(retrain.get("unseen")) is int, "retrain")
    _texts(retrain.get("reasons"), "retrain.reasons")
    for names, kind in ((_MAPPINGS, dict), (_LISTS, list)):
        for name in names:
            _need(isinstance(told.get(name) or kind(), kind), name)
    for name in ("errors", "uncertain"):
        for row in told.get(name) or ():
            _need(isinstance(row, dict) and all(isinstance(row.get(k), t) for k, t in _LISTED.items()), name)
            for number in ("probability", "margin"):
                _number(row.get(number), name, least=-math.inf)
    if told.get("previous"):
        measures(told["previous"])
        _need(all(isinstance(told["previous"].get(name), str) for name in ("run", "model")), "previous")
    drift(told.get("drift"))
    review = told.get("review")
    if review:
        counts = all(type(review.get(name)) is int for name in ("copies", "gone"))
        _need(counts and isinstance(review.get("folder"), str), "review")
    _need(all(type(count) is int for count in (told.get("quarantined") or {}).values()), "quarantined")


def drift(told: Any) -> None:
    """Of the comparison with the training pictures; null: there was none."""
    if told is not None:
        _need(isinstance(told, dict) and isinstance(told.get("drifted"), bool), "drift")


def measures(told: Any) -> None:
    """Of an evaluation's main numbers, which a later one is compared with."""
    _need(isinstance(told, dict), "metrics")
    for name in ("pictures", "right"):
        _need(type(told.get(name)) is int and told[name] >= 0, name)
    for name in _MEASURES:
        if told.get(name) is not None:
            _number(told[name], name, most=1 if name in _SHARES else math.inf)
    interval = told.get("interval")
    _need(interval is None or (isinstance(interval, list) and len(interval) == 2), "interval")
    for end in interval or ():
        _number(end, "interval", most=1)
    by_class = told.get("by_class")
    _need(by_class is None or isinstance(by_class, dict), "by_class")
    for scores in (by_class or {}).values():
        _need(isinstance(scores, dict), "by_class")
        for value in scores.values():
            if value is not None:
                _number(value, "by_class")


def _matrix(told: Mapping[str, Any]) -> None:
    _texts(told.get("classes"), "classes")
    _texts(told.get("new_classes") or [], "new_classes")
    _need(isinstance(told.get("by_class"), dict), "by_class")
    _need(all({"precision", "recall", "f1", "support"} <= one.keys() for one in told["by_class"].values()), "by_class")
    others: Any = told.get("others") or 0
    rows: Any = told.get("confusion")
    _need(type(others) is int and isinstance(rows, list), "confusion")
    wide = len(told["classes"]) + bool(others)
    _need(len(rows) == wide and all(isinstance(row, list) and len(row) == wide for row in rows), "confusion")
    _need(all(type(count) is int for row in rows for count in row), "confusion")
    for pair in told.get("confused") or ():
        _need(isinstance(pair, dict) and type(pair.get("count")) is int, "confused")
        _need(pair.get("true") in told["by_class"] and isinstance(pair.get("predicted"), str), "confused")
    curves = {"reliability": ("low", "high", "count"), "abstention": ("coverage", "accuracy", "threshold")}
    for name, needed in curves.items():
        for row in told.get(name) or ():
            _need(isinstance(row, dict), name)
            for key in needed:
                _number(row.get(key), name)


def _texts(value: Any, name: str) -> None:
    _need(isinstance(value, list) and all(isinstance(text, str) for text in value), name)


def _number(value: Any, name: str, least: float = 0, most: float = math.inf) -> None:
    _need(type(value) in (int, float) and math.isfinite(value) and least <= value <= most, name)


def _need(holds: bool, name: str) -> None:
    if not holds:
        raise Misshapen(f"{name} is missing or not what evaluate writes")
