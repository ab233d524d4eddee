"""A model's params.yaml and metrics.json, as `dvc params` and `dvc metrics` compare them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Of model.json, as it is called there; not all of an earlier release's.
_FACTS = ("architecture", "commit", "weights", "start", "parent", "numbers", "classes", "libraries")
# Of the verdict, whose entries have one value for the candidate and one for the champion.
_HOLDOUT = ("accuracy", "overall", "ece", "milliseconds", "bytes")


def params(card: Mapping[str, Any]) -> dict[str, Any]:
    """How the model was made: {version, run, dataset, seed, …, training: the arguments of train}."""
    data, training = card.get("data") or {}, card.get("training") or {}
    return {
        "version": card["version"],
        "run": card.get("run") or training.get("run"),
        "dataset": data.get("tag") or "",
        "pictures": data.get("pictures"),
        "seed": training.get("seed"),
        **{name: card[name] for name in _FACTS if name in card},
        "training": training,
    }


def metrics(card: Mapping[str, Any], verdict: Mapping[str, Any] | None) -> dict[str, Any]:
    """How good it is: {validation: what training measured, holdout: what the judge did}; the latter only with a verdict."""
    found: dict[str, Any] = {"validation": _numbers(card.get("metrics") or {})}
    if verdict is not None:
        of = {name: (verdict.get(name) or {}).get("candidate") for name in _HOLDOUT}
        found["holdout"] = _numbers(of | {"pictures": verdict.get("pictures"), "compared": verdict.get("compared")})
    return found


def _numbers(of: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in of.items() if isinstance(value, int | float)}
