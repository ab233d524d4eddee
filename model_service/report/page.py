"""The document of an evaluation as one HTML page that fetches nothing. Every name in it is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from model_service.images import REASONS
from model_service.report import charts
from model_service.report.changes import changes, is_chance
from model_service.report.confusion import confusion
from model_service.report.steady import verdict
from model_service.report.templating import environment
from model_service.report.thumbnails import UNSURE, WRONG, tiles

ROWS = 200  # of a table of classes: a page with thousands opens slowly, and nobody reads them
# What an evaluation may lack: an older one that is rendered again, a model without a reference, a first run.
_METRICS: dict[str, Any] = dict.fromkeys(("interval", "top5", "log_loss", "brier", "ece"))
_METRICS |= {"reliability": [], "confused": [], "abstention": [], "new_classes": [], "others": 0}
_DOCUMENT: dict[str, Any] = dict.fromkeys(
    ("sort", "drift", "previous", "review", "precision", "preprocessing", "release", "csv", "trained_on")
)
_DOCUMENT |= {"errors": [], "uncertain": [], "quarantined": {}, "quarantine": [], "costs": [], "doubted": 0}


def render(document: Mapping[str, Any], pictures: Mapping[str, bytes] = MappingProxyType({})) -> str:
    """The page for a run's evaluation (the document that is also written as metrics.json).

    `pictures` are the packed JPEGs of the pictures in `errors` and `uncertain`, by key; of one that is not there, the page has
    the name alone.
    """
    told = _DOCUMENT | {key: value for key, value in document.items() if value is not None}
    metrics = told["metrics"] = _METRICS | {k: v for k, v in told["metrics"].items() if v is not None}
    metrics.setdefault("accuracy", None)
    previous = told["previous"]
    template = environment().get_template("page.html")
    return template.render(
        **told,
        confusion=confusion(metrics),
        steady=verdict(told["drift"], metrics["new_classes"]) if told["drift"] else None,
        classes=sorted(metrics["by_class"].items(), key=_by_f1),
        reliability=charts.reliability(metrics["reliability"]) if _counted(metrics["reliability"]) else None,
        abstention=charts.abstention(metrics["abstention"]) if metrics["abstention"] else None,
        changes=changes(metrics, previous) if previous else [],
        before=(previous or {}).get("by_class"),
        is_chance=is_chance(metrics, previous) if previous else None,
        wrong=tiles(told["errors"][:WRONG], pictures),
        unsure=tiles(told["uncertain"][:UNSURE], pictures),
        reasons=REASONS,
        rows=ROWS,
    )


def _by_f1(one: tuple[str, dict[str, Any]]) -> tuple[bool, float, str]:
    """Worst first; a class that nobody met or predicted has nothing to show, and comes last."""
    label, scores = one
    return (scores["f1"] is None, scores["f1"] or 0.0, label)


def _counted(bins: list[dict[str, Any]]) -> bool:
    return any(bin["count"] for bin in bins)
