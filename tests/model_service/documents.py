"""Documents of evaluations, as the step writes them: measured from made-up probabilities, the rest as runs have it."""

from __future__ import annotations

from typing import Any

import numpy as np

from model_service.evaluation import metrics
from model_service.evaluation.metrics import Predictions

KINDS = ["cat", "dog", "elephant", "giraffe", "horse", "panda"]


def measured(classes: list[str], pictures: int, seed: int = 1, sure: float = 2.2) -> dict[str, Any]:
    """The metrics of a model that is right more often the larger `sure` is."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, len(classes), pictures)
    logits = rng.normal(0, 1.1, (pictures, len(classes)))
    logits[np.arange(pictures), true] += sure + rng.normal(0, 1, pictures)
    shares = np.exp(logits)
    probabilities = (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
    predicted = [classes[i] for i in probabilities.argmax(axis=1)]
    return metrics.measure(Predictions([classes[i] for i in true], predicted, probabilities), classes)


def row(number: int, label: str, predicted: str, probability: float = 0.97, name: str = "") -> dict[str, Any]:
    """Of `errors` or `uncertain`."""
    return {
        "key": f"key-{number}",
        "uri": f"gs://animals_all/june/{name or f'{label}_{number}.jpg'}",
        "label": label,
        "predicted": predicted,
        "probability": probability,
        "margin": max(0.0, 2 * probability - 1),
        "batch": "r2-00000-abc",
        "shard": "train-00000.tar",
        "offset": 512 * number,
    }


def check(
    name: str, what: str, verdict: str, value: float | None, p: float | None, threshold: float, text: str
) -> dict[str, Any]:
    """Of the drift."""
    found = {"name": name, "what": what, "value": value, "p": p, "threshold": threshold}
    return found | {"verdict": verdict, "text": text}


_DISTANCE = "distance of the distributions of"
DRIFT: dict[str, Any] = {
    "drifted": True,
    "checks": [
        check("class mix", "population stability index of the classes", "ok", 0.0412, 0.31, 0.2,
              "most changed: cat, 19% of the new pictures, 16% before"),
        check("embedding", "how often old and new pictures are told apart", "drift", 0.712, 2e-9, 0.6,
              "a classifier told 71% of 480 pictures apart, of the same classes; a coin has 50%"),
        check("brightness", f"{_DISTANCE} brightness", "drift", 0.31, 1e-12, 0.2,
              "median 0.31 in the new pictures, 0.48 before"),
        check("sharpness", f"{_DISTANCE} sharpness", "ok", 0.0, 1.0, 0.2,
              "median 0.0121 in the new pictures, 0.0121 before"),
        check("longer side", f"{_DISTANCE} the longer side, in pixels", "ok", 0.06, 0.2, 0.2,
              "median 512 in the new pictures, 512 before"),
        check("out of distribution", "share of unusually unsure answers", "too few", None, None, 0.15,
              "240 probabilities of the training and 7 new ones can be compared: 30 of each are needed"),
    ],
    "new_classes": [],
}  # fmt: skip

SORT: dict[str, Any] = {
    "listed": 1420, "new": 1266, "ranges": 3, "left_for_next_run": 0, "sorted": 3, "damaged": [], "packed": 1240,
    "duplicates": 14, "near_duplicates": 3, "left": 0, "read": 1266, "copied": 1240, "bytes_in": 312_000_000,
    "bytes_out": 66_000_000, "class_a": 1290, "class_b": 2540, "usd": 0.0077, "seconds": 41.8, "per_second": 30.3,
    "classes": {"cat": 207, "dog": 211}, "held": {"yak": 4}, "quarantined": {"truncated": 2}, "new_classes": ["panda"],
    "spellings": {"cat": ["Cat", "CATS"]},
}  # fmt: skip


def cost(step: str, tasks: int, usd: float, seconds: float | None) -> dict[str, Any]:
    spent = {"bytes_in": 70_000_000, "bytes_out": 9_000_000, "class_a": 12, "class_b": 40}
    return {"step": step, "tasks": tasks, **spent, "usd": usd, "seconds": seconds}


def evaluation(classes: list[str] = KINDS, pictures: int = 1240, **replaced: Any) -> dict[str, Any]:
    """A whole document. `replaced` are keys that are to have another value."""
    before = measured(classes, 900, seed=2, sure=1.7)
    pairs = [(label, classes[(i + 1) % len(classes)]) for i, label in enumerate(classes)]
    document: dict[str, Any] = {
        "run": "scheduled__2026-11-21T06-00-00",
        "model": "2026-11-14-ab12cd3",
        "trained_on": 0,
        "precision": "bf16",
        "preprocessing": "1",
        "metrics": measured(classes, pictures),
        "retrain": {
            "needed": True,
            "reasons": ["accuracy on new pictures is 71.7%, below 95.0%", "the pictures have drifted: brightness"],
            "unseen": 992,
        },
        "drift": DRIFT,
        "previous": {
            "run": "scheduled__2026-11-14T06-00-00",
            "model": "2026-11-07-98fe76d",
            "report": "gs://animals_predicted/scheduled__2026-11-14T06-00-00/report.html",
            "drifted": False,
            **{name: value for name, value in before.items() if name not in ("classes", "confusion")},
        },
        "errors": [row(n, *pairs[n % len(pairs)], 0.99 - n / 200) for n in range(50)],
        "uncertain": [row(100 + n, *pairs[n % len(pairs)][::-1], 0.51) for n in range(12)]
        + [row(200 + n, label, label, 0.5) for n, (label, _) in enumerate(pairs)],
        "review": {"copies": 74, "gone": 1, "folder": "gs://animals_predicted/scheduled__2026-11-21T06-00-00/review"},
        "csv": None,
        "sort": SORT,
        "costs": [
            cost("plan", 1, 0.0002, 3.1) | {"bytes_in": None, "bytes_out": None},
            cost("sort", 3, 0.0077, 38.7),
            cost("predict", 4, 0.0001, None),
        ],
        "quarantined": {"not-an-image": 3, "truncated": 2},
        "quarantine": [
            {"uri": "gs://animals_all/june/notes.txt", "reason": "not-an-image", "text": "not a picture in a known format"},
            {"uri": "gs://animals_all/june/cat_77.jpg", "reason": "truncated", "text": "the file ends before the picture does"},
        ],
    }  # fmt: skip
    return document | replaced
